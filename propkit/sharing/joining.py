"""Opening a store that others may hold: whoever comes first owns it, the others are its guests."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from propkit.errors import StoreError, StoreInUseError
from propkit.settings import Settings
from propkit.sharing.discovery import check_versions, read_discovery, why_unread
from propkit.sharing.handing import is_being_handed_over
from propkit.sharing.here import HerePlace
from propkit.sharing.place import Place
from propkit.sharing.server import serve_place
from propkit.sources import Sources
from propkit.store import Store
from propkit.store.holders import may_serve
from propkit.store.snapshots import discard_left_drafts
from propkit.time_limits import Patience

if TYPE_CHECKING:
    from propkit.sharing.guest import GuestPlace
    from propkit.sharing.shared import SharedPlace

JOIN_SECONDS = 10.0
"""How long an owner that begins or ends is waited for."""
STRANGER_SECONDS = 3.0
"""How long a program that may be an owner, but says nothing of it, is waited for."""
_LOOK_SECONDS = 0.05


def join_place(path: Path, settings: Settings, sources: Sources) -> Place:
    """Open a store and own it, or attach to the process that does.

    Raises
    ------
    StoreError
        The file is no store, is held by a foreign program (named), or by another propkit.
    """
    joined = _join(path, settings, sources)
    if isinstance(joined, HerePlace):
        return joined
    from propkit.sharing.shared import SharedPlace

    return SharedPlace(joined, lambda: _join(path, settings, sources))


def share_place(place: HerePlace) -> SharedPlace:
    """Return a place through which another process can become the owner."""
    from propkit.sharing.shared import SharedPlace

    path, settings, sources = place.store.path, place.settings, place.sources
    return SharedPlace(place, lambda: _join(path, settings, sources))


def _join(path: Path, settings: Settings, sources: Sources) -> HerePlace | GuestPlace:
    patience = Patience()
    while True:
        waited = patience.look()
        try:
            if not is_being_handed_over(path):
                return own_place(path, settings, sources)
            if (guest := attach(path)) is not None:
                return guest
        except StoreInUseError as held:
            guest = attach(path, held.pid)
            if guest is not None:
                return guest
            if waited > _patience(path, held):
                if why := why_unread(path):
                    raise StoreInUseError(
                        f"{held}. It may serve others, but {why}", pid=held.pid
                    ) from None
                raise
        time.sleep(_LOOK_SECONDS)


def own_place(path: Path, settings: Settings, sources: Sources) -> HerePlace:
    """Open a store and own it.

    Raises
    ------
    StoreInUseError
        Another process has it.
    StoreError
        The file is no store, or was moved away from a process that has it open.
    """
    if not path.exists() and (guest := attach(path)) is not None:
        guest.close()
        who = "this process" if is_held_here(path) else guest.owner.removeprefix("guest of ")
        raise StoreError(
            f"{path} was moved or deleted, and {who} has it open still: close it there first"
        )
    place = HerePlace(Store.open(path), sources, settings)
    try:
        place.store.limit_files(settings.store.files_in_sql)
        if settings.store.serve:
            serve_place(place, settings.store)
        discard_left_drafts(path)
    except BaseException:
        place.close()
        raise
    return place


def attach(path: Path, holder: int | None = None) -> GuestPlace | None:
    """Return the owner's place; None where there is none, or it does not answer (yet).

    ``holder`` is the PID of who holds the file, where that is known.
    """
    found = read_discovery(path)
    if found is None or (holder is not None and found.pid != holder):
        return None
    check_versions(path, found.version, found.protocol, found.pid)
    from propkit.sharing.guest import GuestPlace, OwnerLostError

    try:
        return GuestPlace(path, found)
    except OwnerLostError:
        return None


def is_held_here(path: Path) -> bool:
    """Whether this process itself owns the store."""
    return Store.is_open(path)


def _patience(path: Path, held: StoreInUseError) -> float:
    """Return how long a holder is waited for, in seconds."""
    found = read_discovery(path)
    if found is not None and found.pid == held.pid:
        return JOIN_SECONDS
    return STRANGER_SECONDS if held.pid is None or may_serve(held.pid) else 0.0
