"""The place of the process that owns the store: batches run here, in the collector's thread.

Apart from the kit, so that a forgotten kit can be let go.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from propkit.areas.operations import do_areas
from propkit.browsing import BrowserPool
from propkit.collector import Collector
from propkit.errors import PropkitError, RequestError
from propkit.leads.operations import do_leads
from propkit.notices import make_end_listeners
from propkit.plan import Plan
from propkit.progress import Listener, Progress
from propkit.reparsing import reparse_and_store, reparse_answers
from propkit.runtime.cluster import find_cluster
from propkit.runtime.options import run_criteria
from propkit.runtime.thread import CollectorThread, kept_rates
from propkit.runtime.work import BatchWork
from propkit.searching import search_now
from propkit.settings import Settings
from propkit.sharing.handing import begin_handing, end_handing
from propkit.sharing.place import Order, Ties, make_order
from propkit.sources import SearchHits, Source, Sources
from propkit.store import Store
from propkit.store.batches import create_batch, read_head, set_state
from propkit.store.jobs import Job
from propkit.store.postings import change_postings
from propkit.store.retention import Pruning, measure_pruning, prune
from propkit.store.snapshots import write_draft
from propkit.store.statistics import StoreStatistics, store_statistics
from propkit.watching import Watch, tell_trouble
from propkit.workbooks import write_store

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

_TURN_SECONDS = 0.2
_FREE_SECONDS = 5.0


class HerePlace:
    """The store, the collector once it is needed, and the batches that were started here."""

    def __init__(self, store: Store, sources: Sources, settings: Settings) -> None:
        self.store = store
        self.sources = sources
        self.settings = settings
        self.owner = "owner: this process"
        self._ends: list[Callable[[], object]] = []
        self._first_ends: list[Callable[[], object]] = []
        self._lock = threading.Lock()
        self._thread: CollectorThread | None = None
        self._collector: Collector | None = None
        self._started: list[BatchWork] = []
        self._is_closed = False
        self._watch = Watch(store, self._tell)
        self.most_running: int | None = None
        """Further batches wait for their turn, but for critical ones; None: no limit."""
        self.asked_at = time.monotonic()
        """When a guest asked last."""
        self._ties: Ties | None = None

    @property
    def has_queue(self) -> bool:
        """Whether batches wait here for their turn, and get it; that is what a worker does."""
        return self.most_running is not None

    def collector(self) -> tuple[Collector, CollectorThread]:
        """Return the collector and the thread it lives in, made when first asked for."""
        self.check()
        with self._lock:
            if self._thread is None or self._collector is None:
                thread = self._thread = CollectorThread.share(self.store)
                self._collector = thread.make(
                    lambda: Collector(
                        self.store,
                        thread.traffic,
                        self.sources,
                        self.settings.collect,
                        BrowserPool(self.settings.browsing, self.settings.browser),
                    )
                )
                self._watch.begin()
            return self._collector, self._thread

    def tie(self, ties: Ties) -> None:
        """Know the kit that works here."""
        self._ties = ties

    def begin_hand_over(self) -> None:
        """Have the kit let a worker own the store, in a thread: a guest waits for the answer.

        Where this process is a worker, nothing happens.

        Raises
        ------
        RequestError
            Another kit of this process has the store open, or none that could hand it over.
        """
        if self.has_queue:
            return
        path = self.store.path
        hand_over = self._ties.hand_over() if self._ties is not None else None
        if self.store.is_shared or hand_over is None:
            raise RequestError(f"the owner has {path} open twice, or lets nobody else have it")

        def work() -> None:
            try:
                hand_over()
            except PropkitError as error:
                log.info("%s was not handed over: %s", path, error)
            finally:
                end_handing(path)

        begin_handing(path)  # before the guest is answered: it looks for it
        threading.Thread(target=work, name="propkit-hand-over", daemon=True).start()

    def check(self) -> None:
        """Refuse to work when the kit is closed."""
        if self._is_closed:
            raise RequestError(f"the kit of {self.store.path} is closed; open it again")

    def is_running(self, batch_id: str) -> bool:
        """Whether a batch runs in this process."""
        work = self._find(batch_id)
        return work is not None and work.is_running

    def will_run(self, batch_id: str) -> bool:
        """Whether a batch runs in this process, or waits in its queue."""
        if self.has_queue and read_head(self.store, batch_id).state == "pending":
            return True
        return self.is_running(batch_id)  # now: its turn may just have come

    def progress(self, batch_id: str) -> Progress | None:
        """Return a batch's newest event; None when it did not run in this process."""
        work = self._find(batch_id)
        return work.progress if work else None

    def events(self, batch_id: str, after: int) -> list[tuple[int, Progress]]:
        """Return a batch's events later than ``after``, as :meth:`BatchWork.events` does."""
        work = self._find(batch_id)
        return work.events(after) if work else []

    def running_ids(self) -> list[str]:
        """Return the ids of the batches that run in this process."""
        thread = CollectorThread.find(self.store)
        return [one.id for one in list(thread.works.values()) if one.is_running] if thread else []

    def wait(self, batch_id: str, seconds: float) -> bool:
        """Wait for a batch's end, at most so long; return whether it has ended.

        Raises
        ------
        RequestError
            It waits for its turn, and this process has no queue.
        """
        work = self._find(batch_id)
        if work is None or not work.has_begun:
            if read_head(self.store, batch_id).state == "pending":
                if self.has_queue:
                    time.sleep(min(seconds, _TURN_SECONDS))
                    return False
                raise RequestError(
                    f"batch {batch_id} waits for its turn, and the worker that would run it is"
                    " gone: batch.resume() runs it now"
                )
            work = self._find(batch_id)  # its turn may have come between the two looks
        return work is None or work.wait(seconds)

    def cancel(self, batch_id: str) -> None:
        """Stop a batch and cancel what it has left."""
        self._work(batch_id).cancel()

    def leave(self, batch_id: str) -> None:
        """Stop a batch; what it has left waits."""
        self._work(batch_id).leave()

    def retry(self, batch_id: str, only: str | None, *, cluster: object = None) -> None:
        """Collect what failed again."""
        kind = read_head(self.store, batch_id).kind
        self._work(batch_id).retry(only, cluster=find_cluster(cluster, kind))

    def resume(self, batch_id: str, *, cluster: object = None, only_if: str | None = None) -> None:
        """Go on with a batch; ``only_if`` it is in this state still."""
        found = find_cluster(cluster, read_head(self.store, batch_id).kind)
        self._work(batch_id).resume(only_if=only_if, cluster=found)

    def free(self, batch_id: str) -> None:
        """Leave a batch that hangs, so that it can be gone on with.

        Raises
        ------
        RequestError
            It does not run.
        """
        if read_head(self.store, batch_id).state != "running":
            raise RequestError(f"batch {batch_id} does not run; there is nothing to free")
        work = self._find(batch_id)
        if work is not None:
            if work.abandon(_FREE_SECONDS):
                return
            work.forget()
            self._started = [one for one in self._started if one is not work]
        set_state(
            self.store,
            batch_id,
            "interrupted",
            before="running",
            log="batch freed: it gave no sign of life",
        )

    def delete(self, batch_id: str) -> None:
        """Forget a batch; what it collected stays."""
        self._work(batch_id).delete()
        self.collector()[1].works.pop(batch_id, None)

    def flush(self) -> None:
        """Commit what was collected so far."""
        if CollectorThread.find(self.store) is not None:
            self.store.writer.flush().result()

    def rates(self) -> dict[str, float]:
        """Return the requests a second that each host is asked now, or was when last learned."""
        return kept_rates(self.store, self.sources)

    def search(self, query: str, by: str, limit: int) -> pd.DataFrame:
        """Search the assessor's roll, now."""
        return search_now(self.collector, self.sources, query, by, limit)

    def look_up(self, what: str, given: Mapping[str, str], limit: int) -> SearchHits:
        """Look something up at an office, now."""
        collector, thread = self.collector()
        return thread.submit(collector.look_up(what, given, limit)).result()

    def start(self, order: Order, listeners: Iterable[Listener], *, cluster: object = None) -> None:
        """Store a batch with all that a later process needs to go on, and start it.

        Raises
        ------
        RequestError
            An option has no such value, or there is a batch of this id: nothing was started.
        """
        settings = self.settings.collect
        options = run_criteria(settings, self.sources, order.criteria, **order.options)
        self.check()
        found = find_cluster(cluster, order.kind)
        has_to_wait = self._has_to_wait(order)
        make = partial(
            create_batch,
            self.store,
            order.items,
            kind=order.kind,
            criteria={**options, **order.criteria},
            batch_id=order.batch_id,
            state="pending" if has_to_wait else "running",
            created_by=order.created_by,
            given=order.given,
        )
        if has_to_wait:
            make()
            return
        self._work(order.batch_id).start(
            make,
            items=order.items,
            fresh_keys=order.fresh_keys,
            listeners=listeners,
            planned_at=order.planned_at,
            cluster=found,
        )

    def start_plan(
        self, plan: Plan, criteria: Mapping[str, Any], listeners: Iterable[Listener], batch_id: str
    ) -> str:
        """Start a batch that is run as ``criteria`` say, and return its id."""
        order = make_order(plan, {}, batch_id=batch_id)
        self.start(replace(order, criteria={**order.criteria, **criteria}), listeners)
        return order.batch_id

    def change_postings(self, change: str, given: Mapping[str, Any]) -> None:
        """Change the ledger of postings; what it is changed by is in :mod:`store.postings`."""
        change_postings(self.store, change, given).result()

    def leads(self, name: str, given: Mapping[str, Any], listeners: Iterable[Listener] = ()) -> Any:
        """Carry out an operation of :mod:`propkit.leads.operations`."""
        self.check()
        return do_leads(self, name, given, listeners)

    def areas(self, name: str, given: Mapping[str, Any], listeners: Iterable[Listener] = ()) -> Any:
        """Carry out an operation of :mod:`propkit.areas.operations`."""
        self.check()
        return do_areas(self, name, given, listeners)

    def figures(self) -> StoreStatistics:
        """Return the figures of the file and of its writer."""
        return store_statistics(self.store)

    def prune(self, older_than: timedelta, *, apply: bool) -> Pruning:
        """Say what is old, or free it."""
        pruning = measure_pruning(self.store, older_than, datetime.now(UTC))
        return prune(self.store, pruning) if apply else pruning

    def reparse(self, source: Source, *, apply: bool) -> pd.DataFrame:
        """Read a source's kept answers again; ``apply`` stores what differs."""
        self.check()
        read = reparse_and_store if apply else reparse_answers
        return read(self.store, source)

    def draft_snapshot(self) -> Path:
        """Write a copy beside the store and return its path."""
        return write_draft(self.store)

    def at_close(self, end: Callable[[], object], *, first: bool = False) -> None:
        """Call ``end`` when the place is closed: after everything else, or before it."""
        (self._first_ends if first else self._ends).append(end)

    def close(self) -> None:
        """Leave what runs (it can be resumed), end the collector, let the file go; once."""
        if self._is_closed:
            return
        with ExitStack() as ends:  # all of them, last first, also when one of them fails
            for end in self._ends:
                ends.callback(end)
            ends.callback(self.store.close)
            ends.callback(self._watch.end)
            if self._thread is not None:
                ends.callback(self._thread.close)
                if self._collector is not None:
                    ends.callback(self._thread.run, self._collector.close)
            for work in self._started:
                ends.callback(work.leave)
            ends.callback(setattr, self, "_is_closed", True)  # noqa: FBT003
            for end in self._first_ends:
                ends.callback(end)

    def let_go(self) -> list[Callable[[], object]]:
        """Close, and return what was to be called after everything else, in its order."""
        ends, self._ends = self._ends, []
        self.close()
        return ends

    @property
    def is_closed(self) -> bool:
        """Whether it was closed."""
        return self._is_closed

    def _has_to_wait(self, order: Order) -> bool:
        if self.most_running is None or any(item.priority == 0 for item in order.items):
            return False
        return len(self.running_ids()) >= self.most_running

    def _find(self, batch_id: str) -> BatchWork | None:
        thread = CollectorThread.find(self.store)
        return thread.works.get(batch_id) if thread else None

    def _work(self, batch_id: str) -> BatchWork:
        """Return a batch's work, the same one each time, also one that another kit runs here."""
        collector, thread = self.collector()
        with self._lock:
            work = thread.works.get(batch_id)
            if work is None or not (work.is_running or work.collector is collector):
                thread.make_room()
                self._started = [one for one in self._started if thread.works.get(one.id) is one]
                work = BatchWork(
                    collector,
                    thread,
                    batch_id,
                    self._export,
                    make_listeners=partial(make_end_listeners, self.settings.notify),
                    on_end=self._watch.look_soon,
                )
                thread.works[batch_id] = work
                self._started.append(work)
            return work

    def _tell(self, job: Job, event: str) -> None:
        """Tell of a batch that failed or is stuck; another kit of this process tells of its own."""
        if job.id in {work.id for work in self._started}:
            functions = self._ties.hooks if self._ties else ()
            tell_trouble(self.store, job, event, self.settings, functions)

    def _export(self, path: str) -> str:
        return write_store(path, self.store, [one.terms for one in self.sources.values()]).left_out
