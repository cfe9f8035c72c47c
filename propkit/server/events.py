"""Progress as server-sent events, until the job ends, the client goes or the server stops."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Final

from jupyter_server.auth.decorator import authorized
from tornado.iostream import StreamClosedError
from tornado.web import authenticated

from propkit.server.endpoint import Endpoint
from propkit.server.models import EventModel, NoQuery
from propkit.server.problems import ProblemError, describe
from propkit.server.service import Service

POLL_SECONDS: Final = 0.25
"""How often a job is looked at."""


class JobEvents(Endpoint):
    """``…/batch-jobs/{id}/events``."""

    def initialize(self, service: Service) -> None:
        """Take what all addresses share."""
        super().initialize(service)
        self._ending = asyncio.Event()

    def on_connection_close(self) -> None:
        """End with the client."""
        super().on_connection_close()
        self._ending.set()

    @authenticated
    @authorized
    async def get(self, job_id: str) -> None:
        """Tell how far the job is, now and whenever that changes."""
        self.read_query(NoQuery)
        event = await self.run(lambda: self.service.event(job_id))
        seen = self.request.headers.get("Last-Event-ID")
        if event.is_last and event.event_id == seen:
            # An EventSource comes again at the end of each stream, until it is told so.
            self.set_status(204)
            await self.finish()
            return
        with self.service.streams.follow(self.user, self._ending), suppress(StreamClosedError):
            self.set_header("Content-Type", "text/event-stream")
            self.set_header("Cache-Control", "no-store")
            self.set_header("X-Accel-Buffering", "no")
            await self._tell(event, job_id, seen)
            await self.finish(set_content_type="text/event-stream")

    async def _tell(self, event: EventModel, job_id: str, seen: str | None) -> None:
        told_at = time.monotonic()
        self.write("retry: 1000\n\n")
        await self.flush()
        while not self._ending.is_set():
            now = time.monotonic()
            if event.event_id != seen:
                seen, told_at = event.event_id, now
                name = "end" if event.is_last else "progress"
                self.write(f"id: {seen}\nevent: {name}\ndata: {event.model_dump_json()}\n\n")
                await self.flush()
            elif now - told_at >= self.service.settings.heartbeat_seconds:
                told_at = now
                self.write(": the job goes on\n\n")
                await self.flush()
            if event.is_last:
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), POLL_SECONDS)
            if not self._ending.is_set():
                try:
                    event = await self.run(lambda: self.service.event(job_id))
                except ProblemError as problem:  # it was deleted, or the store is gone
                    told = describe(problem.status_code, problem, self.request.path)
                    self.write(
                        f"event: problem\ndata: {told.model_dump_json(exclude_none=True)}\n\n"
                    )
                    return
