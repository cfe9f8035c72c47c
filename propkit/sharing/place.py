"""What a kit needs of the place where its batches run, and how a batch is ordered there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from propkit.items import Item
from propkit.notices import Notify
from propkit.plan import Plan
from propkit.planning import HasTerms
from propkit.progress import Listener
from propkit.runtime.batch import Workplace
from propkit.sources import SearchHits, Source
from propkit.store.batches import new_batch_id
from propkit.store.retention import Pruning
from propkit.store.statistics import StoreStatistics

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, kw_only=True)
class Ties:
    """What a place knows of the kit that works in it, without keeping it alive.

    ``hooks`` are its functions, which hear of what hangs or broke; ``hand_over`` gives what lets a
    worker own the store, None when the kit is gone.
    """

    hooks: Sequence[Notify]
    hand_over: Callable[[], Callable[[], object] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A batch to be made and started: what is left of a plan, and ``options`` of the run.

    ``criteria`` are kept with the batch. The id is made by who orders, so that an order whose
    answer was lost is not carried out twice. ``created_by`` is whose it is; None: this user's.
    ``given`` has, by APN, what a person wrote otherwise than the APN is stored.
    """

    batch_id: str
    kind: str
    criteria: Mapping[str, Any]
    options: Mapping[str, Any]
    items: Sequence[Item]
    fresh_keys: frozenset[tuple[str, str]]
    planned_at: datetime | None
    created_by: str | None = None
    given: Mapping[str, str] = field(default_factory=dict)


def make_order(
    plan: Plan,
    options: Mapping[str, Any],
    *,
    created_by: str | None = None,
    batch_id: str | None = None,
) -> Order:
    """Return the order that a plan comes to; ``batch_id`` where it has one already."""
    return Order(
        batch_id=batch_id or new_batch_id(),
        kind=plan.kind,
        criteria={
            "origin": plan.origin,
            "datasets": plan.datasets,
            "mode": plan.mode,
            "by": plan.by,
            "sources": plan.sources,
            "fallbacks": dict(plan.fallbacks),
            "budget": None if plan.budget is None else str(plan.budget),
            "identifiers": plan.counts,
            "not_usable": {entry.identifier: entry.reason for entry in plan.invalid},
            "notices": plan.notices,
        },
        options=options,
        items=plan.items,
        fresh_keys=plan.fresh_keys,
        planned_at=plan.planned_at,
        created_by=created_by,
        given={
            entry.apn: entry.identifier
            for entry in plan.entries
            if entry.apn is not None
            and entry.identifier != entry.apn
            and entry.status not in ("fresh", "duplicate")
        },
    )


class Place(Workplace, Protocol):
    """Where a kit's batches run: in this process, or in the one that owns the store."""

    @property
    def owner(self) -> str:
        """Who owns the store, in words."""
        ...

    @property
    def sources(self) -> Mapping[str, HasTerms]:
        """The sources that are asked there."""
        ...

    def tie(self, ties: Ties) -> None:
        """Know the kit that works here."""
        ...

    def check(self) -> None:
        """Refuse to work when the kit is closed."""
        ...

    def flush(self) -> None:
        """Commit what was collected so far."""
        ...

    def rates(self) -> Mapping[str, float]:
        """Return the requests a second that each host is asked now, or was when last learned."""
        ...

    def search(self, query: str, by: str, limit: int) -> pd.DataFrame:
        """Search the assessor's roll, now."""
        ...

    def look_up(self, what: str, given: Mapping[str, str], limit: int) -> SearchHits:
        """Look something up at an office, now."""
        ...

    def start(self, order: Order, listeners: Iterable[Listener], *, cluster: object = None) -> None:
        """Store a batch with all that a later process needs to go on, and start it.

        ``cluster`` is what collects it; only the process that owns the store can use one.
        """
        ...

    def leads(self, name: str, given: Mapping[str, Any], listeners: Iterable[Listener] = ()) -> Any:
        """Have an operation of :mod:`propkit.leads.operations` carried out."""
        ...

    def areas(self, name: str, given: Mapping[str, Any], listeners: Iterable[Listener] = ()) -> Any:
        """Have an operation of :mod:`propkit.areas.operations` carried out."""
        ...

    def figures(self) -> StoreStatistics:
        """Return the figures of the file and of its writer."""
        ...

    def prune(self, older_than: timedelta, *, apply: bool) -> Pruning:
        """Say what is old, or free it."""
        ...

    def reparse(self, source: Source, *, apply: bool) -> pd.DataFrame:
        """Read a source's kept answers again; ``apply`` stores what differs."""
        ...

    def draft_snapshot(self) -> Path:
        """Write a copy beside the store and return its path."""
        ...

    def at_close(self, end: Callable[[], object]) -> None:
        """Call ``end`` at the end of :meth:`close`."""
        ...

    def close(self) -> None:
        """Let everything go; what runs here is left and can be resumed."""
        ...
