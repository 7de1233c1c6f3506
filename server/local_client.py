"""What a command on the server's machine asks of the running service."""

import json
import re
import ssl
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any

from server.home import SERVICE, STATUS_PATH, ServerHome
from server.service import running_pid
from server.settings import HIGHEST_PORT, address_of, checked_name, host_and_port
from shared.durable import read_json
from shared.errors import ConfigurationError, StateError

_ADDRESS = re.compile(r"(\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[^:\[\]]+))(:(?P<port>[0-9]{1,5}))?")
_TIMEOUT_S = 10.0
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - read, not opened


def facts_of(home: ServerHome) -> dict[str, Any] | None:
    """What the running service wrote of itself; None where none runs or it is just starting."""
    if running_pid(home) is None:
        return None
    return read_json(home.state / SERVICE) or None


def status_of(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What the service tells over its internal port. Raises StateError."""
    connection = HTTPConnection("127.0.0.1", int(facts["internal"]), timeout=_TIMEOUT_S)
    try:
        connection.request("GET", STATUS_PATH)
        content = json.loads(connection.getresponse().read())
    except (OSError, HTTPException, ValueError) as error:
        raise StateError(f"the service runs and does not answer: {error}") from error
    finally:
        connection.close()
    if not isinstance(content, dict):
        raise StateError("the service runs and answers something else than its status")
    return content


def health_of(home: ServerHome, facts: Mapping[str, Any]) -> dict[str, str]:
    """By public address: "ok", or what is wrong; over TLS, as a site would come."""
    context = ssl.create_default_context(cafile=str(home.pki / "ca.pem"))
    # The name is not looked at: this machine asks the address itself, whatever it is called.
    context.check_hostname = False
    found = {}
    for address, port in facts["public"]:
        found[host_and_port(address, port)] = _health(
            _EVERYWHERE.get(address, address), port, context
        )
    return found


def _health(address: str, port: int, context: ssl.SSLContext) -> str:
    connection = HTTPSConnection(address, port, timeout=_TIMEOUT_S, context=context)
    try:
        connection.request("GET", "/health")
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        return f"{type(error).__name__}: {error}"
    finally:
        connection.close()
    return "ok" if status == 200 else f"answered {status}"


def told_address(home: ServerHome, facts: Mapping[str, Any] | None, given: str = "") -> str:
    """Where sites are told to go: to what was `given`, or the first of the settings' names.

    Args:
        home: The server's.
        facts: Of its service; None where it does not run.
        given: NAME or NAME:PORT, an IPv6 address with a port in brackets; the public port, where
            it has none.

    Raises:
        ConfigurationError: it is neither.
    """
    settings = home.settings()
    port = facts["public"][0][1] if facts else settings.port
    found = _ADDRESS.fullmatch(given)
    if found is None or address_of(given) is not None:
        host = given or settings.names[0]
    else:
        host, port = found["six"] or found["name"], int(found["port"] or port)
    if port > HIGHEST_PORT:
        raise ConfigurationError(f"expected a port of at most {HIGHEST_PORT}, got {port}")
    return host_and_port(checked_name(host.lower()), port)
