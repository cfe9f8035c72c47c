"""From criteria to a batch that buys: a preview, which is free, then an order within caps."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from propkit.buying import Order
from propkit.criteria import Criteria
from propkit.errors import RequestError
from propkit.items import Item
from propkit.kinds import parse_budget
from propkit.leads.asking import SOURCE
from propkit.plan import Plan
from propkit.progress import Listener
from propkit.runtime.batch import Batch
from propkit.sources import SourceConfig
from propkit.sources.propertyradar import MOST_RECORDS, Envelope, page_key
from propkit.store import Store
from propkit.store.batches import UNFINISHED
from propkit.store.purchases import unsettled

PAGE_SIZE: Final = 400
"""Records of one paid request, unless set otherwise."""

Start = Callable[[int, Decimal, bool, list[Listener]], Batch]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadPreview:
    """What criteria would bring and cost; making it bought nothing.

    ``records`` fit the criteria. ``cost`` is what the source asks for all of them in USD, beyond
    what the month's quota gives free; None where the source does not say. ``free_remaining`` is
    what is left of that quota, in records; None where the source does not say. ``stored`` leads
    of these criteria are in the store already. ``previewed_at`` is aware UTC.
    """

    criteria: Criteria
    records: int
    cost: Decimal | None
    free_remaining: int | None
    page_size: int
    stored: int
    previewed_at: datetime
    start: Start = field(repr=False, compare=False)

    @property
    def over_quota(self) -> int | None:
        """How many records the month's quota does not cover."""
        if self.free_remaining is None:
            return None
        return max(0, self.records - self.free_remaining)

    def buy(
        self,
        *,
        max_records: int | None = None,
        max_cost: float | Decimal | None = None,
        again: bool = False,
        listener: Listener | None = None,
    ) -> Batch:
        """Buy the leads in a background batch and return it at once.

        Parameters
        ----------
        max_records
            Most records that may be paid for. Needed.
        max_cost
            Most USD that may be spent, quota left aside; 0 buys only what the quota covers.
            Needed.
        again
            Buy criteria that were bought before.
        listener
            Called with every :class:`propkit.Progress`, from the collector's thread.

        Raises
        ------
        RequestError
            A cap is missing or no number, nothing fits the criteria, they are being bought or
            were bought already, or an earlier purchase is unsettled.
        """
        records, cost = read_caps(max_records, max_cost)
        if not self.records:
            raise RequestError(f"nothing to buy: no record fits {self.criteria}")
        if not isinstance(again, bool):
            raise RequestError(f"again must be True or False, not {again!r}")
        return self.start(records, cost, again, [listener] if listener else [])

    def __str__(self) -> str:
        """Return the preview in a few lines."""
        pages = -(-self.records // self.page_size)
        cost = "not said before they are bought" if self.cost is None else f"{self.cost:.2f} USD"
        quota = "not said" if self.free_remaining is None else f"{self.free_remaining:,} records"
        lines = [
            f"Leads preview {self.criteria.id}: {self.records:,} records; nothing is bought",
            f"  {self.criteria}",
            f"  cost beyond the quota: {cost}",
            f"  left of this month's quota: {quota}",
            f"  {pages} page{'' if pages == 1 else 's'} of {self.page_size}",
        ]
        if self.stored:
            lines.append(f"  {self.stored:,} leads of these criteria are in the store already")
        lines.append("  preview.buy(max_records=…, max_cost=…) buys")
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<pre style='white-space: pre-wrap'>{html.escape(str(self))}</pre>"


def read_caps(max_records: object, max_cost: Any) -> tuple[int, Decimal]:
    """Return both caps; RequestError where one is missing or no number."""
    if isinstance(max_records, bool) or not isinstance(max_records, int) or max_records < 1:
        raise RequestError(
            "a purchase needs max_records, the most records to pay for, a whole number from 1 up,"
            f" not {max_records!r}"
        )
    try:
        cost = parse_budget(max_cost)
    except RequestError:
        cost = None
    if cost is None:
        raise RequestError(
            "a purchase needs max_cost, the most USD to spend, a number from 0 up,"
            f" not {max_cost!r}"
        )
    return max_records, cost


def choose_page_size(given: int | None, config: SourceConfig) -> int:
    """Return the records of a page: as given, as set, or 400."""
    size = config.page_size or PAGE_SIZE if given is None else given
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= MOST_RECORDS:
        raise RequestError(
            f"page_size must be a whole number from 1 to {MOST_RECORDS}, not {given!r}"
        )
    return size


def estimate_cost(first: Envelope) -> Decimal | None:
    """Return what all records cost, by what the source asks for the first ones of them.

    None where the source does not say, or the quota covers those but not all. The estimate is never too low: where the source
    should mean the cost of all records, it is too high.
    """
    free = first.free_remaining or 0
    if first.total <= free:
        return Decimal("0.00")
    priced = first.count - min(free, first.count)
    if priced <= 0 or first.cost is None:
        return None
    over = first.total - min(free, first.total)
    return (first.cost * over / priced).quantize(Decimal("0.01"))


def count_stored(store: Store, criteria: Criteria) -> int:
    """Return how many leads of these criteria are in the store."""
    rows = store.rows("SELECT count(*) AS n FROM leads WHERE criteria_id = $1", [criteria.id])
    return int(rows[0]["n"])


def refuse_twice(store: Store, criteria: Criteria, *, again: bool) -> None:
    """Raise RequestError while something stands in the way of buying these criteria.

    That is an unsettled purchase, a batch that buys them, or, unless ``again``, that they were
    bought before.
    """
    for purchase in unsettled(store, SOURCE):
        raise RequestError(
            f"whether {purchase.kind} {purchase.key} was bought is not known yet; wait for the"
            " batch that buys, or ask the account: kit.settle()"
        )
    rows = store.rows(
        "SELECT batch_id FROM batch_heads WHERE kind = 'leads' AND list_contains($1, state)"
        " AND json_extract_string(criteria, '$.order.criteria_id') = $2",
        [list(UNFINISHED), criteria.id],
    )
    if rows:
        batch_id = rows[0]["batch_id"]
        raise RequestError(
            f"batch {batch_id} buys these criteria already; go on with it:"
            f" kit.batch({batch_id!r}).resume()"
        )
    stored = count_stored(store, criteria)
    if stored and not again:
        raise RequestError(
            f"{stored} leads of these criteria are bought already: kit.frame('leads');"
            " again=True buys them once more"
        )


def make_leads_plan(order: Order, config: SourceConfig) -> Plan:
    """Return a plan with one item a page, as far as the cap goes."""
    size, wanted = order.page_size, min(order.total, order.max_records)
    items = tuple(
        Item(source=SOURCE, key=page_key(order.criteria.id, start, size), sequence=number)
        for number, start in enumerate(range(0, wanted, size))
    )
    requests = 2 * len(items)
    return Plan(
        entries=(),
        items=items,
        datasets=("leads",),
        mode="api",
        origin=str(order.criteria),
        requests={config.host: requests},
        follow_ups={},
        minutes=requests / config.requests_per_second / 60,
        sources=(SOURCE,),
        kind="leads",
        planned_at=datetime.now(UTC),
    )


def order_criteria(order: Order) -> dict[str, Any]:
    """Return what a batch keeps of its order, and how it is run: one page after the other."""
    kept = {
        "criteria_id": order.criteria.id,
        "criteria": list(order.criteria.entries),
        "page_size": order.page_size,
        "total": order.total,
        "max_records": order.max_records,
        "max_cost": str(order.max_cost),
    }
    return {"order": kept, "workers": 1, "strategy": "sequential"}
