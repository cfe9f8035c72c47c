"""From a stored batch to a run: what it may do, by its criteria, and what guards it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from propkit.batch_run import Run, SourceGuard
from propkit.buying import Order
from propkit.collector import Collector
from propkit.errors import RequestError
from propkit.item_asker import COLLECT, WAYS
from propkit.items import Item, State
from propkit.layers.areas import Area, read_area_order
from propkit.progress import Listener
from propkit.quality import choose_canaries
from propkit.quality.columns import Learned
from propkit.runtime.options import find_ignored_robots
from propkit.store.batches import BatchHead
from propkit.store.canaries import filled_columns, last_pages
from propkit.store.coverage import read_coverage
from propkit.store.purchases import find_criteria, read_purchased
from propkit.store.requeueing import skip_collected, write_repeated
from propkit.store.statistics import SourceRun
from propkit.terms import tables_lost

_MOST_LOOKED_UP = 2000
"""Among so many waiting items canaries are sought."""


def make_run(
    collector: Collector,
    head: BatchHead,
    items: Sequence[Item],
    *,
    fresh_keys: frozenset[tuple[str, str]] = frozenset(),
    listeners: Iterable[Listener] = (),
    planned_at: datetime | None = None,
) -> Run:
    """Return a run of a batch's waiting items, by the criteria it was made with.

    ``planned_at`` (aware UTC) is when it was decided what is due; None: now.
    """
    criteria = head.criteria
    fallbacks = {name: tuple(to) for name, to in criteria.get("fallbacks", {}).items()}
    sources = frozenset(criteria["sources"]) | {item.source for item in items}
    sources |= _ways_of(criteria)
    if unknown := sorted(name for name in sources if name not in collector.configs):
        raise RequestError(
            f"batch {head.batch_id} asks {', '.join(unknown)}, which propkit does not know here"
        )
    prices = _prices(collector)
    budget = criteria.get("budget")
    asked = (prices[item.source] for item in items if item.attempts and item.source in prices)
    spent = sum(asked, Decimal(criteria.get("credits_repeated", 0)))
    is_stale_ok = criteria.get("stale_ok", False)
    open_items = [i for i in items if i.state is State.WAITING or i.replaced_by is not None]
    terms = {name: collector.configs[name].terms for name in sources}
    not_given = {
        way: tables_lost(terms[first], terms[way], criteria["datasets"])
        for first, ways in fallbacks.items()
        for way in ways
    }
    run = Run(
        batch_id=head.batch_id,
        items=items,
        sources=sources,
        way=WAYS.get(head.kind, COLLECT),
        order=_read_order(collector, head),
        purchased=read_purchased(collector.store, head.batch_id, head.kind, criteria),
        workers=criteria["workers"],
        strategy=criteria.get("strategy", "parallel"),
        fresh_keys=fresh_keys,
        fallbacks=fallbacks,
        not_given={way: tables for way, tables in not_given.items() if tables},
        max_requests=_caps(collector, sources, criteria.get("max_requests")),
        credits_left=None if budget is None else Decimal(budget) - spent,
        credits_of=prices,
        batch_size=criteria.get("batch_size"),
        stale=_stale(collector, sources, open_items, fallbacks) if is_stale_ok else {},
        progress_seconds=collector.settings.progress_seconds,
        export_to=criteria.get("export_to"),
        listeners=list(listeners),
        planned_at=planned_at or datetime.now(UTC),
        made_at=head.created_at,
    )
    if ignored := find_ignored_robots(collector.configs, sources):
        run.note("robots", f"robots.txt is not obeyed (obey_robots): {', '.join(ignored)}")
    return run


def charge_repeated(collector: Collector, batch_id: str) -> None:
    """Let a batch's budget pay for what is asked again, too: for each time that it is asked."""
    write_repeated(collector.store, batch_id, _prices(collector))


def skip_known(collector: Collector, head: BatchHead) -> None:
    """Skip a batch's waiting items that other batches have collected whole since it was made."""
    criteria = head.criteria
    terms = {
        name: collector.configs[name].terms
        for name in {*criteria["sources"], *_ways_of(criteria)}
        if name in collector.configs
    }
    asked = [terms[name] for name in criteria["sources"] if name in terms]
    # What the first way has given meanwhile a second one need not, and the reverse.
    instead: dict[str, list[str]] = {}
    for first, ways in criteria.get("fallbacks", {}).items():
        for way in ways if first in terms else ():
            instead.setdefault(way, []).append(first)
            if way in terms and not tables_lost(terms[first], terms[way], criteria["datasets"]):
                instead.setdefault(first, []).append(way)
    skip_collected(
        collector.store,
        head.batch_id,
        since=head.created_at,
        rolls=[term.source for term in asked if "parcels" in term.provides],
        keyed={term.source: term.needs for term in asked if term.needs is not None},
        ways=instead,
    )


