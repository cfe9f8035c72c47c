"""What a batch did: counts, failures with their evidence, requests, bytes and times."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from propkit.items import Item
from propkit.store import Reading
from propkit.store.batches import count_items, read_head, read_items
from propkit.store.purchases import Purchased, read_purchased
from propkit.store.statistics import (
    Failure,
    SlowOperation,
    SourceStatistics,
    failures,
    slow_operations,
    source_statistics,
)

if TYPE_CHECKING:
    import pandas as pd

REPLACED = "replaced"
"""The outcome of an item that failed and does not count: a second way was asked in its place."""
COUNTED = ("done", "partial", "not_found", "failed", "waiting", "cancelled", "skipped")
OUTCOMES = (*COUNTED, REPLACED)
_MOST_SLOW = 20
_FAILURE = [name for name in Failure.__dataclass_fields__ if not name.startswith(REPLACED)]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchReport:
    """What a batch did. ``counts`` is items by source and outcome; times are aware UTC.

    A parcel counts once at each office, by its best way: where a source failed and a second way was
    asked, that one's outcome counts, and the first one's item is ``replaced``.

    ``failures`` are the items that failed, each with its error and the answer that is kept as
    evidence; ``replaced`` are the same of those in whose place a second way was asked, whatever it
    came to; ``partial`` those that are done with tables missing; ``stale`` those whose older
    record was kept because the source was down; ``over_budget`` those that were never asked for,
    since the budget of the plan did not pay for them. ``not_usable`` are the identifiers that were
    no APN, with the reason. ``sources`` has requests, bytes and seconds, over all runs of the batch;
    ``slow`` the operations that took longest; ``robots_ignored`` those whose robots.txt was not
    obeyed, since the settings said so. Of a batch that buys leads, whose items are pages,
    ``purchased`` says how many leads were bought and what they cost; None of every other.
    """

    batch_id: str
    kind: str
    state: str
    counts: Mapping[str, Mapping[str, int]]
    failures: tuple[Failure, ...]
    partial: tuple[Item, ...]
    stale: tuple[Item, ...]
    over_budget: tuple[Item, ...]
    not_usable: Mapping[str, str]
    error: str | None
    started_at: datetime | None
    completed_at: datetime | None
    sources: tuple[SourceStatistics, ...]
    slow: tuple[SlowOperation, ...]
    robots_ignored: tuple[str, ...] = ()
    replaced: tuple[Failure, ...] = ()
    purchased: Purchased | None = None

    @property
    def is_complete(self) -> bool:
        """Whether everything asked for is at hand and up to date.

        No failure, no part missing, no older record in its place, nothing beyond the budget, no
        identifier unusable.
        """
        unfinished = sum(
            counted.get(outcome, 0)
            for counted in self.counts.values()
            for outcome in ("failed", "partial", "waiting", "cancelled")
        )
        is_whole = not (unfinished or self.stale or self.over_budget or self.not_usable)
        return self.state == "completed" and is_whole

    @property
    def totals(self) -> dict[str, int]:
        """Items by outcome, over all sources; those that were replaced count no more."""
        totals: Counter[str] = Counter()
        for counted in self.counts.values():
            totals.update(counted)
        return {outcome: totals[outcome] for outcome in COUNTED if totals[outcome]}

    @property
    def failure_classes(self) -> dict[str, int]:
        """Failed items by failure class; those that were replaced count no more."""
        return dict(Counter(failure.failure_class or "unknown" for failure in self.failures))

    @property
    def duration_seconds(self) -> float | None:
        """From the first start to the last end; None while it was not ended."""
        if self.started_at is None or self.completed_at is None:
            return None
        return (self.completed_at - self.started_at).total_seconds()

    @property
    def items_per_second(self) -> float | None:
        """Items that were asked for, by the duration."""
        ran = sum(self.totals.get(outcome, 0) for outcome in ("done", "partial", "not_found"))
        ran += self.totals.get("failed", 0)
        return ran / self.duration_seconds if self.duration_seconds else None

    @property
    def requests(self) -> int:
        """Requests sent."""
        return sum(source.requests for source in self.sources)

    @property
    def refused(self) -> int:
        """Requests that a host refused (429, 503)."""
        return sum(source.refused for source in self.sources)

    @property
    def received_bytes(self) -> int:
        """Bytes of all answers."""
        return sum(source.bytes for source in self.sources)

    @property
    def cache_hits(self) -> int:
        """Items that cost no request: fresh ones, and those that another batch was asking for."""
        return sum(source.fresh + source.joined for source in self.sources)

    def frame(self) -> pd.DataFrame:
        """Return one row a source: index source (text).

        Columns: an int64 for each outcome, then requests, refused, received_bytes and cache_hits
        (int64), seconds_p50 and seconds_p95 of an item (float64; NaN where none ran). Of a batch
        that buys leads, too: leads, leads_expected, leads_charged, leads_unsettled, leads_lost (int64) and cost
        (USD, a Decimal); see :class:`propkit.store.purchases.Purchased`.
        """
        import pandas as pd

        figures = {source.source: source for source in self.sources}
        rows = []
        for name, counted in self.counts.items():
            row: dict[str, float | None] = {o: counted.get(o, 0) for o in OUTCOMES}
            found = figures.get(name)
            row["requests"] = found.requests if found else 0
            row["refused"] = found.refused if found else 0
            row["received_bytes"] = found.bytes if found else 0
            row["cache_hits"] = found.fresh + found.joined if found else 0
            row["seconds_p50"] = found.seconds_p50 if found else None
            row["seconds_p95"] = found.seconds_p95 if found else None
            rows.append(row)
        whole = [*OUTCOMES, "requests", "refused", "received_bytes", "cache_hits"]
        columns = [*whole, "seconds_p50", "seconds_p95"]
        index = pd.Index(list(self.counts), name="source", dtype="string")
        frame = pd.DataFrame(rows, index=index, columns=columns)
        frame = frame.astype(
            {**dict.fromkeys(whole, "int64"), **dict.fromkeys(columns[-2:], "float64")}
        )
        if (bought := self.purchased) is not None:
            frame["leads"], frame["leads_expected"] = bought.leads, bought.expected
            frame["leads_charged"] = bought.charged
            frame["leads_unsettled"], frame["leads_lost"] = bought.unsettled, bought.lost
            cost = [bought.cost] * len(frame)
            frame["cost"] = pd.Series(cost, index=frame.index, dtype=object)
        return frame

    def failures_frame(self) -> pd.DataFrame:
        """Return one row a failed item, with Arrow dtypes.

        Columns: source, key, apn, failure_class, error, attempts, ended_at, and the answer that
        is kept as evidence: evidence_url, evidence_status, evidence_sha256, has_screenshot.
        """
        import pandas as pd

        rows = [[getattr(failure, name) for name in _FAILURE] for failure in self.failures]
        return pd.DataFrame(rows, columns=_FAILURE).convert_dtypes(dtype_backend="pyarrow")

    def __str__(self) -> str:
        """Return the report as a small text table, failures below."""
        shown = [o for o in OUTCOMES if any(c.get(o) for c in self.counts.values())] or ["done"]
        width = max([len(source) for source in self.counts] + [6])
        lines = [f"Batch {self.batch_id}: {self.state}{self._duration()}"]
        lines += self._leads()
        counted_in = "source" if self.purchased is None else "pages"
        lines.append("  ".join([counted_in.ljust(width), *(f"{o:>9}" for o in shown)]))
        for source, counted in self.counts.items():
            numbers = (f"{counted.get(outcome, 0):>9}" for outcome in shown)
            lines.append("  ".join([source.ljust(width), *numbers]))
        if self.requests:
            lines.append(self._traffic())
        if self.error:
            lines.append(f"! {self.error}")
        if self.robots_ignored:
            names = ", ".join(self.robots_ignored)
            lines.append(f"! robots.txt was not obeyed, as the settings say: {names}")
        lines += [
            f"  failed: {one.source} {one.key}: {one.failure_class}: {one.error}"
            + (" [screenshot]" if one.has_screenshot else "")
            for one in self.failures[:5]
        ]
        lines += _more(len(self.failures), "failed", "report.failures_frame()")
        lines += [f"  by a second way: {one.key}: {one.note}" for one in self.replaced[:5]]
        lines += _more(len(self.replaced), "by a second way", "report.replaced")
        if any(one.evidence_url for one in [*self.failures, *self.replaced]):
            lines.append(f"  what was to be seen: kit.evidence({self.batch_id!r})")
        told = {"partial": self.partial, "stale": self.stale, "over budget": self.over_budget}
        for kind, items in told.items():
            for item in items[:5]:
                what = f"{', '.join(item.missing)} missing: " if item.missing else ""
                lines.append(f"  {kind}: {item.source} {item.key}: {what}{item.error}")
            lines += _more(len(items), kind, "batch.items()")
        lines += [f"  not usable: {raw!r}: {why}" for raw, why in self.not_usable.items()]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<pre style='white-space: pre-wrap'>{html.escape(str(self))}</pre>"

    def _duration(self) -> str:
        seconds = self.duration_seconds
        return "" if seconds is None else f" in {seconds:.1f} s"

    def _leads(self) -> list[str]:
        """Return what was bought; nothing where the batch buys no leads."""
        bought = self.purchased
        if bought is None:
            return []
        pages = f"{bought.pages:,} page{'' if bought.pages == 1 else 's'}"
        far = f"{bought.leads:,} of {bought.expected:,} leads bought in {pages}"
        lines = [f"{far}, {bought.charged:,} charged, {bought.cost:,.2f} USD beyond the quota"]
        if bought.unsettled:
            lines.append(
                f"! {bought.unsettled:,} leads are unsettled: whether they were bought is not known;"
                " kit.settle() asks the account"
            )
        if bought.lost:
            lines.append(
                f"! {bought.lost:,} leads are paid for and never arrived:"
                " kit.settle(again=True, max_records=…, max_cost=…) asks for them again"
            )
        return lines

    def _traffic(self) -> str:
        text = f"{self.requests} requests, {self.received_bytes / 1e6:.1f} MB"
        if self.refused:
            text += f", {self.refused} refused"
        if self.cache_hits:
            text += f", {self.cache_hits} items without a request"
        if self.purchased and self.duration_seconds:
            text += f", {self.purchased.leads / self.duration_seconds:.1f} leads/s"
        elif self.items_per_second:
            text += f", {self.items_per_second:.1f} items/s"
        return text


def make_report(store: Reading, batch_id: str) -> BatchReport:
    """Return what a batch did so far, from the store."""
    with store.sparing(), store.ample():
        return _read_report(store, batch_id)


def _read_report(store: Reading, batch_id: str) -> BatchReport:
    head = read_head(store, batch_id)
    counts: dict[str, dict[str, int]] = {}
    for source, outcome, count in count_items(store, batch_id):
        counts.setdefault(source, {})[outcome] = count
    outcomes = {outcome for counted in counts.values() for outcome in counted}

    def read(outcome: str, where: str) -> list[Item]:
        return read_items(store, batch_id, where) if outcome in outcomes else []

    partial = read("partial", "state = 'done' AND len(missing) > 0")
    stale = read("skipped", "state = 'skipped' AND starts_with(error, 'stale')")
    over_budget = read("skipped", "state = 'skipped' AND starts_with(error, 'budget')")
    failed = failures(store, batch_id) if outcomes & {"failed", REPLACED} else []
    return BatchReport(
        batch_id=head.batch_id,
        kind=head.kind,
        state=head.state,
        counts=counts,
        failures=tuple([one for one in failed if one.replaced_by is None]),
        replaced=tuple([one for one in failed if one.replaced_by is not None]),
        partial=tuple(partial),
        stale=tuple(stale),
        over_budget=tuple(over_budget),
        not_usable=head.criteria.get("not_usable", {}),
        error=head.error,
        started_at=head.started_at,
        completed_at=head.completed_at,
        sources=tuple(source_statistics(store, batch_id)),
        slow=tuple(slow_operations(store, batch_id, _MOST_SLOW)),
        robots_ignored=tuple(head.criteria.get("robots_ignored", ())),
        purchased=read_purchased(store, batch_id, head.kind, head.criteria),
    )


def _more(count: int, kind: str, where: str) -> list[str]:
    return [f"  … and {count - 5} more {kind}; see {where}"] if count > 5 else []
