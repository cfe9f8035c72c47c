"""The guest's side: the owner's place, reached through Arrow Flight."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa
from pyarrow import flight

from propkit import __version__
from propkit.errors import RequestError, StoreError
from propkit.frames import hits_frame
from propkit.progress import Listener, Progress
from propkit.reparsing import reparse_answers
from propkit.sharing.calls import MAX_WAIT_SECONDS
from propkit.sharing.discovery import PROTOCOL, Discovery
from propkit.sharing.door import find_flight
from propkit.sharing.place import Order, Ties
from propkit.sharing.wire import dump_order, dump_params, load_error, read_as
from propkit.sources import SearchHits, Source
from propkit.store import Reading
from propkit.store.reading import Params, to_frame
from propkit.store.retention import Pruning
from propkit.store.statistics import StoreStatistics
from propkit.terms import Terms

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

T = TypeVar("T")

_HELLO_SECONDS = 30.0
"""For an answer to who comes."""
_LOOK_SECONDS = 0.5
"""How often who waits looks up, so that Interrupt is noticed everywhere."""
_SECONDS = 900.0
"""For an answer to anything else: an owner that was suspended goes on where it was."""
_QUIET_SECONDS = 5.0
"""Who waits for a batch looks up so often, also where the owner is silent."""


class OwnerSilentError(StoreError):
    """The owner has not answered in time; what became of the call is not known."""


class OwnerLostError(StoreError):
    """The owner is gone, or ends just now: somebody else has to take its place."""


@dataclass(frozen=True, slots=True)
class OwnersSource:
    """A source of the owner's, as a plan sees it."""

    terms: Terms


class OwnerLink:
    """The way to one owner, and its language."""

    def __init__(self, discovery: Discovery) -> None:
        self._discovery = discovery
        self._headers = [(b"authorization", f"Bearer {discovery.token}".encode())]
        self._pid = discovery.pid
        self._reaching = threading.Lock()
        self._client: flight.FlightClient | None = None

    def call(self, what: str, *, limit_seconds: float = _SECONDS, **body: Any) -> Any:
        """Call the owner and return its answer."""
        action = flight.Action(what, json.dumps(body).encode())

        def ask(client: flight.FlightClient) -> Any:
            (answer,) = client.do_action(action, self._options(limit_seconds))
            return json.loads(answer.body.to_pybytes())["answer"]

        return self._wait_for(ask)

    def table(self, **body: Any) -> pa.Table:
        """Ask for a table."""
        ticket = flight.Ticket(json.dumps(body).encode())
        options = self._options(_SECONDS)
        return self._wait_for(lambda client: client.do_get(ticket, options).read_all())

    def exchange(self, wanted: pa.Table, **body: Any) -> pa.Table:
        """Ask about a table that is sent."""
        command = flight.FlightDescriptor.for_command(json.dumps(body).encode())

        def ask(client: flight.FlightClient) -> pa.Table:
            writer, reader = client.do_exchange(command, self._options(_SECONDS))
            with writer:
                writer.begin(wanted.schema)
                writer.write_table(wanted)
                writer.done_writing()
                return reader.read_all()

        return self._wait_for(ask)

    def put(self, body: bytes, table: pa.Table) -> None:
        """Send a table with what is to be done with it."""
        command = flight.FlightDescriptor.for_command(body)

        def send(client: flight.FlightClient) -> None:
            writer, _ = client.do_put(command, table.schema, self._options(_SECONDS))
            with writer:
                writer.write_table(table)
                writer.done_writing()

        self._wait_for(send)

    def close(self) -> None:
        """Let the connection go."""
        if self._client is not None:
            self._client.close()

    def _options(self, seconds: float) -> Any:
        return flight.FlightCallOptions(timeout=seconds, headers=self._headers)

    def _reach(self) -> flight.FlightClient:
        """Return what asks the owner, who begins to serve guests when the first one comes."""
        with self._reaching:
            if self._client is None:
                certificate = self._discovery.certificate
                roots = {} if certificate is None else {"tls_root_certs": certificate.encode()}
                self._client = flight.FlightClient(find_flight(self._discovery), **roots)
            return self._client

    def _wait_for(self, ask: Callable[[flight.FlightClient], T]) -> T:
        """Return what the owner answers; in the main thread Interrupt ends the wait.

        There a thread asks: one that waits in Flight does not notice Interrupt, and an owner that
        computes, or was suspended, may be silent for long.
        """
        with self._mapped():
            if threading.current_thread() is not threading.main_thread():
                return ask(self._reach())
            answer: Future[T] = Future()
            asking = threading.Thread(
                target=_answer,
                args=(lambda: ask(self._reach()), answer),
                name="propkit-asking",
                daemon=True,
            )
            try:
                asking.start()
                while not wait([answer], timeout=_LOOK_SECONDS).done:
                    pass
            except KeyboardInterrupt as error:
                error.add_note(
                    f"the process that owns the store (PID {self._pid}) had not answered yet: it is"
                    " busy, or was suspended"
                )
                raise
            return answer.result()

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        """Turn Flight's errors into the owner's own, or into the news that it is gone."""
        try:
            yield
        except (flight.FlightTimedOutError, TimeoutError) as error:
            raise OwnerSilentError(
                f"the process that owns the store (PID {self._pid}) does not answer: it is busy, or"
                " was suspended. What it runs goes on when it does. Try again then; or end it, and"
                " what opens the store next takes over, with all that is stored"
            ) from error
        except (pa.ArrowException, OSError) as error:
            told = load_error(getattr(error, "extra_info", None) or b"")
            if told is not None:
                raise told from None
            raise OwnerLostError(
                f"the process that owned the store (PID {self._pid}) cannot be reached any more"
            ) from error


