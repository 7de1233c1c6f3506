"""A new server: keys, authority, certificate and settings, made once and at once usable."""

import secrets

from server.app_key import create_app_key
from server.authority import Authority
from server.home import ServerHome
from server.settings import ServerSettings
from shared.durable import write_private

_SECRET_BYTES = 32


def found(home: ServerHome, settings: ServerSettings) -> Authority:
    """Make everything of a new server; its authority.

    Raises:
        StateError: there is one already; nothing of it is touched.
    """
    home.create()
    write_private(home.exec_secret, secrets.token_bytes(_SECRET_BYTES))
    create_app_key(home)
    authority = Authority.create(home, settings.names)
    # Last, since whoever finds it takes the home for complete.
    write_private(home.settings_file, settings.to_toml().encode())
    return authority
