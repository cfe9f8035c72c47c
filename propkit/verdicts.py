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
from propkit.terms import Known, Terms, parse_price

NOTHING = Decimal(0)
_ASKING = {"due", "incomplete"}
"""Statuses that cost requests."""
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


def judge_keys(
    term: Terms, known: Known, *, tables: set[str], max_age: timedelta | None, now: datetime
) -> dict[str, Verdict]:
    """Return how every key that is known of stands at a source."""
    judged = {
        key: judge_active(source, batch)
        for (source, key), batch in known.active.items()
        if source == term.source
    }
    fresh = known.freshness.get(term.source)
    if fresh is None:
        return judged
    limit = (term.max_age if max_age is None else max_age).total_seconds()
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
            verdict = alike[facts] = _judge(term.source, tables, *facts)
        # What is fresh need not wait for the batch that has it in work.
        if verdict.skipped is not None or key not in judged:
            judged[key] = verdict
    return judged


def judge_active(source: str, batch: str) -> Verdict:
    """Return how a key stands that another batch has in work."""
    return Verdict(source=source, status="active", reason=f"{source}: in work in batch {batch}")


def _judge(  # noqa: PLR0917 - the facts of one answer
    source: str,
    tables: set[str],
    age: int,
    unit: str,
    is_young: bool,  # noqa: FBT001
    is_found: bool,  # noqa: FBT001
    missing: tuple[str, ...],
) -> Verdict:
    if absent := sorted(tables & set(missing)):
        reason = f"{source}: {', '.join(absent)} missing"
        return Verdict(source=source, status="incomplete", reason=reason)
    if not is_young:
        return Verdict(source=source, status="due", reason=f"{source}: {age} {unit} old")
    reason = f"{source}: {'' if is_found else 'not found '}{age} {unit} ago"
    return Verdict(source=source, status="fresh", reason=reason, skipped=f"fresh: {reason}")
