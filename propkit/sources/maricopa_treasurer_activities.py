"""The Maricopa County treasurer's activity details: each payment by the halves that it paid.

A request a payment, so it is a source of its own: asked only for the table that it provides, of
the newest tax bill that was paid.
"""

from __future__ import annotations

from typing import Final

from propkit.errors import InvalidAnswerError
from propkit.pages import Page
from propkit.sources._base import Parsed, Payload
from propkit.sources._treasurer_activities import find_activities, newest_payments, read_halves
from propkit.sources._treasurer_source import Asked, TreasurerSource, Wanted
from propkit.sources._treasurer_tables import read_bills

_TABLE: Final = "tax_payment_halves"


class MaricopaTreasurerActivities(TreasurerSource):
    """The payments on the newest bill by halves, by APN."""

    name: str = "maricopa_treasurer_activities"
    provides: tuple[str, ...] = (_TABLE,)
    # The first page redirects to the second; most bills are paid in two halves.
    requests_per_item: int = 5

    async def ask_further(self, asked: Asked) -> None:
        """Ask for the payments, and for each of the newest year's its own page."""
        page = await asked.demand(Wanted("activities", "/Parcel/Activities.aspx"))
        links = find_activities(page)
        for payment in newest_payments(asked.apn, page):
            link = links[payment.tax_year, payment.number]
            await asked.ask_for([Wanted(_name(payment.number), link.path, link.params)])

    def read(self, apn: str, summary: Page, payload: Payload) -> Parsed:
        """Read the halves of each payment; those of one whose page is missing are not known."""
        read_bills(apn, summary, None)  # an unknown layout is an error, whatever it says besides
        activities = payload.page("activities")
        if activities is None:
            raise InvalidAnswerError(f"{self.name}: the payload of {payload.key} has no payments")
        payments = newest_payments(apn, activities)
        pages = [(payment, payload.page(_name(payment.number))) for payment in payments]
        records = tuple(read_halves(payment, page) for payment, page in pages if page is not None)
        # A year of which a payment is missing would look paid by others than it was.
        is_whole = len(records) == len(payments)
        return Parsed(records=records if is_whole else (), missing=() if is_whole else (_TABLE,))


def _name(number: int) -> str:
    return f"activity-{number}"
