"""What one run of a batch may do, who listens to it, and what it leaves to tell."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

from propkit.buying import Order
from propkit.items import Item
from propkit.layers.areas import Area
from propkit.progress import Listener, Progress
from propkit.store.batches import LogEntry
from propkit.store.purchases import Purchased
from propkit.usage import Usage


@dataclass(slots=True, kw_only=True)
class Run:
    """One run of a batch: what it may do, who listens, and the flag that ends it.

    Parameters
    ----------
    way
        How its items are asked for: ``"collect"``, ``"validate"``, ``"search"`` or ``"buy"``.
    order
        What may be bought, or the area that is collected.
    workers, strategy
        Most items in work at once on each host; ``"parallel"``, ``"hybrid"`` (one on each host)
        or ``"sequential"`` (one at all).
    fresh_keys
        Keys of further answers that need not be asked for.
    fallbacks
        By source, those to try in turn for the same key when it cannot give it.
    not_given
        By source that is such a second way, the tables that it cannot give in place of the first.
    max_requests
        By source or host, most requests in this run; its items then wait.
    credits_left, credits_of
        What paid sources may still cost, and what an item of each costs.
    batch_size
        Most parcels to work on; the others wait for the next run.
    stale
        When what is stored under (source, key) was collected: it is kept when the source is down.
    stopped, stopped_by
        By source that is asked no more: why, and the failure class.
    is_left
        Makes of the end no cancel: items that are not done wait for the next run.
    is_forgotten
        It hung and was given up: what comes of it after all changes nothing, but for a purchase.
    """

    batch_id: str
    items: Sequence[Item]
    sources: frozenset[str]
    workers: int
    way: str = "collect"
    order: Order | Area | None = None
    strategy: str = "parallel"
    fresh_keys: frozenset[tuple[str, str]] = frozenset()
    fallbacks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    not_given: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    max_requests: Mapping[str, int] = field(default_factory=dict)
    credits_left: Decimal | None = None
    credits_of: Mapping[str, Decimal] = field(default_factory=dict)
    batch_size: int | None = None
    stale: Mapping[tuple[str, str], datetime] = field(default_factory=dict)
    progress_seconds: float = 0.2
    listeners: list[Listener] = field(default_factory=list)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    is_left: bool = False
    is_forgotten: bool = False
    progress: Progress | None = None
    stopped: dict[str, str] = field(default_factory=dict)
    stopped_by: dict[str, str | None] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    log: deque[LogEntry] = field(default_factory=deque)
    usage: dict[str, Usage] = field(default_factory=dict)
    joined: Counter[str] = field(default_factory=Counter)
    fresh: Counter[str] = field(default_factory=Counter)
    planned_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    """What others have collected since then is as good as asked."""
    export_to: str | None = None
    """The workbook that is written when the run ends."""
    purchased: Purchased | None = None
    """What was bought before this run, where it buys leads."""
    made_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    """When the batch was made; shapes that are older than it may have been redrawn."""

    def give_credits_back(self, source: str) -> None:
        """Take back what was spent on an item that nobody has asked for."""
        if self.credits_left is not None:
            self.credits_left += self.credits_of.get(source, Decimal(0))

    def take_log(self) -> list[LogEntry]:
        """Return the lines that have come since the last time; another thread may add some."""
        return [self.log.popleft() for _ in range(len(self.log))]

    def note(self, event: str, message: str, **more: object) -> None:
        """Add a line to the batch's log."""
        self.log.append(LogEntry(event=event, message=message, **more))  # type: ignore[arg-type]

    def note_slow(self, event: str, seconds: float) -> None:
        """Log that the store took long over something of this batch."""
        self.note("slow", f"the store: {event}", seconds=seconds)
