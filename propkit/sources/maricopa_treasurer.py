"""The Maricopa County treasurer: tax bills and payments, read from its web pages.

The site keeps the parcel in the session: only the first address names it. So each item has its
own cookies, the summary must name the parcel that was asked for, and no later page may be about
another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Literal

from propkit.errors import InvalidAnswerError, SessionLostError, SourceUnavailableError
from propkit.pages import Page
from propkit.records import Record
from propkit.sources._base import Ask, Parsed, Payload
from propkit.sources._readers import read_apn, why_missing
from propkit.sources._treasurer_pages import (
    check_parcel,
    choose_parcel,
    enter_by_address,
    is_missing,
)
from propkit.sources._treasurer_tables import read_bills, read_payments


class MaricopaTreasurer:
    """Tax bills of all years and their payments, by APN."""

    name: str = "maricopa_treasurer"
    county: str = "maricopa"
    provides: tuple[str, ...] = ("tax_bills", "tax_payments")
    needs: str | None = None
    base_url: str = "https://treasurer.maricopa.gov"
    # One parcel every two seconds, its four requests evenly.
    requests_per_second: float = 2.0
    seconds_per_item: float = 2.0
    max_in_flight: int = 2
    max_age: timedelta = timedelta(hours=24)
    transport: Literal["http", "browser"] = "http"
    # The first page redirects to the second.
    requests_per_item: int = 4
    credits_per_item: float = 0.0
    token_header: str | None = None
    headers: Mapping[str, str] = {}
    is_session_bound: bool = True
    parser_version: int = 1

    async def fetch(self, key: str, apn: str | None, ask: Ask) -> Payload:
        """Ask for the summary, the list of all years and the payments, in this order."""
        asked = read_apn(key) or key
        pages = await choose_parcel(asked, ask, self.enter)
        missing: dict[str, str] = {}
        if not is_missing(pages[0]):
            for name, path, params in (
                ("years", "/Parcel/Summary.aspx", {"List": "All"}),
                ("activities", "/Parcel/Activities.aspx", None),
            ):
                try:
                    page = await ask.get(path, name=name, params=params, expect="html")
                    check_parcel(page, asked)
                except SessionLostError:
                    raise
                except (SourceUnavailableError, InvalidAnswerError) as error:
                    missing[name] = why_missing(name, error)
                else:
                    pages.append(page)
        return Payload(source=self.name, key=key, apn=apn, pages=tuple(pages), missing=missing)

    async def enter(self, asked: str, ask: Ask) -> Page:
        """Choose the parcel in the session; return the page that comes of it."""
        return await enter_by_address(asked, ask)

    def parse(self, payload: Payload) -> Parsed:
        """Read the bills and the payments."""
        apn = read_apn(payload.key) or payload.key
        summary = payload.page("summary") or payload.page("parcel")
        if summary is None:
            raise InvalidAnswerError(f"{self.name}: the payload of {payload.key} has no summary")
        if is_missing(summary):
            return Parsed(is_found=False)
        check_parcel(summary, apn)
        years, activities = payload.page("years"), payload.page("activities")
        for page in (years, activities):
            if page is not None:
                check_parcel(page, apn)
        bills = read_bills(apn, summary, years)
        records: list[Record] = list(bills.found)
        if activities is not None:
            records += read_payments(apn, activities)
        missing = (("tax_bills",) if years is None else ()) + (
            ("tax_payments",) if activities is None else ()
        )
        unsaid = {"tax_bills": bills.unsaid} if bills.unsaid else {}
        return Parsed(records=tuple(records), missing=missing, unsaid=unsaid)
