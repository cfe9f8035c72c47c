"""The treasurer's pages: the parcel lives in the session, not in the address of the page."""

from __future__ import annotations

import re
import secrets
from collections import OrderedDict
from collections.abc import Mapping

from aiohttp import web

from propkit.demo_county import treasurer_pages as pages
from propkit.demo_county.answers import as_page, leaking
from propkit.demo_county.parcel import Parcel
from propkit.demo_county.switches import Switches
from propkit.demo_county.truth import CountyTruth

COOKIE = "ASP.NET_SessionId"
SUMMARY = "/treasurer/Parcel/Summary.aspx"

_MAX_SESSIONS = 50_000
_ENTRY = ("/parcel", "/propertytaxinformation")
_NO_FILE = "<html><title>404</title><h1>404 - File or directory not found.</h1></html>"
_FORMS = ("", "/parcel/summary.aspx")


class Treasurer:
    """Answer one request to the treasurer from the truth, the switches and the session."""

    def __init__(self, truth: CountyTruth) -> None:
        self._truth = truth
        # Session -> the parcel as it was typed; empty while none was chosen.
        self._sessions: OrderedDict[str, str] = OrderedDict()

    def forget(self, session: str | None) -> None:
        """Lose a session's parcel, as an application pool that restarts does."""
        if session is not None and session in self._sessions:
            self._sessions[session] = ""

    async def answer(self, request: web.Request, path: str, switches: Switches) -> web.Response:
        """Return a page, with a session cookie for whoever has none."""
        session = request.cookies.get(COOKIE)
        is_new = session is None or session not in self._sessions
        if session is None or is_new:
            session = secrets.token_hex(12)
            self._sessions[session] = ""
            if len(self._sessions) > _MAX_SESSIONS:
                self._sessions.popitem(last=False)
        response = await self._page(request, path.rstrip("/").lower(), session, switches)
        if switches.leak_mb and response.status == 200:
            response.text = leaking(response.text or "", switches.leak_mb)
        if is_new:
            response.set_cookie(COOKIE, session, path="/", httponly=True, samesite="Lax")
        return response

    async def _page(
        self, request: web.Request, path: str, session: str, switches: Switches
    ) -> web.Response:
        typed = next((v for k, v in request.query.items() if k.lower() == "parcel"), None)
        if path in _ENTRY and typed is not None:
            return self._choose(session, typed)
        if path in _FORMS and request.method == "POST":
            return self._choose(session, _typed_parcel(dict(await request.post())))
        if path not in ("", *_ENTRY, *_PAGES):
            return as_page(_NO_FILE, status=404)
        chosen = self._sessions[session] if path in _PAGES else ""
        if not chosen:
            # The start page has a button that a script presses, the others one of the form.
            drawn = "div" if path not in _PAGES else "input"
            kind = drawn if switches.button == "mixed" else switches.button
            return as_page(pages.search_page(action=SUMMARY, button=kind))
        parcel = self._truth.find(chosen)
        if parcel is None or not parcel.head.is_in_treasurer:
            return as_page(pages.not_found_page(chosen, action=SUMMARY))
        if path == SUMMARY.removeprefix("/treasurer").lower():
            layout = pages.choose_layout(
                parcel.head, layout=switches.layout, year_table=switches.year_table
            )
            all_years = request.query.get("List", "").lower() == "all"
            page = pages.summary_page(parcel, layout, all_years=all_years, action=SUMMARY)
            return as_page(page)
        return as_page(_further_page(parcel, path, request.query))

    def _choose(self, session: str, typed: str) -> web.Response:
        self._sessions[session] = typed.strip() or "?"
        moved = '<html><head><title>Object moved</title></head><body><h2>Object moved to <a href="'
        return web.Response(
            status=302,
            headers={"Location": SUMMARY},
            text=f'{moved}{SUMMARY}">here</a>.</h2></body></html>',
            content_type="text/html",
        )


_PAGES = (
    "/parcel/summary.aspx",
    "/parcel/activities.aspx",
    "/parcel/valuations.aspx",
    "/parcel/detailedtaxstatement.aspx",
    "/parcel/taxdetails.aspx",
    "/parcel/activitydetails.aspx",
)


def _further_page(parcel: Parcel, path: str, query: Mapping[str, str]) -> str:
    """Return one of the pages behind the summary."""
    if path == "/parcel/activities.aspx":
        return pages.activities_page(parcel, action=SUMMARY)
    if path == "/parcel/valuations.aspx":
        return pages.valuations_page(parcel, action=SUMMARY)
    if path == "/parcel/detailedtaxstatement.aspx":
        return pages.statement_page(parcel, action=SUMMARY)
    bills = parcel.tax_bills
    is_activity = path == "/parcel/activitydetails.aspx"
    year = query.get("Year" if is_activity else "taxyear", str(bills[0].tax_year))
    bill = next((b for b in bills if str(b.tax_year) == year), None)
    if bill is None:
        return pages.not_found_page(f"{parcel.head.apn} in {year}", action=SUMMARY)
    if is_activity:
        number = query.get("Activity", "")
        if number not in {str(one) for one in range(1, 1 + len(bill.payments))}:
            return pages.not_found_page(f"{parcel.head.apn}, activity {number}", action=SUMMARY)
        return pages.activity_page(parcel, bill, int(number), action=SUMMARY)
    return pages.details_page(parcel, bill, action=SUMMARY)


def _typed_parcel(form: dict[str, object]) -> str:
    parts = []
    for box in ("Book", "Map", "Item", "Split"):
        value = next((v for k, v in form.items() if re.search(rf"txtParcelNum{box}$", k)), "")
        parts.append(str(value).strip())
    return "".join(parts)
