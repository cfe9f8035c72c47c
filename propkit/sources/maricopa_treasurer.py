"""The Maricopa County treasurer: tax bills and payments, read from its web pages."""

from __future__ import annotations

from typing import Final

from propkit.pages import Page
from propkit.record_block import Emptied
from propkit.records import Record
from propkit.sources._base import Parsed, Payload
from propkit.sources._treasurer_source import Asked, TreasurerSource, Wanted
from propkit.sources._treasurer_tables import read_bills, read_payments

_PAGES: Final = (
    Wanted("years", "/Parcel/Summary.aspx", {"List": "All"}),
    Wanted("activities", "/Parcel/Activities.aspx"),
)


class MaricopaTreasurer(TreasurerSource):
    """Tax bills of all years and their payments, by APN."""

    name: str = "maricopa_treasurer"
    provides: tuple[str, ...] = ("tax_bills", "tax_payments")
    # The first page redirects to the second.
    requests_per_item: int = 4
    page_path: str = "/Parcel/?Parcel={key}"

    async def ask_further(self, asked: Asked) -> None:
        """Ask for the list of all years and the payments, in this order."""
        await asked.ask_for(_PAGES)

    def read(self, apn: str, summary: Page, payload: Payload) -> Parsed:
        """Read the bills and the payments."""
        years, activities = payload.page("years"), payload.page("activities")
        bills = read_bills(apn, summary, years)
        records: list[Record] = list(bills.found)
        emptied: list[Emptied] = []
        if activities is not None:
            payments = read_payments(apn, activities)
            records += payments
            paid = {payment.tax_year for payment in payments}
            # The page need not reach back to the first bill.
            unpaid = {b.tax_year for b in bills.found if paid and b.tax_year > min(paid)} - paid
            emptied = [Emptied("tax_payments", apn, year) for year in sorted(unpaid)]
            if not paid:
                emptied = [Emptied("tax_payments", apn)]
        missing = (("tax_bills",) if years is None else ()) + (
            ("tax_payments",) if activities is None else ()
        )
        return Parsed(
            records=tuple(records),
            missing=missing,
            unsaid={"tax_bills": bills.unsaid} if bills.unsaid else {},
            emptied=tuple(emptied),
        )
