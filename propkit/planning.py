"""Planning: from whatever holds parcels and from what the store knows to a plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol

from propkit.durations import parse_duration
from propkit.errors import RequestError
from propkit.identifier_lists import Identifiers, read_identifiers
from propkit.kinds import (
    ALL_DATASETS,
    HOME_COUNTY,
    choose_datasets,
    choose_priority,
    choose_search,
    parse_budget,
)
from propkit.layer_plan import keys_of_identifiers, keys_of_texts, make_layer_plan
from propkit.pages import uncollected
from propkit.plan import Plan, make_plan, make_search_plan
from propkit.queries import read_queries
from propkit.store import Reading
from propkit.terms import (
    Known,
    Terms,
    choose_fallbacks,
    choose_searcher,
    choose_sources,
    choose_validator,
)


class HasTerms(Protocol):
    """A source as a plan sees it."""

    @property
    def terms(self) -> Terms:
        """What the plan must know of it."""
        ...


def plan_parcels(
    store: Reading,
    sources: Mapping[str, HasTerms],
    parcels: object,
    *,
    kind: str = "comprehensive",
    datasets: str | Iterable[str] | None = None,
    mode: str = "auto",
    max_age: Any = "default",
    priority: str | None = None,
    budget: float | Decimal | None = None,
    by: str | None = None,
    source: str | None = None,
    county: str = HOME_COUNTY,
    column: str | None = None,
    sheet: str | None = None,
    rates: Mapping[str, float] | None = None,
    flush: Callable[[], object] = lambda: None,
    now: datetime | None = None,
) -> Plan:
    """Say what a batch would do, without any request.

    Parameters
    ----------
    parcels
        What :func:`propkit.identifier_lists.read_identifiers` reads; for a search what
        :func:`propkit.queries.read_queries` does.
    max_age
        A duration (:func:`propkit.durations.parse_duration`) or ``"default"``: each source's own.
    priority
        None: ``"low"`` for ``kind="enhance"``, else ``"high"``.
    budget
        Most credits that paid sources may charge; None: no limit, the plan says what they charge.
    by
        What a search searches by; None is ``"owner"``.
    source
        The map layer that is to be asked, and nothing else.
    county
        Whose sources are asked; without ``datasets`` for all that those of another county give.
        That of a layer is the layer's own.
    rates
        The learnt pace of hosts, requests a second; others keep the known one.
    flush
        Commits what is collected and not stored yet: that is not due again.
    now
        Aware UTC; None: the clock's.

    Raises
    ------
    IdentifierError
        The parcels cannot be read: no such file, column or sheet.
    RequestError
        An option has no such value, or no source can do what is asked.
    """
    # What other batches end from here on is stored when it is looked up below, or joined later.
    now = now or datetime.now(UTC)
    flush()
    learnt = rates or {}
    if source is not None:
        sources = {source: _find_layer(sources, source, kind)}
    terms = [
        replace(term, requests_per_second=learnt.get(term.host, term.requests_per_second))
        for term in (config.terms for config in sources.values())
        if source is not None or (term.county == county and term.keys_per_item is None)
    ]
    if not terms:
        raise RequestError(_no_source(sources, county))
    if source is not None and county not in {HOME_COUNTY, terms[0].county}:
        raise RequestError(f"{source} is a layer of {terms[0].county}; leave county={county!r} out")
    if county != HOME_COUNTY and datasets is None and kind == "comprehensive":
        given = {table for term in terms for table in term.provides}
        datasets = [table for table in ALL_DATASETS if table in given]
    search = choose_search(kind, by)
    wanted = choose_datasets(kind, datasets)
    rank = choose_priority(kind, priority)
    limit = parse_budget(budget)
    age = None if _is_default(max_age) else parse_duration(max_age)
    if source is not None:
        plan = _plan_layer(store, terms[0], parcels, column, sheet, age, rank, now)
    elif search is not None:
        searcher = choose_searcher(terms, mode)
        queries = read_queries(parcels, column=column, sheet=sheet)
        keys = [f"{search}:{' '.join(text.split())}" for text in queries.texts]
        active = store.active({searcher.source: keys}, kind)
        plan = make_search_plan(
            queries, searcher, active, by=search, mode=mode, priority=rank, budget=limit
        )
    else:
        with uncollected():
            plan = _plan_apns(
                store,
                terms,
                read_identifiers(parcels, column=column, sheet=sheet),
                kind=kind,
                datasets=wanted,
                mode=mode,
                max_age=age,
                priority=rank,
                budget=limit,
                now=now,
            )
    notices = _find_notices(store, terms, plan)
    return replace(plan, notices=notices) if notices else plan


def _find_notices(store: Reading, terms: Sequence[Terms], plan: Plan) -> tuple[str, ...]:
    """Return what stands in the way of a plan: tokens that are not set, or were refused last."""
    hints = {term.source: term.token_hint for term in terms if term.source in plan.sources}
    lacking = {term.source for term in terms if term.lacks_token}
    refused = store.refusals([name for name, hint in hints.items() if hint])
    wrong = {
        name: "no token"
        if name in lacking
        else f"the token was refused {refused[name]:%Y-%m-%d %H:%M} UTC"
        for name in plan.sources
        if name in lacking or name in refused
    }
    if not wrong:
        return ()
    asked = {item.source for item in plan.due}
    asked |= {term.source for term in terms if term.needs is not None and plan.follow_ups}
    return tuple(
        [f"{name}: {what}: {hints[name]}" for name, what in wrong.items() if name in asked]
    )


def _no_source(sources: Mapping[str, HasTerms], county: str) -> str:
    """Say which counties have sources, and which layers there are of the county."""
    terms = [config.terms for config in sources.values()]
    counties = sorted({term.county for term in terms if term.keys_per_item is None} - {"any"})
    layers = [term.source for term in terms if term.county == county]
    hint = f"; a map layer is asked with source={layers[0]!r}" if layers else ""
    return f"no source of county {county!r}; expected one of {', '.join(counties)}{hint}"


def _find_layer(sources: Mapping[str, HasTerms], name: str, kind: str) -> HasTerms:
    if name not in sources or sources[name].terms.keys_per_item is None:
        raise RequestError(
            f"source={name!r} is no map layer; kit.counties() lists them. Among the other sources"
            " datasets and mode choose"
        )
    if kind != "comprehensive":
        raise RequestError(f"kind={kind!r} asks no map layer; leave source or kind out")
    return sources[name]


def _plan_layer(  # noqa: PLR0917 - what plan_parcels has read
    store: Reading,
    term: Terms,
    parcels: object,
    column: str | None,
    sheet: str | None,
    age: timedelta | None,
    rank: int,
    now: datetime,
) -> Plan:
    if term.county == HOME_COUNTY:
        keys = keys_of_identifiers(read_identifiers(parcels, column=column, sheet=sheet))
    else:
        keys = keys_of_texts(read_queries(parcels, column=column, sheet=sheet))
    known = Known(freshness=store.freshness({term.source: keys.apns}))
    return make_layer_plan(keys, term, known, max_age=age, priority=rank, now=now)


def _plan_apns(
    store: Reading,
    terms: Sequence[Terms],
    identifiers: Identifiers,
    *,
    kind: str,
    datasets: tuple[str, ...],
    mode: str,
    max_age: timedelta | None,
    priority: int,
    budget: Decimal | None,
    now: datetime,
) -> Plan:
    if kind == "validation":
        chosen, fallbacks = [choose_validator(terms, mode)], {}
    else:
        chosen = choose_sources(terms, datasets, mode)
        fallbacks = choose_fallbacks(terms, chosen, datasets, mode)
    by_name = {term.source: term for term in terms}
    ways = {first: tuple(map(by_name.__getitem__, some)) for first, some in fallbacks.items()}
    known = read_known(store, chosen, identifiers, kind, ways)
    if kind == "validation":
        known = _with_roll(store, known, chosen[0], terms, identifiers)
    return make_plan(
        identifiers,
        chosen,
        known,
        datasets=datasets,
        mode=mode,
        max_age=max_age,
        priority=priority,
        now=now,
        kind=kind,
        budget=budget,
        ways=ways,
    )


def read_known(
    store: Reading,
    terms: Sequence[Terms],
    identifiers: Identifiers,
    kind: str,
    ways: Mapping[str, Sequence[Terms]] | None = None,
) -> Known:
    """Return what the store knows of these parcels at these sources, and at their second ways."""
    apns = list(_apns(identifiers))
    keys = {
        term.source: store.parcel_column(term.needs, apns, term.county)
        for term in terms
        if term.needs is not None
    }
    asked = {
        term.source: list(dict.fromkeys(keys[term.source].values())) if term.needs else apns
        for term in terms
    }
    by_ways = {way.source: asked[first] for first, some in (ways or {}).items() for way in some}
    looked_for = {**by_ways, **asked}
    return Known(
        freshness=store.freshness(looked_for),
        keys=keys,
        active=store.active(looked_for, kind),
    )


def _with_roll(
    store: Reading, known: Known, validator: Terms, terms: Sequence[Terms], identifiers: Identifiers
) -> Known:
    """Let a fresh record of the roll speak for a source that validates and keeps no roll."""
    rolls = [term for term in terms if "parcels" in term.provides and term.needs is None]
    if "parcels" in validator.provides or not rolls:
        return known
    fresh = store.freshness({rolls[0].source: list(_apns(identifiers))}).get(rolls[0].source)
    return replace(known, freshness={validator.source: fresh} if fresh else {})


def _apns(identifiers: Identifiers) -> dict[str, None]:
    """Return each certain APN once, in the order of first appearance."""
    return dict.fromkeys(
        [one.apn.canonical for one in identifiers.entries if one.apn and one.is_valid]
    )


def _is_default(max_age: object) -> bool:
    return isinstance(max_age, str) and max_age == "default"
