"""How each key stands at each source, and what the items cost: the judgements a plan is made of."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Context, Decimal
from math import inf
from typing import overload

from propkit.items import Item, State
from propkit.terms import Known, Terms, parse_price, tables_lost

NOTHING = Decimal(0)
_ASKING = {"due", "incomplete"}
"""Statuses that cost requests."""
_ORDER = {status: place for place, status in enumerate(("fresh", "active", "incomplete", "due"))}
"""Of what is known of a key by several ways the first counts."""
_EXACT = Context(prec=1000)
"""Sums of any float's digits without rounding, so that a budget is never overspent."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Verdict:
    """How a key stands at a source; one object serves all keys that stand alike.

    ``skipped`` is why its item is skipped, None where it waits.
    """

    source: str
    status: str
    reason: str
    skipped: str | None = None


class PlannedItems(Sequence[Item]):
    """The items of a plan, in order: waiting, or skipped for a reason.

    They are made when first looked at, since most plans are read and not run.
    """

    __slots__ = ("_apns", "_items", "_keys", "_priority", "_verdicts")

    def __init__(
        self,
        keys: Sequence[str],
        apns: Sequence[str | None],
        verdicts: Sequence[Verdict],
        priority: int,
    ) -> None:
        self._keys, self._apns, self._verdicts = keys, apns, verdicts
        self._priority = priority
        self._items: tuple[Item, ...] | None = None

    @overload
    def __getitem__(self, place: int) -> Item: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[Item, ...]: ...

    def __getitem__(self, place: int | slice) -> Item | tuple[Item, ...]:
        return self._made()[place]

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[Item]:
        return iter(self._made())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PlannedItems | tuple) and self._made() == tuple(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self._made())

    def _made(self) -> tuple[Item, ...]:
        if self._items is None:
            rows = zip(self._verdicts, self._keys, self._apns, strict=True)
            self._items = tuple(
                [
                    Item(
                        source=verdict.source,
                        key=key,
                        apn=apn,
                        priority=self._priority,
                        sequence=sequence,
                        state=State.WAITING if verdict.skipped is None else State.SKIPPED,
                        error=verdict.skipped,
                    )
                    for sequence, (verdict, key, apn) in enumerate(rows)
                ]
            )
        return self._items


class Tally:
    """Takes items in the plan's order, and counts what they cost."""

    def __init__(self, terms: Sequence[Terms], budget: Decimal | None) -> None:
        self.credits = NOTHING
        self._keys: list[str] = []
        self._apns: list[str | None] = []
        self._verdicts: list[Verdict] = []
        self._terms = terms
        self._budget = budget
        self._reserved = NOTHING
        prices = {term.source: parse_price(term) for term in terms}
        self._prices = {source: price for source, price in prices.items() if price}
        self._over = {
            source: _over_budget(source, price, budget) for source, price in self._prices.items()
        }

    def take(self, key: str, apn: str | None, verdict: Verdict) -> Verdict:
        """Add an item, and return its verdict, which the budget may change."""
        if verdict.source in self._prices and verdict.skipped is None:
            verdict = self._afford(verdict)
        self._keys.append(key)
        self._apns.append(apn)
        self._verdicts.append(verdict)
        return verdict

    def take_all(self, apn: str, verdicts: tuple[Verdict, ...]) -> tuple[Verdict, ...]:
        """Add the items of one parcel whose key is its APN; return their verdicts."""
        if self._prices:
            return tuple([self.take(apn, apn, verdict) for verdict in verdicts])
        alike = (apn,) * len(verdicts)
        self._keys += alike
        self._apns += alike
        self._verdicts += verdicts
        return verdicts

    def _afford(self, verdict: Verdict) -> Verdict:
        price = self._prices[verdict.source]
        reserved = _EXACT.add(self._reserved, price)
        if self._budget is not None and reserved > self._budget:
            return self._over[verdict.source]
        self._reserved = reserved
        # What another batch has in work is free here, unless that batch is cancelled.
        if verdict.status != "active":
            self.credits = _EXACT.add(self.credits, price)
        return verdict

    def items(self, priority: int) -> PlannedItems:
        """Return the items that were taken."""
        return PlannedItems(self._keys, self._apns, self._verdicts, priority)

    def due(self) -> Counter[str]:
        """Return the number of items that cost requests, by source."""
        due: Counter[str] = Counter()
        for verdict, count in Counter(self._verdicts).items():
            if verdict.status in _ASKING:
                due[verdict.source] += count
        return due

    def by_host(self, items: Counter[str]) -> dict[str, int]:
        """Return the requests of so many items of each source, by host."""
        requests: Counter[str] = Counter()
        for term in self._terms:
            if items[term.source]:
                requests[term.host] += items[term.source] * term.requests_per_item
        return dict(requests)

    def minutes(self, items: Counter[str]) -> float:
        """Return how long the slowest host takes for so many items of each source."""
        seconds, rates = defaultdict[str, float](float), dict[str, float]()
        for term in self._terms:  # sources that share a host share its slowest pace
            rates[term.host] = min(term.requests_per_second, rates.get(term.host, inf))
        for host, count in self.by_host(items).items():
            seconds[host] = count / rates[host]
        spaced = [items[term.source] * term.seconds_per_item for term in self._terms]
        return max([*seconds.values(), *spaced], default=0.0) / 60

    def price(self, items: Counter[str]) -> Decimal:
        """Return the credits that so many items of each source cost."""
        total = NOTHING
        for source, count in items.items():
            price = self._prices.get(source, NOTHING)
            total = _EXACT.add(total, _EXACT.multiply(price, Decimal(count)))
        return total