def make_guards(collector: Collector, run: Run) -> dict[str, SourceGuard]:
    """Return what guards each source of a run against drift; none where nothing is read."""
    if run.way != COLLECT or not collector.settings.drift_guard:
        return {}
    learned = read_coverage(collector.store)
    waiting: dict[str, list[Item]] = {name: [] for name in run.sources}
    for item in run.items:
        if item.state is State.WAITING and item.apn and len(waiting[item.source]) < _MOST_LOOKED_UP:
            waiting[item.source].append(item)
    known = collector.store.freshness(
        {name: [item.key for item in items] for name, items in waiting.items()}
    )
    guards = {}
    for name, items in waiting.items():
        source = collector.configs[name].source
        last = known.get(name)
        complete = {
            key
            for key, is_found, missing in (
                zip(last.keys, last.is_found, last.missing, strict=True) if last else ()
            )
            if is_found and not missing
        }
        chosen, _ = choose_canaries([item.key for item in items], complete)
        apns = {item.key: item.apn for item in items if item.key in chosen and item.apn}
        filled = filled_columns(collector.store, source.provides, list(apns.values()))
        layouts = last_pages(collector.store, name, list(apns))
        guards[name] = SourceGuard(
            {
                layout: coverage
                for (of, version), coverage in learned.items()
                for source_name, _, layout in [of.partition(":")]
                if (source_name, version) == (name, source.parser_version)
            },
            {
                key: ("+".join(sorted(layouts[key])), filled[apn])
                for key, apn in apns.items()
                if apn in filled and key in layouts
            },
        )
    return guards


def learned_of(
    collector: Collector, guards: Mapping[str, SourceGuard]
) -> dict[tuple[str, int], Learned]:
    """Return what the guards have learned, by "source:layout" and parser version, to be kept."""
    return {
        (f"{name}:{layout}", collector.configs[name].source.parser_version): coverage
        for name, guard in guards.items()
        for layout, coverage in guard.learned().items()
    }


def runs_of(collector: Collector, run: Run, started_at: datetime) -> list[SourceRun]:
    """Return what each source has done in a run until now."""
    ended_at = datetime.now(UTC)
    return [
        SourceRun(
            batch_id=run.batch_id,
            source=source,
            host=collector.configs[source].host,
            started_at=started_at,
            ended_at=ended_at,
            requests=usage.requests,
            refused=usage.refused,
            bytes=usage.received_bytes,
            fresh=run.fresh[source],
            joined=run.joined[source],
        )
        for source, usage in run.usage.items()
    ]


def _prices(collector: Collector) -> dict[str, Decimal]:
    """Return the credits that an item costs, by paid source."""
    return {
        name: Decimal(str(price))
        for name, config in collector.configs.items()
        if (price := config.terms.credits_per_item)
    }


def _ways_of(criteria: Mapping[str, Any]) -> set[str]:
    """Return the second ways that a batch may ask."""
    return {name for others in criteria.get("fallbacks", {}).values() for name in others}


def _read_order(collector: Collector, head: BatchHead) -> Order | Area | None:
    """Return what a batch may buy, or the area it collects, by its criteria; None for neither."""
    if (area := head.criteria.get("area")) is not None:
        return read_area_order(area)
    order = head.criteria.get("order")
    if order is None:
        return None
    return Order(
        batch_id=head.batch_id,
        criteria=find_criteria(collector.store, order["criteria_id"]),
        page_size=order["page_size"],
        total=order["total"],
        max_records=order["max_records"],
        max_cost=Decimal(order["max_cost"]),
    )


def _caps(collector: Collector, sources: Iterable[str], given: Any) -> Mapping[str, int]:
    """Return the most requests by source and host: the smaller of the batch's and the settings'."""
    caps: dict[str, int] = {}
    for name in sources:
        config = collector.configs[name]
        own = given if isinstance(given, dict) else {config.host: given}
        for of, most in (*own.items(), (config.host, config.max_requests)):
            if most is not None and of in (name, config.host):
                caps[of] = min(most, caps.get(of, most))
    return caps


def _stale(
    collector: Collector,
    sources: Iterable[str],
    open_items: Sequence[Item],
    fallbacks: Mapping[str, tuple[str, ...]],
) -> dict[tuple[str, str], datetime]:
    """Return when what is stored under the keys was collected that wait, by any way in.

    So it is with the keys that the answers about them will ask for, as far as they are known, and
    with what a second way has collected under them.
    """
    store = collector.store
    keys: dict[str, list[str]] = {}
    for item in open_items:
        keys.setdefault(item.source, []).append(item.key)
    apns = list(dict.fromkeys(item.apn for item in open_items if item.apn))
    for name in sources:
        source = collector.configs[name].source
        if source.needs is not None:
            known = store.parcel_column(source.needs, apns, source.county).values()
            keys[name] = list(dict.fromkeys([*keys.get(name, ()), *known]))
    for first, ways in fallbacks.items():
        for way in ways:
            keys[way] = list(dict.fromkeys([*keys.get(way, ()), *keys.get(first, ())]))
    found = store.freshness(keys)
    return {
        (source, key): datetime.fromtimestamp(checked_at, UTC)
        for source, last in found.items()
        for key, checked_at, is_found in zip(last.keys, last.checked_at, last.is_found, strict=True)
        if is_found
    }
