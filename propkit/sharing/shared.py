"""The place of a kit that came as a guest: the owner's, and when that is gone the next one."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa

from propkit.errors import PropkitError, RequestError, StoreError
from propkit.planning import HasTerms
from propkit.progress import Listener, Progress
from propkit.sharing import leaving
from propkit.sharing.guest import GuestPlace, OwnerLostError
from propkit.sharing.handing import handing_over, is_being_handed_over
from propkit.sharing.here import HerePlace
from propkit.sharing.leaving import LeftBatches, WantedBatches
from propkit.sharing.place import Order, Ties
from propkit.sources import SearchHits, Source
from propkit.store import Reading
from propkit.store.reading import Params
from propkit.store.retention import Pruning
from propkit.store.statistics import StoreStatistics

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

T = TypeVar("T")
AnyPlace = GuestPlace | HerePlace
Do = Callable[[AnyPlace], object]

_FOLLOW_SECONDS, _HANDING_SECONDS = 0.2, 0.05
_LAST_EVENT_SECONDS, _ENDING_SECONDS = 5.0, 30.0
_PAYING = ("purchase", "settle")
"""Operations of :mod:`propkit.leads.operations` that may cost something each time."""
_PURCHASE_LOST = (
    "the owner was lost while it dealt with a purchase, which is not repeated by itself:"
    " kit.purchases() and kit.batches() show what it did, kit.settle() asks about the rest"
)


class SharedStore(Reading):
    """The store, wherever it is held just now."""

    def __init__(self, place: SharedPlace, path: Path) -> None:
        self.path = path
        self._place = place
        self._changes = ThreadPoolExecutor(1, "propkit-postings")

    def table(self, sql: str, params: Params = None, *, wanted: pa.Table | None = None) -> pa.Table:
        """Return a query's answer as an Arrow table; parameters are bound."""
        return self._place.ask(lambda place: place.store.table(sql, params, wanted=wanted))

    def query(self, sql: str, params: Params = None) -> pd.DataFrame:
        """Return the answer to one query that a person wrote; it may only read."""
        return self._place.ask(lambda place: place.store.query(sql, params))

    def change_postings(self, change: str, given: Mapping[str, Any]) -> Future[Any]:
        """Have the ledger of postings changed; what was asked first is done first."""
        # Each change may be made twice, so that one whose answer was lost is asked for again.
        return self._changes.submit(
            self._place.ask, lambda place: place.change_postings(change, given)
        )


