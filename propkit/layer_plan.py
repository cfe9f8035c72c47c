"""The plan of asking one map layer for parcels by their APNs: pure, many APNs in one request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from propkit.identifier_lists import Identifiers
from propkit.items import Item
from propkit.plan import Entry, Plan
from propkit.queries import Queries
from propkit.terms import Known, Terms
from propkit.verdicts import judge_ways

BETWEEN: Final = "|"
"""What stands between the APNs of an item's key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerKeys:
    """What to ask a layer for: identifiers as given, their APNs, or why one is none."""

    rows: tuple[tuple[str, str | None, str | None], ...]
    origin: str

    @property
    def apns(self) -> list[str]:
        """Each APN once, in the order of first appearance."""
        return list(dict.fromkeys(apn for _, apn, _ in self.rows if apn is not None))


def keys_of_identifiers(identifiers: Identifiers) -> LayerKeys:
    """Return what Maricopa's layer is asked for: what is certainly an APN."""
    rows = [
        (str(one.raw), one.apn.canonical, one.repair and f"read with a repair: {one.repair}")
        if one.apn and one.is_valid
        else (str(one.raw), None, one.reason or "not an APN")
        for one in identifiers.entries
    ]
    return LayerKeys(rows=tuple(rows), origin=identifiers.origin)


def keys_of_texts(texts: Queries) -> LayerKeys:
    """Return what another county's layer is asked for: its APNs are taken as they are written."""
    rows: list[tuple[str, str | None, str | None]] = []
    for text in texts.texts:
        apn = " ".join(text.split())
        if not apn:
            rows.append((text, None, "is blank"))
        elif BETWEEN in apn or not apn.isprintable():
            rows.append((text, None, "is no APN of any county"))
        else:
            rows.append((text, apn, None))
    return LayerKeys(rows=tuple(rows), origin=texts.origin)


def make_layer_plan(
    keys: LayerKeys,
    term: Terms,
    known: Known,
    *,
    max_age: timedelta | None,
    priority: int,
    now: datetime,
) -> Plan:
    """Plan an item for so many APNs as the layer takes at once; what is fresh is left out."""
    verdicts = judge_ways(term, (), known, tables={"parcels"}, max_age=max_age, now=now)
    due: dict[str, None] = {}
    entries: list[Entry] = []
    seen: set[str] = set()
    for raw, apn, note in keys.rows:
        if apn is None:
            entries.append(Entry(identifier=raw, apn=None, status="invalid", reason=note or ""))
            continue
        if apn in seen:
            why = "an earlier row names the same APN"
            entries.append(Entry(identifier=raw, apn=apn, status="duplicate", reason=why))
            continue
        seen.add(apn)
        verdict = verdicts.get(apn)
        is_fresh = verdict is not None and verdict.skipped is not None
        reason = f"{term.source}: never collected" if verdict is None else verdict.reason
        if not is_fresh:
            due[apn] = None
        entries.append(
            Entry(
                identifier=raw,
                apn=apn,
                status="fresh" if is_fresh else "due",
                reason="; ".join(filter(None, [reason, note])),
                sources=() if is_fresh else (term.source,),
            )
        )
    items = _make_items(list(due), term, priority)
    requests = len(items) * term.requests_per_item
    return Plan(
        entries=tuple(entries),
        items=items,
        datasets=term.provides,
        mode="api",
        origin=keys.origin,
        requests={term.host: requests} if requests else {},
        follow_ups={},
        minutes=requests / term.requests_per_second / 60,
        planned_at=now,
        sources=(term.source,),
    )


def _make_items(apns: Sequence[str], term: Terms, priority: int) -> tuple[Item, ...]:
    size = term.keys_per_item or 1
    return tuple(
        Item(
            source=term.source,
            key=BETWEEN.join(apns[start : start + size]),
            priority=priority,
            sequence=number,
        )
        for number, start in enumerate(range(0, len(apns), size))
    )
