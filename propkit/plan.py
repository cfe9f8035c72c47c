"""What a batch will do and leave out, and why: pure, decided before any request.

An identifier is ``due``, ``incomplete`` (a table is missing from the last answer, so it is asked
again), ``active`` (another batch has it in work: the item waits here too, and one request serves
both), ``over_budget`` (it is due, and the budget is spent), ``fresh``, ``duplicate`` or
``invalid``.
"""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from propkit.identifier_lists import Identifiers
from propkit.items import Item, State
from propkit.queries import Queries
from propkit.terms import Known, Terms
from propkit.verdicts import NOTHING, Tally, Verdict, judge_active, judge_ways

if TYPE_CHECKING:
    import pandas as pd

STATUSES = ("due", "incomplete", "active", "over_budget", "fresh", "duplicate", "invalid")
"""The fates of an identifier; where its sources differ, the first of these is its status."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """The fate of one identifier. ``sources`` are those whose items wait for it."""

    identifier: str
    apn: str | None
    status: str
    reason: str
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a batch will do.

    ``items`` wait to be collected or are skipped: fresh, or over the budget. ``requests`` counts
    them by host; ``follow_ups`` are requests by host that further answers may ask for besides.
    Credits are what paid sources charge, ``follow_up_credits`` for the further answers;
    ``budget`` is the most that the batch may spend, follow-ups included, or None.
    ``fallbacks`` names, by source, those to try in turn for the same key. What one of them has
    collected is as good as collected by the source itself.
    """

    entries: tuple[Entry, ...]
    items: Sequence[Item]
    datasets: tuple[str, ...]
    mode: str
    origin: str
    requests: Mapping[str, int]
    follow_ups: Mapping[str, int]
    minutes: float
    fresh_keys: frozenset[tuple[str, str]] = frozenset()
    sources: tuple[str, ...] = ()
    kind: str = "comprehensive"
    by: str | None = None
    credits: Decimal = NOTHING
    follow_up_credits: Decimal = NOTHING
    budget: Decimal | None = None
    fallbacks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    planned_at: datetime | None = None
    """Aware UTC; None where nothing was looked up in the store."""
    notices: tuple[str, ...] = ()
    """What stands in the way of what is due: a token that is not set, or was refused."""

    @property
    def counts(self) -> dict[str, int]:
        """How many identifiers have each status, zeros left out."""
        counted = Counter([entry.status for entry in self.entries])
        return {status: counted[status] for status in STATUSES if counted[status]}

    @property
    def due(self) -> tuple[Item, ...]:
        """The items that will be collected."""
        return tuple([item for item in self.items if item.state is State.WAITING])

    @property
    def invalid(self) -> tuple[Entry, ...]:
        """The identifiers that cannot be used, with the reason."""
        return tuple([entry for entry in self.entries if entry.status == "invalid"])

    def frame(self) -> pd.DataFrame:
        """Return one row an identifier: identifier, apn, status, reason, sources (all text)."""
        import pandas as pd

        rows = [
            (e.identifier, e.apn, e.status, e.reason, ", ".join(e.sources)) for e in self.entries
        ]
        columns = ["identifier", "apn", "status", "reason", "sources"]
        return pd.DataFrame(rows, columns=columns, dtype="string")

    def __str__(self) -> str:
        """Return the plan in a few lines."""
        counts = ", ".join(f"{n} {status}" for status, n in self.counts.items()) or "nothing"
        one, many = ("query", "queries") if self.kind == "search" else ("identifier", "identifiers")
        what = one if len(self.entries) == 1 else many
        kind = "" if self.kind == "comprehensive" else f" {self.kind}"
        lines = [f"Plan{kind}: {len(self.entries)} {what} from {self.origin}: {counts}"]
        least = "at least " if self.kind == "search" else ""
        asks = {**self.requests, **self.follow_ups}
        for host in asks:
            asked, extra = self.requests.get(host, 0), self.follow_ups.get(host, 0)
            more = f", up to {extra} more by what they answer" if extra else ""
            lines.append(f"  {host}: {least}{asked} request{'' if asked == 1 else 's'}{more}")
        lines.append(f"  {least}about {_minutes(self.minutes)} at the pace of the slowest host")
        lines += self._money()
        for source, others in self.fallbacks.items() if asks else ():
            lines.append(f"  {', then '.join(others)} in place of {source}, should it fail")
        lines += [f"! {notice}" for notice in self.notices]
        shown = self.invalid[:5]
        lines += [f"  not usable: {entry.identifier!r}: {entry.reason}" for entry in shown]
        if len(self.invalid) > len(shown):
            lines.append(f"  … and {len(self.invalid) - len(shown)} more; see plan.frame()")
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<pre style='white-space: pre-wrap'>{html.escape(str(self))}</pre>"

    def _money(self) -> list[str]:
        if not (self.credits or self.follow_up_credits or self.budget is not None):
            return []
        extra = self.follow_up_credits
        more = f", up to {extra.normalize():f} more by what they answer" if extra else ""
        limit = "no budget" if self.budget is None else f"budget {self.budget.normalize():f}"
        return [f"  {self.credits.normalize():f} credits{more} ({limit})"]


