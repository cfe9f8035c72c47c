"""What the panel for collecting shows: pure functions from facts to blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from propkit.items import State
from propkit.kinds import DATASETS, MODES, SEARCHES
from propkit.plan import Plan
from propkit.progress import Progress, SourceProgress
from propkit.widgets.faces import (
    Block,
    bar,
    box,
    button,
    check,
    facts,
    notify_switch,
    row,
    select,
    text,
)
from propkit.widgets.faces import (
    field as line,
)
from propkit.widgets.reach import Reach
from propkit.widgets.spelling import counted, properties, show_apn, show_seconds, spell

COLLECT_LABEL: Final = "Collect All Data"
ACTIVE_LABEL: Final = "Batch Collection Active…"
HANDING_OVER: Final = "A worker process takes the store over…"
COLLECT_TITLE: Final = "Collect complete property data for ALL visible search results"
IN_DIALOG: Final = frozenset(
    {"replan", "confirm", "fetch_anyway", "wait", "add", "restart", "start_collector"}
)
"""Actions that are offered only as long as a dialog is to be seen."""
_AGES: Final = (
    ("default", "each source's own"),
    ("1h", "1 hour"),
    ("24h", "24 hours"),
    ("7d", "7 days"),
    ("30d", "30 days"),
    ("0s", "always ask again"),
    ("never", "never ask again"),
)
_PRIORITIES: Final = ("critical", "high", "normal", "low")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What a person chose for a batch."""

    datasets: tuple[str, ...] = DATASETS
    mode: str = "auto"
    max_age: str = "default"
    priority: str = "high"
    is_background: bool = False

    @classmethod
    def read(cls, form: Mapping[str, Any]) -> Choices:
        """Return what stands in the form; what does not is the default."""
        plain = cls()
        return cls(
            datasets=tuple(name for name in DATASETS if form.get(f"dataset:{name}", True)),
            mode=str(form.get("mode", plain.mode)),
            max_age=str(form.get("max_age", plain.max_age)),
            priority=str(form.get("priority", plain.priority)),
            is_background=bool(form.get("is_background", plain.is_background)),
        )

    def options(self) -> dict[str, Any]:
        """Return what ``kit.plan`` takes."""
        return {
            "datasets": None if self.datasets == DATASETS else list(self.datasets),
            "mode": self.mode,
            "max_age": None if self.max_age == "never" else self.max_age,
            "priority": self.priority,
        }


def search_bar(query: str, by: str, said: str, *, rows: int, is_active: bool) -> list[Block]:
    """Return the search, what it found, and the button."""
    words = {"apn": "APN", "owner": "Owner", "address": "Address", "subdivision": "Subdivision"}
    return [
        row(
            line("query", "Search the county", query, action="search", placeholder="SMITH"),
            select("by", "by", by, [(name, words[name]) for name in SEARCHES]),
            button("Search", "search"),
            key="search",
        ),
        row(
            button(
                ACTIVE_LABEL if is_active else COLLECT_LABEL,
                "collect",
                look="primary",
                is_disabled=is_active,
                title=COLLECT_TITLE,
            ),
            text(said or properties(rows), look="faint", is_live=True),
            key="collect",
        ),
    ]


