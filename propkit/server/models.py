"""What goes over HTTP: each model checks what comes, or says what is sent, and documents it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

if TYPE_CHECKING:
    from propkit.store.jobs import Health, Job, LogPage

Kind = Literal["comprehensive", "taxes", "sales_and_documents", "validation", "search", "enhance"]
JobKind = Literal[Kind, "leads", "area"]
"""What else runs in the store, ordered in a notebook, is listed with the other jobs."""
Dataset = Literal[
    "parcels",
    "residences",
    "improvements",
    "valuations",
    "tax_bills",
    "tax_payments",
    "sales",
    "documents",
]
State = Literal["PENDING", "PROCESSING", "COMPLETED", "FAILED", "CANCELLED"]
FailureClass = Literal[
    "unavailable",
    "timeout",
    "blocked",
    "rejected",
    "invalid_answer",
    "layout_changed",
    "unsettled",
    "budget",
    "cancelled",
]
Identifier = Annotated[
    str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")
]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Age = Annotated[
    str, StringConstraints(pattern=r"^(default|never|[0-9]{1,6}(\.[0-9]{1,3})?(s|m|min|h|d|w))$")
]
Seconds = Annotated[float, Field(ge=0, le=10**9, allow_inf_nan=False)]
Cap = Annotated[int, Field(ge=1, le=10**9)]
Page = Annotated[int, Field(ge=1, le=10**9)]
Number = Annotated[int, Field(ge=1, le=10**9)]
PerPage = Annotated[int, Field(ge=1, le=200)]


class _Asked(BaseModel):
    """What a client sends: nothing is guessed, and nothing unknown is let through."""

    model_config = ConfigDict(extra="forbid")


class JobOrder(_Asked):
    """A batch job to be made; the options are those of ``kit.plan`` and ``kit.start``."""

    model_config = ConfigDict(extra="forbid", strict=True)

    identifiers: list[Identifier] = Field(
        min_length=1,
        max_length=100_000,
        description="APNs as people write them; what to search for where the kind is search.",
        examples=[["342-05-092", "34205094"]],
    )
    kind: Kind = "comprehensive"
    datasets: list[Dataset] | None = Field(
        default=None,
        min_length=1,
        description="Tables to collect, for the kinds comprehensive and enhance; null is all.",
    )
    mode: Literal["auto", "api", "browser", "api_then_browser", "all"] = "auto"
    max_age: Age | Seconds | None = Field(
        default="default",
        description="What is younger is not asked for again: a duration (24h), seconds, 0 (always"
        " ask), null (never again), or default (each source's own).",
    )
    priority: Literal["critical", "high", "normal", "low"] | None = None
    budget: Annotated[float, Field(ge=0, le=10**9, allow_inf_nan=False)] | None = Field(
        default=None, description="Most credits that paid sources may charge."
    )
    by: Literal["apn", "owner", "address", "subdivision"] | None = Field(
        default=None, description="What the kind search searches by; null is owner."
    )
    workers: Annotated[int, Field(ge=1, le=100)] | None = None
    strategy: Literal["parallel", "hybrid", "sequential"] | None = None
    profile: Literal["conservative", "balanced", "fast", "auto"] | None = None
    batch_size: Cap | None = None
    max_requests: Cap | Annotated[dict[Name, Cap], Field(max_length=50)] | None = Field(
        default=None, description="Most requests of one run: at each host, or by host or source."
    )
    stale_ok: bool | None = None

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        if self.by is not None and self.kind != "search":
            raise ValueError("by belongs to the kind search")
        if self.datasets is not None and self.kind not in ("comprehensive", "enhance"):
            raise ValueError(f"the kind {self.kind} has tables of its own: leave datasets out")
        return self

    def options(self) -> dict[str, Any]:
        """Return what ``kit.plan`` takes, by name."""
        names = ("kind", "datasets", "mode", "max_age", "priority", "budget", "by")
        return {name: getattr(self, name) for name in names}

    def run_options(self) -> dict[str, Any]:
        """Return what ``kit.start`` takes besides, by name."""
        names = ("workers", "strategy", "profile", "batch_size", "max_requests", "stale_ok")
        return {name: getattr(self, name) for name in names}


class RetryOrder(_Asked):
    """Which of the failed items are to be collected again."""

    model_config = ConfigDict(extra="forbid", strict=True)

    only: FailureClass | None = Field(default=None, description="Only this failure class.")


class JobQuery(_Asked):
    """Which jobs are listed."""

    status: State | None = Field(default=None, description="Only jobs in this state.")
    created_by: Name | None = Field(default=None, description="Only this user's jobs.")
    kind: JobKind | None = Field(default=None, description="Only this kind of job.")
    up_to: Number | None = Field(
        default=None,
        description="Only jobs up to this number: what comes meanwhile moves no page.",
    )
    page: Page = Field(default=1, description="From 1 up.")
    per_page: PerPage | None = Field(default=None, description="How many a page has; 50.")


class LogQuery(_Asked):
    """Which part of a log is listed."""

    page: Page = Field(default=1, description="From 1 up.")
    per_page: PerPage | None = Field(default=None, description="How many a page has; 50.")


class NoQuery(_Asked):
    """No parameters at all."""


class _Told(BaseModel):
    """What is sent to a client."""

    model_config = ConfigDict(extra="forbid", frozen=True, from_attributes=True)


class JobModel(_Told):
    """A batch job. Times are UTC.

    ``processed`` items have ended, of them ``success_count`` well and ``error_count`` not. Where a
    second way was asked in place of an item that failed, only the second way's item counts;
    ``error_details`` tells of the other, under ``replaced``. ``notices`` say what stood in the way
    when the job was made: a token that is not set, or was refused, and how it is set.
    """

    id: str
    number: int
    kind: str
    state: State
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
    notices: list[str]

    @classmethod
    def of(cls, job: Job, *, is_listed: bool = False) -> JobModel:
        """Return a job as it is sent; a list leaves out which identifiers were not usable."""
        criteria = dict(job.criteria)
        if is_listed:
            criteria.pop("not_usable", None)
        if criteria.get("export_to"):
            # Where it stands on this computer is nobody's business.
            criteria["export_to"] = PurePath(criteria["export_to"]).name
        notices = criteria.pop("notices", [])
        given = {name: getattr(job, name) for name in cls.model_fields if name != "notices"}
        return cls(**{**given, "criteria": criteria, "notices": notices})


class JobList(_Told):
    """A page of jobs, the newest first; ``total`` are all that fit the filters."""

    jobs: list[JobModel]
    total: int
    page: int
    per_page: int


class LogEntryModel(_Told):
    """A line of a job's log. ``logged_at`` is UTC."""

    logged_at: datetime
    level: str
    event: str | None
    source: str | None
    key: str | None
    seconds: float | None
    message: str


