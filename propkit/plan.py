"""What a batch will do and leave out, and why: pure, decided before any request.

An identifier is ``due``, ``fresh``, ``incomplete`` (a table is missing from the last answer, so
it is asked again), ``active`` (another batch has it in work), ``duplicate`` or ``invalid``.
"""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import inf
from typing import TYPE_CHECKING, Any

from propkit.errors import RequestError
from propkit.identifier_lists import Identifiers
from propkit.identifiers import Apn, Identifier
from propkit.items import Item, State
from propkit.records import RECORD_TYPES

if TYPE_CHECKING:
    import pandas as pd

DATASETS = tuple(RECORD_TYPES)
"""The tables that can be asked for."""

MODES = {"auto": ("http", "browser"), "api": ("http",), "browser": ("browser",)}
"""The ways in that a mode allows, by mode."""

STATUSES = ("due", "incomplete", "fresh", "active", "duplicate", "invalid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """The newest answer about one key: when (aware UTC), whether found, what was missing."""

    checked_at: datetime
    is_found: bool = True
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the plan must know of a source; ``requests_per_second`` is the pace of ``host``."""

    source: str
    host: str
    provides: tuple[str, ...]
    needs: str | None
    transport: str
    requests_per_item: int
    requests_per_second: float
    max_age: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the store knows of the parcels to be planned.

    ``keys`` holds, by source that needs one, the key of each APN. ``active`` maps
    (source, key) to the batch that has it in work.
    """

    freshness: Mapping[tuple[str, str], Freshness] = field(default_factory=dict)
    keys: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    active: Mapping[tuple[str, str], str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """The fate of one identifier. ``sources`` are those that will be asked."""

    identifier: str
    apn: str | None
    status: str
    reason: str
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a batch will do.

    ``items`` wait to be collected or are skipped as fresh. ``requests`` counts them by host;
    ``follow_ups`` are requests by host that further answers may ask for besides.
    """

    entries: tuple[Entry, ...]
    items: tuple[Item, ...]
    datasets: tuple[str, ...]
    mode: str
    origin: str
    requests: Mapping[str, int]
    follow_ups: Mapping[str, int]
    minutes: float
    fresh_keys: frozenset[tuple[str, str]] = frozenset()
    sources: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """How many identifiers have each status, zeros left out."""
        counted = Counter(entry.status for entry in self.entries)
        return {status: counted[status] for status in STATUSES if counted[status]}

    @property
    def due(self) -> tuple[Item, ...]:
        """The items that will be collected."""
        return tuple(item for item in self.items if item.state is State.WAITING)

    @property
    def invalid(self) -> tuple[Entry, ...]:
        """The identifiers that cannot be used, with the reason."""
        return tuple(entry for entry in self.entries if entry.status == "invalid")

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
        lines = [f"Plan: {len(self.entries)} identifiers from {self.origin}: {counts}"]
        for host in {**self.requests, **self.follow_ups}:
            asked, extra = self.requests.get(host, 0), self.follow_ups.get(host, 0)
            more = f", up to {extra} more by what they answer" if extra else ""
            lines.append(f"  {host}: {asked} request{'' if asked == 1 else 's'}{more}")
        lines.append(f"  about {_minutes(self.minutes)} at the pace of the slowest host")
        shown = self.invalid[:5]
        lines += [f"  not usable: {entry.identifier!r}: {entry.reason}" for entry in shown]
        if len(self.invalid) > len(shown):
            lines.append(f"  … and {len(self.invalid) - len(shown)} more; see plan.frame()")
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<pre style='white-space: pre-wrap'>{html.escape(str(self))}</pre>"


def parse_datasets(datasets: str | Iterable[str] | None) -> tuple[str, ...]:
    """Return the tables asked for; None is all of them.

    Raises
    ------
    RequestError
        A name is no table; the message lists the tables.
    """
    if datasets is None:
        return DATASETS
    asked = [datasets] if isinstance(datasets, str) else list(datasets)
    if unknown := [name for name in asked if name not in DATASETS]:
        raise RequestError(
            f"no dataset {', '.join(map(repr, unknown))}; expected some of {', '.join(DATASETS)}"
        )
    return tuple(name for name in DATASETS if name in asked)


def choose_sources(terms: Sequence[Terms], datasets: tuple[str, ...], mode: str) -> list[Terms]:
    """Return the sources to ask, those included that another one needs its keys from."""
    if mode not in MODES:
        raise RequestError(f"no mode {mode!r}; expected one of {', '.join(MODES)}")
    allowed = [term for term in terms if term.transport in MODES[mode]]
    chosen = [term for term in allowed if set(term.provides) & set(datasets)]
    provided = {table for term in chosen for table in term.provides}
    if absent := [table for table in datasets if table not in provided]:
        raise RequestError(f"no source provides {', '.join(absent)} with mode={mode!r}")
    if any(term.needs for term in chosen) and "parcels" not in provided:
        chosen = [term for term in allowed if "parcels" in term.provides] + chosen
    return chosen


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
) -> Plan:
    """Decide for every identifier what is due.

    ``terms`` are the chosen sources (:func:`choose_sources`). ``max_age`` overrides that of
    each source; None keeps it.
    """
    decide = _Decider(
        terms, known, datasets=set(datasets), max_age=max_age, priority=priority, now=now
    )
    entries: list[Entry] = []
    for entry, is_duplicate in _with_duplicates(identifiers.entries):
        raw = str(entry.raw)
        if entry.apn is None or not entry.is_valid:
            reason = entry.reason or "not an APN"
            entries.append(Entry(identifier=raw, apn=None, status="invalid", reason=reason))
        elif is_duplicate:
            apn = entry.apn.canonical
            reason = "an earlier row names the same APN"
            entries.append(Entry(identifier=raw, apn=apn, status="duplicate", reason=reason))
        else:
            entries.append(decide.entry(raw, entry.apn, entry.repair))
    rates: dict[str, float] = {}
    for term in terms:  # sources that share a host share its slowest pace
        rates[term.host] = min(term.requests_per_second, rates.get(term.host, inf))
    seconds = {
        host: (decide.requests[host] + decide.follow_ups[host]) / rate
        for host, rate in rates.items()
    }
    return Plan(
        entries=tuple(entries),
        items=tuple(decide.items),
        datasets=datasets,
        mode=mode,
        origin=identifiers.origin,
        requests=dict(decide.requests),
        follow_ups=dict(decide.follow_ups),
        minutes=max(seconds.values(), default=0.0) / 60,
        fresh_keys=decide.fresh_keys,
        sources=tuple(term.source for term in terms),
    )


