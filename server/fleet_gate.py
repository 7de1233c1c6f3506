"""What a site may ask of Flower: as its own node alone, each request once, nothing in clear.

The certificate says which site it is, Flower's own signature which node: both must be the same
site's. Flower signs a time and not the content, so that a signature could be used again for five
minutes; here each is taken once.
"""

import time
from base64 import b64decode
from collections.abc import Callable, Mapping
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from server.limits import header_values
from server.refusals import Refused
from server.settings import Limits
from server.sites import EnrolledSite

MIB: Final = 1 << 20
_SMALL, _NAMES = 1 << 16, 1 << 20
# Flower's own window, 300 s and 5 s of tolerance, with some room.
WINDOW_S = 320.0
_OTHER_OBJECTS = 256  # of a reply beside its arrays' parts
ACTIVATE = "/v1/fleet/activate-node"
PUSH_MESSAGES, PUSH_OBJECT = "/v1/fleet/push-messages", "/v1/fleet/push-object"
# Guarantee: registering and unregistering nodes is not among them.
FLEET_PATHS: Final[Mapping[str, int]] = {
    ACTIVATE: _SMALL,
    "/v1/fleet/deactivate-node": _SMALL,
    "/v1/fleet/send-node-heartbeat": _SMALL,
    "/v1/fleet/pull-messages": _SMALL,
    PUSH_MESSAGES: _NAMES,
    "/v1/fleet/get-run": _SMALL,
    "/v1/fleet/get-fab": _SMALL,
    PUSH_OBJECT: 0,
    "/v1/fleet/pull-object": _SMALL,
    "/v1/fleet/confirm-message-received": _SMALL,
}


class SeenOnce:
    """Which signatures were used lately: two generations, each as long as the window.

    Args:
        clock: Seconds, never going back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since = clock()
        self._now: set[int] = set()
        self._before: set[int] = set()

    def first(self, mark: int) -> bool:
        """Whether `mark` was not seen within the window; it is now."""
        if self._clock() - self._since > WINDOW_S:
            self._before, self._now, self._since = self._now, set(), self._clock()
        mark = hash(mark)  # 61 bits instead of 384
        if mark in self._now or mark in self._before:
            return False
        self._now.add(mark)
        return True


class FleetGate:
    """Looks at every request of a site before Flower does.

    Args:
        limits: What a site may take.
        headers: Names of Flower's headers: the node's public key, the signature.
        flaw_of_push: Says why a reply is refused, given the most objects it may have.
        clock: Seconds, never going back.
    """

    def __init__(
        self,
        limits: Limits,
        headers: tuple[bytes, bytes],
        flaw_of_push: Callable[[bytes, int], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._key_header, self._signature_header = headers
        self._flaw_of_push, self._clock = flaw_of_push, clock
        self._largest_object = limits.body_mib * MIB
        self._largest_update = limits.update_mib * MIB
        self._most_objects = limits.update_mib + _OTHER_OBJECTS
        self._seen: dict[str, SeenOnce] = {}
        self._left: dict[str, int] = {}

    def largest_body(self, path: str) -> int:
        """Bytes that a request to `path` may have."""
        return FLEET_PATHS[path] or self._largest_object

    def check(self, site: EnrolledSite, scope: Mapping[str, Any], body: bytes) -> None:
        """Raise Refused unless Flower may see this request of `site`."""
        path = scope["path"]
        self._check_node(site, scope)
        if path == PUSH_MESSAGES:
            if flaw := self._flaw_of_push(body, self._most_objects):
                raise Refused("message_invalid", flaw)
            self._left[site.name] = self._largest_update
        elif path == PUSH_OBJECT:
            left = self._left.get(site.name, self._largest_update) - len(body)
            if left < 0:
                mib = self._largest_update // MIB
                raise Refused("too_large", f"expected at most {mib} MiB in one reply")
            self._left[site.name] = left

    def forget(self, name: str) -> None:
        """What is kept of a site that is gone."""
        self._seen.pop(name, None)
        self._left.pop(name, None)

    def _check_node(self, site: EnrolledSite, scope: Mapping[str, Any]) -> None:
        keys = header_values(scope, self._key_header)
        signatures = header_values(scope, self._signature_header)
        if len(keys) != 1 or len(signatures) != 1:
            raise Refused("key_mismatch", "expected one node key and one signature")
        try:
            key = b64decode(keys[0], validate=True)
            # Of the two numbers, the first cannot be changed by whoever lacks the key; the
            # second can: its negative is valid too.
            mark, _ = decode_dss_signature(b64decode(signatures[0], validate=True))
        except ValueError as error:
            raise Refused("key_mismatch", "expected a node key and a signature") from error
        # Guarantee: a certificate of one site opens nothing that is another's.
        if key != site.node_key.encode():
            raise Refused("key_mismatch", "expected the node key that this site enrolled")
        if not self._seen.setdefault(site.name, SeenOnce(self._clock)).first(mark):
            raise Refused("replayed", "expected a request that was not sent before")
