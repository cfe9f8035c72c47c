"""What else the leads account holds: lists, persons, and phone numbers and addresses to unlock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from propkit.buying import Buyer, read_price
from propkit.errors import BudgetSpentError, RequestError
from propkit.leads.asking import SOURCE, Place, ask_source
from propkit.leads.ordering import read_caps
from propkit.pages import Page
from propkit.sources.propertyradar import Envelope, PayingAsk, read_contacts, read_envelope
from propkit.store import Reading
from propkit.store.purchases import Purchase, read_purchases, write_persons

if TYPE_CHECKING:
    import pandas as pd

CONTACTS = ("phone", "email")
_LIST_COLUMNS = {
    "list_id": "ListID",
    "list_name": "ListName",
    "list_type": "ListType",
    "is_monitored": "isMonitored",
    "total_count": "TotalCount",
}
_ITEMS_AT_ONCE = 500

Call = Callable[[PayingAsk, bool], Awaitable[Page]]
Ask = Callable[[str, Mapping[str, Any]], Any]
"""Has an operation of :mod:`propkit.leads.operations` carried out where the store is held."""


class LeadAccount:
    """The account at the leads source; made by ``kit.lead_account``."""

    def __init__(self, ask: Ask, store: Reading) -> None:
        self._ask = ask
        self._store = store

    def lists(self) -> pd.DataFrame:
        """Return the account's lists: list_id, list_name, list_type, is_monitored, total_count."""
        return _frame(self._ask("lists", {}), list(_LIST_COLUMNS))

    def list_items(self, list_id: int) -> pd.DataFrame:
        """Return the RadarIDs of a list, which are free: one column, radar_id, each once.

        Raises
        ------
        SourceError
            There is no such list, or the source does not answer.
        """
        if isinstance(list_id, bool) or not isinstance(list_id, int):
            raise RequestError(f"a list's id is a whole number, not {list_id!r}")
        found = self._ask("list_items", {"list_id": list_id})
        return _frame([[radar_id] for radar_id in found], ["radar_id"])

    def persons(
        self,
        radar_ids: str | Iterable[str],
        *,
        purchase: bool = False,
        max_records: int | None = None,
        max_cost: float | Decimal | None = None,
        again: bool = False,
    ) -> pd.DataFrame:
        """Return the persons behind leads.

        Without ``purchase=True`` only how many would be bought: radar_id, persons, cost (USD).
        With it they are bought within both caps, each lead once, and returned as ``kit.frame`` has
        them under ``lead_persons``; what was bought before counts none and costs nothing. What was
        paid for and never arrived is asked for ``again`` only when that is said.

        Raises
        ------
        RequestError
            A cap is missing, an id is no text, or what is asked for was paid for and lost.
        BudgetSpentError
            The caps leave less than the next lead costs; what was bought before it is stored.
        PurchaseUnsettledError
            Whether a purchase was made is not known: ``kit.settle()``.
        """
        ids = _texts(radar_ids, "a RadarID")
        if not purchase:
            return self._quote("persons", "radar_id", ids)
        self._buy("persons", ids, read_caps(max_records, max_cost), again=again)
        return self._stored("radar_id", ids)

    def unlock(
        self,
        person_keys: str | Iterable[str],
        kind: str,
        *,
        purchase: bool = False,
        max_records: int | None = None,
        max_cost: float | Decimal | None = None,
        again: bool = False,
    ) -> pd.DataFrame:
        """Unlock phone numbers (``"phone"``) or e-mail addresses (``"email"``) of persons.

        As :meth:`persons`: without ``purchase=True`` it says what that would cost; what was
        unlocked before costs nothing.
        """
        if kind not in CONTACTS:
            raise RequestError(f"cannot unlock {kind!r}; expected one of {', '.join(CONTACTS)}")
        keys = _texts(person_keys, "a person's key")
        if not purchase:
            return self._quote(kind, "person_key", keys)
        self._buy(kind, keys, read_caps(max_records, max_cost), again=again)
        return self._stored("person_key", keys)

    def _quote(self, kind: str, column: str, keys: Sequence[str]) -> pd.DataFrame:
        said = self._ask("quote", {"kind": kind, "keys": list(keys)})
        rows = [[key, count, None if cost is None else Decimal(cost)] for key, count, cost in said]
        return _frame(rows, [column, kind, "cost"])

    def _buy(
        self, kind: str, keys: Sequence[str], caps: tuple[int, Decimal], *, again: bool
    ) -> None:
        records, cost = caps
        given = {"max_records": records, "max_cost": str(cost), "again": again}
        self._ask("purchase", {"kind": kind, "keys": list(keys), **given})

    def _stored(self, column: str, keys: Sequence[str]) -> pd.DataFrame:
        return self._store.frame(
            f"SELECT * FROM lead_persons WHERE list_contains($1, {column})"  # noqa: S608
            " ORDER BY radar_id, person_key",
            [list(keys)],
        )


def list_lists(place: Place) -> list[list[Any]]:
    """Return the account's lists, the columns of :meth:`LeadAccount.lists`."""
    envelope = ask_source(place, lambda buyer, ask: buyer.source.lists(ask))
    return [[row.get(name) for name in _LIST_COLUMNS.values()] for row in envelope.rows]


