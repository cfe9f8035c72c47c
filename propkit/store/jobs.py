"""Batches as jobs: how far each is, whose it is, which are stuck; asked of any store.

A job is a batch as a queue sees it. Its state is one of :data:`STATES`, whatever the batch's own
may be: a batch that was interrupted waits to be gone on with, one whose source was stopped failed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from propkit.errors import RequestError
from propkit.store.batches import LogEntry
from propkit.store.item_tables import JOB_STATE
from propkit.store.reading import Reading

STATES = ("PENDING", "PROCESSING", "COMPLETED", "FAILED", "CANCELLED")
ACTIVE = ("PENDING", "PROCESSING")
STUCK_AFTER = timedelta(minutes=2)
"""A batch that runs without a heartbeat for so long is stuck: its process hangs."""
MOST_PER_PAGE = 200

Version = tuple[int, datetime]
"""A job's number and when it was last changed: one that has ended is the same as long as this is."""

_OUTCOMES = "'done', 'not_found', 'skipped'"
_STUCK = "state = 'running' AND coalesce(heartbeat_at, started_at) < ${0}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A batch as a job. Times are aware UTC.

    ``processed`` items have ended, of them ``success_count`` well (an answer that there is no such
    parcel is one) and ``error_count`` not. ``error_details`` has the batch's own error, if any, and
    its failed items by failure class: ``failures``, and ``replaced`` those in whose place a second
    way was asked; they count in nothing else.
    """

    id: str
    number: int
    kind: str
    state: str
    batch_state: str
    criteria: dict[str, Any]
    total: int
    processed: int
    success_count: int
    error_count: int
    error_details: dict[str, Any]
    created_by: str | None
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    completed_at: datetime | None

    @property
    def is_active(self) -> bool:
        """Whether it waits or runs."""
        return self.state in ACTIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """One page of jobs, the newest first; ``total`` are all that match."""

    jobs: tuple[Job, ...]
    total: int
    page: int
    per_page: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPage:
    """One page of a job's log, the oldest entry first; ``total`` are all entries."""

    entries: tuple[LogEntry, ...]
    total: int
    page: int
    per_page: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How the queue is.

    ``waiting_items`` wait in all batches, the oldest since ``oldest_waiting_at`` (aware UTC, when
    its batch was made). ``stuck`` and ``failed_today`` (of the last 24 hours) are job ids.
    """

    pending_jobs: int
    processing_jobs: int
    waiting_items: int
    oldest_waiting_at: datetime | None
    stuck: tuple[str, ...]
    failed_today: tuple[str, ...]

    @property
    def is_good(self) -> bool:
        """Whether nothing is stuck."""
        return not self.stuck


def list_jobs(
    store: Reading,
    *,
    state: str | None = None,
    kind: str | None = None,
    created_by: str | None = None,
    page: int = 1,
    per_page: int = 50,
) -> JobPage:
    """Return one page of the jobs of some state, kind or creator, the newest first.

    Raises
    ------
    RequestError
        There is no such state, or page and size are no whole numbers in their range.
    """
    versions, total = find_jobs(
        store, state=state, kind=kind, created_by=created_by, page=page, per_page=per_page
    )
    jobs = read_jobs(store, [number for number, _ in versions])
    jobs = [job for job in jobs if state in (None, job.state)]  # another one has it by now
    return JobPage(jobs=tuple(jobs), total=total, page=page, per_page=per_page)


def find_jobs(
    store: Reading,
    *,
    state: str | None = None,
    kind: str | None = None,
    created_by: str | None = None,
    up_to: int | None = None,
    page: int = 1,
    per_page: int = 50,
) -> tuple[list[Version], int]:
    """Return which jobs stand on a page of :func:`list_jobs`, and how many there are in all.

    With ``up_to`` only those up to this number: whoever walks the pages sees no job twice because
    others come meanwhile.

    Raises
    ------
    RequestError
        As :func:`list_jobs`.
    """
    if state is not None and state not in STATES:
        raise RequestError(f"no state {state!r}; expected one of {', '.join(STATES)}")
    _check_whole("page", page, 10**9)
    _check_whole("per_page", per_page, MOST_PER_PAGE)
    filters = {JOB_STATE: state, "kind": kind, "created_by": created_by}
    given: dict[str, Any] = {column: one for column, one in filters.items() if one is not None}
    where = " AND ".join(["true", *(f"{column} = ?" for column in given)])
    if up_to is not None:
        _check_whole("up_to", up_to, 10**9)
        where, given["number"] = f"{where} AND number <= ?", up_to
    found = store.table(
        f"SELECT number, updated_at FROM batch_heads WHERE {where}", list(given.values())
    )
    # Sorted here: among 10,000 jobs DuckDB needs four times as long to find a page.
    newest_first = np.argsort(found["number"].to_numpy())[::-1]
    rows = found.take(newest_first[(page - 1) * per_page : page * per_page]).to_pylist()
    return [(row["number"], row["updated_at"]) for row in rows], found.num_rows


def read_jobs(store: Reading, numbers: Sequence[int]) -> list[Job]:
    """Return jobs by their numbers, the newest first; one that is gone is left out."""
    return _read(store, "WHERE list_contains($1, number)", [list(numbers)]) if numbers else []


def read_job(store: Reading, job_id: str) -> Job:
    """Return a job by its id.

    Raises
    ------
    RequestError
        There is no such job.
    """
    jobs = _read(store, "WHERE batch_id = $1", [job_id])
    if not jobs:
        raise RequestError(f"no job {job_id!r}")
    return jobs[0]


def read_log(store: Reading, job_id: str, *, page: int = 1, per_page: int = 50) -> LogPage:
    """Return one page of a job's log.

    Raises
    ------
    RequestError
        There is no such job, or page and size are no whole numbers in their range.
    """
    _check_whole("page", page, 10**9)
    _check_whole("per_page", per_page, MOST_PER_PAGE)
    read_job(store, job_id)
    # One statement: lines may come, and the job may go, between two.
    (found,) = store.rows(
        "WITH log AS MATERIALIZED (SELECT * EXCLUDE (batch_id) FROM batch_logs"
        " WHERE batch_id = $1) SELECT (SELECT count(*) FROM log) AS total,"
        " (SELECT coalesce(list(page ORDER BY logged_at, event, source, key, message), [])"
        " FROM (FROM log ORDER BY logged_at, event, source, key, message LIMIT $2 OFFSET $3)"
        " AS page) AS entries",
        [job_id, per_page, (page - 1) * per_page],
    )
    entries = tuple([LogEntry(**row) for row in found["entries"]])
    return LogPage(entries=entries, total=found["total"], page=page, per_page=per_page)


def stuck_jobs(store: Reading, now: datetime | None = None) -> list[Job]:
    """Return the jobs that run without a sign of life, the newest first."""
    before = (now or datetime.now(UTC)) - STUCK_AFTER
    return _read(store, f"WHERE {_STUCK.format(1)}", [before])


def find_trouble(
    store: Reading, since: datetime, now: datetime | None = None
) -> list[tuple[Job, str]]:
    """Return the jobs that failed after a moment (aware UTC), and those that are stuck.

    Each comes with ``"failed"`` or ``"stuck"``, the newest first.
    """
    # Which these are before what they are: there is seldom one, and who looks does so often.
    found = store.rows(
        f"SELECT number, if(state = 'running', 'stuck', 'failed') AS event FROM batch_heads"
        f" WHERE ({JOB_STATE} = 'FAILED' AND completed_at > $1) OR ({_STUCK.format(2)})",
        [since, (now or datetime.now(UTC)) - STUCK_AFTER],
    )
    events = {row["number"]: row["event"] for row in found}
    states = {"failed": "FAILED", "stuck": "PROCESSING"}
    return [
        (job, events[job.number])
        for job in read_jobs(store, list(events))
        if job.state == states[events[job.number]]  # it may be gone on with by now
    ]


def read_health(store: Reading, now: datetime | None = None) -> Health:
    """Return how the queue is."""
    now = now or datetime.now(UTC)
    # One statement, so that all of it is as of one moment.
    (found,) = store.rows(
        f"WITH heads AS MATERIALIZED (SELECT *, {JOB_STATE} AS job_state FROM batch_heads),"
        " waiting AS (SELECT count(*) AS n, min(created_at) AS oldest FROM items JOIN heads"
        f" USING (batch_id) WHERE items.state = 'waiting' AND job_state IN {ACTIVE})"
        " SELECT (SELECT n FROM waiting) AS waiting, (SELECT oldest FROM waiting) AS oldest,"
        " count(*) FILTER (job_state = 'PENDING') AS pending,"
        " count(*) FILTER (job_state = 'PROCESSING') AS processing,"
        f" coalesce(list(batch_id ORDER BY number DESC) FILTER ({_STUCK.format(2)}), []) AS stuck,"
        " coalesce(list(batch_id ORDER BY number)"
        " FILTER (job_state = 'FAILED' AND updated_at > $1), []) AS failed FROM heads",
        [now - timedelta(days=1), now - STUCK_AFTER],
    )
    return Health(
        pending_jobs=found["pending"],
        processing_jobs=found["processing"],
        waiting_items=found["waiting"],
        oldest_waiting_at=found["oldest"],
        stuck=tuple(found["stuck"]),
        failed_today=tuple(found["failed"]),
    )


def _read(store: Reading, heads: str, params: Sequence[Any]) -> list[Job]:
    # The page first: the items of 10,000 other jobs are not counted.
    rows = store.rows(
        f"WITH page AS MATERIALIZED (SELECT *, {JOB_STATE} AS job_state FROM batch_heads {heads}),"
        " outcomes AS (SELECT batch_id, if(replaced_by IS NULL, state, 'replaced') AS state,"
        " failure_class, count(*) AS n FROM items"
        " WHERE batch_id IN (SELECT batch_id FROM page) GROUP BY ALL),"
        " counts AS (SELECT batch_id,"
        " coalesce(sum(n) FILTER (state <> 'replaced'), 0)::BIGINT AS total,"
        " coalesce(sum(n) FILTER (state NOT IN ('waiting', 'running', 'replaced')), 0)::BIGINT"
        " AS processed,"
        f" coalesce(sum(n) FILTER (state IN ({_OUTCOMES})), 0)::BIGINT AS successes,"
        " coalesce(sum(n) FILTER (state = 'failed'), 0)::BIGINT AS errors,"
        " coalesce(list({'class': coalesce(failure_class, 'unknown'), 'n': n, 'state': state}"
        " ORDER BY failure_class) FILTER (state IN ('failed', 'replaced')), []) AS failures"
        " FROM outcomes GROUP BY batch_id)"
        " SELECT page.*, total, processed, successes, errors, failures"
        " FROM page LEFT JOIN counts USING (batch_id) ORDER BY number DESC",
        params,
    )
    return [_make_job(row) for row in rows]


def _make_job(row: dict[str, Any]) -> Job:
    details: dict[str, Any] = {"error": row["error"]} if row["error"] else {}
    for each in row["failures"] or ():
        name = "failures" if each["state"] == "failed" else "replaced"
        details.setdefault(name, {})[each["class"]] = each["n"]
    return Job(
        id=row["batch_id"],
        number=row["number"],
        kind=row["kind"],
        state=row["job_state"],
        batch_state=row["state"],
        criteria=json.loads(row["criteria"]),
        total=row["total"] or 0,
        processed=row["processed"] or 0,
        success_count=row["successes"] or 0,
        error_count=row["errors"] or 0,
        error_details=details,
        created_by=row["created_by"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        started_at=row["started_at"],
        completed_at=row["completed_at"],
    )


def _check_whole(name: str, value: object, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise RequestError(f"{name} must be a whole number from 1 to {most}, not {value!r}")
