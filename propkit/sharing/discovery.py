"""The file beside the store that says where its owner is to be reached, and with which token.

It is its owner's alone to read. A file that a dead owner left behind is worth nothing: what
counts is who holds the store, and the file is replaced by the next owner.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from propkit import __version__
from propkit.errors import StoreError

PROTOCOL = 4
"""Goes up when owner and guest of another propkit would misunderstand each other."""

_OPEN_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL
_MOST_BYTES = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """Where an owner's door is. ``certificate`` is its public one (PEM), where TLS is set."""

    address: str
    port: int
    token: str = field(repr=False)
    pid: int
    host: str = field(default_factory=socket.gethostname)
    version: str = __version__
    protocol: int = PROTOCOL
    certificate: str | None = None


def locate(address: str, port: int, *, has_tls: bool) -> str:
    """Return where a server listens, as Flight writes it."""
    host = f"[{address}]" if ":" in address else address
    return f"{'grpc+tls' if has_tls else 'grpc'}://{host}:{port}"


def discovery_path(store: Path) -> Path:
    """Return the path of a store's discovery file."""
    return store.with_name(f".{store.name}.owner.json")


def write_discovery(store: Path, discovery: Discovery) -> None:
    """Write the file, readable by this user only, whole or not at all."""
    path = discovery_path(store)
    draft = path.with_name(f"{path.name}-{secrets.token_hex(4)}")
    try:
        with open(os.open(draft, _OPEN_NEW, 0o600), "w", encoding="utf-8") as file:  # noqa: PTH123
            json.dump(asdict(discovery), file)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def read_discovery(store: Path) -> Discovery | None:
    """Return what the file says; None where there is none, or none that can be trusted."""
    try:
        with discovery_path(store).open("rb") as file:
            if not _is_private(file.fileno()):
                return None
            return _adapter().validate_json(file.read(_MOST_BYTES))
    except (OSError, ValidationError):
        return None


@cache
def _adapter() -> TypeAdapter[Discovery]:
    return TypeAdapter(Discovery)


def why_unread(store: Path) -> str:
    """Return why an owner's file is there and not used; empty where that is not so."""
    path = discovery_path(store)
    try:
        with path.open("rb") as file:
            is_private = _is_private(file.fileno())
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    return "" if is_private else f"others than you may read or write {path}, which is not used so"


def remove_discovery(store: Path, token: str) -> None:
    """Remove the file, where it is still the one with this token."""
    found = read_discovery(store)
    if found is not None and found.token == token:
        discovery_path(store).unlink(missing_ok=True)


def check_versions(store: Path, version: str, protocol: int, pid: int) -> None:
    """Refuse an owner of another propkit.

    Raises
    ------
    StoreError
        Its version differs in more than the last number, or it speaks another protocol.
    """
    if _release(version) == _release(__version__) and protocol == PROTOCOL:
        return
    raise StoreError(
        f"{store} is held by propkit {version} (protocol {protocol}, PID {pid}), this is propkit "
        f"{__version__} (protocol {PROTOCOL}): close it there, or use the same version here"
    )


def _release(version: str) -> list[str]:
    return version.split(".")[:2]


def _is_private(handle: int) -> bool:
    """Whether a file is this user's, and nobody else may read or write it."""
    if not hasattr(os, "getuid"):
        return True
    found = os.fstat(handle)
    return found.st_uid == os.getuid() and not found.st_mode & 0o077
