"""The Maricopa County treasurer's activity details: each payment by the halves that it paid.

A request a payment, so it is a source of its own: asked only for the table that it provides, of
the newest tax bill that was paid.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final, Literal

from propkit.errors import InvalidAnswerError, SessionLostError, SourceUnavailableError
from propkit.sources._base import Ask, Parsed, Payload
from propkit.sources._readers import read_apn, why_missing
from propkit.sources._treasurer_activities import find_activities, newest_payments, read_halves
from propkit.sources._treasurer_pages import check_parcel, choose_parcel, is_missing
from propkit.sources._treasurer_tables import read_bills

_TABLE: Final = "tax_payment_halves"


class MaricopaTreasurerActivities:
    """The payments on the newest bill by halves, by APN."""

    name: str = "maricopa_treasurer_activities"
    county: str = "maricopa"
    provides: tuple[str, ...] = (_TABLE,)
    needs: str | None = None
    base_url: str = "https://treasurer.maricopa.gov"
    # As the other sources of this host.
    requests_per_second: float = 2.0
    seconds_per_item: float = 2.0
    max_in_flight: int = 2
    max_age: timedelta = timedelta(hours=24)
    transport: Literal["http", "browser"] = "http"
    # The first page redirects to the second; most bills are paid in two halves.
    requests_per_item: int = 5
    credits_per_item: float = 0.0
    token_header: str | None = None
    headers: Mapping[str, str] = {}
    is_session_bound: bool = True
    parser_version: int = 1

    async def fetch(self, key: str, apn: str | None, ask: Ask) -> Payload:
        """Ask for the payments, and for each of the newest year's its own page."""
        asked = read_apn(key) or key
        pages = await choose_parcel(asked, ask)
        missing: dict[str, str] = {}
        if not is_missing(pages[0]):
            page = await ask.get("/Parcel/Activities.aspx", name="activities", expect="html")
            check_parcel(page, asked)
            pages.append(page)
            links = find_activities(page)
            for payment in newest_payments(asked, page):
                name = _name(payment.number)
                link = links[payment.tax_year, payment.number]
                try:
                    page = await ask.get(link.path, name=name, params=link.params, expect="html")
                    check_parcel(page, asked)
                except SessionLostError:
                    raise
                except (SourceUnavailableError, InvalidAnswerError) as error:
                    missing[name] = why_missing(name, error)
                else:
                    pages.append(page)
        return Payload(source=self.name, key=key, apn=apn, pages=tuple(pages), missing=missing)

    def parse(self, payload: Payload) -> Parsed:
        """Read the halves of each payment; those of one whose page is missing are not known."""
        apn = read_apn(payload.key) or payload.key
        summary = payload.page("summary") or payload.page("parcel")
        if summary is None:
            raise InvalidAnswerError(f"{self.name}: the payload of {payload.key} has no summary")
        if is_missing(summary):
            return Parsed(is_found=False)
        check_parcel(summary, apn)
        read_bills(apn, summary, None)  # an unknown layout is an error, whatever it says besides
        activities = payload.page("activities")
        if activities is None:
            raise InvalidAnswerError(f"{self.name}: the payload of {payload.key} has no payments")
        check_parcel(activities, apn)
        records = []
        payments = newest_payments(apn, activities)
        for payment in payments:
            page = payload.page(_name(payment.number))
            if page is not None:
                check_parcel(page, apn)
                records.append(read_halves(payment, page))
        # A year of which a payment is missing would look paid by others than it was.
        is_whole = len(records) == len(payments)
        return Parsed(
            records=tuple(records) if is_whole else (), missing=() if is_whole else (_TABLE,)
        )


def _name(number: int) -> str:
    return f"activity-{number}"
