"""Batches as jobs: states, counts, pages, and what is stuck."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from propkit.errors import RequestError
from propkit.items import Item, State
from propkit.store import jobs
from propkit.store.batches import (
    LogEntry,
    beat,
    create_batch,
    delete_batch,
    read_head,
    set_state,
    write_log,
)
from propkit.store.jobs import (
    Health,
    Job,
    LogPage,
    find_jobs,
    find_trouble,
    list_jobs,
    read_health,
    read_job,
    read_jobs,
    read_log,
    stuck_jobs,
)
from propkit.store.requeueing import cancel_waiting, requeue_failed, skip_collected
from tests.store.made import ASSESSOR, batch_of, noon, parcel, result, write

if TYPE_CHECKING:
    from collections.abc import Callable

    from propkit.store import Store


def date_heads(store: Store, **times: datetime | None) -> None:
    """Put times into all batches."""
    sets = ", ".join(f"{column} = ?" for column in times)
    store.writer.submit(
        lambda connection: connection.execute(
            f"UPDATE batch_heads SET {sets}", list(times.values())
        ).fetchall()
    ).result(timeout=60)


def make(store: Store, *keys: str, **head: Any) -> str:
    items = [Item(source=ASSESSOR, key=key, apn=key, sequence=n) for n, key in enumerate(keys)]
    criteria = {"sources": [ASSESSOR], "workers": 3}
    return create_batch(store, items, kind="comprehensive", criteria=criteria, **head).batch_id


def test_a_job_that_ends_meanwhile_is_not_listed_as_if_it_ran(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    """Which jobs run is looked up first, then how far each is: one has ended in between."""
    ended, running = make(store, "1"), make(store, "2")

    def find_and_end(*args: Any, **options: Any) -> Any:
        found = find_jobs(*args, **options)
        set_state(store, ended, "completed")
        return found

    monkeypatch.setattr(jobs, "find_jobs", find_and_end)

    assert [job.id for job in list_jobs(store, state="PROCESSING").jobs] == [running]


def test_a_job_is_told_whole(store: Store):
    """Counts by outcome, failures by class, whose it is and when."""
    batch = make(store, "1", "2", "3", "4", "5", created_by="ana")
    write(
        store,
        result("1", [parcel("1")], batch_id=batch),
        result("2", batch_id=batch, state=State.NOT_FOUND),
        result("3", batch_id=batch, at=None, state=State.FAILED, failure_class="timeout"),
        result("4", batch_id=batch, at=None, state=State.FAILED, failure_class="blocked"),
    )
    set_state(store, batch, "paused", error="the county asks for a captcha")
    date_heads(
        store, created_at=noon(), started_at=noon(1), updated_at=noon(2), completed_at=noon(2)
    )

    assert read_job(store, batch) == Job(
        id=batch,
        number=1,
        kind="comprehensive",
        state="FAILED",
        batch_state="paused",
        criteria={"sources": [ASSESSOR], "workers": 3},
        total=5,
        processed=4,
        success_count=2,
        error_count=2,
        error_details={
            "error": "the county asks for a captcha",
            "failures": {"blocked": 1, "timeout": 1},
        },
        created_by="ana",
        created_at=noon(),
        updated_at=noon(2),
        started_at=noon(1),
        completed_at=noon(2),
    )


def test_jobs_stand_in_a_view_for_sql(store: Store):
    """The same figures, a row a job, also for one without items."""
    batch, empty = make(store, "1", "2", "3", created_by="ana"), make(store, state="pending")
    write(
        store,
        result("1", [parcel("1")], batch_id=batch),
        result("2", batch_id=batch, at=None, state=State.FAILED, failure_class="timeout"),
    )
    set_state(store, batch, "failed", error="disk full")

    rows = store.rows("FROM batch_jobs ORDER BY number")

    for row, job in zip(rows, [read_job(store, batch), read_job(store, empty)], strict=True):
        columns = ["id", "number", "kind", "state", "total", "processed", "success_count"]
        columns += ["error_count", "created_by", "created_at", "updated_at", "started_at"]
        assert {name: row[name] for name in columns} == {
            name: getattr(job, name) for name in columns
        }
        assert json.loads(row["criteria"]) == job.criteria
        assert row["error_details"] == job.error_details.get("error")
    assert [(row["state"], row["total"]) for row in rows] == [("FAILED", 3), ("PENDING", 0)]


@pytest.mark.parametrize(
    ("batch_state", "state", "is_active"),
    [
        ("pending", "PENDING", True),
        ("running", "PROCESSING", True),
        ("interrupted", "PENDING", True),
        ("paused", "FAILED", False),
        ("failed", "FAILED", False),
        ("completed", "COMPLETED", False),
        ("cancelled", "CANCELLED", False),
    ],
)
def test_each_state_of_a_batch_is_a_jobs(
    store: Store, batch_state: str, state: str, is_active: bool
):
    """A job without items is one too."""
    batch = make(store)
    set_state(store, batch, batch_state)

    job = read_job(store, batch)

    assert (job.state, job.batch_state, job.is_active) == (state, batch_state, is_active)
    assert (job.total, job.processed, job.error_details) == (0, 0, {})


def test_a_pending_batch_has_not_started_until_it_runs(store: Store):
    """Its start is when it first ran, and stays that."""
    batch = make(store, "1", state="pending")
    assert read_head(store, batch).started_at is None

    set_state(store, batch, "running")
    started_at = read_head(store, batch).started_at
    set_state(store, batch, "interrupted")
    set_state(store, batch, "running")

    head = read_head(store, batch)
    assert started_at is not None
    assert (head.started_at, head.completed_at) == (started_at, None)
    assert head.updated_at > started_at


def test_jobs_come_in_pages_the_newest_first(store: Store):
    """Each filter alone and together; the total is of all pages."""
    ids = [make(store, "1", created_by="ana" if n % 2 else "ben") for n in range(5)]
    set_state(store, ids[1], "completed")
    set_state(store, ids[3], "completed")

    def found(**filters: Any) -> tuple[list[int], int]:
        page = list_jobs(store, **filters)
        return [job.number for job in page.jobs], page.total

    assert found() == ([5, 4, 3, 2, 1], 5)
    assert found(page=2, per_page=2) == ([3, 2], 5)
    assert found(page=4, per_page=2) == ([], 5)
    assert found(state="COMPLETED") == ([4, 2], 2)
    assert found(created_by="ben") == ([5, 3, 1], 3)
    assert found(created_by="ben", state="COMPLETED") == ([], 0)
    assert found(kind="comprehensive", per_page=1) == ([5], 5)
    assert found(kind="taxes") == ([], 0)
    make(store, "1", created_by="ben")  # whoever walks the pages just now is not moved by it
    assert [job for job, _ in find_jobs(store, up_to=5, page=2, per_page=2)[0]] == [3, 2]
    assert find_jobs(store, created_by="ben", up_to=3)[1] == 2


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            {"state": "DONE"},
            "no state 'DONE'; expected one of PENDING, PROCESSING, COMPLETED, FAILED, CANCELLED",
        ),
        ({"page": 0}, "page must be a whole number from 1 to 1000000000, not 0"),
        ({"per_page": 201}, "per_page must be a whole number from 1 to 200, not 201"),
        ({"per_page": True}, "per_page must be a whole number from 1 to 200, not True"),
    ],
)
def test_what_cannot_be_listed_is_named(store: Store, asked: dict[str, Any], message: str):
    """The value and what was expected."""
    with pytest.raises(RequestError) as caught:
        list_jobs(store, **asked)

    assert str(caught.value) == message


def test_a_job_that_is_not_there(store: Store):
    """Its id is named."""
    with pytest.raises(RequestError, match=r"^no job 'x'$"):
        read_job(store, "x")


def test_a_page_is_found_by_number_and_time_of_change(store: Store):
    """A job that changes in any way is another version; one that is gone is left out."""
    batches = [make(store, str(n)) for n in range(3)]
    date_heads(store, updated_at=noon())

    versions, total = find_jobs(store, per_page=2)

    assert (versions, total) == ([(3, noon()), (2, noon())], 3)
    assert [job.id for job in read_jobs(store, [2, 3])] == [batches[2], batches[1]]
    assert read_jobs(store, []) == []
    delete_batch(store, batches[2])
    assert [job.id for job in read_jobs(store, [2, 3])] == [batches[1]]


@pytest.mark.parametrize(
    "change",
    [
        partial(requeue_failed, ways={}),
        partial(skip_collected, since=noon(), rolls=[], keyed={}, ways={}),
        cancel_waiting,
        partial(set_state, state="completed"),
        beat,
    ],
    ids=["requeue", "skip", "cancel", "state", "beat"],
)
def test_whatever_changes_a_job_changes_its_version(
    store: Store, change: Callable[[Store, str], None]
):
    """Who keeps a job as it was sees that it is not any more; others are left alone."""
    changed, other = make(store, "1"), make(store, "2")
    long_ago = noon(-172_800)
    date_heads(store, updated_at=long_ago)

    change(store, changed)
    store.writer.flush().result(timeout=60)

    assert read_job(store, changed).updated_at > long_ago
    assert read_job(store, other).updated_at == long_ago


def test_a_log_is_read_by_pages(store: Store):
    """The oldest entry first; entries of one moment have an order too."""
    batch = make(store, "1")
    entries = [
        LogEntry(event="slow", message=f"the store: {n}", seconds=n / 2, logged_at=noon(86_400 * 9))
        for n in range(3)
    ]
    write_log(store, batch, entries[::-1]).result()

    pages = [read_log(store, batch, page=page, per_page=2) for page in (1, 2, 3)]

    assert [entry.message for page in pages for entry in page.entries] == [
        "batch made",
        "the store: 0",
        "the store: 1",
        "the store: 2",
    ]
    assert pages[1] == LogPage(entries=tuple(entries[1:]), total=4, page=2, per_page=2)
    assert (pages[2].entries, pages[2].total) == ((), 4)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"page": 0}, "page must be a whole number from 1 to"),
        ({"per_page": 201}, "per_page must be a whole number from 1 to 200, not 201"),
    ],
)
def test_a_log_is_not_read_so(store: Store, asked: dict[str, int], message: str):
    """A page that cannot be is named; so is a job that is not there."""
    with pytest.raises(RequestError, match=message):
        read_log(store, make(store), **asked)
    with pytest.raises(RequestError, match="no job 'x'"):
        read_log(store, "x")


def test_what_runs_without_a_sign_of_life_is_stuck(store: Store):
    """Two minutes without a heartbeat, or since the start where there never was one."""
    silent, alive, waiting = make(store), make(store), make(store, state="pending")
    long_ago = noon(-172_800)
    date_heads(store, heartbeat_at=None, started_at=long_ago)
    beat(store, alive)
    store.writer.flush().result(timeout=60)
    beaten_at = read_head(store, alive).heartbeat_at
    assert beaten_at is not None

    def stuck(now: datetime) -> list[str]:
        return [job.id for job in stuck_jobs(store, now)]

    assert stuck(long_ago + timedelta(seconds=120)) == []
    assert stuck(long_ago + timedelta(seconds=121)) == [silent]
    assert stuck(beaten_at + timedelta(seconds=121)) == [alive, silent]
    assert waiting not in stuck(beaten_at + timedelta(days=1))


def test_trouble_is_what_failed_since_and_what_is_stuck(store: Store):
    """Each is told with which it is, the newest first; what is well is not looked at any further."""
    failed, running, paused = make(store), make(store, "1"), make(store)
    set_state(store, failed, "failed", error="no disk")
    set_state(store, paused, "paused")
    set_state(store, make(store), "completed")
    ended_at, soon = read_head(store, failed).completed_at, timedelta(seconds=1)
    assert ended_at is not None

    def trouble(since: datetime, now: datetime) -> list[tuple[str, str, int]]:
        return [(job.id, event, job.total) for job, event in find_trouble(store, since, now)]

    assert trouble(ended_at - soon, ended_at) == [(paused, "failed", 0), (failed, "failed", 0)]
    assert trouble(ended_at, ended_at) == [(paused, "failed", 0)]
    assert trouble(ended_at + timedelta(days=1), ended_at + timedelta(days=1)) == [
        (running, "stuck", 1)
    ]


def test_trouble_that_has_passed_is_not_told(store: Store, monkeypatch: pytest.MonkeyPatch):
    """Which jobs are in trouble is looked up first: one of them is gone on with in between."""
    ended = make(store)
    set_state(store, ended, "failed")

    def resume_and_read(*args: Any) -> Any:
        set_state(store, ended, "running")
        return read_jobs(*args)

    monkeypatch.setattr(jobs, "read_jobs", resume_and_read)

    assert find_trouble(store, read_head(store, ended).created_at) == []


def test_the_health_of_a_queue(store: Store):
    """How much waits since when, what is stuck, what failed within a day."""
    assert read_health(store, noon()) == Health(
        pending_jobs=0,
        processing_jobs=0,
        waiting_items=0,
        oldest_waiting_at=None,
        stuck=(),
        failed_today=(),
    )
    running = batch_of(store, "1", "2")
    make(store, "3", state="pending")
    failed = make(store, "4")
    set_state(store, failed, "failed")
    date_heads(store, created_at=noon(), started_at=noon(), heartbeat_at=noon(), updated_at=noon())

    assert read_health(store, noon(121)) == Health(
        pending_jobs=1,
        processing_jobs=1,
        waiting_items=3,
        oldest_waiting_at=noon(),
        stuck=(running,),
        failed_today=(failed,),
    )
    assert read_health(store, noon(86_401)).failed_today == ()


def test_a_deleted_batch_leaves_only_what_it_collected(store: Store):
    """Its items and log go; the parcel stays, and so do other batches."""
    batch, other = make(store, "1"), make(store, "1")
    write(store, result("1", [parcel("1")], batch_id=batch))

    delete_batch(store, batch)

    assert [job.id for job in list_jobs(store).jobs] == [other]
    assert store.rows("SELECT DISTINCT batch_id FROM items") == [{"batch_id": other}]
    assert store.rows("SELECT DISTINCT batch_id FROM batch_logs") == [{"batch_id": other}]
    assert store.rows("SELECT apn FROM parcels") == [{"apn": "1"}]
