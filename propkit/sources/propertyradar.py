"""PropertyRadar: leads by criteria, page by page, each record paid for.

Counts and costs (Purchase=0) are free and may be asked again; what is paid (Purchase=1) is sent
once, whatever comes of it. Who buys, within which limits, is told in :mod:`propkit.buying`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final, Literal, Protocol
from urllib.parse import quote

from propkit.criteria import Criteria
from propkit.errors import InvalidAnswerError, SourceError
from propkit.pages import Page
from propkit.sources._base import Ask, Parsed, Payload
from propkit.sources._propertyradar_rows import (
    FIELDS,
    Envelope,
    read_contacts,
    read_envelope,
    read_ids,
    read_leads,
)

__all__ = [
    "MOST_RECORDS",
    "PAGE",
    "Envelope",
    "PayingAsk",
    "PropertyRadar",
    "page_key",
    "read_contacts",
    "read_envelope",
    "read_ids",
    "read_page_key",
]

PAGE: Final = "leads"
"""The name of a page of leads that was bought."""
_COUNT: Final = "count"
_MOST_NOTES: Final = 3
"""Values that cannot be read are named up to here, and counted beyond."""
MOST_RECORDS: Final = 500
"""The documented most records of one request."""


class PayingAsk(Ask, Protocol):
    """What asks, and can also pay."""

    had_no_effect: bool
    """Whether the last request, which failed, was never sent or certainly refused."""

    async def send(
        self,
        path: str,
        *,
        name: str,
        params: Mapping[str, str] | None = None,
        body: object = None,
        is_paid: bool = False,
    ) -> Page:
        """Get a page of JSON, or post ``body`` as JSON for it.

        What is paid is sent once, whatever comes of it. A refusal that says in JSON what is
        wrong (400, 402, 403, …) is a page too.

        Raises
        ------
        SourceError
            One of its kinds; see :mod:`propkit.errors`.
        """
        ...


class PropertyRadar:
    """Leads by criteria; a key is a page, ``<criteria id>:<first record>+<records>``."""

    name: str = "propertyradar"
    county: str = "any"
    provides: tuple[str, ...] = ("leads",)
    needs: str | None = None
    base_url: str = "https://api.propertyradar.com/v1"
    requests_per_second: float = 2.0
    seconds_per_item: float = 0.0
    max_in_flight: int = 1
    max_age: timedelta = timedelta(hours=24)
    transport: Literal["http", "browser"] = "http"
    requests_per_item: int = 2
    credits_per_item: float = 1.0
    token_header: str | None = "Authorization"  # noqa: S105
    token_prefix: str = "Bearer "  # noqa: S105
    headers: Mapping[str, str] = {}
    is_session_bound: bool = False
    parser_version: int = 1

    async def fetch(self, key: str, apn: str | None, ask: Ask) -> Payload:
        """Refuse: what costs money is asked for by the one who buys, never by who collects."""
        del apn, ask
        raise InvalidAnswerError(f"{self.name} sells {key}; leads are bought with kit.leads")

    def parse(self, payload: Payload) -> Parsed:
        """Read the leads of a page; a page beyond the last one has none."""
        page = payload.page(PAGE)
        if page is None:
            raise InvalidAnswerError(f"{self.name}: the payload of {payload.key} has no leads")
        envelope = read_envelope(page)
        criteria_id, _, _ = read_page_key(payload.key)
        leads, unsaid, notes = read_leads(envelope.rows, criteria_id, page.name)
        if not leads:
            return Parsed(is_found=False)
        if len(notes) > _MOST_NOTES:
            more = len(notes) - _MOST_NOTES
            notes = (*notes[:_MOST_NOTES], f"{more} more values cannot be read")
        return Parsed(records=leads, unsaid={"leads": unsaid} if unsaid else {}, notes=notes)

    async def count(
        self, criteria: Criteria, ask: PayingAsk, *, start: int = 0, limit: int
    ) -> tuple[Envelope, Page]:
        """Ask, free of charge, how many records there are and what a page of them costs."""
        page = await self._search(criteria, ask, start, limit, is_paid=False)
        return read_envelope(page), page

    async def buy(self, criteria: Criteria, ask: PayingAsk, *, start: int, limit: int) -> Page:
        """Buy a page of records."""
        return await self._search(criteria, ask, start, limit, is_paid=True)

    async def _search(
        self, criteria: Criteria, ask: PayingAsk, start: int, limit: int, *, is_paid: bool
    ) -> Page:
        params = {
            "Purchase": str(int(is_paid)),
            "Fields": ",".join(FIELDS),
            "Limit": str(limit),
            "Start": str(start),
        }
        body = {"Criteria": list(criteria.entries)}
        name = PAGE if is_paid else _COUNT
        return await ask.send("/properties", name=name, params=params, body=body, is_paid=is_paid)

    # --- persons and lists -----------------------------------------------------------------------

    async def persons(self, radar_id: str, ask: PayingAsk, *, is_paid: bool) -> Page:
        """Ask for the persons behind a lead; unpaid only how many there are and what they cost."""
        params = {"Purchase": str(int(is_paid))}
        path = f"/properties/{quote(radar_id, safe='')}/persons"
        return await ask.send(path, name="persons", params=params, is_paid=is_paid)

    async def contacts(self, person_key: str, kind: str, ask: PayingAsk, *, is_paid: bool) -> Page:
        """Unlock a person's phone numbers or e-mail addresses; unpaid: say what that costs."""
        params = {"Purchase": str(int(is_paid))}
        path = f"/persons/{quote(person_key, safe='')}/{kind.capitalize()}"
        return await ask.send(path, name=kind, params=params, body={}, is_paid=is_paid)

    async def lists(self, ask: PayingAsk) -> Envelope:
        """Return the account's lists."""
        return read_envelope(await ask.send("/lists", name="lists"))

    async def list_items(self, list_id: int, ask: PayingAsk, *, start: int, limit: int) -> Envelope:
        """Return a page of a list's RadarIDs; they are free."""
        params = {"Start": str(start), "Limit": str(limit)}
        path = f"/lists/{list_id}/items"
        return read_envelope(await ask.send(path, name="items", params=params))


def page_key(criteria_id: str, start: int, limit: int) -> str:
    """Return what names a page of criteria."""
    return f"{criteria_id}:{start}+{limit}"


def read_page_key(key: str) -> tuple[str, int, int]:
    """Return criteria id, first record and records of a page's key."""
    criteria_id, _, span = key.partition(":")
    start, _, limit = span.partition("+")
    if not (start.isdecimal() and limit.isdecimal()):
        raise SourceError(f"{key!r} names no page of criteria")
    return criteria_id, int(start), int(limit)
