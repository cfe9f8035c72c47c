"""The queues of a run: one for each source, the most urgent item first."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping

from propkit.batch_run.guarding import SourceGuard
from propkit.items import Item, State

_CANARY_RANK = -1


class Queues:
    """What is still to be asked, by source. An item is queued once, whoever asks for it.

    Items come in the batch's order, so that a line for each rank is all the order there is.
    """

    def __init__(self, sources: Iterable[str], guards: Mapping[str, SourceGuard]) -> None:
        self._guards = guards
        self._lines: dict[str, dict[int, deque[Item]]] = {name: {} for name in sources}
        self._arrivals = {name: asyncio.Event() for name in self._lines}
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

    def push(self, item: Item, *, is_first: bool = False) -> None:
        """Queue an item, behind those of its rank unless it is to be the first; canaries go first."""
        guard = self._guards.get(item.source)
        is_canary = guard is not None and guard.is_canary(item.key)
        rank = _CANARY_RANK if is_canary else item.priority
        line = self._lines[item.source].setdefault(rank, deque())
        (line.appendleft if is_first else line.append)(item)
        self.wake(item.source)

    def pop(self, source: str) -> Item | None:
        """Return the next item of a source, or None."""
        lines = self._lines[source]
        if not lines:
            return None
        rank = min(lines)
        item = lines[rank].popleft()
        if not lines[rank]:
            del lines[rank]
        return item

    def has_next(self, source: str) -> bool:
        """Whether an item may be asked for: while canaries are asked, all others wait."""
        lines, guard = self._lines[source], self._guards.get(source)
        if not lines:
            return False
        return guard is None or not guard.is_waiting_for_canaries or _CANARY_RANK in lines

    def is_empty(self, source: str) -> bool:
        """Whether nothing of a source waits."""
        return not self._lines[source]

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
