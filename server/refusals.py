"""Why a request at the public port is refused: one code, one line, one HTTP status.

The codes are part of the interface between server and site (docs/deployment.md).
"""

from shared.errors import ProtocolError

STATUS = {
    "request_invalid": 400,
    "csr_invalid": 400,
    "key_invalid": 400,
    "message_invalid": 400,
    "token_unknown": 403,
    "token_used": 403,
    "token_expired": 403,
    "name_mismatch": 403,
    "certificate_refused": 403,
    "key_mismatch": 403,
    "replayed": 403,
    "too_slow": 408,
    "name_taken": 409,
    "too_large": 413,
    "too_many_requests": 429,
}


class Refused(ProtocolError):  # noqa: N818 - what happened, as the other refusals are called
    """A peer's request is refused; nothing was changed.

    Attributes:
        code: A key of `STATUS`.
        text: One line; holds no token and no key.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text

    @property
    def status(self) -> int:
        """The HTTP status that goes with it."""
        return STATUS[self.code]
