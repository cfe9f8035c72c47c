"""What a kit holds open, apart from the kit so that a forgotten kit can be let go."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from propkit.collector import Collector
from propkit.runtime.batch import Batch, Outlets
from propkit.runtime.thread import CollectorThread
from propkit.store import Store
from propkit.traffic import Traffic


class OpenParts:
    """The store, the collector once it is needed, and the batches that this kit started."""

    def __init__(self, store: Store, outlets: Outlets) -> None:
        self.store = store
        self.ends: list[Callable[[], object]] = []
        self._outlets = outlets
        self._thread: CollectorThread | None = None
        self._collector: Collector | None = None
        self._started: list[Batch] = []

    def collector(
        self, make_collector: Callable[[Traffic], Collector]
    ) -> tuple[Collector, CollectorThread]:
        """Return the kit's collector and the thread it lives in, made when first asked for."""
        if self._thread is None or self._collector is None:
            thread = self._thread = CollectorThread.share(self.store)
            self._collector = thread.make(lambda: make_collector(thread.traffic))
        return self._collector, self._thread

    def batch(self, batch_id: str, collector: Collector, thread: CollectorThread) -> Batch:
        """Return a batch by id, the same one each time, also one that another kit runs here."""
        batch = thread.batches.get(batch_id)
        if batch is None or not (batch.is_running or batch.collector is collector):
            batch = thread.batches[batch_id] = Batch(collector, thread, batch_id, self._outlets)
            self._started.append(batch)
        return batch

    def is_running(self, batch_id: str) -> bool:
        """Whether a batch runs in this process."""
        thread = CollectorThread.find(self.store)
        batch = thread.batches.get(batch_id) if thread else None
        return batch is not None and batch.is_running

    def close(self) -> None:
        """Leave what runs (it can be resumed), end the collector, let the file go."""
        with ExitStack() as ends:  # all of them, last first, also when one of them fails
            for end in self.ends:
                ends.callback(end)
            ends.callback(self.store.close)
            if self._thread is not None:
                ends.callback(self._thread.close)
                if self._collector is not None:
                    ends.callback(self._thread.run, self._collector.close)
            for batch in self._started:
                ends.callback(batch.leave)
