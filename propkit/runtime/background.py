"""What is collected behind the person's back: the first hits of a search, at LOW priority."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from propkit.errors import RequestError
from propkit.given import check_whole
from propkit.plan import Plan
from propkit.runtime.batch import Batch

KIND = "enhance"


class Planning(Protocol):
    """What enhancing needs of a kit."""

    @property
    def is_paused(self) -> bool:
        """Whether collecting in the background is stopped."""
        ...

    def plan(self, parcels: object, *, kind: str) -> Plan:
        """Say what a batch would do."""
        ...

    def start(self, parcels: object) -> Batch:
        """Start a batch."""
        ...


def enhance(kit: Planning, hits: object, top: int) -> Batch | None:
    """Collect the first ``top`` parcels of hits; None when all of them are fresh.

    Raises
    ------
    RequestError
        Collecting in the background is paused, or ``top`` is no number of parcels.
    """
    if kit.is_paused:
        raise RequestError("collecting in the background is paused: kit.unpause() goes on with it")
    check_whole("top", top)
    entries = kit.plan(hits, kind=KIND).entries
    first = list(dict.fromkeys(entry.apn for entry in entries if entry.apn))[:top]
    plan = kit.plan(first, kind=KIND)
    return kit.start(plan) if plan.due else None


def pause(batches: Iterable[Batch]) -> None:
    """Stop what runs of them; it can be resumed."""
    for batch in batches:
        if batch.head.kind == KIND:
            batch.leave()


def unpause(batches: Iterable[Batch]) -> None:
    """Go on with what was stopped."""
    for batch in batches:
        if batch.head.kind == KIND and not batch.is_running:
            batch.resume()
