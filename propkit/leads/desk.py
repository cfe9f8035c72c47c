"""What a kit does with leads: a part of :class:`propkit.Kit`, which has it among its methods."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

from propkit.criteria import read_criteria
from propkit.errors import RequestError
from propkit.frames import table_frame
from propkit.leads.account import LeadAccount
from propkit.leads.asking import SOURCE
from propkit.leads.ordering import LeadPreview, choose_page_size, read_caps
from propkit.leads.settling import Verdict
from propkit.notices import Notify, make_hook_listeners
from propkit.progress import Listener
from propkit.runtime.batch import Batch
from propkit.settings import Settings
from propkit.sources import SourceConfig
from propkit.store import Reading
from propkit.store.batches import new_batch_id

if TYPE_CHECKING:
    import pandas as pd


class AsksLeads(Protocol):
    """The place that holds the store, as far as leads go."""

    def leads(self, name: str, given: Mapping[str, Any], listeners: Iterable[Listener] = ()) -> Any:
        """Have an operation of :mod:`propkit.leads.operations` carried out."""
        ...


class LeadsKit(Protocol):
    """What dealing with leads needs of a kit."""

    sources: Mapping[str, SourceConfig]
    settings: Settings
    _notifiers: list[Notify]

    @property
    def store(self) -> Reading:
        """The store."""
        ...

    @property
    def _place(self) -> AsksLeads: ...

    def _batch(self, batch_id: str) -> Batch: ...


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
        size = choose_page_size(page_size, self.sources[SOURCE])
        asked = {"criteria": list(checked.entries), "page_size": size}
        said = self._place.leads("preview", asked)

        def start(
            max_records: int,
            max_cost: Decimal,
            again: bool,  # noqa: FBT001 -- called by the preview only
            listeners: list[Listener],
        ) -> Batch:
            caps = {"max_records": max_records, "max_cost": str(max_cost), "again": again}
            order = {**asked, **caps, "records": said["records"], "batch_id": new_batch_id()}
            hooks = make_hook_listeners(self._notifiers, self.settings.notify)
            return self._batch(self._place.leads("buy", order, [*listeners, *hooks]))

        preview = LeadPreview(
            criteria=checked,
            records=said["records"],
            cost=None if said["cost"] is None else Decimal(said["cost"]),
            free_remaining=said["free_remaining"],
            page_size=size,
            stored=said["stored"],
            previewed_at=datetime.now(UTC),
            start=start,
        )
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
        caps: dict[str, Any] = {}
        if again:
            records, cost = read_caps(max_records, max_cost)
            caps = {"max_records": records, "max_cost": str(cost)}
        elif max_records is not None or max_cost is not None:
            raise RequestError("caps belong to what is bought: say again=True too")
        said = self._place.leads("settle", {"bought": bought, "again": again, **caps})
        rows = [list(verdict.values()) for verdict in said]
        return pd.DataFrame(rows, columns=list(Verdict.__slots__), dtype="string[pyarrow]")

    @property
    def lead_account(self: LeadsKit) -> LeadAccount:
        """The account at the leads source: its lists, and persons behind leads."""
        return LeadAccount(self._place.leads, self.store)