def _minutes(minutes: float) -> str:
    return f"{minutes * 60:.0f} s" if minutes < 1 else f"{minutes:.0f} min"


def make_plan(
    identifiers: Identifiers,
    terms: Sequence[Terms],
    known: Known,
    *,
    datasets: tuple[str, ...],
    mode: str,
    max_age: timedelta | None,
    priority: int,
    now: datetime,
    kind: str = "comprehensive",
    budget: Decimal | None = None,
    ways: Mapping[str, Sequence[Terms]] | None = None,
) -> Plan:
    """Decide for every identifier what is due.

    ``terms`` are the chosen sources (:func:`propkit.terms.choose_sources`), ``ways`` the second
    ways by source (:func:`propkit.terms.choose_fallbacks`): an item stands as its best way does. ``max_age`` overrides
    that of each source; None keeps it. Items are taken in the plan's order as long as their credits
    fit the ``budget``; one that does not is left out, a cheaper one behind it may still fit.
    """
    ways = ways or {}
    tally = Tally(terms, budget)
    # Validation asks whether there is such a parcel: a record that is fresh has said so.
    tables = {"parcels"} if kind == "validation" else set(datasets)
    verdicts = {
        term.source: judge_ways(
            term, ways.get(term.source, ()), known, tables=tables, max_age=max_age, now=now
        )
        for term in terms
    }
    decider = _Decider(terms, known, verdicts, tally)
    entries: list[Entry] = []
    seen: set[str] = set()
    for one in identifiers.entries:
        apn = one.apn.canonical if one.apn and one.confidence == "certain" else None
        if apn is None:
            entry = _unused(one.raw, None, "invalid", one.reason or "not an APN")
        elif apn in seen:
            entry = _unused(one.raw, apn, "duplicate", "an earlier row names the same APN")
        else:
            seen.add(apn)
            entry = decider.entry(one.raw, apn, one.repair)
        entries.append(entry)
    due, follow_ups = tally.due(), decider.follow_ups()
    return Plan(
        entries=tuple(entries),
        items=tally.items(priority),
        datasets=datasets,
        mode=mode,
        origin=identifiers.origin,
        requests=tally.by_host(due),
        follow_ups=tally.by_host(follow_ups),
        minutes=tally.minutes(due + follow_ups),
        planned_at=now,
        fresh_keys=frozenset(
            (term.source, key)
            for term in terms
            if term.needs is not None
            for key, verdict in verdicts[term.source].items()
            if verdict.status == "fresh"
        ),
        sources=tuple(term.source for term in terms),
        kind=kind,
        credits=tally.credits,
        follow_up_credits=tally.price(follow_ups),
        budget=budget,
        fallbacks={first: tuple([way.source for way in some]) for first, some in ways.items()},
    )


