"""The treasurer's pages: choosing a parcel, and whether a page is about the one that was asked for.

The site keeps the parcel in the session: only the first address names it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from propkit.errors import SessionLostError
from propkit.pages import Page, check_page
from propkit.sources._base import Ask
from propkit.sources._readers import dash_apn, find_apns, node_text
from propkit.sources._treasurer_due import PREFIX, find_due_cells
from propkit.sources._treasurer_tables import (
    NO_RECORDS,
    PAYMENTS_TABLE,
    find_years,
    says_no_payments,
)

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser

_HEADERS: Final = (f"#{PREFIX}headerSummary", ".parcel-num", ".panel-header h3")
_SEARCH_FORM: Final = "#txtParcelNumBook"


async def enter_by_address(apn: str, ask: Ask) -> Page:
    """Choose a parcel in the session by its address; return the page that comes of it."""
    return await ask.get(
        "/Parcel/", name="parcel", params={"Parcel": apn}, expect="html", accept=may_be_missing
    )


async def choose_parcel(
    apn: str, ask: Ask, enter: Callable[[str, Ask], Awaitable[Page]] = enter_by_address
) -> list[Page]:
    """Put a parcel into the session; return its summary, or the page that says there is none.

    Where the first page is not the summary yet, both are returned.
    """
    first = await enter(apn, ask)
    pages = [first]
    if not is_missing(first) and not _is_summary(first, apn):
        pages.append(await ask.get("/Parcel/Summary.aspx", name="summary", expect="html"))
        check_parcel(pages[-1], apn)
    return pages


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


def is_missing(page: Page) -> bool:
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
        check_parcel(page, apn)
    return _has_taxes(html)


def _has_taxes(html: LexborHTMLParser) -> bool:
    return find_due_cells(html) is not None or find_years(html) is not None


def check_parcel(page: Page, apn: str) -> None:
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
