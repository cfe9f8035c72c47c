"""Pages of jobs in the server: what has ended is read once, and told as it is now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from propkit.server import listing
from propkit.server.listing import Listing
from propkit.server.models import JobModel, JobQuery
from propkit.store import Store
from propkit.store import jobs as store_jobs
from propkit.store.batches import create_batch, delete_batch, set_state

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(tmp_path / "test.duckdb")
    yield store
    store.close()


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Return the numbers of the jobs that are read, each time."""
    asked: list[list[int]] = []
    real = store_jobs.read_jobs

    def read_jobs(store: Store, numbers: list[int]) -> Any:
        asked.append(list(numbers))
        return real(store, numbers)

    monkeypatch.setattr(store_jobs, "read_jobs", read_jobs)
    return asked


def make(store: Store, state: str, **criteria: Any) -> str:
    given = {"sources": ["maricopa_assessor"], **criteria}
    batch = create_batch(store, [], kind="comprehensive", criteria=given).batch_id
    set_state(store, batch, state)
    return batch


def test_what_has_ended_is_read_once(store: Store, read: list[list[int]]):
    """What runs is read each time, and what has changed again."""
    make(store, "completed")
    make(store, "running")
    cancelled = make(store, "cancelled")
    pages = Listing()

    first = pages.page(store, JobQuery(), 50)
    second = pages.page(store, JobQuery(), 50)
    set_state(store, cancelled, "completed")
    third = pages.page(store, JobQuery(), 50)

    assert read == [[3, 2, 1], [2], [3, 2]]
    assert first == second
    assert [job.state for job in second.jobs] == ["CANCELLED", "PROCESSING", "COMPLETED"]
    assert [job.state for job in third.jobs] == ["COMPLETED", "PROCESSING", "COMPLETED"]


def test_what_is_gone_is_not_told(store: Store, monkeypatch: pytest.MonkeyPatch):
    """Also when it goes between finding the page and reading it."""
    make(store, "completed")
    gone = make(store, "completed")
    real = store_jobs.find_jobs

    def find_jobs(store: Store, **asked: Any) -> Any:
        found = real(store, **asked)
        delete_batch(store, gone)
        return found

    monkeypatch.setattr(store_jobs, "find_jobs", find_jobs)

    page = Listing().page(store, JobQuery(), 50)

    assert ([job.number for job in page.jobs], page.total) == ([1], 2)


def test_not_everything_is_kept(
    store: Store, read: list[list[int]], monkeypatch: pytest.MonkeyPatch
):
    """The oldest are given up first."""
    monkeypatch.setattr(listing, "_MOST_KEPT", 2)
    for _ in range(3):
        make(store, "completed")
    pages = Listing()
    for page in (1, 2, 3, 3, 2, 1):
        pages.page(store, JobQuery(page=page), 1)

    assert read == [[3], [2], [1], [], [], [3]]


def test_a_job_tells_no_place_on_this_computer(store: Store):
    """Of a workbook only the name; a list leaves out what was not usable."""
    batch = make(store, "completed", export_to="/home/ana/x.xlsx", not_usable={"a": "is no APN"})
    job = store_jobs.read_job(store, batch)

    whole, listed = JobModel.of(job), JobModel.of(job, is_listed=True)

    assert whole.criteria == {
        "sources": ["maricopa_assessor"],
        "export_to": "x.xlsx",
        "not_usable": {"a": "is no APN"},
    }
    assert listed.criteria == {"sources": ["maricopa_assessor"], "export_to": "x.xlsx"}
