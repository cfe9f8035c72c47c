"""What became of paid requests that got no clear answer: by what the account says, or the person.

The source tells nobody what was bought, but what is left of the month's quota: where nothing else
was bought meanwhile, that decides. Of two that are not settled the older was bought: only because
it had been answered the newer was written down.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal

from propkit.buying import Order
from propkit.collector import Collector
from propkit.criteria import Criteria, read_criteria
from propkit.errors import RequestError
from propkit.items import Item, State
from propkit.leads.asking import SOURCE
from propkit.sources.propertyradar import read_page_key
from propkit.store import Result
from propkit.store.batches import read_head
from propkit.store.purchases import (
    Purchase,
    find_criteria,
    lost_pages,
    unsettled,
    write_settlement,
)
from propkit.store.results import Settlement
from propkit.usage import Usage

_ANY = {"State": "AZ"}
"""Asked for where a purchase was no page of criteria, only to hear what is left of the quota."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of a purchase, and how that is known.

    ``not_bought``: it may be bought now. ``lost``: paid for, but nothing arrived. ``unknown``: the
    account does not decide it. ``bought``: a lost page that has arrived now.
    """

    purchase_id: str
    kind: str
    key: str
    verdict: str
    reason: str


def judge_purchase(
    purchase: Purchase, free_now: int | None, *, age_seconds: float, settle_seconds: float
) -> Verdict:
    """Decide by what is left of the quota whether a request was bought; pure.

    A request may take effect for ``settle_seconds`` after it was sent.
    """
    before, asked = purchase.free_before, purchase.records_asked
    if before is None or free_now is None:
        return _verdict(purchase, "unknown", "the account does not say what is left of its quota")
    if before == 0:
        return _verdict(purchase, "unknown", "no quota was left, so that its rest says nothing")
    taken = before - free_now
    said = f"the quota went from {before} to {free_now} records"
    if taken == min(asked, before):
        return _verdict(purchase, "lost", f"{said}, as {asked} records cost")
    if taken:
        return _verdict(
            purchase,
            "unknown",
            f"{said}, and {asked} records cost {min(asked, before)}: something else was bought,"
            " or a new month began",
        )
    if age_seconds < settle_seconds:
        wait = f"it may still take effect for {settle_seconds - age_seconds:.0f} s"
        return _verdict(purchase, "unknown", f"{said}, but {wait}")
    return _verdict(purchase, "not_bought", said)


async def settle(collector: Collector, *, bought: bool | None = None) -> list[Verdict]:
    """Settle every purchase that is not, one after the other; second time there is none.

    ``bought`` is what the person knows of those that the account does not decide.
    """
    verdicts = []
    async with collector.traffic.turn(SOURCE):  # nobody buys just now
        await asyncio.wrap_future(collector.store.writer.flush())
        purchases = unsettled(collector.store, SOURCE)
        for purchase in purchases:
            by = "account"
            if purchase is not purchases[-1]:
                verdict = _verdict(purchase, "lost", "it was answered, for another was asked for")
            else:
                verdict = judge_purchase(
                    purchase,
                    await _ask_account(collector, purchase),
                    age_seconds=(datetime.now(UTC) - purchase.asked_at).total_seconds(),
                    settle_seconds=collector.settings.settle_seconds,
                )
            if verdict.verdict == "unknown" and bought is not None:
                word = "lost" if bought else "not_bought"
                verdict, by = replace(verdict, verdict=word, reason="the person says so"), "person"
            if verdict.verdict != "unknown":
                await asyncio.wrap_future(
                    write_settlement(collector.store, _settlement(purchase, verdict, by))
                )
            verdicts.append(verdict)
    return verdicts


async def buy_lost(collector: Collector, max_records: int, max_cost: Decimal) -> list[Verdict]:
    """Ask again for pages that were paid for and never arrived, within caps of their own."""
    verdicts = []
    for purchase in lost_pages(collector.store, SOURCE):
        if max_records < 1:
            verdicts.append(_verdict(purchase, "lost", "max_records is reached"))
            continue
        since = datetime.now(UTC)
        order = _order_again(collector, purchase, since, max_records, max_cost)
        item = Item(source=SOURCE, key=purchase.key, state=State.RUNNING, started_at=since)
        outcome = await collector.collect_item(item, Usage(), "buy", order)
        if outcome.settlement is None:
            why = outcome.item.error or f"the page is empty now: {outcome.item.state}"
            verdicts.append(_verdict(purchase, "lost", why))
            continue
        parsed = outcome.parsed
        collector.store.writer.put(
            Result(
                batch_id=order.batch_id,
                item=outcome.item,
                parser_version=collector.configs[SOURCE].source.parser_version,
                pages=outcome.pages,
                records=parsed.records if parsed else (),
                checked_at=outcome.item.ended_at,
                unsaid=parsed.unsaid if parsed else {},
                settlement=outcome.settlement,
            )
        )
        await asyncio.wrap_future(collector.store.writer.flush())
        max_records -= outcome.settlement.records or 0
        max_cost -= outcome.settlement.cost or Decimal(0)
        verdicts.append(_verdict(purchase, "bought", "asked for again, and it came"))
    return verdicts


async def _ask_account(collector: Collector, purchase: Purchase) -> int | None:
    """Return what is left of the account's quota, asked for with a count, which is free."""
    buyer = collector.buyer(SOURCE)
    criteria = _criteria_of(collector, purchase)
    async with collector.asking(SOURCE, Usage()) as ask:
        envelope, _ = await buyer.source.count(criteria, ask, limit=1)
    return envelope.free_remaining


def _criteria_of(collector: Collector, purchase: Purchase) -> Criteria:
    if purchase.kind != "leads":
        return read_criteria(_ANY)
    return find_criteria(collector.store, read_page_key(purchase.key)[0])


def _order_again(
    collector: Collector, purchase: Purchase, since: datetime, max_records: int, max_cost: Decimal
) -> Order:
    if purchase.batch_id is None:
        raise RequestError(f"purchase {purchase.purchase_id} belongs to no batch")
    order: Mapping[str, int] = read_head(collector.store, purchase.batch_id).criteria["order"]
    return Order(
        batch_id=purchase.batch_id,
        criteria=_criteria_of(collector, purchase),
        page_size=order["page_size"],
        total=order["total"],
        max_records=max_records,
        max_cost=max_cost,
        since=since,
        is_again=True,
    )


def _settlement(purchase: Purchase, verdict: Verdict, by: str) -> Settlement:
    is_lost = verdict.verdict == "lost"
    return Settlement(
        purchase_id=purchase.purchase_id,
        state=verdict.verdict,
        answered_at=datetime.now(UTC),
        records=purchase.records_asked if is_lost else 0,
        cost=purchase.cost_expected if is_lost else Decimal(0),
        error="; ".join(filter(None, [purchase.error, verdict.reason])),
        settled_by=by,
    )


def _verdict(purchase: Purchase, verdict: str, reason: str) -> Verdict:
    return Verdict(
        purchase_id=purchase.purchase_id,
        kind=purchase.kind,
        key=purchase.key,
        verdict=verdict,
        reason=reason,
    )
