"""The Maricopa County treasurer: tax bills and payments, read from its web pages.

The site keeps the parcel in the session: only the first address names it. So each item has its
own cookies, the summary must name the parcel that was asked for, and no later page may be about
another one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache
from typing import Final, Literal

from selectolax.lexbor import LexborHTMLParser

from propkit.errors import InvalidAnswerError, SessionLostError, SourceUnavailableError
from propkit.pages import Page, check_page
from propkit.records import Record
from propkit.sources._base import Ask, Parsed, Payload
from propkit.sources._readers import dash_apn, find_apns, node_text, read_apn, why_missing
from propkit.sources._treasurer_tables import (
    NO_RECORDS,
    PAYMENTS_TABLE,
    PREFIX,
    find_due_cells,
    find_years,
    read_bills,
    read_payments,
    says_no_payments,
)

_HEADERS: Final = (f"#{PREFIX}headerSummary", ".parcel-num", ".panel-header h3")
_SEARCH_FORM: Final = "#txtParcelNumBook"


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
        first = await self.enter(asked, ask)
        pages = [first]
        missing: dict[str, str] = {}
        if not _is_missing(first):
            if not _is_summary(first, asked):
                pages.append(await ask.get("/Parcel/Summary.aspx", name="summary", expect="html"))
                _check_parcel(pages[-1], asked)
            for name, path, params in (
                ("years", "/Parcel/Summary.aspx", {"List": "All"}),
                ("activities", "/Parcel/Activities.aspx", None),
            ):
                try:
                    page = await ask.get(path, name=name, params=params, expect="html")
                    _check_parcel(page, asked)
                except SessionLostError:
                    raise
                except (SourceUnavailableError, InvalidAnswerError) as error:
                    missing[name] = why_missing(name, error)
                else:
                    pages.append(page)
        return Payload(source=self.name, key=key, apn=apn, pages=tuple(pages), missing=missing)

    async def enter(self, asked: str, ask: Ask) -> Page:
        """Choose the parcel in the session; return the page that comes of it."""
        return await ask.get(
            "/Parcel/",
            name="parcel",
            params={"Parcel": asked},
            expect="html",
            accept=may_be_missing,
        )

    def parse(self, payload: Payload) -> Parsed:
        """Read the bills and the payments."""
        apn = read_apn(payload.key) or payload.key
        summary = payload.page("summary") or payload.page("parcel")
        if summary is None:
            raise InvalidAnswerError(f"{self.name}: the payload of {payload.key} has no summary")
        if _is_missing(summary):
            return Parsed(is_found=False)
        _check_parcel(summary, apn)
        years, activities = payload.page("years"), payload.page("activities")
        for page in (years, activities):
            if page is not None:
                _check_parcel(page, apn)
        bills = read_bills(apn, summary, years)
        records: list[Record] = list(bills.found)
        if activities is not None:
            records += read_payments(apn, activities)
        missing = (("tax_bills",) if years is None else ()) + (
            ("tax_payments",) if activities is None else ()
        )
        unsaid = {"tax_bills": bills.unsaid} if bills.unsaid else {}
        return Parsed(records=tuple(records), missing=missing, unsaid=unsaid)


# --- which parcel a page is about -------------------------------------------------------------


@lru_cache(maxsize=8)
def _header_apns(html: LexborHTMLParser) -> tuple[str, ...]:
    """Return the APNs in a page's header; fetching and parsing ask more than once."""
    for selector in _HEADERS:
        apns = tuple(apn for node in html.css(selector) for apn in find_apns(node_text(node)))
        if apns:
            return apns
    return ()


def may_be_missing(page: Page) -> bool:
    """Whether an answer 404 is the site's own word for an unknown parcel."""
    return page.status == 404 and b"no record" in page.body.lower()


def _is_missing(page: Page) -> bool:
    """Whether the page says that there is no such parcel."""
    check_page(page, "html")
    html = page.html()
    if _header_apns(html) or _has_taxes(html):
        return False
    return NO_RECORDS.search(node_text(html.body)) is not None


def _is_summary(page: Page, apn: str) -> bool:
    """Whether the first page is the summary already; one of another parcel is an error."""
    html = page.html()
    if _header_apns(html) or html.css_first(_SEARCH_FORM) is not None:
        _check_parcel(page, apn)
    return _has_taxes(html)


def _has_taxes(html: LexborHTMLParser) -> bool:
    return find_due_cells(html) is not None or find_years(html) is not None


def _check_parcel(page: Page, apn: str) -> None:
    """Raise ``SessionLostError`` unless the page is about the parcel.

    A page without a header may name the parcel anywhere. Behind the summary it may name none, if
    it has what was asked for: in its own session that is about no other parcel.
    """
    check_page(page, "html")
    html = page.html()
    shown = _header_apns(html)
    if not shown:
        text = re.sub(r" ?- ?", "-", node_text(html.body))
        named = find_apns(text)
        # Eight digits alone may be a receipt's number.
        others = tuple(one for one in named if dash_apn(one[:8]) in text)
        shown = (apn,) if apn in named else others
    if apn in shown:
        return
    if not shown and _is_what_was_asked(page.name, html):
        return
    about = f"about {', '.join(dict.fromkeys(shown))}" if shown else "about no parcel"
    raise SessionLostError(f"{page.name}: the page is {about}, not {apn}", url=page.url)


def _is_what_was_asked(name: str, html: LexborHTMLParser) -> bool:
    if name == "years":
        return find_years(html) is not None
    if name == "activities":
        return html.css_first(PAYMENTS_TABLE) is not None or says_no_payments(html)
    return False
