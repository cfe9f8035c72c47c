"""Counts a run's items by source and state, and tells listeners how far it is."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Final

from propkit.asking import Host
from propkit.batch_run.guarding import SourceGuard
from propkit.batch_run.run import Run
from propkit.breaker import Breaker
from propkit.items import ENDED, Item, State
from propkit.progress import TOLD, Progress, SourceProgress
from propkit.usage import Cap, Usage

log = logging.getLogger(__name__)

# A shorter pause that a host asks for is over before it is read.
_TOLD_PAUSE_SECONDS: Final = 5.0


class Tally:
    """Counts that are never far from the items themselves.

    An item in whose place a second way is asked counts for its source only, as ``replaced``.
    """

    def __init__(
        self,
        run: Run,
        hosts: Mapping[str, Host],
        host_names: Mapping[str, str],
        breakers: Mapping[str, Breaker],
        guards: Mapping[str, SourceGuard],
    ) -> None:
        caps = {name: Cap(most) for name, most in run.max_requests.items()}
        self.usage = run.usage = {
            source: Usage(
                caps=[caps[name] for name in (source, host) if name in caps],
                should_stop=run.cancelled.is_set,
            )
            for source, host in host_names.items()
        }
        self.current: str | None = None
        self._run = run
        self._hosts = hosts
        self._breakers = breakers
        self._guards = guards
        self._started = time.monotonic()
        self._counts: dict[str, Counter[State]] = {name: Counter() for name in self.usage}
        self._replaced: Counter[str] = Counter()
        self._partial = 0
        self._purchased = run.purchased
        self._changed: dict[tuple[str, str], Item] = {}
        self._ends: deque[float] = deque(maxlen=50)

    def count(self, state: State) -> int:
        """Return how many items are in a state."""
        return sum(counts[state] for counts in self._counts.values())

    def add(self, item: Item) -> None:
        """Count an item that is new to the run."""
        if item.replaced_by is not None:
            self._replaced[item.source] += 1
            return
        self._counts[item.source][item.state] += 1
        self._partial += item.is_partial

    def move(self, before: State, after: Item) -> None:
        """Count an item that has moved on from a state."""
        counts = self._counts[after.source]
        counts[before] -= 1
        self._changed[after.source, after.key] = after
        if after.replaced_by is not None:  # the parcel is not at an end: the second way is
            self._replaced[after.source] += 1
            return
        counts[after.state] += 1
        self._partial += after.is_partial
        if after.state in ENDED:
            self._ends.append(time.monotonic())

    def change(self, item: Item) -> None:
        """Tell of an item that is new to the batch."""
        self._changed[item.source, item.key] = item

    def buy(self, leads: int, cost: Decimal) -> None:
        """Count leads that have come, and what they cost."""
        assert self._purchased is not None  # noqa: S101 -- nothing else buys
        before = self._purchased
        self._purchased = replace(before, leads=before.leads + leads, cost=before.cost + cost)

    def cancel_waiting(self) -> None:
        """Count what waits as cancelled."""
        for counts in self._counts.values():
            counts[State.CANCELLED] += counts.pop(State.WAITING, 0)

    def emit(self, state: str) -> None:
        """Tell every listener; one that fails is told of, and no longer called."""
        run, bought = self._run, self._purchased
        counts: Counter[State] = sum(self._counts.values(), Counter())
        changed, self._changed = tuple(self._changed.values()), {}
        told = [name for name in self._counts if self._is_told(name)]
        sources = tuple(self._source_progress(name, is_running=state == "running") for name in told)
        # Nobody knows how long it takes while a source is left alone.
        is_steady = state == "running" and not any(source.rest for source in sources)
        event = Progress(
            batch_id=run.batch_id,
            state=state,
            total=sum(counts.values()),
            counts=dict(counts),
            partial=self._partial,
            sources=sources,
            elapsed_seconds=time.monotonic() - self._started,
            eta_seconds=self._eta_seconds(counts) if is_steady else None,
            current=self.current,
            changed=changed,
            leads=bought.leads if bought else None,
            leads_expected=bought.expected if bought else 0,
            leads_cost=bought.cost if bought else None,
        )
        run.progress = event
        for listener in list(run.listeners):
            try:
                listener(event)
            except Exception as error:
                log.exception("a progress listener failed and is no longer called")
                run.listeners.remove(listener)
                run.warnings.append(f"a progress listener failed: {error!r}")

    def _is_told(self, name: str) -> bool:
        """Whether there is anything to say: another way in is mostly never needed."""
        is_second = any(name in ways for ways in self._run.fallbacks.values())
        return not is_second or self._counts[name].total() + self._replaced[name] > 0

    def _source_progress(self, name: str, *, is_running: bool) -> SourceProgress:
        counts, usage, replaced = self._counts[name], self.usage[name], self._replaced[name]
        guard = self._guards.get(name)
        kept_back, lacking = guard.doubt if guard and is_running else (0, ())
        return SourceProgress(
            source=name,
            total=counts.total() + replaced,
            ended=sum(counts[state] for state in TOLD) + replaced,
            failed=counts[State.FAILED],
            cancelled=counts[State.CANCELLED],
            requests=usage.requests,
            refused=usage.refused,
            requests_per_second=self._hosts[name].pace.requests_per_second,
            stopped=self._run.stopped.get(name),
            replaced=replaced,
            resting_seconds=self._resting_seconds(name) if is_running else None,
            kept_back=kept_back,
            lacking=lacking,
        )

    def _resting_seconds(self, name: str) -> float | None:
        breaker, pause = self._breakers[name], self._hosts[name].pace.pause_seconds
        if not breaker.is_open and pause < _TOLD_PAUSE_SECONDS:
            return None
        return max(breaker.wait_seconds, pause)

    def _eta_seconds(self, counts: Mapping[State, int]) -> float | None:
        """Seconds to go, at the rate of the last items."""
        if len(self._ends) < 2:
            return None
        spacing = (self._ends[-1] - self._ends[0]) / (len(self._ends) - 1)
        return spacing * (counts.get(State.WAITING, 0) + counts.get(State.RUNNING, 0))