class SharedPlace:
    """Hands everything to the place that there is; looks for another when the owner is lost.

    ``rejoin`` attaches to the owner, or opens the file and becomes it. A batch that this kit
    started, went on with or waited for goes on by itself under the next owner.
    """

    def __init__(self, first: AnyPlace, rejoin: Callable[[], AnyPlace]) -> None:
        self.store = SharedStore(self, first.store.path)
        self._place = first
        self._rejoin = rejoin
        self._moving = threading.RLock()
        self._wanted = WantedBatches(self.store)
        self._left = LeftBatches(lambda: self._place)
        self._followers: dict[str, threading.Thread] = {}
        self._ends: list[Callable[[], object]] = []
        self._ties: Ties | None = None
        self._is_closed = False

    @property
    def owner(self) -> str:
        """Who owns the store, in words."""
        self.ask(lambda place: place.rates())
        return self._place.owner

    @property
    def sources(self) -> Mapping[str, HasTerms]:
        """The sources that are asked there."""
        return self._place.sources

    def ask(self, do: Callable[[AnyPlace], T]) -> T:
        """Do something in the place that there is; again in the next when the owner is lost."""
        self.check()
        lost_at: float | None = None
        while True:
            place = self._place
            try:
                return do(place)
            except OwnerLostError:
                # An owner that ends may still say hello: that is the next one, for a while.
                if lost_at is None:
                    lost_at = time.monotonic()
                elif time.monotonic() - lost_at > _ENDING_SECONDS:
                    raise
                else:
                    time.sleep(_FOLLOW_SECONDS)
                self._move_from(place)
            except (StoreError, RequestError):
                if not self._was_handed_over(place):
                    raise

    def _ask_about(self, batch_id: str, do: Callable[[AnyPlace], T]) -> T:
        """Ask about a batch, which is gone on with by then where a lost owner has left it."""

        def settled(place: AnyPlace) -> T:
            self._left.settle(batch_id)
            return do(place)

        return self.ask(settled)

    def _ask_once(self, do: Callable[[AnyPlace], T]) -> T:
        """Do what must not be done twice; a StoreError where the owner is lost at it."""
        self.ask(lambda place: place.rates())  # one that was lost before is replaced first
        place = self._place
        try:
            return do(place)
        except (StoreError, RequestError) as error:
            if isinstance(error, OwnerLostError):
                self._move_from(place)
            elif not self._was_handed_over(place):
                raise
            raise StoreError(_PURCHASE_LOST) from error

    def hand_over(self, join: Callable[[], GuestPlace]) -> None:
        """Let the process that ``join`` attaches to own the store; where one does, leave it.

        What runs here is left for it to go on with. Where it does not come, this process owns
        the store as before. A guest asks the owner to do so, and waits.

        Raises
        ------
        RequestError
            Another kit of this process, or of the owner's, has the store open too.
        StoreError
            The other process does not come.
        """
        if isinstance(self._place, GuestPlace):
            self._ask_for_worker()
            return
        with self._moving:
            here = self._place
            if not isinstance(here, HerePlace):
                return
            if here.store.is_shared:
                raise RequestError(
                    f"another kit of this process has {self.store.path} open: close that first"
                )
            with handing_over(self.store.path):
                self._hand_over(here, join)

    def _hand_over(self, here: HerePlace, join: Callable[[], GuestPlace]) -> None:
        running = here.running_ids()
        self._ends += here.let_go()
        place: AnyPlace | None = None
        try:
            place, self._rejoin = join(), join
        finally:
            place = self._rejoin() if place is None else place
            for batch_id in running:
                leaving.resume_left(place, batch_id)
            self._place = place
            self._tie()

    def _ask_for_worker(self) -> None:
        """Have the owner hand the store over to a worker, and come to it."""
        self.ask(lambda place: place.begin_hand_over())
        is_under_way = True
        while not self.ask(lambda place: place.has_queue):
            if not is_under_way:
                raise StoreError(
                    f"{self.store.path} was not handed over: its owner's worker did not come"
                )
            is_under_way = is_being_handed_over(self.store.path)
            time.sleep(_HANDING_SECONDS)

    def _was_handed_over(self, place: AnyPlace) -> bool:
        """Whether a place was closed since, and another has come for it."""
        if not isinstance(place, HerePlace) or not place.is_closed:
            return False
        with self._moving:
            return self._place is not place

    def tie(self, ties: Ties) -> None:
        """Know the kit that works here."""
        self._ties = ties
        self._tie()

    def _tie(self) -> None:
        if self._ties is not None:
            self._place.tie(self._ties)

    def check(self) -> None:
        """Refuse to work when the kit is closed."""
        if self._is_closed:
            raise RequestError(f"the kit of {self.store.path} is closed; open it again")

    def is_running(self, batch_id: str) -> bool:
        """Whether a batch runs there."""
        return self._ask_about(batch_id, lambda place: place.is_running(batch_id))

    def will_run(self, batch_id: str) -> bool:
        """Whether a batch runs there, or waits there for its turn."""
        return self._ask_about(batch_id, lambda place: place.will_run(batch_id))

    def progress(self, batch_id: str) -> Progress | None:
        """Return a batch's newest event; None when it did not run there."""
        return self._ask_about(batch_id, lambda place: place.progress(batch_id))

    def wait(self, batch_id: str, seconds: float) -> bool:
        """Wait for a batch's end, at most so long; return whether it has ended."""
        self._wanted.add(batch_id)
        if not self._ask_about(batch_id, lambda place: place.wait(batch_id, seconds)):
            return False
        self._wanted.discard(batch_id)
        follower = self._followers.get(batch_id)
        if follower is not None and follower is not threading.current_thread():
            follower.join(_LAST_EVENT_SECONDS)
        return True

    def cancel(self, batch_id: str) -> None:
        """Stop a batch and cancel what it has left."""
        self._wanted.discard(batch_id)
        self._ask_about(batch_id, lambda place: place.cancel(batch_id))

    def leave(self, batch_id: str) -> None:
        """Stop a batch; what it has left waits."""
        self._wanted.discard(batch_id)
        self._ask_about(batch_id, lambda place: place.leave(batch_id))

    def retry(self, batch_id: str, only: str | None, *, cluster: object = None) -> None:
        """Collect what failed again."""
        self._go_on(batch_id, lambda place: place.retry(batch_id, only, cluster=cluster))

    def resume(self, batch_id: str, *, cluster: object = None) -> None:
        """Go on with a batch."""
        self._go_on(batch_id, lambda place: place.resume(batch_id, cluster=cluster))

    def free(self, batch_id: str) -> None:
        """Leave a batch that hangs, so that it can be gone on with."""
        self._ask_about(batch_id, lambda place: place.free(batch_id))

    def delete(self, batch_id: str) -> None:
        """Forget a batch; what it collected stays."""
        self._wanted.discard(batch_id)
        self._ask_in_turn(
            lambda at: at.delete(batch_id), lambda at: leaving.delete_again(at, batch_id)
        )

    def flush(self) -> None:
        """Commit what was collected so far."""
        self.ask(lambda place: place.flush())

    def rates(self) -> Mapping[str, float]:
        """Return the requests a second that each host is asked now, or was when last learned."""
        return self.ask(lambda place: place.rates())

    def search(self, query: str, by: str, limit: int) -> pd.DataFrame:
        """Search the assessor's roll, now."""
        return self.ask(lambda place: place.search(query, by, limit))

    def look_up(self, what: str, given: Mapping[str, str], limit: int) -> SearchHits:
        """Look something up at an office, now."""
        return self.ask(lambda place: place.look_up(what, given, limit))

    def start(self, order: Order, listeners: Iterable[Listener], *, cluster: object = None) -> None:
        """Have a batch stored and started, once, and follow it for the listeners."""
        self._order(
            order.batch_id, lambda place: place.start(order, (), cluster=cluster), listeners
        )

    def leads(self, name: str, given: Mapping[str, Any], listeners: Iterable[Listener] = ()) -> Any:
        """Have an operation carried out, and follow the batch that it may have started."""
        if name == "buy":
            return self._order(given["batch_id"], lambda place: place.leads(name, given), listeners)
        ask = self._ask_once if name in _PAYING else self.ask
        return ask(lambda place: place.leads(name, given))

    def areas(self, name: str, given: Mapping[str, Any], listeners: Iterable[Listener] = ()) -> Any:
        """Have an operation carried out, and follow the batch that it may have started."""
        if name == "start":
            return self._order(given["batch_id"], lambda place: place.areas(name, given), listeners)
        return self.ask(lambda place: place.areas(name, given))

    def figures(self) -> StoreStatistics:
        """Return the figures of the file and of its writer."""
        return self.ask(lambda place: place.figures())

    def prune(self, older_than: timedelta, *, apply: bool) -> Pruning:
        """Say what is old, or free it."""
        return self.ask(lambda place: place.prune(older_than, apply=apply))

    def reparse(self, source: Source, *, apply: bool) -> pd.DataFrame:
        """Read a source's kept answers again; ``apply`` stores what differs."""
        return self.ask(lambda place: place.reparse(source, apply=apply))

    def draft_snapshot(self) -> Path:
        """Have a copy written beside the store and return its path."""
        return self.ask(lambda place: place.draft_snapshot())

    def at_close(self, end: Callable[[], object]) -> None:
        """Call ``end`` at the end of :meth:`close`."""
        self._ends.append(end)

    def close(self) -> None:
        """Let everything go; what runs here is left, what runs at an owner's goes on."""
        self._is_closed = True
        self._left.end()
        with self._moving, ExitStack() as ends:  # who moves just now comes to an end first
            for end in self._ends:
                ends.callback(end)
            self._place.close()

    def _move_from(self, lost: AnyPlace) -> None:
        """Join the store anew, and go on with what this kit waits for."""
        with self._moving:
            if self._place is not lost:
                return  # another thread has been quicker
            # Said at once: on a busy computer it may take seconds.
            log.warning("the owner of %s was lost; the next one is looked for", self.store.path)
            if not self.store.path.exists():
                raise StoreError(f"{self.store.path} was moved or deleted while it was open")
            place = self._rejoin()
            if self._is_closed:  # meanwhile: nobody else would let the file go
                place.close()
                self.check()
            log.warning("%s goes on; %s now", self.store.path, place.owner)
            self._left.add(self._wanted.ids)
            self._place = place
            self._left.begin()
            self._tie()
            lost.close()

    def _go_on(self, batch_id: str, do: Do) -> None:
        """Have a batch gone on with; one that a lost owner went on with is left to run."""
        self._ask_in_turn(do, lambda place: leaving.go_on_again(place, batch_id, do))
        self._wanted.add(batch_id)

    def _order(self, batch_id: str, do: Do, listeners: Iterable[Listener]) -> str:
        """Have a batch stored and started once: the id tells whether a lost owner stored it."""
        self._ask_in_turn(do, lambda place: leaving.order_again(place, batch_id, do))
        self._follow_for(batch_id, listeners)
        return batch_id

    def _ask_in_turn(self, first: Do, then: Do) -> None:
        """Do what is not just done again: ``then``, wherever the answer to ``first`` was lost."""
        self._wanted.forget_ended()
        turns = chain([first], repeat(then))
        self.ask(lambda place: next(turns)(place))  # noqa: PLW0108 -- the next one, each time

    def _follow_for(self, batch_id: str, listeners: Iterable[Listener]) -> None:
        self._wanted.add(batch_id)
        if heard := list(listeners):
            follower = threading.Thread(
                target=self._follow, args=(batch_id, heard), name="propkit-follower", daemon=True
            )
            self._followers[batch_id] = follower
            follower.start()

    def _follow(self, batch_id: str, listeners: list[Listener]) -> None:
        """Fetch a batch's events for its listeners, until it ends."""
        after, has_ended = 0, False
        try:
            while not has_ended and not self._is_closed:
                has_ended = self.wait(batch_id, _FOLLOW_SECONDS)
                for number, progress in self.ask(lambda place: place.events(batch_id, after)):  # noqa: B023
                    after = number
                    for listener in listeners:
                        leaving.tell(listener, progress)
        except PropkitError as error:
            log.warning("batch %s is not followed any more: %s", batch_id, error)
        self._followers.pop(batch_id, None)
