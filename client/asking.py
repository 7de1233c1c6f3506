"""What a site asks its server beside Flower's questions: JSON there, JSON back, errors named."""

import json
import ssl
from collections.abc import Mapping
from typing import Any

import httpx

from client.tls import base_url, https
from shared.errors import ProtocolError

_LARGEST = 4 << 20
_LONGEST_TEXT = 200


class ServerRefused(ProtocolError):  # noqa: N818 - what happened
    """The server understood, and says no.

    Attributes:
        code: Why, in one word.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"the server refuses ({code}): {text}")
        self.code = code


def asked(
    address: str, context: ssl.SSLContext, path: str, content: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The answer to `POST path` of `content`, or to `GET path` where there is none.

    Raises:
        ServerRefused: a refusal with a code.
        ProtocolError: no answer, or none of this form.
    """
    method = "GET" if content is None else "POST"
    try:
        with https(context, largest=_LARGEST) as client:
            answer = client.request(method, base_url(address) + path, json=content)
    except httpx.HTTPError as error:
        raise ProtocolError(f"no answer from {address}: {error}") from error
    try:
        told = json.loads(answer.content)
    except (ValueError, RecursionError):
        told = None
    if not answer.is_success:
        fields = told if isinstance(told, dict) else {}
        code, text = str(fields.get("error", answer.status_code)), str(fields.get("text", ""))
        raise ServerRefused(_line(code), _line(text) or "no reason is given")
    if not isinstance(told, dict):
        raise ProtocolError(f"expected a JSON object from {path}, got something else")
    return told


def text_of(answer: Mapping[str, Any], name: str) -> str:
    """The text in one field. Raises ProtocolError on anything else."""
    value = answer.get(name)
    if not isinstance(value, str) or not value:
        raise ProtocolError(f"expected a text {name!r} in the server's answer, got none")
    return value


def _line(text: str) -> str:
    # Another party wrote it: one line of signs that a terminal shows.
    shown = "".join(sign if sign.isprintable() else " " for sign in text)
    return " ".join(shown.split())[:_LONGEST_TEXT]