class LogList(_Told):
    """A page of a log, the oldest entry first; ``total`` are all entries."""

    entries: list[LogEntryModel]
    total: int
    page: int
    per_page: int

    @classmethod
    def of(cls, page: LogPage) -> LogList:
        """Return a page as it is sent."""
        entries = [LogEntryModel(**asdict(entry)) for entry in page.entries]
        return cls(entries=entries, total=page.total, page=page.page, per_page=page.per_page)


class HealthModel(_Told):
    """How the queue is: ``good``, or ``stuck`` where a job runs without a sign of life.

    ``stuck`` and ``failed_today`` (of the last 24 hours) are job ids.
    """

    status: Literal["good", "stuck"]
    pending_jobs: int
    processing_jobs: int
    waiting_items: int
    oldest_waiting_at: datetime | None
    stuck: list[str]
    failed_today: list[str]

    @classmethod
    def of(cls, health: Health) -> HealthModel:
        """Return the health as it is sent."""
        return cls(status="good" if health.is_good else "stuck", **asdict(health))


class SourceModel(_Told):
    """How far one source is; ``stopped`` says why it is not asked any more.

    In place of the ``replaced`` items, which failed and have ended here, a second way is asked.
    So many answers are ``kept_back`` until it is clear why they are ``lacking`` what the source
    has nearly always given: tables, or columns of theirs.
    """

    source: str
    total: int
    ended: int
    failed: int
    requests: int
    refused: int
    requests_per_second: float
    stopped: str | None
    replaced: int
    kept_back: int
    lacking: tuple[str, ...]


class EventModel(_Told):
    """How far a job is; ``sources`` is empty where it does not run."""

    id: str
    state: State
    total: int
    processed: int
    success_count: int
    error_count: int
    elapsed_seconds: float | None = None
    eta_seconds: float | None = None
    sources: list[SourceModel] = Field(default_factory=list)

    @property
    def event_id(self) -> str:
        """What tells this state from others: a client that has seen it is not told again."""
        counts = (self.processed, self.success_count, self.error_count, self.total)
        return "-".join([self.state, *map(str, counts)])

    @property
    def is_last(self) -> bool:
        """Whether nothing follows: the job has ended, or waits until somebody goes on with it."""
        return self.state not in ("PENDING", "PROCESSING")


class FieldError(_Told):
    """What is wrong with one field; its path is written with dots: ``identifiers.0``."""

    field: str
    detail: str


class ProblemModel(_Told):
    """What went wrong (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    instance: str
    errors: list[FieldError] | None = Field(default=None, description="By field, for 422.")
    job: str | None = Field(default=None, description="The id of the job that is in the way.")
