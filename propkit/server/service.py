"""What the API does, in threads: everything here may block, and nothing here knows of HTTP's wire."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from logging import Logger
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from pydantic import BaseModel, ValidationError

from propkit.errors import IdentifierError, PropkitError, RequestError, SettingsError
from propkit.server.limits import RateLimit, Streams
from propkit.server.listing import Listing
from propkit.server.models import (
    EventModel,
    FieldError,
    HealthModel,
    JobList,
    JobModel,
    JobOrder,
    JobQuery,
    LogList,
    LogQuery,
    RetryOrder,
    SourceModel,
)
from propkit.server.problems import ProblemError, field_problem
from propkit.server.users import may_change
from propkit.settings import Settings

if TYPE_CHECKING:
    from propkit.kit import Kit
    from propkit.plan import Plan
    from propkit.progress import Progress
    from propkit.runtime.batch import Batch
    from propkit.store.jobs import Job

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

_THREADS: Final = 8
_RETRY_SECONDS: Final = 5
_MOST_ERRORS: Final = 50
_STILL_DUE: Final = {"due", "incomplete", "over_budget"}
_USELESS: Final = {"invalid", "duplicate"}
_GO_ON: Final = ("interrupted", "paused", "cancelled")
"""Batch states in which what is left is gone on with, in place of what failed."""


def open_kit(settings: Settings, path: Path) -> Kit:
    """Open the store as a guest of the process that owns it; start a worker where none does."""
    from propkit.opening import open as open_store

    return open_store(path, settings=settings, worker=True)


def place_store(root: Path, store: Path) -> Path:
    """Return the full path of the store, which lies in the folder that Jupyter shows or below.

    Raises
    ------
    SettingsError
        It lies elsewhere, links followed.
    """
    path = (root / store).resolve()
    if not path.is_relative_to(root.resolve()):
        raise SettingsError(f"server.store: {store} is not below the folder that Jupyter shows")
    return path


class Service:
    """The kit, opened when it is first needed, and the threads that work with it.

    ``rates`` and ``streams`` are for the server's loop only. ``log`` is Jupyter's.
    """

    def __init__(self, settings: Settings, path: Path, log: Logger) -> None:
        self.settings = settings.server
        self.rates = RateLimit(settings.server.requests_per_second)
        self.streams = Streams()
        self._all_settings = settings
        self._path = path
        self._log = log
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="propkit-server")
        self._opening = threading.Lock()
        self._ordering = threading.Lock()
        self._opened: Kit | None = None
        self._listing = Listing()
        self._is_closed = False

    async def run(self, do: Callable[[], T]) -> T:
        """Do something in a thread; what it refuses is a :class:`ProblemError`."""
        if self._is_closed:  # a connection that was kept alive
            raise _stopping()
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._told, do)

    async def close(self) -> None:
        """Let the kit go: what runs here can be resumed, what runs elsewhere goes on."""
        self._is_closed = True
        await asyncio.get_running_loop().run_in_executor(self._threads, self._close)
        self._threads.shutdown(wait=False)

    def create(self, body: bytes, user: str) -> JobModel:
        """Make a job and start it."""
        order = _read_body(JobOrder, body)
        kit = self._kit()
        # One after the other: of two equal orders at once the second has to see the first.
        with self._ordering:
            plan = kit.plan(order.identifiers, **order.options())
            _refuse_useless(order, plan)
            _refuse_duplicate(kit, plan)
            batch = kit.start(plan, created_by=user, **order.run_options())
        return JobModel.of(_find(kit, batch.id))

    def list(self, query: JobQuery) -> JobList:
        """Return a page of jobs."""
        return self._listing.page(self._kit().store, query, self.settings.per_page)

    def read(self, job_id: str) -> JobModel:
        """Return a job."""
        return JobModel.of(_find(self._kit(), job_id))

    def cancel(self, job_id: str, user: str) -> JobModel:
        """Stop a job and cancel what it has left."""
        job, batch = self._own(job_id, user)
        if not (job.is_active or job.batch_state == "paused"):
            raise ProblemError(409, f"The job has ended: {job.state}.", job=job_id)
        batch.cancel()
        return self.read(job_id)

    def retry(self, job_id: str, body: bytes, user: str) -> JobModel:
        """Collect what failed again, or go on with what was left."""
        order = _read_body(RetryOrder, body or b"{}")
        job, batch = self._own(job_id, user)
        failed = job.error_details.get("failures", {})
        if job.batch_state in ("running", "pending"):
            raise ProblemError(409, "The job runs, or waits for its turn.", job=job_id)
        if order.only is None and job.batch_state in _GO_ON:
            with _as_conflict(job_id):
                batch.resume()
        elif failed if order.only is None else failed.get(order.only):
            with _as_conflict(job_id):
                batch.retry(order.only)
        else:
            raise ProblemError(409, "Nothing of the job failed so.", job=job_id)
        return self.read(job_id)

    def delete(self, job_id: str, user: str) -> None:
        """Forget a job that does not run; what it collected stays."""
        job, batch = self._own(job_id, user)
        if job.batch_state == "running":
            raise ProblemError(409, "The job runs: cancel it first.", job=job_id)
        with _as_conflict(job_id):
            batch.delete()

    def log(self, job_id: str, query: LogQuery) -> LogList:
        """Return a page of a job's log."""
        from propkit.store.jobs import read_log

        kit = self._kit()
        _find(kit, job_id)
        per_page = query.per_page or self.settings.per_page
        return LogList.of(read_log(kit.store, job_id, page=query.page, per_page=per_page))

    def event(self, job_id: str) -> EventModel:
        """Return how far a job is just now."""
        kit = self._kit()
        job = _find(kit, job_id)
        progress = kit.batch(job_id).progress if job.state == "PROCESSING" else None
        if progress is not None and progress.state == "running":
            return _as_event(job, progress)
        if progress is not None:  # it has ended since the job was read: now all of it is stored
            job = _find(kit, job_id)
        return EventModel.model_validate(job, extra="ignore")

    def health(self) -> HealthModel:
        """Return how the queue is."""
        from propkit.store.jobs import read_health

        return HealthModel.of(read_health(self._kit().store))

    def _own(self, job_id: str, user: str) -> tuple[Job, Batch]:
        """Return a job that the user may change."""
        kit = self._kit()
        job = _find(kit, job_id)
        if not may_change(user, job.created_by, self.settings.administrators):
            raise ProblemError(
                403, "The job is somebody else's: only who created it may change it."
            )
        return job, kit.batch(job_id)

    def _kit(self) -> Kit:
        with self._opening:
            if self._is_closed:
                raise _stopping()
            if self._opened is None:
                self._opened = open_kit(self._all_settings, self._path)
                # To look through all that is loaded now for garbage, as Python does when an order
                # has many items, would stop Jupyter's loop too, for 0.2 to 0.6 s.
                gc.freeze()
            return self._opened

    def _close(self) -> None:
        with self._opening:
            if self._opened is not None:
                self._opened.close()

    def _told(self, do: Callable[[], T]) -> T:
        try:
            return do()
        except PropkitError as error:
            if isinstance(error, RequestError | IdentifierError) and not self._is_closed:
                text = str(error).replace(f"{self._path.parent}/", "")
                raise ProblemError(422, f"{text}.") from error
            self._log.warning("the store cannot be used: %s", error)
            raise _unavailable("The store cannot be used just now; the log says why.") from error


