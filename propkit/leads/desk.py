"""What a kit does with leads: a part of :class:`propkit.Kit`, which has it among its methods."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol

from propkit.buying import Buyer, Order
from propkit.collector import Collector
from propkit.criteria import Criteria, read_criteria
from propkit.errors import RequestError
from propkit.frames import table_frame
from propkit.leads.account import LeadAccount
from propkit.leads.asking import SOURCE, ask_source
from propkit.leads.ordering import (
    LeadPreview,
    choose_page_size,
    count_stored,
    estimate_cost,
    make_leads_plan,
    order_criteria,
    read_caps,
    refuse_twice,
)
from propkit.leads.settling import Verdict, buy_lost, settle
from propkit.progress import Listener
from propkit.runtime.batch import Batch
from propkit.runtime.parts import OpenParts
from propkit.runtime.starting import start_batch
from propkit.runtime.thread import CollectorThread
from propkit.sources import SourceConfig
from propkit.sources.propertyradar import Envelope, PayingAsk
from propkit.store import Store
from propkit.store.purchases import keep_criteria

if TYPE_CHECKING:
    import pandas as pd


_starting = threading.Lock()
"""One at a time looks whether criteria are being bought, and begins to buy them."""


class LeadsKit(Protocol):
    """What dealing with leads needs of a kit."""

    store: Store
    sources: Mapping[str, SourceConfig]
    _parts: OpenParts

    def _place(self) -> tuple[Collector, CollectorThread]: ...


class LeadsDesk:
    """The methods of a kit that deal with leads."""

    def leads(
        self: LeadsKit,
        criteria: object,
        *,
        purchase: bool = False,
        max_records: int | None = None,
        max_cost: float | Decimal | None = None,
        page_size: int | None = None,
        again: bool = False,
        listener: Listener | None = None,
    ) -> LeadPreview | Batch:
        """Say what leads there are and what they cost; with ``purchase=True`` buy them.

        Parameters
        ----------
        criteria
            Values by the leads API's names; see :mod:`propkit.criteria`.
        purchase
            False buys nothing. True starts a background batch at once, as ``preview.buy`` does.
        max_records, max_cost, again, listener
            As for ``preview.buy``; only with ``purchase=True``, which needs both caps.
        page_size
            Records of one paid request, 1 to 500; None is the setting (400).

        Returns
        -------
        LeadPreview | Batch
            A :class:`propkit.leads.LeadPreview` that bought nothing, or the batch that buys.

        Raises
        ------
        RequestError
            The criteria or an option are wrong; nothing was asked, or nothing was bought.
        SourceError
            The source does not answer, or refuses the token or a criterion.
        """
        checked = read_criteria(criteria)
        if not isinstance(purchase, bool):
            raise RequestError(f"purchase must be True or False, not {purchase!r}")
        if purchase:
            read_caps(max_records, max_cost)
        elif max_records is not None or max_cost is not None or again:
            raise RequestError("caps and again belong to a purchase: say purchase=True too")
        preview = _preview(self, checked, choose_page_size(page_size, self.sources[SOURCE]))
        if not purchase:
            return preview
        return preview.buy(
            max_records=max_records, max_cost=max_cost, again=again, listener=listener
        )

    def purchases(self: LeadsKit) -> pd.DataFrame:
        """Return the journal of every paid request, the oldest first.

        ``state`` is ``asked`` (under way, or unsettled: :meth:`settle`), ``bought``,
        ``not_bought`` or ``lost`` (paid for, but nothing arrived).
        """
        return table_frame(self.store, "purchases")

    def settle(
        self: LeadsKit,
        *,
        bought: bool | None = None,
        again: bool = False,
        max_records: int | None = None,
        max_cost: float | Decimal | None = None,
    ) -> pd.DataFrame:
        """Find out what became of paid requests that got no clear answer; buys nothing by itself.

        Parameters
        ----------
        bought
            What you know of those that the account does not decide.
        again
            Ask again for pages that were paid for and never arrived, within both caps: the
            source may charge them again.

        Returns
        -------
        DataFrame
            One row each, all text: purchase_id, kind, key, verdict (``not_bought``, ``lost``,
            ``unknown``, ``bought``) and the reason. Empty when nothing is to be settled.

        Raises
        ------
        RequestError
            An option is wrong, or a cap is missing.
        SourceError
            The source does not answer.
        """
        import pandas as pd

        if not (bought is None or isinstance(bought, bool)):
            raise RequestError(f"bought must be True, False or None, not {bought!r}")
        caps = read_caps(max_records, max_cost) if again else None
        if caps is None and (max_records is not None or max_cost is not None):
            raise RequestError("caps belong to what is bought: say again=True too")
        collector, thread = self._place()
        verdicts = thread.submit(settle(collector, bought=bought)).result()
        if caps is not None:
            verdicts += thread.submit(buy_lost(collector, *caps)).result()
        rows = [list(asdict(verdict).values()) for verdict in verdicts]
        return pd.DataFrame(rows, columns=list(Verdict.__slots__), dtype="string[pyarrow]")

    @property
    def lead_account(self: LeadsKit) -> LeadAccount:
        """The account at the leads source: its lists, and persons behind leads."""
        return LeadAccount(self._place)


def _preview(kit: LeadsKit, criteria: Criteria, page_size: int) -> LeadPreview:
    async def count(buyer: Buyer, ask: PayingAsk) -> Envelope:
        return (await buyer.source.count(criteria, ask, limit=page_size))[0]

    first = ask_source(kit._place, count)  # noqa: SLF001 -- a part of the kit

    def start(
        preview: LeadPreview,
        max_records: int,
        max_cost: Decimal,
        again: bool,  # noqa: FBT001 -- called by the preview only
        listeners: list[Listener],
    ) -> Batch:
        order = Order(
            batch_id="",
            criteria=criteria,
            page_size=preview.page_size,
            total=preview.records,
            max_records=max_records,
            max_cost=max_cost,
        )
        plan = make_leads_plan(preview, max_records, kit.sources[SOURCE])
        place = kit._place()  # noqa: SLF001
        with _starting:
            refuse_twice(kit.store, criteria, again=again)
            keep_criteria(kit.store, criteria)
            return start_batch(kit._parts, place, plan, order_criteria(order), listeners)  # noqa: SLF001

    return LeadPreview(
        criteria=criteria,
        records=first.total,
        cost=estimate_cost(first),
        free_remaining=first.free_remaining,
        page_size=page_size,
        stored=count_stored(kit.store, criteria),
        previewed_at=datetime.now(UTC),
        start=start,
    )
