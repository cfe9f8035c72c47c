"""What the treasurer's sources share: the site, its pace, and one session for each parcel.

The site keeps the parcel in the session: only the first address names it. So each item has its
own cookies, the summary must name the parcel that was asked for, and no later page may be about
another one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Literal, NamedTuple

from propkit.errors import InvalidAnswerError, SessionLostError, SourceUnavailableError
from propkit.pages import Page
from propkit.sources._base import Ask, Parsed, Payload
from propkit.sources._readers import read_apn, why_missing
from propkit.sources._treasurer_pages import (
    check_parcel,
    choose_parcel,
    enter_by_address,
    is_missing,
)


class Wanted(NamedTuple):
    """A page to be asked for behind the summary."""

    name: str
    path: str
    params: Mapping[str, str] | None = None


class Asked:
    """One parcel's pages behind its summary, as far as they could be had."""

    def __init__(self, apn: str, ask: Ask, pages: list[Page]) -> None:
        self.apn = apn
        self.pages = pages
        self.missing: dict[str, str] = {}
        self._ask = ask

    async def demand(self, wanted: Wanted) -> Page:
        """Ask for a page without which there is nothing; it has to be about the parcel."""
        page = await self._ask.get(
            wanted.path, name=wanted.name, params=wanted.params, expect="html"
        )
        check_parcel(page, self.apn)
        self.pages.append(page)
        return page

    async def ask_for(self, some: Iterable[Wanted]) -> None:
        """Ask for pages; one that cannot be had goes to ``missing``."""
        for wanted in some:
            try:
                await self.demand(wanted)
            except SessionLostError:
                raise
            except (SourceUnavailableError, InvalidAnswerError) as error:
                self.missing[wanted.name] = why_missing(wanted.name, error)


class TreasurerSource(ABC):
    """A source of the treasurer's site; its own are what it asks for and what it reads."""

    name: str
    provides: tuple[str, ...]
    requests_per_item: int
    county: str = "maricopa"
    needs: str | None = None
    base_url: str = "https://treasurer.maricopa.gov"
    # One parcel every two seconds, its four or five requests evenly.
    requests_per_second: float = 2.0
    seconds_per_item: float = 2.0
    max_in_flight: int = 2
    max_age: timedelta = timedelta(hours=24)
    transport: Literal["http", "browser"] = "http"
    credits_per_item: float = 0.0
    token_header: str | None = None
    headers: Mapping[str, str] = {}
    is_session_bound: bool = True
    parser_version: int = 1

    async def enter(self, asked: str, ask: Ask) -> Page:
        """Choose the parcel in the session; return the page that comes of it."""
        return await enter_by_address(asked, ask)

    @abstractmethod
    async def ask_further(self, asked: Asked) -> None:
        """Ask for the source's own pages of a parcel that there is."""

    @abstractmethod
    def read(self, apn: str, summary: Page, payload: Payload) -> Parsed:
        """Read the source's tables; each page was seen to be about the parcel."""

    async def fetch(self, key: str, apn: str | None, ask: Ask) -> Payload:
        """Ask for the parcel, and for what the source reads of it."""
        number = read_apn(key) or key
        asked = Asked(number, ask, await choose_parcel(number, ask, self.enter))
        if not is_missing(asked.pages[0]):
            await self.ask_further(asked)
        return Payload(
            source=self.name, key=key, apn=apn, pages=tuple(asked.pages), missing=asked.missing
        )

    def parse(self, payload: Payload) -> Parsed:
        """Read what the pages say; another parcel's page is an error."""
        apn = read_apn(payload.key) or payload.key
        summary = payload.page("summary") or payload.page("parcel")
        if summary is None:
            raise InvalidAnswerError(f"{self.name}: the payload of {payload.key} has no summary")
        if is_missing(summary):
            return Parsed(is_found=False)
        check_parcel(summary, apn)
        for page in payload.pages:
            if page.name not in {"parcel", "summary"}:
                check_parcel(page, apn)
        return self.read(apn, summary, payload)