def plan_dialog(plan: Plan, choices: Choices, ages: str) -> Block:
    """Return the plan as a question: start it, change it, or leave it."""
    counts = plan.counts
    due = sum(counts.get(name, 0) for name in ("due", "incomplete"))
    pairs = [("To collect", f"{due:,}")]
    for name, label in [
        ("fresh", "Fresh, not asked again"),
        ("active", "In work in another batch, one request serves both"),
        ("over_budget", "Over the budget"),
        ("duplicate", "Duplicates"),
        ("invalid", "Not usable"),
    ]:
        if counts.get(name):
            shown = f"{counts[name]:,}{f' ({ages})' if name == 'fresh' and ages else ''}"
            pairs.append((label, shown))
    for host in {**plan.requests, **plan.follow_ups}:
        asked, extra = plan.requests.get(host, 0), plan.follow_ups.get(host, 0)
        more = f", up to {extra:,} more by what they answer" if extra else ""
        pairs.append((host, f"{counted(asked, 'request')}{more}"))
    pairs.append(("Estimated time", f"about {show_seconds(plan.minutes * 60)}"))
    pairs.append(("Credits", _credits(plan.credits, plan.follow_up_credits)))
    is_empty = not choices.datasets
    start = button(
        f"Collect {properties(due)}" if due else "Start",
        "confirm",
        look="primary",
        is_disabled=is_empty,
    )
    return box(
        f"Collect complete data for {properties(len(plan.entries))}?",
        facts(pairs),
        *[text(f"! {notice}", tone="red") for notice in plan.notices],
        row(
            select("max_age", "Fresh is younger than", choices.max_age, _AGES, action="replan"),
            select(
                "priority",
                "Priority",
                choices.priority,
                [(name, name.capitalize()) for name in _PRIORITIES],
                action="replan",
            ),
            select(
                "mode",
                "Ways in",
                choices.mode,
                [(name, spell(name)) for name in MODES],
                action="replan",
            ),
        ),
        row(
            *(
                check(
                    f"dataset:{name}", spell(name), value=name in choices.datasets, action="replan"
                )
                for name in DATASETS
            )
        ),
        *([text("Choose a table at least.", tone="red")] if is_empty else []),
        check(
            "is_background",
            "Process in background",
            value=choices.is_background,
            title="In a process of its own, which goes on when this kernel ends",
        ),
        row(start, button("Not now", "close")),
        tone="blue",
        key="dialog",
        role="dialog",
        escape="close",
    )


def question(title: str, words: str, *buttons: Block, tone: str = "yellow") -> Block:
    """Return a dialog that says something and offers what can be done."""
    shut = button("Close", "close")
    return box(
        title,
        text(words),
        row(*buttons, shut),
        tone=tone,
        key="dialog",
        role="dialog",
        escape="close",
    )


def no_results() -> Block:
    """Say that there is nothing to collect."""
    return question(
        "No search results",
        "There are no visible search results to collect. Search first, or clear the filter.",
    )


def all_current(plan: Plan, ages: str) -> Block:
    """Say that everything is fresh, why, and offer to fetch it all the same."""
    reasons = list(dict.fromkeys(entry.reason for entry in plan.entries if entry.reason))
    shown = "\n".join(reasons[:5]) + (f"\n… and {len(reasons) - 5} more" if reasons[5:] else "")
    why = f" ({ages})" if ages else ""
    return question(
        "Everything is current",
        f"None of the {len(plan.entries):,} properties has to be asked for{why}.\n{shown}",
        button("Fetch anyway", "fetch_anyway", look="primary"),
        tone="blue",
    )


def other_active(ids: Sequence[str]) -> Block:
    """Say that other batches run, and offer what can be done."""
    return question(
        "A batch is already active",
        f"{', '.join(ids)} is collecting. Batches share one pace, and what is in work is asked once.",
        button("Wait for it", "wait", look="primary"),
        button("Add to it", "add"),
        button("Cancel it and start", "restart", look="danger"),
    )


def paused() -> Block:
    """Say that the collector is paused, and offer to start it."""
    return question(
        "The collector is paused",
        "Collecting was stopped with kit.pause().",
        button("Start the collector", "start_collector", look="primary"),
    )


def progress_blocks(
    progress: Progress | None,
    reach: Reach,
    batch_id: str,
    *,
    is_cancelling: bool = False,
    is_brief: bool = False,
    is_over: bool = False,
) -> list[Block]:
    """Return how far a batch is; brief is without the bars of its sources."""
    said = f"{reach.verbs[is_over]} {reach.words} ({reach.percent} %)"
    cancel = button(
        "Cancelling…" if is_cancelling else "Cancel",
        "cancel",
        look="danger",
        is_disabled=is_cancelling,
        title="Stop asking; everything fetched is kept",
        rest={"method": "POST", "path": f"propkit/api/batch-jobs/{batch_id}/cancel"},
    )
    blocks = [
        text(said, look="strong", css="propkit-said", is_live=True),
        bar(
            "All",
            word=f"{reach.percent} %",
            tone="blue",
            value=reach.ended,
            most=reach.total,
            numbers=_times(progress),
            css="propkit-total",
        ),
    ]
    if progress is not None and not is_brief:
        elapsed = progress.elapsed_seconds
        is_complete = progress.state == "completed"
        blocks += [
            _source_bar(one, elapsed, is_over=is_over, is_complete=is_complete)
            for one in progress.sources
        ]
        blocks.append(text(_counts(progress), look="faint", css="propkit-counts"))
    if is_brief:
        blocks.append(
            text(
                f"Batch {batch_id} runs in a process of its own, also when this kernel ends;"
                " kit.jobs() shows it.",
                look="faint",
            )
        )
    if not is_over:
        blocks.append(row(cancel, notify_switch()))
    return [box("", *blocks, tone="blue", key="progress", css="propkit-progress-box")]


