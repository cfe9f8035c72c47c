"""What a kit holds open, apart from the kit so that a forgotten kit can be let go."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from propkit.collector import Collector
from propkit.runtime.batch import Batch, MakeDisplay
from propkit.runtime.thread import CollectorThread
from propkit.store import Store


class OpenParts:
    """The store, the collector's thread once it is needed, and the batches that ran here."""

    def __init__(self, store: Store, make_display: MakeDisplay) -> None:
        self.store = store
        self.batches: dict[str, Batch] = {}
        self.ends: list[Callable[[], object]] = []
        self._thread: CollectorThread | None = None
        self._make_display = make_display

    def running_thread(self, make_collector: Callable[[], Collector]) -> CollectorThread:
        """Return the thread, started when it is first asked for."""
        if self._thread is None:
            self._thread = CollectorThread(make_collector)
        return self._thread

    def batch(self, batch_id: str, thread: CollectorThread) -> Batch:
        """Return a batch by id, the same one each time."""
        if batch_id not in self.batches:
            self.batches[batch_id] = Batch(self.store, thread, batch_id, self._make_display)
        return self.batches[batch_id]

    def close(self) -> None:
        """Leave what runs (it can be resumed), end the thread, let the file go."""
        with ExitStack() as ends:  # all of them, last first, also when one of them fails
            for end in self.ends:
                ends.callback(end)
            ends.callback(self.store.close)
            if self._thread is not None:
                ends.callback(self._thread.close)
            for batch in self.batches.values():
                ends.callback(batch.leave)
