"""What a run over a listing sheet did: the counts, one result a row, and one line for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from propkit.notices import Notice

if TYPE_CHECKING:
    import pandas as pd

Outcome = Literal["posted", "failed", "unknown", "skipped", "not_reached", "ready"]

OUTCOMES: Final[dict[str, str]] = {
    "posted": "published, with a proof",
    "failed": "certainly not published; mode new takes it again",
    "unknown": "may be published, nobody could tell: needs a person",
    "skipped": "was not to be posted: posted already, or its status is none of mode new",
    "not_reached": "the run was interrupted or stopped before",
    "ready": "in a dry run: everything but the last click worked",
}
"""What can come of a row, and what it means."""

_COUNTS: Final = (
    "success",
    "total_records",
    "successful_posts",
    "failed_posts",
    "skipped_records",
    "results",
    "message",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowResult:
    """What came of one row.

    ``row`` is its number in the file, from 1, or its label in the frame's index. ``status`` is the
    text of the sheet's status; ``posted_at`` is aware UTC; ``attempt`` counts over all runs.
    ``reason`` says why a row was skipped, or how it is known to be posted.
    """

    row_key: str
    row: str
    outcome: Outcome
    status: str = ""
    url: str | None = None
    posted_at: datetime | None = None
    attempt: int = 0
    error: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostingReport(Mapping[str, Any]):
    """What a run did; also a mapping of its first seven fields.

    ``successful_posts + failed_posts + skipped_records == total_records``, all rows of the sheet:
    rows that need a person count as failed, rows that were not reached, and those that a dry run
    found ready, as skipped. ``success``: nothing failed, nothing needs a person, and every row that
    was to be posted was reached; so also where nothing was to be done, which ``message`` says.

    ``state`` is ``completed``, ``interrupted`` (Interrupt, Ctrl+C) or ``stopped`` (a person is
    needed). ``is_saved`` is False where the sheet has not got all statuses: they are kept in the
    ledger and written by the next run. ``seconds`` is how long it took.
    """

    success: bool
    total_records: int
    successful_posts: int
    failed_posts: int
    skipped_records: int
    results: tuple[RowResult, ...]
    message: str
    state: str
    is_saved: bool
    is_dry_run: bool
    seconds: float
    run_id: str

    def __getitem__(self, name: str) -> Any:
        if name not in _COUNTS:
            raise KeyError(name)
        return getattr(self, name)

    def __iter__(self) -> Iterator[str]:
        return iter(_COUNTS)

    def __len__(self) -> int:
        return len(_COUNTS)

    def __str__(self) -> str:
        return self.message

    def counts(self) -> dict[str, int]:
        """Return how many rows had each outcome, those that occur."""
        seen = [result.outcome for result in self.results]
        return {outcome: seen.count(outcome) for outcome in OUTCOMES if outcome in seen}

    @property
    def needs_person(self) -> tuple[str, ...]:
        """The keys of the rows that only a person can tell of."""
        return tuple(one.row_key for one in self.results if one.outcome == "unknown")

    def frame(self) -> pd.DataFrame:
        """Return one row a row of the sheet, in its order: a range index.

        Columns: those of :class:`RowResult`; text, ``attempt`` int64, ``posted_at`` UTC.
        """
        import pandas as pd

        names = list(RowResult.__dataclass_fields__)
        data = {name: [asdict(one)[name] for one in self.results] for name in names}
        dtypes = {"attempt": "int64[pyarrow]", "posted_at": "timestamp[us, tz=UTC][pyarrow]"}
        return pd.DataFrame(
            {
                name: pd.Series(values, dtype=dtypes.get(name, "string[pyarrow]"))
                for name, values in data.items()
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PostingNotice(Notice):
    """The end of a run over a listing sheet; ``message`` is the report's."""

    message: str

    @property
    def title(self) -> str:
        """What happened, in one line."""
        return f"propkit: {self.message}"

    @property
    def text(self) -> str:
        """What happened, in a few lines."""
        return f"{self.message}\n\nThe run took {self.seconds:.0f} s.\n"


def make_report(
    results: Sequence[RowResult],
    *,
    sheet: str,
    state: str,
    stopped_by: str,
    trouble: str,
    notes: Mapping[str, int],
    callback_error: str,
    is_dry_run: bool,
    seconds: float,
    run_id: str,
) -> PostingReport:
    """Count and say what came of a run."""
    seen = [result.outcome for result in results]
    posted = seen.count("posted")
    failed = seen.count("failed") + seen.count("unknown")
    ready, unreached = seen.count("ready"), seen.count("not_reached")
    skipped = len(results) - posted - failed
    parts = [f"{sheet}: dry run, {ready} ready" if is_dry_run else f"{sheet}: {posted} posted"]
    if not posted and not ready and not failed and not unreached:
        parts = [f"{sheet}: nothing to do"]
    if failed:
        parts.append(f"{seen.count('failed')} failed")
    if unknown := seen.count("unknown"):
        parts.append(f"{unknown} need a person")
    parts.append(f"{seen.count('skipped')} skipped")
    if unreached:
        parts.append(f"{unreached} not reached ({state})")
    message = ", ".join(parts)
    told = [f"rows {note}: {count}" for note, count in notes.items()]
    for what in (stopped_by, trouble, *told, callback_error):
        message += f"; {what}" if what else ""
    return PostingReport(
        success=not failed and not unreached and state == "completed",
        total_records=len(results),
        successful_posts=posted,
        failed_posts=failed,
        skipped_records=skipped,
        results=tuple(results),
        message=message,
        state=state,
        is_saved=not trouble,
        is_dry_run=is_dry_run,
        seconds=round(seconds, 3),
        run_id=run_id,
    )
