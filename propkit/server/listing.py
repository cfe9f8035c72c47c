"""Pages of jobs, quickly: a job that has ended is read once, and again only when it has changed."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from propkit.server.models import JobList, JobModel, JobQuery

if TYPE_CHECKING:
    from propkit.store.jobs import Version
    from propkit.store.reading import Reading

_MOST_KEPT: Final = 10_000


class Listing:
    """Lists jobs, and keeps those that have ended as they are sent; for any thread."""

    def __init__(self) -> None:
        self._kept: dict[Version, JobModel] = {}
        self._lock = threading.Lock()

    def page(self, store: Reading, query: JobQuery, per_page: int) -> JobList:
        """Return a page of jobs; ``per_page`` is for a query that says nothing of it."""
        from propkit.store.jobs import find_jobs, read_jobs

        size = query.per_page or per_page
        versions, total = find_jobs(
            store,
            state=query.status,
            kind=query.kind,
            created_by=query.created_by,
            up_to=query.up_to,
            page=query.page,
            per_page=size,
        )
        known = {number: self._kept.get((number, at)) for number, at in versions}
        read = read_jobs(store, [number for number, job in known.items() if job is None])
        told = {job.number: JobModel.of(job, is_listed=True) for job in read}
        self._keep(
            {(job.number, job.updated_at): told[job.number] for job in read if not job.is_active}
        )
        found = [kept or told.get(number) for number, kept in known.items()]
        # One that was deleted meanwhile, or has another state by now, is left out.
        jobs = [job for job in found if job and query.status in (None, job.state)]
        return JobList(jobs=jobs, total=total, page=query.page, per_page=size)

    def _keep(self, ended: dict[Version, JobModel]) -> None:
        with self._lock:
            self._kept.update(ended)
            while len(self._kept) > _MOST_KEPT:
                del self._kept[next(iter(self._kept))]