def _over_budget(source: str, price: Decimal, budget: Decimal | None) -> Verdict:
    reason = f"{source}: {price} credits do not fit the budget of {budget}"
    return Verdict(source=source, status="over_budget", reason=reason, skipped=f"budget: {reason}")


def judge_ways(
    term: Terms,
    ways: Sequence[Terms],
    known: Known,
    *,
    tables: set[str],
    max_age: timedelta | None,
    now: datetime,
) -> dict[str, Verdict]:
    """Return how every key that is known of stands at a source, or at a second way to it.

    What a second way has collected whole is as good as collected here; else that counts which says
    more: fresh, in work, a table missing, too old.
    """
    whole = [one.source for one in (term, *ways) if not tables_lost(term, one, tables)]
    judged = {
        key: judge_active(term.source, batch, by=source)
        for (source, key), batch in known.active.items()
        if source in whole
    }
    wanted = tables & set(term.provides)
    for way in (term, *ways):
        lost = set(tables_lost(term, way, tables))
        found = _judge_asked(term, way, known, wanted, lost, max_age, now)
        if not judged:
            judged = found
            continue
        for key, verdict in found.items():
            before = judged.get(key)
            if before is None or _ORDER[verdict.status] < _ORDER[before.status]:
                judged[key] = verdict
    return judged


def _judge_asked(  # noqa: PLR0917 - what judge_ways has
    term: Terms,
    way: Terms,
    known: Known,
    wanted: set[str],
    lost: set[str],
    max_age: timedelta | None,
    now: datetime,
) -> dict[str, Verdict]:
    """Return how the keys stand that one way was asked for."""
    judged: dict[str, Verdict] = {}
    fresh = known.freshness.get(way.source)
    if fresh is None:
        return judged
    limit = (way.max_age if max_age is None else max_age).total_seconds()
    now_seconds = now.timestamp()
    alike: dict[tuple[int, str, bool, bool, tuple[str, ...]], Verdict] = {}
    for key, checked_at, is_found, missing in zip(
        fresh.keys, fresh.checked_at, fresh.is_found, fresh.missing, strict=True
    ):
        age = now_seconds - checked_at
        if age >= 86400:
            facts = (round(age / 86400), "d", age < limit, is_found, missing)
        elif age >= 3600:
            facts = (round(age / 3600), "h", age < limit, is_found, missing)
        elif age >= 60:
            facts = (round(age / 60), "min", age < limit, is_found, missing)
        else:
            # Clocks differ between machines: what was collected "in the future" has no age.
            facts = (max(round(age), 0), "s", max(age, 0.0) < limit, is_found, missing)
        verdict = alike.get(facts)
        if verdict is None:
            verdict = alike[facts] = _judge((term.source, way.source), wanted, lost, *facts)
        judged[key] = verdict
    return judged


def judge_active(source: str, batch: str, *, by: str | None = None) -> Verdict:
    """Return how a key stands that another batch has in work, ``by`` a second way maybe."""
    reason = f"{by or source}: in work in batch {batch}"
    return Verdict(source=source, status="active", reason=reason)


def _judge(  # noqa: PLR0917 - the facts of one answer
    asked: tuple[str, str],
    wanted: set[str],
    lost: set[str],
    age: int,
    unit: str,
    is_young: bool,  # noqa: FBT001
    is_found: bool,  # noqa: FBT001
    missing: tuple[str, ...],
) -> Verdict:
    source, way = asked
    if absent := sorted(lost | wanted & set(missing)):
        reason = f"{way}: {', '.join(absent)} missing"
        return Verdict(source=source, status="incomplete", reason=reason)
    if not is_young:
        return Verdict(source=source, status="due", reason=f"{way}: {age} {unit} old")
    reason = f"{way}: {'' if is_found else 'not found '}{age} {unit} ago"
    return Verdict(source=source, status="fresh", reason=reason, skipped=f"fresh: {reason}")