def _stopping() -> ProblemError:
    return _unavailable("The server is being stopped.")


def _unavailable(detail: str) -> ProblemError:
    return ProblemError(503, detail, headers={"Retry-After": str(_RETRY_SECONDS)})


def _read_body(model: type[M], body: bytes) -> M:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise field_problem(error) from None


def _find(kit: Kit, job_id: str) -> Job:
    from propkit.store.batches import read_batch_id
    from propkit.store.jobs import read_job

    try:
        return read_job(kit.store, read_batch_id(job_id))
    except RequestError:
        raise ProblemError(404, "There is no such job.") from None


def _refuse_useless(order: JobOrder, plan: Plan) -> None:
    """Refuse an order of which nothing can be used."""
    if plan.counts.keys() - _USELESS:
        return
    errors = [
        FieldError(
            field=f"identifiers.{order.identifiers.index(entry.identifier)}", detail=entry.reason
        )
        for entry in plan.invalid[:_MOST_ERRORS]
    ]
    blank = FieldError(field="identifiers", detail="holds nothing but blanks")
    raise ProblemError(422, "None of the identifiers can be used.", errors=errors or [blank])


def _refuse_duplicate(kit: Kit, plan: Plan) -> None:
    """Refuse an order of which everything is in work already."""
    if "active" not in plan.counts or plan.counts.keys() & _STILL_DUE:
        return
    keys: dict[str, list[str]] = {}
    for item in plan.due:
        keys.setdefault(item.source, []).append(item.key)
    jobs = sorted(set(kit.store.active(keys, plan.kind).values()))
    if jobs:
        raise ProblemError(409, f"All of it is in work already: {', '.join(jobs)}.", job=jobs[0])


@contextmanager
def _as_conflict(job_id: str) -> Iterator[None]:
    """Tell what somebody else has done with the job meanwhile."""
    try:
        yield
    except RequestError as error:
        raise ProblemError(409, f"The job has changed meanwhile: {error}.", job=job_id) from error


def _as_event(job: Job, progress: Progress) -> EventModel:
    """Return what runs as it is known to the process that runs it: newer than what is stored."""
    counts = {state.value: count for state, count in progress.counts.items()}
    return EventModel(
        id=job.id,
        state="PROCESSING",
        total=progress.total,
        processed=progress.ended + counts.get("cancelled", 0),
        success_count=sum(counts.get(name, 0) for name in ("done", "not_found", "skipped")),
        error_count=counts.get("failed", 0),
        elapsed_seconds=progress.elapsed_seconds,
        eta_seconds=progress.eta_seconds,
        sources=[SourceModel.model_validate(source) for source in progress.sources],
    )
