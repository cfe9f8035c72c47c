"""Buying leads: within caps, one paid request at a time, each written down before it is sent.

The order is always the same: nothing unsettled, know count and cost (asked for, which is free, or
just said with the page before, whose quota covers this one too), keep within the caps, write the
intent, pay once. While a page's leads are written the next page is asked for, but none beyond it.
Whether a paid request that got no clear answer was bought is not known here; it stays ``asked`` in
the journal, and nothing more is bought until it is settled.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_FLOOR, Decimal

import numpy as np

from propkit.criteria import Criteria
from propkit.errors import BudgetSpentError, InvalidAnswerError, PurchaseUnsettledError
from propkit.items import Item
from propkit.pages import Page
from propkit.sources import FollowUp, Parsed, Payload
from propkit.sources.propertyradar import (
    PAGE,
    Envelope,
    PayingAsk,
    PropertyRadar,
    page_key,
    read_envelope,
    read_ids,
    read_page_key,
)
from propkit.store import Store
from propkit.store.purchases import (
    Purchase,
    Spent,
    note_error,
    read_purchases,
    spent,
    unsettled,
    write_intent,
    write_settlement,
)
from propkit.store.results import Settlement
from propkit.store.scopes import Hashes, HashSet
from propkit.traffic import Traffic, Turn

log = logging.getLogger(__name__)

_SAID_SECONDS = 60.0
"""For so long holds what a page said of the quota; after that it is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a batch may buy: pages of ``criteria``, at most so many records and USD.

    ``total`` is how many records there were when it was ordered. Only what was paid for ``since``
    then counts; None: all of the batch. With ``is_again`` pages that were paid for and lost are
    asked for again.
    """

    batch_id: str
    criteria: Criteria
    page_size: int
    total: int
    max_records: int
    max_cost: Decimal
    since: datetime | None = None
    is_again: bool = False


@dataclass(frozen=True, slots=True)
class Bought:
    """A page that was bought, or that is empty; ``notes`` tell what is odd about it."""

    parsed: Parsed
    settlement: Settlement | None = None
    notes: str = ""


class Buyer:
    """Buys at one source; all who use the store take turns."""

    def __init__(self, store: Store, traffic: Traffic, source: PropertyRadar) -> None:
        self.store = store
        self._traffic = traffic
        self.source = source

    def turn(self) -> Turn:
        """Return what lets one at a time buy here; a context manager."""
        return self._traffic.turn(self.source.name)

    async def buy_page(self, item: Item, ask: PayingAsk, order: Order) -> Bought:
        """Buy the page that an item names, or less where a cap leaves less.

        Raises
        ------
        PurchaseUnsettledError
            It is not known whether an earlier request, or this one, was bought.
        BudgetSpentError
            A cap leaves nothing.
        SourceError
            The source does not answer or refuses: nothing was bought.
        """
        turn = self.turn()
        async with turn:
            tab, turn.memory = turn.memory, None  # what ends by an error leaves none
            if not (isinstance(tab, _Tab) and tab.order == order):
                await self.check_settled()
                tab = _read_tab(self.store, order)
            tab.refuse_paid(item.key)
            _, start, limit = read_page_key(item.key)
            limit, envelope, page = await self._fit(tab, ask, start, limit)
            if page is not None and not limit:
                return Bought(self._parse(item, page))
            purchase = Purchase(
                batch_id=order.batch_id,
                source=self.source.name,
                kind="leads",
                key=item.key,
                records_asked=limit,
                cost_expected=read_price(envelope),
                free_before=envelope.free_remaining,
                asked_at=tab.next_moment(),
            )
            parsed = Parsed()

            async def buy() -> Page:
                nonlocal parsed
                page = await self.source.buy(order.criteria, ask, start=start, limit=limit)
                parsed = self._parse(item, page)
                return page

            bought, settlement = await self.pay(purchase, ask, buy, tab)
            moved = tab.add(purchase, settlement, bought, parsed)
            notes = "; ".join(filter(None, [moved, *parsed.notes]))
            parsed = replace(parsed, follow_ups=self._follow_ups(tab, start, bought))
            turn.memory = tab
            return Bought(parsed, settlement, notes)

    async def check_settled(self) -> None:
        """Raise ``PurchaseUnsettledError`` while the outcome of a purchase is not known."""
        await asyncio.wrap_future(self.store.writer.flush())
        for purchase in unsettled(self.store, self.source.name):
            raise PurchaseUnsettledError(
                f"whether {purchase.kind} {purchase.key} (asked {purchase.asked_at:%Y-%m-%d %H:%M}"
                " UTC) was bought is not known, and nothing more is bought until it is:"
                " kit.settle() asks the account"
            )

    async def pay(
        self,
        purchase: Purchase,
        ask: PayingAsk,
        call: Callable[[], Awaitable[Page]],
        tab: _Tab | None = None,
    ) -> tuple[Envelope, Settlement]:
        """Write the intent, pay once, and return the answer with what is to be written of it.

        The settlement is for the caller to write, together with what was bought. That of the page
        before may still wait for the writer, where the ``tab`` knows of it.

        Raises
        ------
        PurchaseUnsettledError
            The answer does not say whether it was bought.
        SourceError
            It was certainly not bought.
        """
        answered = tab.answered.purchase_id if tab and tab.answered else None
        # Of the page before the last the writer was told to commit it: it does so before this.
        written = asyncio.wrap_future(write_intent(self.store, purchase, answered))
        if answered:
            self.store.writer.flush()
        before = await written
        if before is not None:
            await self.check_settled()
            raise PurchaseUnsettledError(f"purchase {before} has only just been settled; ask again")
        try:
            envelope = read_envelope(await call())
        except Exception as error:
            if ask.had_no_effect:
                refused = Settlement(
                    purchase_id=purchase.purchase_id,
                    state="not_bought",
                    answered_at=datetime.now(UTC),
                    records=0,
                    cost=Decimal(0),
                    error=str(error),
                )
                await asyncio.wrap_future(write_settlement(self.store, refused))
                raise
            log.warning("the outcome of %s %s is not known: %s", purchase.kind, purchase.key, error)
            why = str(error.args[0]) if error.args else repr(error)
            await asyncio.wrap_future(note_error(self.store, purchase, why))
            raise PurchaseUnsettledError(
                f"whether {purchase.kind} {purchase.key} was bought is not known ({why});"
                " kit.settle() asks the account"
            ) from error
        return envelope, Settlement(
            purchase_id=purchase.purchase_id,
            state="bought",
            answered_at=datetime.now(UTC),
            records=max(envelope.count, len(envelope.rows)),
            # An answer that does not say it cost what the count before it said.
            cost=purchase.cost_expected if envelope.cost is None else envelope.cost,
            free_after=envelope.free_remaining,
        )

    async def _fit(
        self, tab: _Tab, ask: PayingAsk, start: int, limit: int
    ) -> tuple[int, Envelope, Page | None]:
        """Return how many records the caps leave, and what the source says of them.

        A count that gives no number for the page itself is read by the total. There is no page
        where nothing was asked.
        """
        order, done = tab.order, tab.spent
        limit = min(limit, order.max_records - done.records)
        if limit <= 0:
            raise BudgetSpentError(
                f"max_records={order.max_records}: {done.records} are paid for, or may be"
            )
        if (known := tab.said_of(start, limit)) is not None:
            return known.count, known, None
        left = order.max_cost - done.cost
        while True:
            envelope, page = await self.source.count(order.criteria, ask, start=start, limit=limit)
            limit = min(limit, envelope.count or max(0, envelope.total - start))
            if not limit or read_price(envelope) <= left:
                return limit, envelope, page
            fitting = affordable(envelope, left)
            if not 0 < fitting < limit:
                raise BudgetSpentError(
                    f"max_cost={order.max_cost}: {done.cost} are spent, and {limit} records more"
                    f" cost {envelope.cost}"
                )
            limit = fitting

    def _parse(self, item: Item, page: Page) -> Parsed:
        # What was read of a page stays with it, which another one of this name would lack.
        named = page if page.name == PAGE else replace(page, name=PAGE)
        return self.source.parse(Payload(source=self.source.name, key=item.key, pages=(named,)))

    def _follow_ups(self, tab: _Tab, start: int, bought: Envelope) -> tuple[FollowUp, ...]:
        """Return the next page where this one was short, or the set has grown beyond the last."""
        following, order = start + len(bought.rows), tab.order
        is_last = following >= bought.total or tab.spent.records >= order.max_records
        if not bought.rows or is_last:
            return ()
        limit = order.page_size - following % order.page_size
        key = page_key(order.criteria.id, following, limit)
        return (FollowUp(source=self.source.name, key=key),)


@dataclass(slots=True)
class _Tab:
    """What a batch has bought so far, as the journal has it: read once, then kept in mind.

    ``paid`` has the last purchase that was paid for, by key; ``seen`` hashes of the leads that have
    come. ``answered`` is the last purchase, whose outcome is on its way to the journal. ``said`` is
    what came with the last page, ``said_at`` when (the clock of :func:`time.monotonic`).
    """

    order: Order
    spent: Spent
    paid: dict[str, Purchase]
    seen: HashSet
    answered: Purchase | None = None
    said: Envelope | None = None
    said_at: float = 0.0

    def next_moment(self) -> datetime:
        """Return now, or what comes after the last purchase: their order tells which was answered."""
        now = datetime.now(UTC)
        if self.answered is None:
            return now
        return max(now, self.answered.asked_at + timedelta(microseconds=1))

    def said_of(self, start: int, limit: int) -> Envelope | None:
        """Return what the last page said of the next: that the quota covers it; None: ask."""
        said = self.said
        if said is None or said.cost is None or said.free_remaining is None:
            return None
        count = min(limit, said.total - start)
        if time.monotonic() - self.said_at > _SAID_SECONDS or not 0 < count <= said.free_remaining:
            return None
        return replace(said, rows=(), count=count, cost=Decimal(0))

    def refuse_paid(self, key: str) -> None:
        """Refuse a page of this batch that was paid for already."""
        paid = self.paid.get(key)
        if paid is None:
            return
        if paid.state == "bought":
            raise InvalidAnswerError(
                f"{key} is bought already and is not bought twice; its answer is kept"
            )
        if not self.order.is_again:
            raise InvalidAnswerError(
                f"{key} is paid for, but its {paid.records} records never arrived;"
                " kit.settle(again=True, max_records=…, max_cost=…) asks for them again, which the"
                " source may charge again"
            )

    def add(
        self, purchase: Purchase, settlement: Settlement, bought: Envelope, parsed: Parsed
    ) -> str:
        """Take note of a page; return what is odd about it: the result set may have moved."""
        self.answered = purchase
        self.said, self.said_at = replace(bought, rows=()), time.monotonic()
        records, cost = settlement.records or 0, settlement.cost or Decimal(0)
        self.spent = Spent(self.spent.records + records, self.spent.cost + cost)
        self.paid[purchase.key] = replace(purchase, state=settlement.state)
        notes = []
        if bought.total != self.order.total:
            notes.append(f"there were {self.order.total} records when ordered, now {bought.total}")
        was_seen = self.seen.add(_hash(read_ids(parsed)))
        repeated = len(bought.rows) - len(was_seen) + int(was_seen.sum())
        if repeated and not self.order.is_again:
            notes.append(f"{repeated} of {len(bought.rows)} records had come before")
        if len(bought.rows) != purchase.records_asked:
            notes.append(f"{purchase.records_asked} records were asked for")
        return f"the result set moved: {'; '.join(notes)}" if notes else ""


def _read_tab(store: Store, order: Order) -> _Tab:
    made = read_purchases(store, "batch_id = $1", [order.batch_id])
    if not made:
        return _Tab(order=order, spent=Spent(0, Decimal(0)), paid={}, seen=HashSet(_hash([])))
    seen = store.rows(
        "SELECT radar_id FROM leads WHERE criteria_id = $1 AND collected_at >= $2",
        [order.criteria.id, made[0].asked_at],
    )
    return _Tab(
        order=order,
        spent=spent(store, order.batch_id, order.since),
        paid={one.key: one for one in made if one.state in ("bought", "lost")},
        seen=HashSet(_hash([row["radar_id"] for row in seen])),
    )


def _hash(ids: Sequence[str]) -> Hashes:
    return np.fromiter(map(hash, ids), np.int64, len(ids)).view(np.uint64)


def read_price(quote: Envelope) -> Decimal:
    """Return what a count says its records cost, in USD; one that does not say is an error."""
    if quote.cost is None:
        raise InvalidAnswerError("the source does not say what the records cost; nothing is bought")
    return quote.cost


def affordable(quote: Envelope, left: Decimal) -> int:
    """Return how many of the records that were priced a sum of USD buys; free ones come first."""
    free = min(quote.free_remaining or 0, quote.count)
    priced = quote.count - free
    cost = read_price(quote)
    if left < 0 or priced <= 0 or cost <= 0:
        return 0
    return free + int((left * priced / cost).to_integral_value(ROUND_FLOOR))