class _Decider:
    """Decides parcel by parcel, and gathers items and request counts."""

    def __init__(
        self,
        terms: Sequence[Terms],
        known: Known,
        *,
        datasets: set[str],
        max_age: timedelta | None,
        priority: int,
        now: datetime,
    ) -> None:
        self.items: list[Item] = []
        self.requests: Counter[str] = Counter()
        self.follow_ups: Counter[str] = Counter()
        self._direct = [term for term in terms if term.needs is None]
        self._keyed = [term for term in terms if term.needs is not None]
        self._known = known
        self._datasets = datasets
        self._max_age = max_age
        self._priority = priority
        self._now = now
        self._planned: set[tuple[str, str]] = set()
        self.fresh_keys = frozenset(
            identity
            for term in self._keyed
            for identity in known.freshness
            if identity[0] == term.source and self._judge(term, identity[1])[0] == "fresh"
        )

    def entry(self, raw: str, apn: Apn, repair: str | None) -> Entry:
        """Plan one parcel."""
        judged: list[tuple[str, str]] = []
        asked: list[str] = []
        for term in self._direct:
            status, reason = self._judge(term, apn.canonical)
            judged.append((status, reason))
            self._add(term, apn.canonical, apn.canonical, status, reason)
            if status in {"due", "incomplete"}:
                asked.append(term.source)
        provider = next((term for term in self._direct if "parcels" in term.provides), None)
        for term in self._keyed:
            if provider is not None and provider.source in asked:
                self.follow_ups[term.host] += term.requests_per_item
                continue
            key = self._known.keys.get(term.source, {}).get(apn.canonical)
            if key is None:
                continue
            status, reason = self._judge(term, key)
            judged.append((status, reason))
            self._add(term, key, apn.canonical, status, reason)
            if status in {"due", "incomplete"}:
                asked.append(term.source)
        status = min((status for status, _ in judged), key=STATUSES.index, default="fresh")
        reasons = dict.fromkeys(reason for each, reason in judged if each == status)
        if repair:
            reasons[f"read with a repair: {repair}"] = None
        return Entry(
            identifier=raw,
            apn=apn.canonical,
            status=status,
            reason="; ".join(reasons),
            sources=tuple(asked),
        )

    def _judge(self, term: Terms, key: str) -> tuple[str, str]:
        batch = self._known.active.get((term.source, key))
        if batch is not None:
            return "active", f"{term.source}: in work in batch {batch}"
        last = self._known.freshness.get((term.source, key))
        if last is None:
            return "due", f"{term.source}: never collected"
        missing = sorted(self._datasets & set(last.missing))
        if missing:
            return "incomplete", f"{term.source}: {', '.join(missing)} missing"
        # Clocks differ between machines: what was collected "in the future" has no age.
        age = max(self._now - last.checked_at, timedelta(0))
        if age < (term.max_age if self._max_age is None else self._max_age):
            found = "" if last.is_found else "not found "
            return "fresh", f"{term.source}: {found}{_age(age)} ago"
        return "due", f"{term.source}: {_age(age)} old"

    def _add(self, term: Terms, key: str, apn: str, status: str, reason: str) -> None:
        if status == "active" or (term.source, key) in self._planned:
            return
        self._planned.add((term.source, key))
        is_due = status != "fresh"
        self.requests[term.host] += term.requests_per_item if is_due else 0
        self.items.append(
            Item(
                source=term.source,
                key=key,
                apn=apn,
                priority=self._priority,
                sequence=len(self.items),
                state=State.WAITING if is_due else State.SKIPPED,
                error=None if is_due else f"fresh: {reason}",
            )
        )


def _with_duplicates(entries: Iterable[Identifier]) -> Iterable[tuple[Identifier, bool]]:
    seen: set[Any] = set()
    for entry in entries:
        apn = entry.apn if entry.is_valid else None
        yield entry, apn is not None and apn in seen
        seen.add(apn)


def _age(age: timedelta) -> str:
    seconds = max(0.0, age.total_seconds())
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _minutes(minutes: float) -> str:
    return f"{minutes * 60:.0f} s" if minutes < 1 else f"{minutes:.0f} min"