def make_search_plan(
    queries: Queries,
    term: Terms,
    active: Mapping[tuple[str, str], str],
    *,
    by: str,
    mode: str,
    priority: int,
    budget: Decimal | None = None,
) -> Plan:
    """Plan one item a distinct query, blanks folded; its key is ``owner:SMITH``.

    What a search finds grows old at once: a query that no running batch has in work is due.
    """
    tally = Tally([term], budget)
    due = Verdict(source=term.source, status="due", reason=f"{term.source}: to be searched")
    entries: list[Entry] = []
    seen: set[str] = set()
    for text in queries.texts:
        query = " ".join(text.split())
        if not query:
            entries.append(_unused(text, None, "invalid", "is blank"))
        elif query in seen:
            entries.append(_unused(text, None, "duplicate", "an earlier row asks the same"))
        else:
            seen.add(query)
            key = f"{by}:{query}"
            batch = active.get((term.source, key))
            verdict = tally.take(
                key, None, due if batch is None else judge_active(term.source, batch)
            )
            entries.append(_decide(text, None, (verdict,)))
    return Plan(
        entries=tuple(entries),
        items=tally.items(priority),
        datasets=(),
        mode=mode,
        origin=queries.origin,
        requests=tally.by_host(tally.due()),
        follow_ups={},
        minutes=tally.minutes(tally.due()),
        sources=(term.source,),
        kind="search",
        by=by,
        credits=tally.credits,
        budget=budget,
    )


class _Decider:
    """Decides parcel by parcel."""

    def __init__(
        self,
        terms: Sequence[Terms],
        known: Known,
        verdicts: Mapping[str, Mapping[str, Verdict]],
        tally: Tally,
    ) -> None:
        self._tally = tally
        self._decisions: dict[tuple[Verdict, ...], Entry] = {}
        self._roll_asked: dict[tuple[Verdict, ...], bool] = {}
        self._planned: dict[tuple[str, str], Verdict] = {}
        self.rolls_asked = 0
        never = {
            term.source: Verdict(
                source=term.source, status="due", reason=f"{term.source}: never collected"
            )
            for term in terms
        }
        self._direct = [
            (verdicts[term.source], never[term.source]) for term in terms if term.needs is None
        ]
        self._keyed = [
            (
                term.source,
                verdicts[term.source],
                never[term.source],
                known.keys.get(term.source, {}),
            )
            for term in terms
            if term.needs is not None
        ]
        rolls = (term.source for term in terms if term.needs is None and "parcels" in term.provides)
        self._roll = next(rolls, None)

    def entry(self, raw: object, apn: str, repair: str | None) -> Entry:
        """Plan one parcel."""
        judged = self._tally.take_all(
            apn, tuple([verdicts.get(apn, never) for verdicts, never in self._direct])
        )
        is_roll_asked = self._roll_asked.get(judged)
        if is_roll_asked is None:
            is_roll_asked = self._roll_asked[judged] = any(
                one.source == self._roll and one.skipped is None for one in judged
            )
        if is_roll_asked:  # its answer gives the newest keys
            self.rolls_asked += 1
        elif self._keyed:
            judged += self._judge_keyed(apn)
        decided = self._decisions.get(judged)
        if decided is None:
            decided = self._decisions[judged] = _decide("", None, judged)
        reason = decided.reason
        if repair:
            reason = "; ".join(filter(None, [reason, f"read with a repair: {repair}"]))
        return Entry(
            identifier=str(raw),
            apn=apn,
            status=decided.status,
            reason=reason,
            sources=decided.sources,
        )

    def follow_ups(self) -> Counter[str]:
        """Return the most items that answers may ask for besides, by source."""
        return Counter({source: self.rolls_asked for source, *_ in self._keyed if self.rolls_asked})

    def _judge_keyed(self, apn: str) -> tuple[Verdict, ...]:
        judged = []
        for source, verdicts, never, keys in self._keyed:
            key = keys.get(apn)
            if key is None:
                continue
            verdict = self._planned.get((source, key))  # two parcels may share a deed
            if verdict is None:
                verdict = self._tally.take(key, apn, verdicts.get(key, never))
                self._planned[source, key] = verdict
            judged.append(verdict)
        return tuple(judged)


def _decide(raw: str, apn: str | None, judged: Sequence[Verdict]) -> Entry:
    """Return what the verdicts of all sources come to."""
    status = min((one.status for one in judged), key=STATUSES.index, default="fresh")
    shown = (status, "over_budget")  # what is not paid for is said, whatever else is asked
    return Entry(
        identifier=raw,
        apn=apn,
        status=status,
        reason="; ".join(dict.fromkeys(one.reason for one in judged if one.status in shown)),
        sources=tuple(one.source for one in judged if one.skipped is None),
    )


def _unused(raw: object, apn: str | None, status: str, reason: str) -> Entry:
    return Entry(identifier=str(raw), apn=apn, status=status, reason=reason)
