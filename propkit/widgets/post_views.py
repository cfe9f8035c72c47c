"""What the panel for posting shows: pure functions from what is known to blocks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from propkit.posting.preparing import Job
from propkit.posting.report import RowResult
from propkit.widgets.faces import (
    Block,
    bar,
    box,
    button,
    check,
    facts,
    field,
    row,
    select,
    table,
    text,
)
from propkit.widgets.status_grid import Column
from propkit.widgets.statuses import Status

COLUMNS: Final = (
    Column(name="row", label="Row", width=60),
    Column(name="key", label="Key", width=90),
    Column(name="title", label="Title", width=200),
    Column(name="price", label="Price", kind="number", width=90),
    Column(name="images", label="Photos", kind="number", width=70),
    Column(name="status", label="Posting", kind="status", width=138),
    Column(name="said", label="Says", width=260),
    Column(name="url", label="Address", width=220),
)

POSTING_STATUSES: Final[dict[str, Status]] = {
    "unknown": Status(
        word="Needs a person", sign="?", tone="red", title="May be published; nobody could tell"
    ),
    "failed": Status(word="Failed", sign="✗", tone="red", title="Certainly not published"),
    "faulty": Status(
        word="Faulty", sign="!", tone="red", title="The row cannot be posted as it is"
    ),
    "look": Status(
        word="In doubt", sign="◑", tone="yellow", title="May be published: it is looked for first"
    ),
    "post": Status(word="To post", sign="…", tone="yellow", title="It will be posted"),
    "not_reached": Status(word="Not reached", sign="⊘", tone="grey", title="The run ended before"),
    "skipped": Status(word="Left out", sign="○", tone="grey", title="Posted already, or not asked"),
    "ready": Status(
        word="Ready", sign="●", tone="blue", title="All but the last click worked in a dry run"
    ),
    "posted": Status(word="Posted", sign="✓", tone="green", title="Published, with a proof"),
}
"""By outcome or decision, in the order in which the table sorts them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What a person has chosen: the sheet's path, the mode, and whether it is a dry run."""

    sheet: str = ""
    mode: str = "new"
    is_dry_run: bool = True

    @classmethod
    def read(cls, form: Mapping[str, Any], before: Choices) -> Choices:
        """Return what stands in a form; what is not in it is as it was before."""
        return cls(
            sheet=str(form.get("sheet", before.sheet)).strip(),
            mode=str(form.get("mode", before.mode)),
            is_dry_run=bool(form.get("is_dry_run", before.is_dry_run)),
        )


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a run is: rows that ended, of those that are to be done."""

    ended: int
    total: int


def judge(job: Job) -> tuple[str, str]:
    """Return a row's status before a run, and why."""
    if job.decision.action == "skip":
        return "skipped", job.decision.reason
    if job.checked.faults and job.decision.is_wanted:
        return "faulty", "; ".join(job.checked.faults)
    return job.decision.action, job.decision.reason


def make_row(job: Job) -> list[Any]:
    """Return a row of the table before a run."""
    listing = job.checked.listing
    status, why = judge(job)
    why = "; ".join(filter(None, (why, *job.notes)))
    price = None if listing.price is None else float(listing.price)
    return [
        job.row.label, job.key, listing.title, price, len(listing.images), status, why,
        job.status.url or "",
    ]  # fmt: skip


def sheet_bar(choices: Choices, said: str, *, is_active: bool) -> list[Block]:
    """Return where the sheet is chosen, and how it is posted."""
    modes = [("new", "What is new or failed"), ("all", "Every row without a proof")]
    return [
        row(
            field(
                "sheet", "Listing sheet", choices.sheet, action="look", placeholder="trucks.xlsx"
            ),
            select("mode", "Rows", choices.mode, modes, action="look"),
            check(
                "is_dry_run",
                "Dry run",
                value=choices.is_dry_run,
                action="look",
                title="Everything but the last click; nothing is written",
            ),
            button("Look", "look", is_disabled=is_active, title="Read and check the sheet"),
            key="sheet",
        ),
        *([text(said, css="propkit-said", is_live=True)] if said else []),
    ]


def preview(jobs: Sequence[Job], choices: Choices) -> Block:
    """Return what a run would do, and the button that begins it."""
    counts = Counter(judge(job)[0] for job in jobs)
    names = [
        ("post", "To post"),
        ("look", "In doubt, looked for first"),
        ("faulty", "Faulty, not posted"),
        ("skipped", "Left out"),
    ]
    count = counts["post"] + counts["look"]
    rows = f"{count:,} listing{'' if count == 1 else 's'}"
    label = f"Try {rows} without the last click" if choices.is_dry_run else f"Post {rows}"
    go = button(label, "start", look="primary", is_disabled=not count)
    pairs = [(spelt, f"{counts[name]:,}") for name, spelt in names if counts[name]]
    return box(
        "What is to be done", facts(pairs), row(go, button("Not now", "close")),
        tone="blue", key="preview", role="dialog", escape="close",
    )  # fmt: skip


def progress(reach: Reach, line: str, *, is_cancelling: bool) -> Block:
    """Return how far a run is, and the button that ends it."""
    return box(
        "Posting",
        bar(
            "Rows", word="in work", tone="yellow", value=reach.ended, most=max(reach.total, 1),
            numbers=f"{reach.ended:,} of {reach.total:,}",
        ),
        text(line, css="propkit-line", is_live=True),
        button(
            "Cancelling…" if is_cancelling else "Cancel", "cancel", look="danger",
            is_disabled=is_cancelling, title="End after what is sent already; all is kept",
        ),
        key="progress",
    )  # fmt: skip


def person_needed(words: str) -> Block:
    """Say what only a person can do now."""
    return box("A person is needed", text(words), tone="red", key="person", role="alert")


def summary(
    message: str,
    results: Sequence[RowResult],
    evidence: Mapping[str, Path],
    *,
    is_open: bool,
    is_cancelled: bool,
) -> Block:
    """Return what came of a run, and what failed, with its pictures' files, when asked for."""
    blocks = [text(message, look="strong", css="propkit-report")]
    keys = failed_keys(results)
    failed = [one for one in results if one.row_key in keys]
    if failed and not is_open:
        blocks.append(button("Show evidence", "evidence"))
    if failed and is_open:
        cells = [[one.row_key, one.error, _picture(evidence.get(one.row_key))] for one in failed]
        blocks.append(table("What failed", ["Key", "Why", "Picture"], cells, key="evidence"))
    title, tone = ("Cancelled", "yellow") if is_cancelled else ("Done", "green")
    return box(title, *blocks, tone="red" if failed else tone, key="summary")


def failed_keys(results: Iterable[RowResult]) -> set[str]:
    """Return the keys of the rows that failed or need a person."""
    return {one.row_key for one in results if one.outcome in ("failed", "unknown")}


def _picture(path: Path | None) -> str:
    return "none" if path is None else str(path)