def _answer(ask: Callable[[], T], answer: Future[T]) -> None:
    try:
        answer.set_result(ask())
    except BaseException as error:  # noqa: BLE001 -- it is raised where the answer is waited for
        answer.set_exception(error)


class GuestStore(Reading):
    """The store, asked through its owner."""

    def __init__(self, path: Path, link: OwnerLink) -> None:
        self.path = path
        self._link = link

    def table(self, sql: str, params: Params = None, *, wanted: pa.Table | None = None) -> pa.Table:
        """Return a query's answer as an Arrow table; parameters are bound."""
        body = {"sql": sql, "params": dump_params(params)}
        if wanted is None:
            return self._link.table(**body)
        return self._link.exchange(wanted, **body)

    def query(self, sql: str, params: Params = None) -> pd.DataFrame:
        """Return the answer to one query that a person wrote; the owner refuses what would write."""
        return to_frame(self.table(sql, params))


class GuestPlace:
    """The owner's place: batches run there, and go on when this process ends."""

    def __init__(self, path: Path, discovery: Discovery) -> None:
        self._link = OwnerLink(discovery)
        said = self._link.call(
            "hello", version=__version__, protocol=PROTOCOL, limit_seconds=_HELLO_SECONDS
        )
        self.store = GuestStore(path, self._link)
        self._pid = said["pid"]
        self.owner = f"guest of PID {self._pid}"
        self.sources: Mapping[str, OwnersSource] = {
            name: OwnersSource(read_as(Terms, terms)) for name, terms in said["sources"].items()
        }
        self._ends: list[Callable[[], object]] = []
        self._silent_since: float | None = None

    @property
    def has_queue(self) -> bool:
        """Whether the owner is a worker."""
        return bool(self._link.call("has_queue"))

    def begin_hand_over(self) -> None:
        """Have the owner let a worker own the store; it does so after it has answered."""
        self._link.call("hand_over", pid=self._pid)

    def tie(self, ties: Ties) -> None:
        """Work: the owner asks nothing of this kit."""

    def check(self) -> None:
        """Work: whether the owner is there shows at the next call."""

    def is_running(self, batch_id: str) -> bool:
        """Whether a batch runs at the owner's."""
        return bool(self._link.call("is_running", batch_id=batch_id))

    def will_run(self, batch_id: str) -> bool:
        """Whether a batch runs at the owner's, or waits there for its turn."""
        return bool(self._link.call("will_run", batch_id=batch_id))

    def progress(self, batch_id: str) -> Progress | None:
        """Return a batch's newest event; None when it did not run at this owner's."""
        said = self._link.call("progress", batch_id=batch_id)
        return None if said is None else _read_progress(said)

    def events(self, batch_id: str, after: int) -> list[tuple[int, Progress]]:
        """Return a batch's events later than ``after``, each with its number."""
        said = self._link.call("events", batch_id=batch_id, after=after)
        return [(number, _read_progress(progress)) for number, progress in said]

    def wait(self, batch_id: str, seconds: float) -> bool:
        """Wait for a batch's end, at most so long; return whether it has ended.

        Who waits goes on waiting where the owner is silent for a while.
        """
        least, now = min(seconds, MAX_WAIT_SECONDS), time.monotonic()
        limit = least + _QUIET_SECONDS
        try:
            said = self._link.call("wait", batch_id=batch_id, seconds=least, limit_seconds=limit)
        except OwnerSilentError as error:
            if self._silent_since is None:
                self._silent_since = now
                log.warning("batch %s is waited for: %s", batch_id, error)
            if now - self._silent_since > _SECONDS:
                raise
            return False
        self._silent_since = None
        return bool(said)

    def cancel(self, batch_id: str) -> None:
        """Stop a batch and cancel what it has left."""
        self._link.call("cancel", batch_id=batch_id)

    def leave(self, batch_id: str) -> None:
        """Stop a batch; what it has left waits."""
        self._link.call("leave", batch_id=batch_id)

    def retry(self, batch_id: str, only: str | None, *, cluster: object = None) -> None:
        """Collect what failed again."""
        self._refuse_cluster(cluster)
        self._link.call("retry", batch_id=batch_id, only=only)

    def resume(self, batch_id: str, *, cluster: object = None) -> None:
        """Go on with a batch."""
        self._refuse_cluster(cluster)
        self._link.call("resume", batch_id=batch_id)

    def free(self, batch_id: str) -> None:
        """Leave a batch that hangs, so that it can be gone on with."""
        self._link.call("free", batch_id=batch_id)

    def delete(self, batch_id: str) -> None:
        """Have a batch forgotten."""
        self._link.call("delete", batch_id=batch_id)

    def flush(self) -> None:
        """Commit what was collected so far."""
        self._link.call("flush")

    def rates(self) -> Mapping[str, float]:
        """Return the requests a second that each host is asked now, or was when last learned."""
        rates: dict[str, float] = self._link.call("rates")
        return rates

    def search(self, query: str, by: str, limit: int) -> pd.DataFrame:
        """Search the assessor's roll, now."""
        found = self._link.table(what="search", query=query, by=by, limit=limit)
        frame = hits_frame(found.to_pylist())
        frame.attrs.update(json.loads((found.schema.metadata or {})[b"attrs"]))
        return frame

    def look_up(self, what: str, given: Mapping[str, str], limit: int) -> SearchHits:
        """Have something looked up at an office, now."""
        said = self._link.call("look_up", among=what, given=dict(given), limit=limit)
        hits: SearchHits = read_as(SearchHits, said)
        return hits

    def start(self, order: Order, listeners: Iterable[Listener], *, cluster: object = None) -> None:
        """Have a batch stored and started; ``listeners`` are nobody's here (:mod:`shared`)."""
        self._refuse_cluster(cluster)
        if any(True for _ in listeners):
            raise ValueError("events are fetched from the owner, not sent")
        self._link.put(*dump_order(order))

    def leads(self, name: str, given: Mapping[str, Any], listeners: Iterable[Listener] = ()) -> Any:
        """Have an operation carried out by the owner; ``listeners`` are nobody's here."""
        if any(True for _ in listeners):
            raise ValueError("events are fetched from the owner, not sent")
        return self._link.call("leads", name=name, given=given)

    def areas(self, name: str, given: Mapping[str, Any], listeners: Iterable[Listener] = ()) -> Any:
        """Have an operation carried out by the owner; ``listeners`` are nobody's here."""
        if any(True for _ in listeners):
            raise ValueError("events are fetched from the owner, not sent")
        return self._link.call("areas", name=name, given=given)

    def change_postings(self, change: str, given: Mapping[str, Any]) -> None:
        """Have the owner change the ledger of postings."""
        self._link.call("change_postings", change=change, given=dump_params(given))

    def figures(self) -> StoreStatistics:
        """Return the figures of the file and of its writer."""
        figures: StoreStatistics = read_as(StoreStatistics, self._link.call("figures"))
        return figures

    def prune(self, older_than: timedelta, *, apply: bool) -> Pruning:
        """Say what is old, or have it freed."""
        seconds = older_than.total_seconds()
        said = self._link.call("prune", seconds=seconds, apply=apply)
        pruning: Pruning = read_as(Pruning, said)
        return pruning

    def reparse(self, source: Source, *, apply: bool) -> pd.DataFrame:
        """Read a source's kept answers again, here; ``apply`` has the owner store what differs."""
        frame = reparse_answers(self.store, source)
        if apply:
            self._link.call("reparse", source=source.name)
            frame.attrs["is_applied"] = True
        return frame

    def draft_snapshot(self) -> Path:
        """Have a copy written beside the store and return its path."""
        name = self._link.call("snapshot")
        return self.store.path.with_name(os.path.basename(name))  # noqa: PTH119 -- only the name

    def _refuse_cluster(self, cluster: object) -> None:
        # A guest may have the owner read and write the store, not connect to anything.
        if cluster is not None:
            raise RequestError(
                f"cluster= is for the process that owns the store, which is PID {self._pid}: open"
                " the store here first, without worker=True and when that process has ended"
            )

    def at_close(self, end: Callable[[], object]) -> None:
        """Call ``end`` at the end of :meth:`close`."""
        self._ends.append(end)

    def close(self) -> None:
        """Let the connection go; what the owner does for this process goes on."""
        self._link.close()
        for end in self._ends:
            end()


def _read_progress(said: object) -> Progress:
    progress: Progress = read_as(Progress, said)
    return progress
