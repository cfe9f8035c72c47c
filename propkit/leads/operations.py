"""What is done with the leads source where the store is held, by name: asked for here or by guests.

What goes in and comes out is what JSON holds, so that another process can ask for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from decimal import Decimal
from typing import Any, Final, Protocol

from propkit.buying import Buyer, Order
from propkit.collector import Collector
from propkit.criteria import Criteria, read_criteria
from propkit.errors import RequestError
from propkit.leads.account import list_items, list_lists, purchase_contacts, quote_contacts
from propkit.leads.asking import SOURCE, ask_source
from propkit.leads.ordering import (
    count_stored,
    estimate_cost,
    make_leads_plan,
    order_criteria,
    read_caps,
    refuse_twice,
)
from propkit.leads.settling import buy_lost, settle
from propkit.plan import Plan
from propkit.progress import Listener
from propkit.runtime.thread import CollectorThread
from propkit.sources import SourceConfig
from propkit.sources.propertyradar import Envelope, PayingAsk
from propkit.store import Store
from propkit.store.batches import read_batch_id
from propkit.store.purchases import keep_criteria

Given = Mapping[str, Any]

_starting = threading.Lock()
"""One at a time looks whether criteria are being bought, and begins to buy them."""


class LeadsPlace(Protocol):
    """What dealing with leads needs of the place that holds the store."""

    @property
    def store(self) -> Store:
        """The store."""
        ...

    @property
    def sources(self) -> Mapping[str, SourceConfig]:
        """The sources by name."""
        ...

    def collector(self) -> tuple[Collector, CollectorThread]:
        """Return what asks, and the thread it lives in."""
        ...

    def start_plan(
        self, plan: Plan, criteria: Mapping[str, Any], listeners: Iterable[Listener], batch_id: str
    ) -> str:
        """Start a batch and return its id."""
        ...


def do_leads(place: LeadsPlace, name: str, given: Given, listeners: Iterable[Listener] = ()) -> Any:
    """Carry out an operation and return its answer as JSON can hold it.

    Raises
    ------
    RequestError
        There is no such operation, or something given is wrong.
    SourceError
        The source does not answer, or refuses.
    """
    if name == "buy":
        return _buy(place, given, listeners)
    operation = _OPERATIONS.get(name)
    if operation is None:
        raise RequestError(f"leads know no operation {name!r}")
    return operation(place, given)


def _preview(place: LeadsPlace, given: Given) -> dict[str, Any]:
    criteria, size = _criteria(given), _whole(given, "page_size")

    async def count(buyer: Buyer, ask: PayingAsk) -> Envelope:
        return (await buyer.source.count(criteria, ask, limit=size))[0]

    first = ask_source(place.collector, count)
    cost = estimate_cost(first)
    return {
        "records": first.total,
        "cost": None if cost is None else str(cost),
        "free_remaining": first.free_remaining,
        "stored": count_stored(place.store, criteria),
    }


def _buy(place: LeadsPlace, given: Given, listeners: Iterable[Listener]) -> str:
    criteria = _criteria(given)
    max_records, max_cost = read_caps(given.get("max_records"), _decimal(given, "max_cost"))
    order = Order(
        batch_id=read_batch_id(given.get("batch_id")),
        criteria=criteria,
        page_size=_whole(given, "page_size"),
        total=_whole(given, "records"),
        max_records=max_records,
        max_cost=max_cost,
    )
    plan = make_leads_plan(order, place.sources[SOURCE])
    with _starting:
        kept = keep_criteria(place.store, criteria)  # while the store is asked
        refuse_twice(place.store, criteria, again=given.get("again") is True)
        kept.result()
        return place.start_plan(plan, order_criteria(order), listeners, order.batch_id)


def _settle(place: LeadsPlace, given: Given) -> list[dict[str, Any]]:
    bought = given.get("bought")
    collector, thread = place.collector()
    known = bought if isinstance(bought, bool) else None
    verdicts = thread.submit(settle(collector, bought=known)).result()
    if given.get("again") is True:
        caps = read_caps(given.get("max_records"), _decimal(given, "max_cost"))
        verdicts += thread.submit(buy_lost(collector, *caps)).result()
    return [asdict(verdict) for verdict in verdicts]


def _lists(place: LeadsPlace, given: Given) -> list[list[Any]]:
    del given
    return list_lists(place.collector)


def _list_items(place: LeadsPlace, given: Given) -> list[str]:
    return list_items(place.collector, _whole(given, "list_id"))


def _quote(place: LeadsPlace, given: Given) -> list[list[Any]]:
    return quote_contacts(place.collector, str(given.get("kind")), _keys(given))


def _purchase(place: LeadsPlace, given: Given) -> None:
    caps = read_caps(given.get("max_records"), _decimal(given, "max_cost"))
    again = given.get("again") is True
    purchase_contacts(place.collector, str(given.get("kind")), _keys(given), caps, again=again)


_OPERATIONS: Final[dict[str, Callable[[LeadsPlace, Given], Any]]] = {
    "preview": _preview,
    "settle": _settle,
    "lists": _lists,
    "list_items": _list_items,
    "quote": _quote,
    "purchase": _purchase,
}


def _criteria(given: Given) -> Criteria:
    return read_criteria(given.get("criteria"))


def _whole(given: Given, name: str) -> int:
    value = given.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise RequestError(f"{name} must be a whole number, not {value!r}")
    return value


def _decimal(given: Given, name: str) -> Any:
    """Return a number that came as text; read_caps judges it."""
    value = given.get(name)
    try:
        return Decimal(value) if isinstance(value, str) else value
    except ArithmeticError:
        return value


def _keys(given: Given) -> list[str]:
    keys = given.get("keys")
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise RequestError("keys must be a list of texts")
    return keys