def _judge(source: SourceProgress, *, is_over: bool, is_complete: bool) -> tuple[str, str]:
    """Return the word and the tone of a source."""
    if source.stopped:
        return "stopped", "red"
    if is_over:
        # Of a batch that stopped short, a source without work may only not have come to it.
        is_whole = source.ended == source.total and (source.total > 0 or is_complete)
        is_whole = is_whole and not (source.failed or source.replaced)
        return ("finished", "green") if is_whole else ("ended", "yellow")
    if source.ended >= source.total:
        return "all so far", "blue"  # others may still find more for it
    if source.rest:
        return "left alone", "yellow"
    return "collecting", "yellow" if source.failed or source.replaced else "blue"


def _source_bar(
    source: SourceProgress, elapsed: float, *, is_over: bool, is_complete: bool
) -> Block:
    word, tone = _judge(source, is_over=is_over, is_complete=is_complete)
    parts = [f"{source.ended:,} of {source.total:,}", counted(source.requests, "request")]
    if elapsed >= 1:
        parts.append(f"{source.requests / elapsed:.1f}/s")
    if source.refused:
        parts.append(f"{source.refused:,} refused")
    if source.failed:
        parts.append(f"{source.failed:,} failed")
    if source.replaced:
        parts.append(f"{source.replaced:,} to a second way")
    if source.cancelled:
        parts.append(f"{source.cancelled:,} cancelled")
    if source.doubt:
        parts.append(source.doubt)
    left = _seconds_left(source, elapsed)
    if source.rest and not is_over:
        parts.append(source.rest)
    elif left is not None and not is_over:
        parts.append(f"{show_seconds(left)} to go")
    return bar(
        spell(source.source),
        word=word,
        tone=tone,
        value=source.ended,
        most=source.total,
        numbers=", ".join(parts),
    )


def _counts(progress: Progress) -> str:
    counts = progress.counts
    shown = [
        f"{counts.get(State.DONE, 0) - progress.partial:,} done",
        f"{progress.partial:,} partial",
        f"{counts.get(State.NOT_FOUND, 0):,} not found",
        f"{counts.get(State.FAILED, 0):,} failed",
        f"{counts.get(State.SKIPPED, 0):,} skipped",
    ]
    if counts.get(State.CANCELLED):
        shown.append(f"{counts[State.CANCELLED]:,} cancelled")
    if progress.replaced:
        shown.append(f"{progress.replaced:,} of these by a second way")
    if progress.current and progress.state == "running":
        shown.append(f"in work: {show_apn(progress.current)}")
    return " · ".join(shown)


def _times(progress: Progress | None) -> str:
    if progress is None:
        return ""
    elapsed = progress.elapsed_seconds
    # A parcel is at its end when the slowest source has answered.
    left = [_seconds_left(source, elapsed) for source in progress.sources]
    known = [seconds for seconds in left if seconds is not None]
    # One that is left alone takes as long as it is down.
    is_known = known and not any(source.rest for source in progress.sources)
    to_go = f", about {show_seconds(max(known))} to go" if is_known else ""
    return f"{show_seconds(elapsed)}{to_go if progress.state == 'running' else ''}"


def _seconds_left(source: SourceProgress, elapsed: float) -> float | None:
    """Return how long a source goes on at its pace until now; None where nothing says it."""
    if not source.ended or source.ended >= source.total or elapsed < 1:
        return None
    return (source.total - source.ended) * elapsed / source.ended


def _credits(planned: Decimal, further: Decimal) -> str:
    more = f", up to {further.normalize():f} more" if further else ""
    return f"{planned.normalize():f}{more}" if planned or further else "none"
