"""What the owner knows of items, chunks and askers that are out, and what it tells a worker first."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from propkit.batch_run import Run
from propkit.collector import Collector
from propkit.errors import InvalidAnswerError
from propkit.item_asker import Outcome
from propkit.items import Item, State
from propkit.layers.areas import Area
from propkit.runtime.cluster.address import Cluster
from propkit.runtime.cluster.messages import FromOwner, FromWorker, Lease, Setup
from propkit.usage import Cap

MOST_DEATHS = 3
"""An item that so many workers died of has failed."""


@dataclass(slots=True, eq=False)
class Out:
    """An item that was handed to the cluster, and who waits for it."""

    number: int
    item: Item
    host: str
    answer: asyncio.Future[Outcome]
    is_begun: bool = False
    deaths: int = 0

    def settle(self, outcome: Outcome) -> None:
        """Give who waits for it its outcome, once."""
        if not self.answer.done():
            self.answer.set_result(outcome)


@dataclass(slots=True, eq=False)
class Chunk:
    """Items that a worker has, or is to get (None: whichever comes); ``asker`` has begun with it."""

    name: str
    host: str
    worker: str | None
    items: dict[int, Out]
    future: Any = None
    asker: str | None = None
    is_alone: bool = False
    is_withdrawn: bool = False


@dataclass(slots=True, eq=False)
class AskerSeen:
    """One worker's asker, as the owner knows it."""

    name: str
    worker: str
    queue: Any = None
    heard: int = 0
    heard_at: float = field(default_factory=time.monotonic)
    has_setup: bool = False
    is_lost: bool = False
    ahead_seconds: float | None = None
    usage: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    news: FromOwner = field(default_factory=FromOwner)
    is_due: asyncio.Event = field(default_factory=asyncio.Event)
    talking: asyncio.Task[None] | None = None

    def say_lease(self, host: str, lease: Lease) -> None:
        """Have it told a lease, which counts from what was heard by now."""
        self.news.returns.discard(host)
        self.news.heard = self.news.heard or self.heard
        self.news.leases[host] = lease
        self.is_due.set()


def make_setup(collector: Collector, run: Run, owner: str, per_worker: int, workers: int) -> Setup:
    """Return what a worker needs; the tabs of browsers are shared out among the workers.

    ``owner`` is how the scheduler calls the owner's client.
    """
    browsing = collector.browsers.settings
    pages = max(1, browsing.pages // max(1, workers))
    browsers = min(pages, browsing.browsers)
    return Setup(
        owner=owner,
        configs={name: collector.configs[name] for name in run.sources},
        collect=collector.settings,
        browsing=browsing.model_copy(update={"pages": pages, "browsers": browsers}),
        browser=collector.browsers.path,
        way=run.way,
        order=run.order if isinstance(run.order, Area) else None,
        workers=per_worker,
        cap_names={
            source: tuple(
                name
                for name in (source, collector.configs[source].host)
                if name in run.max_requests
            )
            for source in run.sources
        },
    )


def caps_of(collector: Collector, run: Run, host: str) -> dict[str, Cap]:
    """Return the caps that count requests to a host, by name."""
    configs = collector.configs
    return {
        name: cap
        for source, usage in run.usage.items()
        if configs[source].host == host
        for name, cap in zip(
            [n for n in (source, host) if n in run.max_requests], usage.caps, strict=True
        )
    }


def count_usage(run: Run, asker: AskerSeen, said: FromWorker) -> None:
    """Count what an asker has used since it was last heard for the run."""
    for source, totals in said.usage.items():
        before = asker.usage.get(source, (0, 0, 0))
        usage = run.usage[source]
        usage.count(totals[0] - before[0], totals[1] - before[1])
        usage.received_bytes += totals[2] - before[2]
        asker.usage[source] = totals
    for source, url, seconds in said.slow:
        run.usage[source].slow.append((url, seconds))


def say_lost(cluster: Cluster, why: object) -> str:
    """Say that a cluster is gone, and of what."""
    text = str(why).partition("\n")[0] or type(why).__name__
    return f"the cluster at {cluster.address} is lost: {text}"


def unasked(item: Item) -> Outcome:
    """Return what becomes of an item that nobody has asked for."""
    return Outcome(item=item.move(State.WAITING, started_at=None))


def failed(item: Item, error: InvalidAnswerError) -> Item:
    """Return an item that the cluster could not ask for."""
    return item.move(
        State.FAILED,
        attempts=MOST_DEATHS,
        failure_class=error.failure_class,
        error=str(error),
        ended_at=datetime.now(UTC),
    )


def set_right(outcome: Outcome, ahead: timedelta) -> Outcome:
    """Set the dates of a worker right whose clock goes differently."""
    item, sight = outcome.item, outcome.sight
    started_at = item.started_at and item.started_at - ahead
    ended_at = item.ended_at and item.ended_at - ahead
    pages = [replace(page, fetched_at=page.fetched_at - ahead) for page in outcome.pages]
    return replace(
        outcome,
        item=replace(item, started_at=started_at, ended_at=ended_at),
        pages=tuple(pages),
        sight=sight and replace(sight, seen_at=sight.seen_at - ahead),
    )
