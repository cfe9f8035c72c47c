"""Runs a batch: a queue for each source, workers that empty it, results to the writer, events out.

It knows no widget: whoever wants to watch listens to :class:`propkit.progress.Progress` events.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from propkit.collector import Collector
from propkit.errors import SourceBlockedError, SourceRejectedError
from propkit.items import ENDED, Item, State
from propkit.progress import Listener, Progress, SourceProgress
from propkit.sources import FollowUp
from propkit.store import Result

log = logging.getLogger(__name__)

EVENT_SECONDS = 0.2
"""Progress events are at least so far apart."""

CANCEL_SECONDS = 4.0
"""How long requests in flight may take to end after a cancel."""

_MOST_PENDING = 4000

_STOPPING = {SourceBlockedError.failure_class, SourceRejectedError.failure_class}
"""Failures after which a person has to look before the source is asked again."""


@dataclass(slots=True, kw_only=True)
class Run:
    """One run of a batch: what it may do, who listens, and the flag that ends it.

    ``is_left`` makes of the end no cancel: items that are not done wait for the next run.
    """

    batch_id: str
    items: Sequence[Item]
    sources: frozenset[str]
    workers: int
    fresh_keys: frozenset[tuple[str, str]] = frozenset()
    listeners: list[Listener] = field(default_factory=list)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    is_left: bool = False
    progress: Progress | None = None
    stopped: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


async def run_batch(collector: Collector, run: Run) -> str:
    """Collect a batch's waiting items; return the batch's state.

    ``completed``: every item is at an end. ``paused``: a source was stopped and its items
    wait. ``cancelled``: the rest was cancelled. ``interrupted``: the run was left.

    Raises
    ------
    StoreError
        The store cannot be written; what was not stored will be collected again.
    """
    return await _Work(collector, run).finish()


class _Work:
    """The moving parts of one run: a queue for each source, workers, and the event pump."""

    def __init__(self, collector: Collector, run: Run) -> None:
        self._collector = collector
        self._run = run
        self._started = time.monotonic()
        self._queues: dict[str, list[tuple[tuple[int, int], Item]]] = {}
        self._arrivals: dict[str, asyncio.Event] = {}
        self._counts: dict[str, Counter[State]] = {}
        self._known: set[tuple[str, str]] = set()
        self._sequence = 0
        self._partial = 0
        self._unfinished = 0
        self._idle = asyncio.Event()
        self._changed: list[Item] = []
        self._current: str | None = None
        self._ends: deque[tuple[float, int]] = deque(maxlen=50)
        paces = {name: collector.hosts[name].pace for name in sorted(run.sources)}
        self._before = {name: (pace.requests, pace.refused) for name, pace in paces.items()}
        for name in paces:
            self._queues[name] = []
            self._arrivals[name] = asyncio.Event()
            self._counts[name] = Counter()
        for item in run.items:
            self._add(item)
        self._check_idle()

    async def finish(self) -> str:
        run = self._run
        workers = [
            asyncio.create_task(self._worker(name))
            for name in self._queues
            for _ in range(run.workers)
        ]
        pump = asyncio.create_task(self._pump())
        idle = asyncio.create_task(self._idle.wait())
        cancel = asyncio.create_task(run.cancelled.wait())
        try:
            await asyncio.wait([idle, cancel, *workers], return_when=asyncio.FIRST_COMPLETED)
            if run.cancelled.is_set():
                await asyncio.wait([idle], timeout=CANCEL_SECONDS)
        finally:
            ends = [idle, cancel, pump, *workers]
            for task in ends:
                task.cancel()
            outcomes = await asyncio.gather(*ends, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome
        await asyncio.wrap_future(self._collector.store.writer.flush())
        waiting = sum(counts[State.WAITING] for counts in self._counts.values())
        if run.cancelled.is_set():
            state = "interrupted" if run.is_left else "cancelled"
            for counts in self._counts.values():
                if state == "cancelled":
                    counts[State.CANCELLED] += counts.pop(State.WAITING, 0)
        else:
            state = "paused" if waiting else "completed"
        self._emit(state)
        return state

    def _add(self, item: Item) -> bool:
        """Queue an item unless the batch has it already; return whether it is new."""
        if item.identity in self._known:
            return False
        self._known.add(item.identity)
        self._sequence = max(self._sequence, item.sequence + 1)
        self._counts[item.source][item.state] += 1
        self._partial += item.is_partial
        if item.state is State.WAITING:
            self._unfinished += 1
            heapq.heappush(self._queues[item.source], (item.order, item))
            self._arrivals[item.source].set()
        return True

    async def _worker(self, source: str) -> None:
        queue, arrivals = self._queues[source], self._arrivals[source]
        while True:
            while not queue or self._run.cancelled.is_set():
                arrivals.clear()
                await arrivals.wait()
            item = heapq.heappop(queue)[1]
            if source in self._run.stopped:
                self._end_work()  # it stays waiting, for a later run
                continue
            await self._collect(item)
            if self._collector.store.writer.pending > _MOST_PENDING:
                await asyncio.wrap_future(self._collector.store.writer.flush())

    async def _collect(self, item: Item) -> None:
        running = item.move(State.RUNNING, started_at=datetime.now(UTC))
        self._move(item, running)
        self._current = item.apn or item.key
        try:
            ended, parsed, ask = await self._collector.collect_item(
                running, self._run.cancelled.is_set
            )
        except asyncio.CancelledError:
            self._cancel(running)
            raise
        if ended.state is State.FAILED and ended.failure_class == "cancelled":
            self._cancel(running)
            return
        follow_ups = self._follow_ups(ended, parsed.follow_ups if parsed else ())
        self._collector.store.writer.put(
            Result(
                batch_id=self._run.batch_id,
                item=ended,
                parser_version=self._collector.configs[item.source].source.parser_version,
                pages=ask.pages,
                records=parsed.records if parsed else (),
                follow_ups=follow_ups,
                checked_at=max((p.fetched_at for p in ask.pages), default=ended.ended_at)
                if parsed
                else None,
                unsaid=parsed.unsaid if parsed else {},
            )
        )
        self._move(running, ended)
        self._end_work()

    def _follow_ups(self, parent: Item, found: Iterable[FollowUp]) -> list[Item]:
        """Make items of what an answer asks for, save what is fresh or not wanted."""
        made = []
        for follow_up in found:
            if follow_up.source not in self._run.sources:
                continue
            identity = (follow_up.source, follow_up.key)
            is_fresh = identity in self._run.fresh_keys
            item = Item(
                source=follow_up.source,
                key=follow_up.key,
                apn=follow_up.apn,
                priority=parent.priority,
                sequence=self._sequence,
                state=State.SKIPPED if is_fresh else State.WAITING,
                error="fresh: collected for this deed before" if is_fresh else None,
            )
            if self._add(item):
                made.append(item)
                self._changed.append(item)
        return made

    def _move(self, before: Item, after: Item) -> None:
        counts = self._counts[after.source]
        counts[before.state] -= 1
        counts[after.state] += 1
        self._partial += after.is_partial
        self._changed.append(after)
        if after.failure_class in _STOPPING or (
            after.state is State.FAILED and self._collector.is_left_alone(after.source)
        ):
            self._stop_source(after)

    def _stop_source(self, item: Item) -> None:
        """Ask this source for nothing more in this run; its items stay waiting."""
        if item.source not in self._run.stopped:
            reason = f"{item.source} is stopped ({item.failure_class}): {item.error}"
            self._run.stopped[item.source] = reason
            log.warning(reason)

    def _cancel(self, running: Item) -> None:
        if self._run.is_left:
            self._move(running, running.move(State.WAITING, started_at=None))
            self._end_work()
            return
        ended = running.move(State.CANCELLED, failure_class="cancelled", ended_at=datetime.now(UTC))
        self._collector.store.writer.put(
            Result(batch_id=self._run.batch_id, item=ended, parser_version=0)
        )
        self._move(running, ended)
        self._end_work()

    def _end_work(self) -> None:
        self._unfinished -= 1
        self._ends.append((time.monotonic(), self._unfinished))
        self._check_idle()

    def _check_idle(self) -> None:
        is_drained = self._run.cancelled.is_set() and not any(
            counts[State.RUNNING] for counts in self._counts.values()
        )
        if self._unfinished == 0 or is_drained:
            self._idle.set()

    async def _pump(self) -> None:
        while True:
            if self._run.cancelled.is_set():
                self._check_idle()
            self._emit("running")
            await asyncio.sleep(EVENT_SECONDS)

    def _emit(self, state: str) -> None:
        counts: Counter[State] = sum(self._counts.values(), Counter())
        changed, self._changed = tuple(self._changed), []
        event = Progress(
            batch_id=self._run.batch_id,
            state=state,
            total=sum(counts.values()),
            counts=dict(counts),
            partial=self._partial,
            sources=tuple(self._source_progress(name) for name in self._queues),
            elapsed_seconds=time.monotonic() - self._started,
            eta_seconds=self._eta_seconds() if state == "running" else None,
            current=self._current,
            changed=changed,
        )
        self._run.progress = event
        for listener in list(self._run.listeners):
            try:
                listener(event)
            except Exception as error:
                log.exception("a progress listener failed and is no longer called")
                self._run.listeners.remove(listener)
                self._run.warnings.append(f"a progress listener failed: {error!r}")

    def _source_progress(self, name: str) -> SourceProgress:
        counts, pace = self._counts[name], self._collector.hosts[name].pace
        requests, refused = self._before[name]
        return SourceProgress(
            source=name,
            total=counts.total(),
            ended=sum(counts[state] for state in ENDED),
            failed=counts[State.FAILED],
            requests=pace.requests - requests,
            refused=pace.refused - refused,
            requests_per_second=pace.requests_per_second,
            stopped=self._run.stopped.get(name),
        )

    def _eta_seconds(self) -> float | None:
        """Seconds to go, by the slowest source at the rate of its last items."""
        if len(self._ends) < 2:
            return None
        (first, _), (last, _) = self._ends[0], self._ends[-1]
        spacing = (last - first) / (len(self._ends) - 1)
        return spacing * self._unfinished
