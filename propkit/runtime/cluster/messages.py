"""What owner and workers say to each other, pickled: they trust each other, as all of a cluster do.

Times are seconds of how long ago or for how long: no clock is compared with another's, but for the
dates of what was fetched, which the owner sets right.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from propkit.item_asker import Outcome
from propkit.items import Item
from propkit.layers.areas import Area
from propkit.sections import BrowsingSettings, CollectSettings
from propkit.sources import SourceConfig

LEASE_SECONDS = 2.5
"""A lease ends so long after the worker has last been heard, whatever else happens."""
SILENCE_SECONDS = 10.0
"""Who hears nothing for so long takes the other for lost."""
SIGN_SECONDS = 0.25
"""Each side says something at least so often."""


@dataclass(slots=True, kw_only=True)
class Setup:
    """What a worker needs to ask; tokens are in it, so that nothing of it is shown.

    ``owner`` is how the scheduler calls the owner's client.
    """

    owner: str
    configs: dict[str, SourceConfig] = field(repr=False)
    collect: CollectSettings
    browsing: BrowsingSettings
    browser: Path | None
    way: str
    order: Area | None
    workers: int
    cap_names: dict[str, tuple[str, ...]]


@dataclass(slots=True, kw_only=True)
class Lease:
    """A share of a host's pace: at most ``in_flight`` requests at once, ``spacing_seconds`` apart.

    The first starts in ``wait_seconds`` at the soonest. It is used for ``seconds``; one of the same
    ``number`` says how to go on with it. ``caps`` is how many requests each cap leaves.
    """

    number: int
    seconds: float
    wait_seconds: float
    spacing_seconds: float
    in_flight: int
    caps: dict[str, int]


@dataclass(slots=True, kw_only=True)
class PaceReport:
    """What a worker did at one host since the last report.

    ``wants`` is the rank of its most urgent request that waits, ``in_flight`` how many are under
    way. ``starts`` are numbers and how long ago; ``answers`` the seconds of good ones (None: not
    measured), ``refusals`` the seconds of the pause that a host wants, and the request's number.
    ``returned`` is the number of the lease that is given back, and the seconds until the next
    request may start.
    """

    wants: int | None
    in_flight: int
    starts: list[tuple[int, float]]
    answers: list[float | None]
    refusals: list[tuple[float, int | None]]
    returned: tuple[int, float] | None
    crawl_seconds: float | None
    is_restarted: bool


@dataclass(slots=True, kw_only=True)
class FromWorker:
    """What a worker's asker says. ``number`` counts its messages; ``wall`` is its clock's date.

    ``usage`` are totals by source: requests, refused, bytes. ``ended`` are the numbers of items
    with how they ended, None: not asked for. ``chunks`` are those whose items it wants.
    """

    asker: str
    number: int
    wall: float
    version: str
    paces: dict[str, PaceReport]
    usage: dict[str, tuple[int, int, int]]
    slow: list[tuple[str, str, float]]
    begun: list[int]
    ended: list[tuple[int, Outcome | None]]
    chunks: list[str]
    failure: str | None = None


@dataclass(slots=True, kw_only=True)
class FromOwner:
    """What the owner says to one asker.

    ``heard`` is the number of the last message from it before its ``leases`` were given;
    ``returns`` are hosts whose lease is to come back, be it one of these. ``recalled`` are sources
    whose items are to come back unasked, ``pauses`` the seconds that hosts want to be left alone.
    """

    heard: int = 0
    setup: Setup | None = None
    chunks: dict[str, list[tuple[int, Item, bool]]] = field(default_factory=dict)
    leases: dict[str, Lease] = field(default_factory=dict)
    returns: set[str] = field(default_factory=set)
    pauses: dict[str, float] = field(default_factory=dict)
    recalled: set[str] = field(default_factory=set)
    is_stopped: bool = False
    is_over: bool = False


async def open_queue(name: str, client: Any) -> Any:
    """Return a queue of the scheduler's; :func:`close_queue` lets go of it."""
    from distributed import Queue

    return await Queue(name, client=client)


def close_queue(queue: Any, count: int = 1) -> None:
    """Let go of a queue; the last one who does has it deleted.

    ``count`` is more than 1 where others that had it open are gone, and cannot do so any more.
    """
    for _ in range(2 * count):  # one that is made and awaited counts as two
        queue.close()


async def is_gone(other: str, client: Any) -> bool:
    """Whether the scheduler has lost another client, and it has not come back."""
    said = await client.get_events(other)
    return bool(said) and said[-1][1].get("action") == "remove-client"


def dump(message: FromWorker | FromOwner | int) -> bytes:
    """Return a message as it is sent."""
    return pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)


def load(body: bytes) -> Any:
    """Return a message that came."""
    return pickle.loads(body)  # noqa: S301 -- from our own cluster
