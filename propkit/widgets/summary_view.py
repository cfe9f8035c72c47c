"""What the panel says of a batch that has ended: pure functions from a report to blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from propkit.runtime.report import BatchReport
from propkit.widgets.faces import Block, box, button, details, facts, row, table, text
from propkit.widgets.reach import Reach
from propkit.widgets.spelling import show_apn, show_seconds, spell

_MOST_FAILURES: Final = 100
ADVICE: Final = {
    "unavailable": "the office was down or refused: retry later",
    "timeout": "the office did not answer in time: retry later",
    "blocked": "the office shows a captcha or a login, or forbids robots: ask the county, then retry",
    "rejected": "the token is missing or refused: set it, then retry",
    "invalid_answer": "the answer was cut, empty or wrong: retry",
    "layout_changed": "propkit does not know this page: a retry will not help; report it with its"
    " evidence",
    "unsettled": "it may be paid for: kit.settle() finds out, then go on",
    "budget": "the credits or requests of the run are spent: go on, or raise the limit",
    "cancelled": "cancelled before the answer came: retry",
}
"""What can be done, by failure class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """What the summary shows besides the report."""

    evidence: Mapping[str, str] = field(default_factory=dict)
    is_evidence_shown: bool = False
    workbook: str | None = None
    left_out: str = ""


def summary_block(report: BatchReport, reach: Reach, extras: Extras) -> Block:
    """Return what a batch that has ended did, with what can be done next."""
    tone, title = _outcome(report, reach)
    totals = report.totals
    blocks = [facts(_pairs(report, extras))]
    if extras.left_out:
        blocks.append(text(extras.left_out, tone="yellow"))
    if report.error:
        blocks.append(text(report.error, tone="red"))
    blocks += _failures(report) + _second_ways(report)
    if extras.is_evidence_shown:
        blocks += _evidence(report, extras.evidence)
    buttons = []
    if report.failures:
        buttons.append(button("Retry failed", "retry", look="primary"))
    if totals.get("waiting") or totals.get("cancelled"):
        buttons.append(button("Go on with the rest", "resume"))
    buttons.append(button("Export to Excel", "export"))
    if report.failures and not extras.is_evidence_shown:
        buttons.append(button("Show evidence", "evidence"))
    return box(title, *blocks, row(*buttons), tone=tone, key="summary", css="propkit-summary")


def _pairs(report: BatchReport, extras: Extras) -> list[tuple[str, str]]:
    """Return what the batch came to, in names and words."""
    fetched = ", ".join(f"{count:,} {spell(name).lower()}" for name, count in report.totals.items())
    bought = report.purchased
    pairs = [("Answers" if bought is None else "Pages", fetched or "none")]
    if report.duration_seconds is not None:
        pairs.append(("Time", show_seconds(report.duration_seconds)))
    pairs.append(("Requests", f"{report.requests:,}, {report.refused:,} refused"))
    pairs.append(("Batch", report.batch_id))
    if bought is not None:
        cost = f"{bought.charged:,} leads, {bought.cost:,.2f} USD beyond the quota"
        pairs.append(("Charged", cost))
        if bought.unsettled:
            pairs.append(("Unsettled", f"{bought.unsettled:,} leads: kit.settle()"))
        if bought.lost:
            pairs.append(("Paid for, never arrived", f"{bought.lost:,} leads"))
    if report.not_usable:
        pairs.append(("Not usable", f"{len(report.not_usable):,}"))
    if extras.workbook:
        pairs.append(("Workbook", extras.workbook))
    return pairs


def _outcome(report: BatchReport, reach: Reach) -> tuple[str, str]:
    done = reach.words
    failed = len({one.apn or one.key for one in report.failures})
    also = f", {failed:,} with failures" if failed else ""
    if report.state == "cancelled":
        return "yellow", f"Cancelled after {done}{also}; everything fetched is kept"
    if report.state in ("paused", "interrupted"):
        said = f"{report.state.capitalize()} after {done}{also}"
        return "yellow", f"{said}; the rest can be gone on with"
    if report.state == "failed":
        return "red", f"The batch failed after {done}{also}"
    if failed:
        left = "pages failed" if reach.is_of_leads else "of them not in full"
        return "red", f"{reach.verbs[1]} {done}, {failed:,} {left}"
    return "green", f"{reach.verbs[1]} {done}"


def _failures(report: BatchReport) -> list[Block]:
    rows = [
        (
            show_apn(one.apn or one.key),
            spell(one.source),
            spell(one.failure_class or "unknown"),
            one.error or "",
            f"{one.attempts}",
        )
        for one in report.failures[:_MOST_FAILURES]
    ]
    head = ["APN", "Source", "Failure", "What happened", "Tries"]
    if not rows:
        return []
    classes = dict.fromkeys(one.failure_class for one in report.failures)
    advice = [f"{spell(one)}: {ADVICE[one]}." for one in classes if one in ADVICE]
    shown = [text("\n".join(advice), css="propkit-advice")] if advice else []
    return [table("Failures", head, rows, key="failures"), *shown]


def _second_ways(report: BatchReport) -> list[Block]:
    rows = [
        (show_apn(one.apn or one.key), spell(one.source), one.note)
        for one in report.replaced[:_MOST_FAILURES]
    ]
    title = f"By a second way ({len(report.replaced):,})"
    shown = table(title, ["APN", "Source", "How it came"], rows, key="second_ways")
    return [details(title, shown)] if rows else []


def _evidence(report: BatchReport, kept: Mapping[str, str]) -> list[Block]:
    blocks = []
    for one in report.failures[:_MOST_FAILURES]:
        name = f"{spell(one.source)} {show_apn(one.apn or one.key)}"
        where = f"{one.evidence_url or 'no address'}: HTTP {one.evidence_status}"
        if one.evidence_sha256 is None:
            where = "No answer was kept."
        body = kept.get(f"{one.source} {one.key}")
        shown = [text(where, look="faint"), *([text(body, look="code")] if body else [])]
        blocks.append(details(name, *shown))
    return blocks
