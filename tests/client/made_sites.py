"""Homes of sites for tests, as `murmura client join` leaves them, without a server to join."""

import io
import zipfile
from pathlib import Path
from typing import Any

from client.approval import installed_code
from client.home import SiteHome
from client.ledger import Ledger
from client.policy import SitePolicy
from client.site_keys import certificate_request, identity_hex, make_keys
from client.site_settings import Demonstration, SiteSettings, WhoseSite, WorkerSettings
from shared.app_signatures import bundle_content, signed_bytes
from shared.durable import write_private
from tests.client.authorities import TestAuthority
from tests.client.site_ledger import grant

ROOT = Path(__file__).parents[2]


def made_home(  # noqa: PLR0913 - what a site consists of
    folder: Path,
    authority: TestAuthority,
    *,
    name: str = "site-000000",
    address: str = "127.0.0.1:1",
    part: tuple[int, int] = (0, 3),
    policy: SitePolicy | None = None,
    worker: WorkerSettings | None = None,
    **budget: Any,
) -> SiteHome:
    """The home of a demonstration's site that may do seeded runs, and has a large budget."""
    home = SiteHome(folder)
    home.create()
    make_keys(home)
    write_private(home.authority, authority.pem.encode())
    write_private(home.certificate, authority.signed(certificate_request(home, name)).encode())
    Ledger.create(home.ledger, grant(**{"epsilon": 1000.0, **budget}))
    settings = SiteSettings(
        site=WhoseSite(
            name=name, server=address, authority=authority.fingerprint, app_key=authority.app_hex
        ),
        policy=policy or SitePolicy(seeded_runs=True),
        worker=worker or WorkerSettings(),
        demonstration=Demonstration(partition=part[0], partitions=part[1]),
    )
    write_private(home.settings, settings.to_toml().encode())
    return home


def settings_of(home: SiteHome) -> SiteSettings:
    """Its site.toml."""
    return SiteSettings.parse(home.settings.read_text())


def made_bundle(
    *, more: dict[str, bytes] | None = None, less: frozenset[str] = frozenset()
) -> bytes:
    """The app bundle of this checkout, with files more or less."""
    files: dict[str, bytes] = installed_code(ROOT)
    files["pyproject.toml"] = (ROOT / "pyproject.toml").read_bytes()
    files = {name: text for name, text in (files | (more or {})).items() if name not in less}
    return zipped(files)


def zipped(files: dict[str, bytes]) -> bytes:
    """A zip file."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            # Without a time: the same files are the same bundle.
            archive.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)
    return content.getvalue()


def signature(authority: TestAuthority, bundle: bytes) -> str:
    """The server's, of a bundle."""
    return authority.app_key.sign(signed_bytes(bundle_content(bundle))).hex()


def roster_of(*homes: SiteHome) -> dict[str, Any]:
    """The roster of all these sites."""
    names = {settings_of(home).site.name: identity_hex(home) for home in homes}
    return {"format": "murmura-roster-1", "clients": names}
