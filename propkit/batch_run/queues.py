"""The queues of a run: one for each source, the most urgent item first."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Iterable, Mapping

from propkit.batch_run.guarding import SourceGuard
from propkit.items import Item, State

_MOST_ITEMS = 2**40


class Queues:
    """What is still to be asked, by source. An item is queued once, whoever asks for it."""

    def __init__(self, sources: Iterable[str], guards: Mapping[str, SourceGuard]) -> None:
        self._guards = guards
        self._heaps: dict[str, list[tuple[int, Item]]] = {name: [] for name in sources}
        self._arrivals = {name: asyncio.Event() for name in self._heaps}
        self._known: dict[str, set[str]] = {}
        self.next_sequence = 0

    def take_note(self, item: Item) -> bool:
        """Return whether an item is new to the run."""
        keys = self._known.setdefault(item.source, set())
        if item.key in keys:
            return False
        keys.add(item.key)
        self.next_sequence = max(self.next_sequence, item.sequence + 1)
        return True

    def hold_back(self, item: Item) -> None:
        """Leave an item to the next run; nobody need wait for it as a canary."""
        if (guard := self._guards.get(item.source)) is not None:
            guard.excuse(item.key)

    def push(self, item: Item) -> None:
        """Queue an item; canaries go first."""
        guard = self._guards.get(item.source)
        is_canary = guard is not None and guard.is_canary(item.key)
        # One number and no tuple: there may be 100,000 of them.
        rank, sequence = (-1, item.sequence) if is_canary else item.order
        order = rank * _MOST_ITEMS + sequence
        heapq.heappush(self._heaps[item.source], (order, item))
        self.wake(item.source)

    def pop(self, source: str) -> Item | None:
        """Return the next item of a source, or None."""
        heap = self._heaps[source]
        return heapq.heappop(heap)[1] if heap else None

    def has_next(self, source: str) -> bool:
        """Whether an item may be asked for: while canaries are asked, all others wait."""
        heap, guard = self._heaps[source], self._guards.get(source)
        if not heap:
            return False
        if guard is None or not guard.is_waiting_for_canaries:
            return True
        return guard.is_canary(heap[0][1].key)

    def is_empty(self, source: str) -> bool:
        """Whether nothing of a source waits."""
        return not self._heaps[source]

    async def wait(self, source: str) -> None:
        """Wait until something may have changed at a source."""
        arrivals = self._arrivals[source]
        arrivals.clear()
        await arrivals.wait()

    def wake(self, source: str) -> None:
        """Let those who wait at a source look again."""
        self._arrivals[source].set()


def first_parcels(items: Iterable[Item], batch_size: int | None) -> set[str] | None:
    """Return the parcels, or keys without one, that a run works on; None for all."""
    if batch_size is None:
        return None
    waiting = sorted((item for item in items if item.state is State.WAITING), key=lambda i: i.order)
    return set(list(dict.fromkeys(item.apn or item.key for item in waiting))[:batch_size])
