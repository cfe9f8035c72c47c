"""The addresses of the API, one class each; what they take and send is told in :mod:`openapi`."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from jupyter_server.auth.decorator import authorized
from tornado.web import authenticated

from propkit.server.endpoint import Endpoint
from propkit.server.events import JobEvents
from propkit.server.models import JobList, JobQuery, LogList, LogQuery, NoQuery
from propkit.server.openapi import make_document
from propkit.server.problems import ProblemError
from propkit.server.service import Service


class JobsEndpoint(Endpoint):
    """``/propkit/api/batch-jobs``."""

    @authenticated
    @authorized
    async def get(self) -> None:
        """List jobs, the newest first."""
        query = self.read_query(JobQuery)
        page = await self.run(lambda: self.service.list(query))
        filters = query.model_dump(include={"status", "created_by", "kind"})
        # Jobs that come meanwhile move no page of those that follow this one.
        newest = page.jobs[0].number if page.jobs and page.page == 1 else None
        filters["up_to"] = newest if query.up_to is None else query.up_to
        self.set_header("Link", _links(self.request.path, page, filters))
        await self.answer(200, page)

    @authenticated
    @authorized
    async def post(self) -> None:
        """Make a job and start it."""
        self.read_query(NoQuery)
        body, user = self.body, self.user
        job = await self.run(lambda: self.service.create(body, user))
        self.set_header("Location", self.job_path(job.id))
        await self.answer(201, job)


class JobEndpoint(Endpoint):
    """``/propkit/api/batch-jobs/{id}``."""

    @authenticated
    @authorized
    async def get(self, job_id: str) -> None:
        """Show a job."""
        self.read_query(NoQuery)
        await self.answer(200, await self.run(lambda: self.service.read(job_id)))

    @authenticated
    @authorized
    async def delete(self, job_id: str) -> None:
        """Forget a job."""
        self.read_query(NoQuery)
        user = self.user
        await self.run(lambda: self.service.delete(job_id, user))
        self.set_status(204)
        await self.finish()


class CancelEndpoint(Endpoint):
    """``…/batch-jobs/{id}/cancel``."""

    @authenticated
    @authorized
    async def post(self, job_id: str) -> None:
        """Stop a job and cancel what it has left."""
        self.read_query(NoQuery)
        user = self.user
        job = await self.run(lambda: self.service.cancel(job_id, user))
        await self.answer(202, job)


class RetryEndpoint(Endpoint):
    """``…/batch-jobs/{id}/retry``."""

    @authenticated
    @authorized
    async def post(self, job_id: str) -> None:
        """Collect what failed again, or go on with what was left."""
        self.read_query(NoQuery)
        body, user = self.body, self.user
        job = await self.run(lambda: self.service.retry(job_id, body, user))
        await self.answer(202, job)


class LogEndpoint(Endpoint):
    """``…/batch-jobs/{id}/log``."""

    @authenticated
    @authorized
    async def get(self, job_id: str) -> None:
        """List what happened, the oldest first."""
        query = self.read_query(LogQuery)
        page = await self.run(lambda: self.service.log(job_id, query))
        self.set_header("Link", _links(self.request.path, page, {}))
        await self.answer(200, page)


class HealthEndpoint(Endpoint):
    """``/propkit/api/health``."""

    @authenticated
    @authorized
    async def get(self) -> None:
        """Tell how the queue is."""
        self.read_query(NoQuery)
        await self.answer(200, await self.run(self.service.health))


class DocumentEndpoint(Endpoint):
    """``/propkit/api/openapi.json``."""

    @authenticated
    @authorized
    async def get(self) -> None:
        """Send the OpenAPI document."""
        self.read_query(NoQuery)
        self.set_header("Cache-Control", "no-store")
        await self.finish(make_document(self.base_url))


class NothingEndpoint(Endpoint):
    """Every other address below ``/propkit/api``."""

    async def prepare(self) -> None:  # type: ignore[override]
        """Say that there is nothing here, to those who are logged in."""
        await super().prepare()
        if not self._finished:
            raise ProblemError(404, "There is nothing at this address.")


def make_routes(service: Service) -> list[tuple[Any, ...]]:
    """Return the API's addresses and who answers there."""
    shared = {"service": service}
    jobs = "/propkit/api/batch-jobs"
    job = f"{jobs}/([^/]+)"
    return [
        (jobs, JobsEndpoint, shared),
        (job, JobEndpoint, shared),
        (f"{job}/cancel", CancelEndpoint, shared),
        (f"{job}/retry", RetryEndpoint, shared),
        (f"{job}/log", LogEndpoint, shared),
        (f"{job}/events", JobEvents, shared),
        ("/propkit/api/health", HealthEndpoint, shared),
        (r"/propkit/api/openapi\.json", DocumentEndpoint, shared),
        (r"/propkit/api(?:/.*)?", NothingEndpoint, shared),
    ]


def _links(path: str, page: JobList | LogList, filters: dict[str, Any]) -> str:
    """Return the way to the other pages (RFC 8288)."""
    last = max(1, -(-page.total // page.per_page))
    places = {"first": 1, "last": last}
    if page.page > 1:
        places["prev"] = min(page.page - 1, last)
    if page.page < last:
        places["next"] = page.page + 1
    kept = {name: value for name, value in filters.items() if value is not None}
    return ", ".join(
        f'<{path}?{urlencode({**kept, "page": number, "per_page": page.per_page})}>; rel="{name}"'
        for name, number in places.items()
    )
