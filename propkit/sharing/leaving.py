"""What a lost owner left: gone on with one by one, while the next owner answers already."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TypeVar

from propkit.errors import PropkitError, RequestError
from propkit.progress import Listener, Progress
from propkit.runtime.batch import Workplace
from propkit.store import Reading
from propkit.store.batches import read_head, unfinished_ids

log = logging.getLogger(__name__)

P = TypeVar("P", bound=Workplace)

_MOST_WANTED = 100
"""Of so many batches it is not looked up which have ended."""


class WantedBatches:
    """Batches that somebody here waits for: the next owner is to go on with them.

    Not everybody who starts a batch waits for its end: :meth:`forget_ended` keeps them few.
    """

    def __init__(self, store: Reading) -> None:
        self.ids: set[str] = set()
        self._store = store
        self._most = _MOST_WANTED

    def add(self, batch_id: str) -> None:
        """Wait for a batch."""
        self.ids.add(batch_id)

    def discard(self, batch_id: str) -> None:
        """Wait for a batch no more."""
        self.ids.discard(batch_id)

    def forget_ended(self) -> None:
        """Wait no more for what has ended, where it may be much.

        Raises
        ------
        StoreError
            The store cannot be asked.
        """
        if len(self.ids) > self._most:
            before = self.ids.copy()
            self.ids -= before.difference(unfinished_ids(self._store))
            self._most = max(_MOST_WANTED, 2 * len(self.ids))


class LeftBatches:
    """Batches that somebody here waits for, until they are gone on with.

    ``place`` gives where batches run now.

    Who asks about one calls :meth:`settle` first: until then it seems that nobody runs it.
    """

    def __init__(self, place: Callable[[], Workplace]) -> None:
        self._place = place
        self._ids: set[str] = set()
        self._lock = threading.Lock()

    def add(self, batch_ids: Iterable[str]) -> None:
        """Know these; before there is a next place, so that nobody finds them left there."""
        self._ids.update(batch_ids)

    def begin(self) -> None:
        """Go on with them, in a thread: each takes a while, and who took over has to answer."""
        if self._ids:
            work = threading.Thread(target=self._settle_all, name="propkit-resuming", daemon=True)
            work.start()

    def settle(self, batch_id: str) -> None:
        """Return once the batch is gone on with, if it has to be.

        Raises
        ------
        StoreError
            The next owner is lost as well.
        """
        if batch_id in self._ids:
            with self._lock:
                if batch_id in self._ids:
                    resume_left(self._place(), batch_id)
                    self._ids.discard(batch_id)

    def end(self) -> None:
        """Go on with nothing more."""
        with self._lock:
            self._ids.clear()

    def _settle_all(self) -> None:
        for batch_id in sorted(self._ids):
            try:
                self.settle(batch_id)
            except PropkitError as error:  # who asks next finds out
                log.info("batch %s is not gone on with: %s", batch_id, error)


def resume_left(place: Workplace, batch_id: str) -> None:
    """Go on with what a lost owner left, unless the new one has it in its queue."""
    # Another guest that waits for it too may be quicker.
    with suppress(RequestError):
        is_left = read_head(place.store, batch_id).state in ("interrupted", "pending")
        if is_left and not place.will_run(batch_id):
            place.resume(batch_id)


def order_again(place: P, batch_id: str, do: Callable[[P], object]) -> None:
    """Order a batch anew, unless the order that was not answered has been stored."""
    if _is_stored(place, batch_id):
        resume_left(place, batch_id)
    else:
        do(place)


def delete_again(place: Workplace, batch_id: str) -> None:
    """Forget a batch, unless the wish that was not answered was carried out."""
    if _is_stored(place, batch_id):
        place.delete(batch_id)


def go_on_again(place: P, batch_id: str, do: Callable[[P], object]) -> None:
    """Go on with a batch anew, unless it runs: the order that was not answered, or another guest."""
    try:
        if not place.will_run(batch_id):
            do(place)
    except RequestError:
        if not place.will_run(batch_id):
            raise


def tell(listener: Listener, progress: Progress) -> None:
    """Tell a listener of an event; what it raises is logged."""
    try:
        listener(progress)
    except Exception:
        log.exception("a listener failed")


def _is_stored(place: Workplace, batch_id: str) -> bool:
    found = place.store.rows("SELECT 1 FROM batch_heads WHERE batch_id = $1", [batch_id])
    return bool(found)
