"""What a plan must know, and which sources it asks: of each source its terms, of the store its facts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal

from propkit.errors import RequestError
from propkit.kinds import HOME_COUNTY, MODES, read_credits


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the plan must know of a source; ``requests_per_second`` is the pace of ``host``.

    Items start at least ``seconds_per_item`` apart. ``can_validate``: the source says with one
    request whether an APN exists. ``keys_per_item`` is how many APNs one item asks for at a
    source that is asked only when it is named (a map layer); None at all others. ``token_hint`` says
    how to set the token that the source wants, empty where it wants none; ``lacks_token``: none is.
    """

    source: str
    host: str
    provides: tuple[str, ...]
    needs: str | None
    transport: str
    requests_per_item: int
    requests_per_second: float
    max_age: timedelta
    seconds_per_item: float = 0.0
    credits_per_item: float = 0.0
    can_search: bool = False
    can_validate: bool = False
    county: str = HOME_COUNTY
    keys_per_item: int | None = None
    token_hint: str = ""
    lacks_token: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """The newest answers of one source, as columns of one length, a place for each key.

    ``checked_at`` is POSIX seconds, since as many datetimes would cost more than the query;
    ``missing`` names the tables that an answer left out.
    """

    keys: Sequence[str]
    checked_at: Sequence[float]
    is_found: Sequence[bool]
    missing: Sequence[tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the store knows of what is to be planned.

    ``freshness`` stands by source, second ways included. ``keys`` holds, by source that needs one, the key of each
    APN. ``active`` maps (source, key) to the running batch that has it in work.
    """

    freshness: Mapping[str, Freshness] = field(default_factory=dict)
    keys: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    active: Mapping[tuple[str, str], str] = field(default_factory=dict)


def choose_sources(terms: Sequence[Terms], datasets: tuple[str, ...], mode: str) -> list[Terms]:
    """Return the sources to ask, those included that another one needs its keys from.

    With ``mode="all"`` every way in is asked for each table, else the cheapest one: free before
    paid, HTTP before a browser, then fewer requests. A source is left out when others that are
    asked anyway provide its tables.

    Raises
    ------
    RequestError
        No such mode, or a table that no source provides in that mode.
    """
    ways = _allow(terms, mode)
    able = [term for term in ways if set(term.provides) & set(datasets)]
    provided = {table for term in able for table in term.provides}
    if absent := [table for table in datasets if table not in provided]:
        raise RequestError(f"no source provides {', '.join(absent)} with mode={mode!r}")
    chosen = able if mode == "all" else _cheapest(able, datasets)
    provided = {table for term in chosen for table in term.provides}
    if any(term.needs for term in chosen) and "parcels" not in provided:
        rolls = [t for t in ways if "parcels" in t.provides and t.needs is None]
        chosen = (rolls if mode == "all" else sorted(rolls, key=_cost)[:1]) + chosen
    return chosen


def choose_fallbacks(
    terms: Sequence[Terms], chosen: Sequence[Terms], datasets: tuple[str, ...], mode: str
) -> dict[str, tuple[str, ...]]:
    """Return, by source that is asked, those to try in turn for the same key.

    They are to be asked when the source is unavailable, blocked or has changed its layout. Each
    provides a table for which the source is asked, takes the same keys and costs no more
    credits. With ``mode="api_then_browser"`` they are browser sources only; with ``"all"``, where
    everything is asked anyway, there are none.
    """
    asked = {term.source for term in chosen}
    others = [term for term in sorted(_allow(terms, mode), key=_cost) if term.source not in asked]
    if mode == "api_then_browser":
        others = [term for term in others if term.transport == "browser"]
    found = {}
    for term in chosen:
        # Asked for its keys only, a roll of parcels stands for the roll.
        wanted = set(term.provides) & set(datasets) or {"parcels"}
        names = tuple(
            other.source
            for other in others
            if other.needs == term.needs
            and wanted & set(other.provides)
            and other.credits_per_item <= term.credits_per_item
        )
        if names and mode != "all":
            found[term.source] = names
    return found


def tables_lost(first: Terms, second: Terms, datasets: Iterable[str]) -> tuple[str, ...]:
    """Return the tables wanted of a source that a second way cannot give in its place."""
    return tuple(
        table for table in datasets if table in first.provides and table not in second.provides
    )


def choose_validator(terms: Iterable[Terms], mode: str) -> Terms:
    """Return the source that says most cheaply whether an APN exists, as it is then asked."""
    able = [term for term in _allow(terms, mode) if term.can_validate]
    if not able:
        raise RequestError(f"no source can validate APNs with mode={mode!r}")
    return replace(min(able, key=_cost), requests_per_item=1, seconds_per_item=0.0, needs=None)


def choose_searcher(terms: Iterable[Terms], mode: str) -> Terms:
    """Return the cheapest source that can search, as it is then asked."""
    able = [term for term in _allow(terms, mode) if term.can_search]
    if not able:
        raise RequestError(f"no source can search with mode={mode!r}")
    return replace(min(able, key=_cost), requests_per_item=1, seconds_per_item=0.0, needs=None)


def parse_price(term: Terms) -> Decimal:
    """Return the credits that an item of a source costs, exactly."""
    price = read_credits(term.credits_per_item)
    if not price.is_finite() or price < 0:
        raise RequestError(
            f"{term.source} costs {term.credits_per_item!r} credits an item; expected 0 or more"
        )
    return price


def _allow(terms: Iterable[Terms], mode: str) -> list[Terms]:
    if not isinstance(mode, str) or mode not in MODES:
        raise RequestError(f"no mode {mode!r}; expected one of {', '.join(MODES)}")
    return [term for term in terms if term.transport in MODES[mode] and term.keys_per_item is None]


def _cost(term: Terms) -> tuple[float, bool, int]:
    return (term.credits_per_item, term.transport != "http", term.requests_per_item)


def _cheapest(able: Sequence[Terms], datasets: tuple[str, ...]) -> list[Terms]:
    """Return the cheapest source of each table, less those that the others make superfluous."""
    best = {min((t for t in able if table in t.provides), key=_cost).source for table in datasets}
    chosen = [term for term in able if term.source in best]
    # The dearest goes first; of equal ones that with fewer tables.
    for term in sorted(chosen, key=lambda t: (*_cost(t), -len(t.provides)), reverse=True):
        rest = [other for other in chosen if other is not term]
        given = {table for other in rest for table in other.provides}
        if not set(term.provides) & set(datasets) - given:
            chosen = rest
    return chosen
