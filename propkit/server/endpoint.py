"""What every address of the API has: Jupyter's login and authorizer, limits, and problem details."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

from jupyter_server.base.handlers import APIHandler
from pydantic import BaseModel, ValidationError
from tornado.web import HTTPError, RequestHandler, stream_request_body

from propkit.server.problems import MEDIA_TYPE, ProblemError, describe, field_problem
from propkit.server.service import Service
from propkit.server.users import name_user

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

METHODS = ("GET", "POST", "DELETE")
_JUPYTERS_OWN = {"token", "_xsrf", "no_track_activity"}
"""Parameters that Jupyter reads, whatever the address."""


@stream_request_body
class Endpoint(APIHandler):
    """The base of all addresses.

    The body is taken as it comes, so that one that is too large is never held as a whole.
    """

    auth_resource = "propkit"

    def initialize(self, service: Service) -> None:
        """Take what all addresses share."""
        self.service = service
        self._body = bytearray()
        self._is_too_large = False

    async def prepare(self) -> None:  # type: ignore[override]
        """Let Jupyter find out who asks, then look at how often."""
        await super().prepare()
        if self._finished or self.request.method == "OPTIONS":
            return  # a browser asks what it may ask
        if not self.current_user:
            raise HTTPError(403)
        if seconds := self.service.rates.take(self.user):
            raise ProblemError(
                429,
                f"Too many requests; the next one is welcome in {seconds} s.",
                headers={"Retry-After": str(seconds)},
            )

    def data_received(self, chunk: bytes) -> None:
        """Take a piece of the body; what is too large is read to its end and dropped.

        Refused in the middle, a client that still sends would see a broken connection.
        """
        if len(self._body) + len(chunk) > self.service.settings.max_request_bytes:
            self._is_too_large = True
        if self._is_too_large:
            self._body.clear()
        else:
            self._body += chunk

    @property
    def user(self) -> str:
        """The name by which the user owns jobs."""
        return name_user(self.current_user, self.identity_provider)

    @property
    def body(self) -> bytes:
        """The request's body, which has to be JSON."""
        kind = self.request.headers.get("Content-Type", "application/json")
        if self._body and kind.partition(";")[0].strip().lower() != "application/json":
            raise ProblemError(415, "The body has to be JSON: Content-Type: application/json.")
        return bytes(self._body)

    def read_query(self, model: type[M]) -> M:
        """Return the parameters behind the question mark, of a request that is not too large."""
        if self._is_too_large:
            limit = self.service.settings.max_request_bytes
            raise ProblemError(413, f"The request is larger than {limit:,} bytes.")
        given: dict[str, Any] = {}
        for name in self.request.query_arguments.keys() - _JUPYTERS_OWN:
            values = self.get_query_arguments(name, strip=False)
            given[name] = values[0] if len(values) == 1 else values
        try:
            return model.model_validate(given)
        except ValidationError as error:
            raise field_problem(error) from None

    async def run(self, do: Callable[[], T]) -> T:
        """Do something in a thread, since it may block."""
        return await self.service.run(do)

    async def answer(self, status: int, model: BaseModel) -> None:
        """Send a model; written in a thread too, since a page of jobs may be long."""
        text = await self.service.run(model.model_dump_json)
        self.set_status(status)
        self.set_header("Cache-Control", "no-store")
        await self.finish(text)

    def job_path(self, job_id: str) -> str:
        """Return the address of a job."""
        return f"{self.base_url}propkit/api/batch-jobs/{job_id}"

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Send what went wrong as problem details."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(error, ProblemError):
            for name, value in error.headers.items():
                self.set_header(name, value)
        if status_code == 405:
            self.set_header("Allow", ", ".join(self._allowed()))
        if getattr(self, "_jupyter_current_user", None) is None and status_code == 403:
            error = None  # whatever else is missing, it begins with the login
        problem = describe(status_code, error, self.request.path)
        self.set_header("Cache-Control", "no-store")
        self.finish(problem.model_dump_json(exclude_none=True), set_content_type=MEDIA_TYPE)

    def log_exception(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Log a failure without what stands behind the question mark: it may hold the token."""
        where = f"{self.request.method} {self.request.path}"
        if isinstance(value, HTTPError):
            self.log.debug("%s: refused with %d", where, value.status_code)
        else:
            self.log.error("%s failed", where, exc_info=(typ, value, tb))  # type: ignore[arg-type]

    @classmethod
    def _allowed(cls) -> list[str]:
        unknown = RequestHandler._unimplemented_method  # noqa: SLF001 -- tornado's own mark
        return [name for name in METHODS if getattr(cls, name.lower()) is not unknown]
