"""An account's login: where it is kept from one run to the next, and who is asked for a password."""

from __future__ import annotations

import getpass
import hashlib
import logging
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

from platformdirs import user_state_path
from pydantic import SecretStr

from propkit.sections import PosterSettings

log = logging.getLogger(__name__)


def login_file(poster: str, site: str, account: str | None) -> Path:
    """Return the file that keeps an account's login at a site; its name does not tell whose."""
    told = hashlib.sha256(f"{site.rstrip('/')}\n{account or ''}".encode()).hexdigest()[:16]
    return user_state_path("propkit") / "posters" / f"{poster}-{told}.json"


def forget_login(poster: str, site: str, account: str | None) -> None:
    """Remove a kept login, of a site that is no more."""
    login_file(poster, site, account).unlink(missing_ok=True)


def evidence_folder(poster: str) -> Path:
    """Return the folder of the pictures of what failed."""
    return user_state_path("propkit") / "posters" / f"{poster}-evidence"


def keep_picture(poster: str, row_key: str, picture: bytes) -> Path:
    """Write what a window showed when a listing failed into a file, and return that.

    Raises
    ------
    OSError
        It cannot be written.
    """
    name = re.sub(r"\W+", "-", row_key)[:60]
    path = evidence_folder(poster) / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{name}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.write_bytes(picture)
    return path


def find_password(settings: PosterSettings, site: str, kept: Path) -> SecretStr | None:
    """Return the account's password: of the settings, or of the system's keyring for the site.

    A person at the keyboard is asked where nothing else is known. None where there is a kept
    login, a window to log in by hand, or nobody to ask.
    """
    if settings.password is not None or settings.account is None:
        return settings.password
    if kept_password := _look_into_keyring(site, settings.account):
        return SecretStr(kept_password)
    if settings.headed or kept.is_file() or not _is_somebody_there():
        return None
    typed = getpass.getpass(f"Password of {settings.account} at {site}: ")
    return SecretStr(typed) if typed else None


def _look_into_keyring(site: str, account: str) -> str | None:
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:  # an extra
        return None
    try:
        return keyring.get_password(site, account)
    except KeyringError as error:
        log.info("the keyring was not asked for the password at %s: %s", site, error)
        return None


def _is_somebody_there() -> bool:
    # A notebook's kernel asks through its front end.
    return "ipykernel.iostream" in sys.modules or (sys.stdin is not None and sys.stdin.isatty())