def list_items(place: Place, list_id: int) -> list[str]:
    """Return the RadarIDs of a list, each once."""
    found: dict[str, None] = {}

    async def read(buyer: Buyer, ask: PayingAsk) -> None:
        start = 0
        while True:
            page = await buyer.source.list_items(list_id, ask, start=start, limit=_ITEMS_AT_ONCE)
            found.update(dict.fromkeys(row["RadarID"] for row in page.rows))
            start += len(page.rows)
            if not page.rows or start >= page.total:
                return

    ask_source(place, read)
    return list(found)


def quote_contacts(place: Place, kind: str, keys: Sequence[str]) -> list[list[Any]]:
    """Return what persons of leads, or contacts of persons, would cost: key, count, USD as text."""

    async def work(buyer: Buyer, ask: PayingAsk) -> list[list[Any]]:
        paid = read_purchases(
            buyer.store,
            "kind = $1 AND state = 'bought' AND list_contains($2, key)",
            [kind, list(keys)],
        )
        bought = {one.key for one in paid}  # of what is unlocked the source tells no price
        rows: list[list[Any]] = []
        for key in keys:
            if key in bought:
                rows.append([key, 0, "0.00"])
                continue
            envelope = read_envelope(await _call(buyer, kind, key)(ask, False))  # noqa: FBT003
            rows.append(
                [key, envelope.count, None if envelope.cost is None else str(envelope.cost)]
            )
        return rows

    return ask_source(place, work)


def purchase_contacts(
    place: Place, kind: str, keys: Sequence[str], caps: tuple[int, Decimal], *, again: bool
) -> None:
    """Buy persons of leads, or contacts of persons, one after the other within both caps."""
    records, cost = caps
    for key in keys:
        spent = ask_source(place, _purchase(kind, key, records, cost, again=again))
        records, cost = records - spent[0], cost - spent[1]


def _call(buyer: Buyer, kind: str, key: str) -> Call:
    if kind == "persons":

        async def persons(ask: PayingAsk, is_paid: bool) -> Page:  # noqa: FBT001
            return await buyer.source.persons(key, ask, is_paid=is_paid)

        return persons
    if kind not in CONTACTS:
        raise RequestError(f"cannot unlock {kind!r}; expected one of {', '.join(CONTACTS)}")

    async def contacts(ask: PayingAsk, is_paid: bool) -> Page:  # noqa: FBT001
        return await buyer.source.contacts(key, kind, ask, is_paid=is_paid)

    return contacts


def _purchase(
    kind: str, key: str, records: int, cost: Decimal, *, again: bool
) -> Callable[[Buyer, PayingAsk], Awaitable[tuple[int, Decimal]]]:
    """Return what buys one thing within caps, stores it, and says what it took."""

    async def work(buyer: Buyer, ask: PayingAsk) -> tuple[int, Decimal]:
        call = _call(buyer, kind, key)
        turn = buyer.turn()
        async with turn:
            turn.memory = None  # what a batch knows of the quota will not be so any more
            await buyer.check_settled()
            paid = read_purchases(
                buyer.store, "kind = $1 AND key = $2 AND state IN ('bought', 'lost')", [kind, key]
            )
            if any(one.state == "bought" for one in paid):
                return 0, Decimal(0)
            if paid and not again:
                raise RequestError(
                    f"{kind} of {key} are paid for, but never arrived; again=True asks for them"
                    " again, which the source may charge again"
                )
            quote = read_envelope(await call(ask, False))  # noqa: FBT003
            price = read_price(quote)
            if quote.count > records or price > cost:
                raise BudgetSpentError(
                    f"{kind} of {key}: {quote.count} records for {price} USD; the caps leave"
                    f" {records} and {cost}"
                )
            purchase = Purchase(
                source=SOURCE,
                kind=kind,
                key=key,
                records_asked=quote.count,
                cost_expected=price,
                free_before=quote.free_remaining,
            )
            envelope, settlement = await buyer.pay(
                purchase,
                ask,
                lambda: call(ask, True),  # noqa: FBT003
            )
            rows = read_contacts(_with_owner(envelope, kind, key), datetime.now(UTC))
            await asyncio.wrap_future(write_persons(buyer.store, rows, settlement))
            return settlement.records or 0, settlement.cost or Decimal(0)

    return work


def _with_owner(envelope: Envelope, kind: str, key: str) -> list[Mapping[str, Any]]:
    """Return persons with the RadarID they belong to, where that was asked for."""
    if kind != "persons":
        return list(envelope.rows)
    return [{**row, "RadarID": key} for row in envelope.rows]


def _texts(given: str | Iterable[str], what: str) -> list[str]:
    texts = [given] if isinstance(given, str) else list(given)
    for text in texts:
        if not isinstance(text, str) or not text.strip():
            raise RequestError(f"{text!r} is not {what}")
    return list(dict.fromkeys(text.strip() for text in texts))


def _frame(rows: Sequence[Sequence[Any]], columns: Sequence[str]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(rows, columns=list(columns)).convert_dtypes(dtype_backend="pyarrow")
