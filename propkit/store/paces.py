"""What was learned of hosts and sources that the next run should begin with."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from datetime import datetime

from propkit.store.database import Store
from propkit.store.reading import Reading
from propkit.store.results import replace_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class PaceState:
    """What a host allows, as last learned. Times are aware UTC.

    ``knee_per_second`` is the pace at which it last refused, None when it never did; before
    ``paused_until`` it wants to be left alone.
    """

    host: str
    requests_per_second: float
    knee_per_second: float | None = None
    paused_until: datetime | None = None
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerState:
    """How often in a row a source failed, and until when it is not asked. Times are aware UTC."""

    source: str
    failures: int
    open_until: datetime | None = None
    updated_at: datetime


def read_paces(store: Reading) -> dict[str, PaceState]:
    """Return the pace of every known host, by host."""
    return {row["host"]: PaceState(**row) for row in store.rows("FROM paces")}


def save_paces(store: Store, states: Iterable[PaceState]) -> Future[None]:
    """Hand paces to the writer, each in place of its host's older one; the last of a host wins.

    The future is done once they are durable; nobody needs to wait for it.
    """
    rows = [asdict(state) for state in {state.host: state for state in states}.values()]
    return store.writer.submit(lambda connection: replace_rows(connection, "paces", rows, "host"))


def read_breakers(store: Reading) -> dict[str, BreakerState]:
    """Return the breaker of every known source, by source."""
    return {row["source"]: BreakerState(**row) for row in store.rows("FROM breakers")}


def save_breakers(store: Store, states: Iterable[BreakerState]) -> Future[None]:
    """Hand breakers to the writer as :func:`save_paces` does paces."""
    rows = [asdict(state) for state in {state.source: state for state in states}.values()]
    return store.writer.submit(
        lambda connection: replace_rows(connection, "breakers", rows, "source")
    )
