"""How hard to work: named profiles, and the one that fits this machine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

from propkit.errors import RequestError

GIB: Final = 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How a batch works unless something else is said.

    ``workers`` is the most items in work at once on each host. ``strategy`` is ``"sequential"``
    (one request at a time), ``"hybrid"`` (hosts side by side, one request at a time on each) or
    ``"parallel"``. ``pace_share`` is the share of each known pace that is used, 0 to 1.
    """

    name: str
    workers: int
    strategy: str
    pace_share: float = 1.0


PROFILES: Final = {
    profile.name: profile
    for profile in (
        Profile(name="conservative", workers=1, strategy="hybrid", pace_share=0.5),
        Profile(name="balanced", workers=3, strategy="parallel"),
        Profile(name="fast", workers=8, strategy="parallel"),
    )
}


def choose_profile(name: str, cores: int, memory_bytes: int) -> Profile:
    """Return a profile by name; ``"auto"`` is the one for so many cores and so much memory.

    Conservative below 2 cores or 2 GiB, fast from 8 cores and 16 GiB, else balanced.

    Raises
    ------
    RequestError
        There is no such profile.
    """
    if name == "auto":
        if cores < 2 or memory_bytes < 2 * GIB:
            name = "conservative"
        elif cores >= 8 and memory_bytes >= 16 * GIB:
            name = "fast"
        else:
            name = "balanced"
    if not isinstance(name, str) or name not in PROFILES:
        raise RequestError(f"no profile {name!r}; expected one of {', '.join(PROFILES)}, auto")
    return PROFILES[name]


def machine() -> tuple[int, int]:
    """Return how many cores this process may use, and the machine's memory in bytes.

    Where the system tells no affinity (macOS, Windows) all cores count; where it tells no memory
    (Windows) 4 GiB are assumed, which is enough for ``balanced`` and not for ``fast``.
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    try:
        memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        memory_bytes = 0
    return cores, memory_bytes if memory_bytes > 0 else 4 * GIB
