"""Who a client is for secure aggregation, and whom it knows.

A real site brings its own key and a roster that it received from somebody else than the server:
the server relays all keys of a run, and whoever could change the roster could stand between all.
A demonstration derives both from the names: it shows the protocol and protects nobody.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from client.masking import Membership
from client.site import ThisSite, demonstration_name
from shared.errors import ConfigurationError, StateError
from shared.secagg.transcript import KEY_BYTES, digest

if TYPE_CHECKING:
    from shared.dp.plan import PrivacyPlan

ROSTER_FORMAT = "murmura-roster-1"


def membership(site: ThisSite, plan: "PrivacyPlan") -> Membership:
    """What `site` brings to a run of `plan`.

    Raises:
        ConfigurationError: no secure aggregation in the plan, no identity or roster, or one that
            does not hold this site or the plan's population.
        StateError: a file cannot be read.
    """
    if plan.aggregation is None:
        raise ConfigurationError("expected a plan with secure aggregation, got one without")
    identity, enrolled = _known(site, plan.population)
    if len(enrolled) != plan.population:
        # Guarantee: who may be corrupt is counted over the roster, by both sides alike.
        raise ConfigurationError(
            f"expected a roster of the population of {plan.population}, got {len(enrolled)}"
        )
    if enrolled.get(site.client_id) != identity.public_key().public_bytes_raw():
        raise ConfigurationError(f"expected {site.client_id!r} with its own key in the roster")
    helpers = plan.aggregation.helper_names
    if unknown := sorted(set(helpers) - enrolled.keys()):
        raise ConfigurationError(f"expected aggregation.helpers of the roster, got {unknown}")
    return Membership(
        client_id=site.client_id,
        identity=identity,
        enrolled=enrolled,
        corrupt_fraction=plan.aggregation.corrupt_fraction,
        dropped_fraction=plan.aggregation.dropped_fraction,
        helpers=helpers,
    )


def _known(site: ThisSite, population: int) -> tuple[Ed25519PrivateKey, Mapping[str, bytes]]:
    if site.data_dir is None and site.identity is None:
        return _demonstration_key(site.client_id), _demonstration_roster(population)
    if site.identity is None or site.roster is None:
        raise ConfigurationError(
            "secure aggregation needs a roster that was accepted (murmura client roster --accept "
            "FINGERPRINT; on a stock SuperNode identity and roster in the node config, murmura "
            "secagg identity makes a key), got none"
        )
    return read_identity(site.identity), read_roster(site.roster)


def read_identity(path: Path) -> Ed25519PrivateKey:
    """The key in `path`, PEM without a password. Raises StateError on anything else."""
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise StateError(f"expected an Ed25519 key in {path}, got none") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise StateError(f"expected an Ed25519 key in {path}, got another kind")
    return key


def read_roster(path: Path) -> Mapping[str, bytes]:
    """Public key by client name. Raises StateError unless `path` holds a roster."""
    try:
        content = json.loads(path.read_text())
        found = {str(name): bytes.fromhex(key) for name, key in content["clients"].items()}
        kind = content["format"]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise StateError(f"expected a roster in {path}, got something else") from error
    sizes = {len(key) for key in found.values()}
    if kind != ROSTER_FORMAT or sizes != {KEY_BYTES} or len(set(found.values())) != len(found):
        raise StateError(f"expected {ROSTER_FORMAT} with a key of its own for each client")
    return found


@lru_cache(maxsize=2)
def _demonstration_roster(population: int) -> Mapping[str, bytes]:
    names = map(demonstration_name, range(population))
    return {name: _demonstration_key(name).public_key().public_bytes_raw() for name in names}


def _demonstration_key(name: str) -> Ed25519PrivateKey:
    # Secrecy: none. Everybody can derive it; a demonstration's data are public.
    return Ed25519PrivateKey.from_private_bytes(digest("demonstration", name))
