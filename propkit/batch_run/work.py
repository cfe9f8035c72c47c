"""The work of a run: a queue for each source, workers that empty it, results to the writer."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import UTC, datetime
from decimal import Decimal

from propkit.batch_run.garbage import RARE_SEARCHES
from propkit.batch_run.guarding import SourceGuard
from propkit.batch_run.keeper import Keeper
from propkit.batch_run.queues import Queues
from propkit.batch_run.run import Run
from propkit.batch_run.tally import Tally
from propkit.breaker import Entry
from propkit.collector import Collector
from propkit.errors import (
    BudgetSpentError,
    CollectionCancelledError,
    LayoutChangedError,
    PurchaseUnsettledError,
    SourceBlockedError,
    SourceRejectedError,
    SourceUnavailableError,
)
from propkit.item_asker import COLLECT, CollectItem, Outcome
from propkit.items import Item, State
from propkit.traffic import Flight, Identity, Landing

log = logging.getLogger(__name__)

CANCEL_SECONDS = 4.0
"""How long requests in flight may take to end after a cancel."""

_BREAKER_POLL_SECONDS = 0.25
_SAVE_SECONDS = 5.0

_CANCELLED = CollectionCancelledError.failure_class
_BUDGET = BudgetSpentError.failure_class
_UNSETTLED = PurchaseUnsettledError.failure_class
_STOPPING = {
    SourceBlockedError.failure_class,
    SourceRejectedError.failure_class,
    _UNSETTLED,
}
"""Failures after which a person has to look before the source is asked again."""


async def run_batch(
    collector: Collector, run: Run, guards: dict[str, SourceGuard], ask: CollectItem | None = None
) -> str:
    """Collect a batch's waiting items; return the batch's state.

    ``ask`` asks for them; None: the collector itself.

    ``completed``: every item is at an end. ``paused``: a source was stopped, or a limit of the
    run was reached, and items wait, or a purchase is unsettled. ``cancelled``: the rest was cancelled. ``interrupted``: the
    run was left.

    Raises
    ------
    StoreError
        The store cannot be written; what was not stored will be collected again.
    """
    with RARE_SEARCHES:
        return await _Work(collector, run, guards, ask or collector.collect_item).finish()


class _Work:
    """The moving parts of one run."""

    def __init__(
        self, collector: Collector, run: Run, guards: dict[str, SourceGuard], ask: CollectItem
    ) -> None:
        self._collector = collector
        self._collect_item = ask
        self._traffic = collector.traffic
        self._writer = collector.store.writer
        self._run = run
        self._guards = guards
        sources = sorted(run.sources)
        hosts = {name: collector.configs[name].host for name in sources}
        self._breakers = {name: self._traffic.breaker(name, collector.settings) for name in sources}
        for breaker in self._breakers.values():
            breaker.rearm()
        self._tally = Tally(run, collector.hosts, hosts, self._breakers, guards)
        self._queues = Queues(sources, guards)
        self._gates = self._make_gates(sources)
        self._strange: Counter[str] = Counter()  # answers in a row that nobody can read, by source
        self._in_work: Counter[str] = Counter()
        self._idle = asyncio.Event()
        self._writer_watch = asyncio.Lock()
        self._saved_at = 0.0
        self._keeper = Keeper(collector, run, self._tally, self._queues, self._check_idle)
        self._keeper.take_in(run.items, run.batch_size)
        run.items = ()  # with them goes the plan: of 100,000 parcels a tenth of a gigabyte
        self._check_idle()

    async def finish(self) -> str:
        run = self._run
        workers = [
            asyncio.create_task(self._worker(name))
            for name in self._tally.usage
            for _ in range(run.workers if run.strategy == "parallel" else 1)
        ]
        pump = asyncio.create_task(self._pump())
        idle = asyncio.create_task(self._idle.wait())
        cancel = asyncio.create_task(run.cancelled.wait())
        try:
            await asyncio.wait([idle, cancel, *workers], return_when=asyncio.FIRST_COMPLETED)
            if run.cancelled.is_set():
                await asyncio.wait([idle], timeout=CANCEL_SECONDS)
        finally:
            if not run.cancelled.is_set():
                run.is_left = True  # by an error: nobody has cancelled what is under way
            ends = [idle, cancel, pump, *workers]
            for task in ends:
                task.cancel()
            outcomes = await asyncio.gather(*ends, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome
        self._release_held()
        self._keeper.keep_stale()
        self._traffic.save()
        await asyncio.wrap_future(self._writer.flush())
        if run.cancelled.is_set():
            state = "interrupted" if run.is_left else "cancelled"
            if state == "cancelled":
                self._tally.cancel_waiting()
        else:
            is_unsettled = _UNSETTLED in run.stopped_by.values()
            state = "paused" if self._tally.count(State.WAITING) or is_unsettled else "completed"
        self._tally.emit(state)
        return state

    # --- the workers -----------------------------------------------------------------------------

    def _make_gates(self, sources: list[str]) -> dict[str, AbstractAsyncContextManager[object]]:
        """Return what lets so many items of a source, or of its host, be in work at once."""
        hosts = {name: self._collector.configs[name].host for name in sources}
        if self._run.strategy == "sequential":
            one = asyncio.Semaphore(1)
            return dict.fromkeys(sources, one)
        if self._run.strategy == "hybrid" or len(set(hosts.values())) < len(sources):
            most = 1 if self._run.strategy == "hybrid" else self._run.workers
            gates = {host: asyncio.Semaphore(most) for host in hosts.values()}
            return {name: gates[host] for name, host in hosts.items()}
        return dict.fromkeys(sources, nullcontext())  # each source has workers of its own

    async def _worker(self, source: str) -> None:
        while True:
            while not self._is_due(source):
                await self._queues.wait(source)
            is_closed = not self._breakers[source].is_open and source not in self._run.stopped
            entry = "yes" if is_closed else await self._enter(source)
            async with self._gates[source]:
                item = self._queues.pop(source) if self._is_due(source) else None
                if item is None:
                    self._breakers[source].leave(entry, _CANCELLED)
                elif entry == "no":
                    self._keeper.pass_by(item)
                else:
                    await self._collect(item, entry)
            if self._writer.is_full:
                async with self._writer_watch:  # one worker waits for all
                    await asyncio.wrap_future(self._writer.room())

    def _is_due(self, source: str) -> bool:
        """Whether there is an item to ask for, or one of a stopped source to pass by."""
        if self._run.cancelled.is_set():
            return False
        if source in self._run.stopped:
            return not self._queues.is_empty(source)
        if not self._queues.has_next(source):
            return False
        return self._has_room(source) or source in self._run.stopped

    def _has_room(self, source: str) -> bool:
        """Whether the caps leave enough for one item more; the last ones go one by one.

        Else many would be begun, and none of them done when the cap is reached. A cap below what
        one item takes stops the source: its requests would be spent for nothing.
        """
        usage, in_work = self._tally.usage[source], self._in_work[source]
        per_item = self._collector.configs[source].source.requests_per_item
        if not usage.caps:
            return True
        if not in_work:
            most = min([cap.most for cap in usage.caps])
            if self._run.way != COLLECT or most >= per_item:
                return True
            text = f"the cap of {most} requests is below the {per_item} that an item takes"
            self._stop(source, _BUDGET, text)
            return False
        return usage.is_enough_for((in_work + 1) * per_item)

    async def _enter(self, source: str) -> Entry:
        """Wait while the source's breaker is open; "no" means that it is asked no more."""
        breaker = self._breakers[source]
        while not self._run.cancelled.is_set() and source not in self._run.stopped:
            if breaker.is_given_up:
                failure = SourceUnavailableError.failure_class
                self._stop(source, failure, f"{breaker.failures} items in a row found it down")
                break
            entry = breaker.try_enter()
            if entry != "no":
                return entry
            await asyncio.sleep(min(max(breaker.wait_seconds, 0.01), _BREAKER_POLL_SECONDS))
        return "no"

    # --- one item -------------------------------------------------------------------------------

    async def _collect(self, item: Item, entry: Entry) -> None:
        identity = (self._run.way, *item.identity)
        failure_class: str | None = _CANCELLED
        self._in_work[item.source] += 1
        try:
            other = self._find(identity)
            while isinstance(other, Flight):
                await other.wait()
                other = self._find(identity)
            if other is not None:
                self._keeper.join(item, other)
                if (guard := self._guards.get(item.source)) is not None:
                    guard.excuse(item.key)
                    self._queues.wake(item.source)
            elif not self._spend_credits(item):
                self._keeper.pass_by(item)
            else:
                landed = None
                flight = self._traffic.begin(identity, self._run.batch_id)
                try:
                    ended = await self._ask(await self._keeper.charge(item))
                    if ended is not None:
                        failure_class, landed = ended
                finally:
                    self._traffic.end(identity, flight, landed)
        finally:
            self._in_work[item.source] -= 1
            if self._tally.usage[item.source].caps:
                self._queues.wake(item.source)  # another may have waited for what this one left
            self._leave_breaker(item.source, entry, failure_class)

    def _find(self, identity: Identity) -> Flight | Landing | None:
        """Return another batch's work on the same item: under way, or its answer."""
        return self._traffic.find(identity, self._run.batch_id, self._run.planned_at)

    async def _ask(self, item: Item) -> tuple[str | None, Landing | None] | None:
        """Ask for an item and store what came; None when it came to nothing, and waits again.

        Return its failure class, and what other batches may have of it: nothing as long as the
        guard keeps it back, which may yet let it fail.
        """
        source = item.source
        running = item.move(State.RUNNING, started_at=datetime.now(UTC))
        self._tally.move(item.state, running)
        self._tally.current = item.apn or item.key
        usage, run = self._tally.usage[source], self._run
        try:
            outcome = await self._collect_item(running, usage, run.way, run.order)
        except asyncio.CancelledError:
            self._keeper.cancel(running)
            raise
        ended = outcome.item
        if ended.state is State.WAITING:  # nobody has asked for it: its turn comes again
            self._run.give_credits_back(source)
            self._keeper.give_back(ended)
            return None
        if ended.failure_class == _CANCELLED:
            self._keeper.cancel(running)
            return None
        if ended.failure_class == _BUDGET:
            self._stop(source, _BUDGET, ended.error)
            self._keeper.put_back(running)
            return None
        if ended.failure_class in _STOPPING or (
            ended.state is State.FAILED and self._collector.is_left_alone(source)
        ):
            self._stop(source, ended.failure_class, ended.error)
        elif self._has_new_layout(source, ended):
            self._stop(
                source, ended.failure_class, f"{self._strange[source]} in a row: {ended.error}"
            )
        guard = self._guards.get(source)
        stored: Outcome | None = outcome
        if guard is None:
            self._keeper.store(outcome)
        else:
            stored = await self._judge(source, guard, outcome)
        if stored is None:
            return ended.failure_class, None
        landed = Landing(self._run.batch_id, stored.item, stored.follow_ups)
        return ended.failure_class, landed

    def _has_new_layout(self, source: str, ended: Item) -> bool:
        """Whether so many answers in a row could not be read that it is the site, not a parcel."""
        if ended.failure_class == LayoutChangedError.failure_class:
            self._strange[source] += 1
        elif ended.state is not State.FAILED:
            self._strange[source] = 0
        return self._strange[source] >= self._collector.settings.breaker_failures

    async def _judge(self, source: str, guard: SourceGuard, outcome: Outcome) -> Outcome | None:
        """Store what the guard gives free; stop the source where it has drifted.

        Return what was stored in place of the outcome, None where it is kept back.
        """
        judgement = guard.judge(outcome)
        if judgement.witness is not None and not self._run.cancelled.is_set():
            # Where an earlier parcel still has the field, the nulls are the county's own.
            again = Item(source=source, key=judgement.witness, state=State.RUNNING)
            usage = self._tally.usage[source]
            heard = await self._collect_item(again, usage, self._run.way)
            if heard.item.state is not State.WAITING:
                judgement += guard.hear(heard)
        if judgement.drift is not None:
            self._stop(source, LayoutChangedError.failure_class, judgement.drift)
        self._store_all(source, judgement.store)
        stored = (one for one in judgement.store if one.item.key == outcome.item.key)
        return next(stored, None)

    def _store_all(self, source: str, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            self._keeper.store(outcome)
        self._queues.wake(source)  # canaries may have been waited for
        if not outcomes:
            self._check_idle()  # what is held needs no work either

    # --- limits and ends ------------------------------------------------------------------------

    def _spend_credits(self, item: Item) -> bool:
        """Spend what an item costs, before it is asked for; else stop its source."""
        run, cost = self._run, self._run.credits_of.get(item.source, Decimal(0))
        if run.credits_left is None or not cost:
            return True
        if cost > run.credits_left:
            text = f"{run.credits_left} credits are left and an item costs {cost}"
            self._stop(item.source, _BUDGET, text)
            return False
        run.credits_left -= cost
        return True

    def _stop(self, source: str, failure_class: str | None, reason: str | None) -> None:
        """Ask this source for nothing more in this run; its items stay waiting."""
        if source not in self._run.stopped:
            text = f"{source} is stopped ({failure_class}): {reason}"
            self._run.stopped[source] = text
            self._run.stopped_by[source] = failure_class
            self._run.note("stopped", text, level="warning", source=source)
            log.warning(text)
            self._queues.wake(source)

    def _leave_breaker(self, source: str, entry: Entry, failure_class: str | None) -> None:
        breaker = self._breakers[source]
        if not breaker.leave(entry, failure_class):
            return
        text = f"{source} answers again"
        if breaker.is_open:
            text = (
                f"{source} is left alone for {breaker.wait_seconds:.0f} s: "
                f"{breaker.failures} items in a row found it down"
            )
        self._run.note("breaker", text, level="warning", source=source)
        log.warning(text)

    def _release_held(self) -> None:
        for source, guard in self._guards.items():
            if guard.held:
                self._store_all(source, guard.finish().store)

    def _check_idle(self) -> None:
        held = sum([guard.held for guard in self._guards.values()])
        if self._run.cancelled.is_set():
            if self._tally.count(State.RUNNING) <= held:
                self._idle.set()
        elif self._keeper.unfinished <= held:
            if held:
                # Nothing else is to come: what is kept back will not get any clearer.
                self._release_held()
            if self._keeper.unfinished == 0:
                self._idle.set()

    async def _pump(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if self._run.cancelled.is_set():
                self._check_idle()
            self._tally.emit("running")
            if loop.time() - self._saved_at > _SAVE_SECONDS:
                self._saved_at = loop.time()
                self._traffic.save()
            await asyncio.sleep(self._run.progress_seconds)
