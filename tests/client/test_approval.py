"""Whose code runs at a site."""

from pathlib import Path

import pytest

from client.approval import Approvals, Missing, NotApproved
from client.bundle import Bundle
from client.home import SiteHome
from shared.durable import write_json
from shared.errors import ConfigurationError, StateError
from tests.client.authorities import TestAuthority
from tests.client.made_sites import made_bundle, made_home, signature

AUTHORITY = TestAuthority.new()
OWN = made_bundle()
FOREIGN = made_bundle(more={"client/more.py": b"import os\n"})


@pytest.fixture
def home(tmp_path: Path) -> SiteHome:
    """Of a site."""
    return made_home(tmp_path / "home", AUTHORITY)


def approvals(home: SiteHome) -> Approvals:
    """As of now."""
    return Approvals(home, AUTHORITY.app_hex)


def missing(home: SiteHome, content: bytes, signed: str) -> Missing | None:
    """What the bundle lacks; None: it may run."""
    try:
        approvals(home).check(Bundle(content), signed)
    except NotApproved as error:
        return error.missing
    return None


def test_the_code_that_is_installed_here_may_run_if_the_server_signed_it(home: SiteHome) -> None:
    """No operator need approve what he has installed himself."""
    assert missing(home, OWN, signature(AUTHORITY, OWN)) is None
    assert missing(home, OWN, "") is Missing.SIGNATURE
    assert missing(home, OWN, signature(TestAuthority.new(), OWN)) is Missing.SIGNATURE
    assert missing(home, OWN, signature(AUTHORITY, FOREIGN)) is Missing.SIGNATURE


@pytest.mark.no_cover
@pytest.mark.parametrize(
    "content",
    [
        FOREIGN,
        made_bundle(more={"sitecustomize.py": b""}),
        made_bundle(more={"torch.py": b""}),
        made_bundle(more={"client/session.py": b"x = 1\n"}),
        made_bundle(less=frozenset({"client/edge.py"})),
    ],
    ids=["more", "customize", "shadow", "changed", "less"],
)
def test_one_line_of_other_code_needs_the_operators_word(home: SiteHome, content: bytes) -> None:
    """More, less or changed; then the signature still counts."""
    signed = signature(AUTHORITY, content)
    assert missing(home, content, signed) is Missing.APPROVAL
    approvals(home).approve(Bundle(content).hash)
    assert missing(home, content, signed) is None
    assert missing(home, content, "") is Missing.SIGNATURE
    approvals(home).withdraw(Bundle(content).hash)
    assert missing(home, content, signed) is Missing.APPROVAL


def test_other_settings_in_the_bundle_are_no_other_code(home: SiteHome) -> None:
    """They are checked as every run's are."""
    text = (Path(__file__).parents[2] / "pyproject.toml").read_bytes() + b"\n# another\n"
    content = made_bundle(more={"pyproject.toml": text})
    assert missing(home, content, signature(AUTHORITY, content)) is None


def test_a_bundle_may_run_unsigned_only_by_the_operators_word(home: SiteHome) -> None:
    """For this one bundle."""
    approvals(home).approve(Bundle(FOREIGN).hash, unsigned=True)
    assert missing(home, FOREIGN, "") is None
    assert missing(home, OWN, "") is Missing.SIGNATURE


@pytest.mark.no_cover
def test_what_was_refused_waits_to_be_looked_at(home: SiteHome) -> None:
    """By hash, the newest first, and not for ever."""
    missing(home, FOREIGN, "")
    digest = Bundle(FOREIGN).hash
    assert list(approvals(home).seen()) == [digest]
    assert approvals(home).seen()[digest].read_bytes() == FOREIGN
    assert approvals(home).resolve(digest[:12]) == digest
    for number in range(17):
        missing(home, made_bundle(more={"client/n.py": str(number).encode()}), "")
    assert len(approvals(home).seen()) == 16
    assert digest not in approvals(home).seen()


def test_a_bundle_is_named_by_file_hash_or_the_beginning_of_one(
    home: SiteHome, tmp_path: Path
) -> None:
    """That was seen; anything else is refused."""
    path = tmp_path / "x.fab"
    path.write_bytes(OWN)
    assert approvals(home).resolve(str(path)) == Bundle(OWN).hash
    assert approvals(home).resolve("ab" * 32) == "ab" * 32
    for named in ("ab", "ab" * 6, ""):
        with pytest.raises(ConfigurationError, match="expected a file"):
            approvals(home).resolve(named)
    for digest in ("ab", "zz" * 32, "AB" * 32):
        with pytest.raises(ConfigurationError, match="SHA-256"):
            approvals(home).approve(digest)


def test_a_damaged_list_approves_nothing(home: SiteHome) -> None:
    """It is refused as a whole."""
    wrong: tuple[object, ...] = ([], {"ab": 1})
    for bundles in wrong:
        write_json(home.approved, {"bundles": bundles})
        with pytest.raises(StateError):
            approvals(home).all()
