"""The Maricopa County assessor's API: parcels, houses, values and sales by APN, and searches.

One call answers everything about a parcel; its sections are asked for where a host has no such
call or where it leaves something out. An empty answer may mean anything, so that only the search
decides that there is no such parcel.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import lru_cache
from typing import Final, Literal

from propkit.errors import InvalidAnswerError, SourceError, SourceUnavailableError
from propkit.pages import Page, is_html
from propkit.record_block import Emptied, RecordRows
from propkit.records import Improvement, Parcel, Residence, Sale, Valuation
from propkit.sources._assessor_improvements import (
    IMPROVEMENTS_KEY,
    find_improvements,
    lacks_improvements,
    read_improvements,
)
from propkit.sources._assessor_lookups import ASSESSOR_LOOKUPS, look_up_assessor
from propkit.sources._assessor_records import (
    ADDRESS_KEYS,
    KEY_OF,
    PROPERTY_KEYS,
    read_assessor,
    says_no_house,
)
from propkit.sources._assessor_search import (
    FIRST_PAGE,
    demand_apn,
    is_known,
    read_found,
    read_known,
    search_roll,
)
from propkit.sources._base import Ask, FollowUp, Parsed, Payload, SearchHits
from propkit.sources._layouts import Layout, page_fields
from propkit.sources._readers import fold_keys, is_empty, page_title, read_apn, why_missing

_SECTIONS: Final = ("propertyinfo", "owner-details", "valuations", "residential-details")
_TABLES_OF: Final = {
    "propertyinfo": ("parcels",),
    "address": ("parcels",),
    "owner-details": ("parcels", "sales"),
    "valuations": ("valuations",),
    "residential-details": ("residences",),
    IMPROVEMENTS_KEY: ("improvements",),
}
# One may be a hiccup; after three parcels in a row the one call is asked for no more.
_REFUSALS_ENOUGH: Final = 3
_Kind = Literal["data", "empty", "failure", "frame"]


class MaricopaAssessor:
    """Everything the assessor knows about a parcel, by APN."""

    name: str = "maricopa_assessor"
    county: str = "maricopa"
    provides: tuple[str, ...] = ("parcels", "residences", "improvements", "valuations", "sales")
    needs: str | None = None
    base_url: str = "https://mcassessor.maricopa.gov"
    requests_per_second: float = 5.0
    seconds_per_item: float = 0.0
    max_in_flight: int = 4
    max_age: timedelta = timedelta(hours=24)
    transport: Literal["http", "browser"] = "http"
    requests_per_item: int = 1
    credits_per_item: float = 0.0
    token_header: str | None = "AUTHORIZATION"  # noqa: S105
    # The county's documentation asks for a user agent "with a value of null".
    headers: Mapping[str, str] = {"user-agent": "null"}
    is_session_bound: bool = False
    parser_version: int = 2
    lookups: tuple[str, ...] = ASSESSOR_LOOKUPS
    page_path: str = "/mcs/?q={key}"

    def __init__(self) -> None:
        # What the one call has answered in place of known parcels, and how often in a row.
        self._refusals: tuple[_Kind, int] = ("data", 0)

    async def fetch(self, key: str, apn: str | None, ask: Ask) -> Payload:
        """Ask for everything about one parcel, in one call where the host has it."""
        asked = read_apn(key) or key
        pages: list[Page] = []
        missing: dict[str, str] = {}
        kind, times = self._refusals
        is_settled = False
        if times < _REFUSALS_ENOUGH:
            page = await ask.get(f"/parcel/{asked}", name="parcel", accept=_Meaningful())
            kind = _kind_of(page)
            if kind == "data":
                self._refusals = (kind, 0)
                pages.append(page)
                await _ask_sections(asked, _left_out(page), ask, pages, missing)
                await _ask_improvements(asked, ask, pages, missing)
                return self._payload(key, apn, pages, missing)
            if kind != "frame":
                if not await is_known(asked, ask, pages):
                    return self._payload(key, apn, pages, missing)
                is_settled = True
        if not await _ask_all_sections(asked, ask, pages, missing, is_settled=is_settled):
            return self._payload(key, apn, pages, {})
        if kind in {"failure", "frame"}:
            before, times = self._refusals
            self._refusals = (kind, times + 1 if kind == before else 1)
        return self._payload(key, apn, pages, missing)

    def assemble(self, key: str, apn: str | None, pages: Iterable[Page]) -> Payload:
        """Put kept pages together as ``fetch`` did: what was no data is left out, or missing."""
        kept, missing = _sort_kept({page.name: page for page in pages})
        return self._payload(key, apn, kept, missing)

    def _payload(
        self, key: str, apn: str | None, pages: list[Page], missing: Mapping[str, str]
    ) -> Payload:
        return Payload(source=self.name, key=key, apn=apn, pages=tuple(pages), missing=missing)

    async def search(self, query: str, by: str, ask: Ask, limit: int | None = None) -> SearchHits:
        """Search the roll; ``by`` is "apn", "owner", "address" or "subdivision"."""
        return await search_roll(query, by, ask, limit)

    async def look_up(
        self, what: str, given: Mapping[str, str], ask: Ask, limit: int
    ) -> SearchHits:
        """Look up accounts, rentals, subdivisions, listings, maps and further sections."""
        return await look_up_assessor(what, given, ask, limit)

    async def validate(self, key: str, apn: str | None, ask: Ask) -> Payload:
        """Ask whether there is such a parcel: by the search, as nothing else says that it is not.

        One request, unless more near matches than a page holds come before the parcel.
        """
        pages: list[Page] = []
        await is_known(demand_apn(key), ask, pages)
        return self._payload(key, apn, pages, {})

    def parse_validation(self, payload: Payload) -> bool:
        """Read whether there is exactly this parcel; a near match is another one."""
        pages = [page for page in payload.pages if page.name.startswith(FIRST_PAGE)]
        if not pages:
            raise InvalidAnswerError(f"{self.name}: the payload of {payload.key} has no search")
        return read_known(demand_apn(payload.key), pages)

    def parse(self, payload: Payload) -> Parsed:
        """Read the records of one parcel and the number of its last deed."""
        apn = read_apn(payload.key) or payload.key
        searched = [page for page in payload.pages if page.name.startswith(FIRST_PAGE)]
        if len(searched) == len(payload.pages):
            if not searched:
                raise InvalidAnswerError(f"{self.name}: the payload of {apn} has no answer")
            if not any(hit["apn"] == apn for page in searched for hit in read_found(page).hits):
                return Parsed(is_found=False)
            raise InvalidAnswerError(f"{self.name}: the payload of {apn} has no section")
        missing = {table for name in payload.missing for table in _TABLES_OF.get(name, ())}
        # Without one of its sections a parcel would have gaps that look like the county's.
        reading = read_assessor(payload, apn, self.county, has_parcel="parcels" not in missing)
        improvements = find_improvements(payload)
        built, unsaid = read_improvements(improvements, apn)
        records = RecordRows(
            {
                Parcel: reading.parcels,
                Residence: reading.residences,
                Improvement: built,
                Valuation: reading.valuations,
                Sale: reading.sales,
            }
        )
        none = {
            "residences": not reading.residences and says_no_house(payload),
            "improvements": improvements == [],  # listed, and there are none
        }
        deed = reading.deed_number
        is_number = deed is not None and deed.isdecimal() and 9 <= len(deed) <= 11
        return Parsed(
            records=records,
            follow_ups=(FollowUp(source="maricopa_recorder", key=deed, apn=apn),)
            if deed is not None and is_number
            else (),
            missing=tuple(table for table in self.provides if table in missing) if missing else (),
            unsaid={**reading.unsaid, "improvements": unsaid} if unsaid else reading.unsaid,
            emptied=tuple(Emptied(t, apn) for t, is_none in none.items() if is_none),
        )


# --- asking -----------------------------------------------------------------------------------


class _Meaningful:
    """Let pass what may mean "no such parcel" or "no such address" though it is no data.

    The site's frame page comes with status 200 too. That, and an answer without content, may be
    a hiccup: they pass only when a second try gives one again.
    """

    def __init__(self) -> None:
        self._is_second = False

    def __call__(self, page: Page) -> bool:
        if page.status in {404, 405, 500}:
            return True
        if page.status != 204 and not _is_frame(page):
            return False
        is_second, self._is_second = self._is_second, True
        return is_second


def _is_frame(page: Page) -> bool:
    return "page not found" in page_title(page).lower()


def _kind_of(page: Page) -> _Kind:
    if _is_frame(page) or page.status == 405 or (page.status == 404 and is_html(page)):
        return "frame"
    if page.status == 500:
        return "failure"
    if page.status in {204, 404}:
        return "empty"
    return "empty" if is_empty(page.json()) else "data"


def _left_out(page: Page) -> tuple[str, ...]:
    """Name the sections that a one-call answer does not carry; what is null it does carry."""
    answer = page.json()
    if not isinstance(answer, dict):
        return ()
    return _sections_left_out(page_fields(page).layout)


@lru_cache(maxsize=128)
def _sections_left_out(layout: Layout) -> tuple[str, ...]:
    keys = layout.key_of.keys()
    if not keys & PROPERTY_KEYS:
        return ()
    left_out = tuple(name for name, key in KEY_OF.items() if key not in keys)
    return left_out if keys & ADDRESS_KEYS else (*left_out, "address")


async def _ask_sections(
    apn: str, names: Iterable[str], ask: Ask, pages: list[Page], missing: dict[str, str]
) -> list[SourceError]:
    """Ask for sections; one that cannot be had goes to ``missing``."""
    errors: list[SourceError] = []
    for name in names:
        error: SourceError | None = None
        try:
            page = await ask.get(f"/parcel/{apn}/{name}", name=name, accept=_Meaningful())
        except (SourceUnavailableError, InvalidAnswerError) as refused:
            error = refused
        else:
            error = _why_no_data(page)
        if error is None:
            pages.append(page)
        else:
            errors.append(error)
            missing[name] = why_missing(name, error)
    return errors


async def _ask_improvements(apn: str, ask: Ask, pages: list[Page], missing: dict[str, str]) -> None:
    if lacks_improvements(pages):
        await _ask_sections(apn, [IMPROVEMENTS_KEY], ask, pages, missing)


def _why_no_data(page: Page) -> SourceError | None:
    if page.status == 500:
        return SourceUnavailableError(f"{page.name}: HTTP 500", url=page.url)
    if page.status != 200 or _is_frame(page):
        return InvalidAnswerError(f"{page.name}: HTTP {page.status}, no data", url=page.url)
    return None


async def _ask_all_sections(
    apn: str, ask: Ask, pages: list[Page], missing: dict[str, str], *, is_settled: bool
) -> bool:
    """Ask for every section; return whether there is such a parcel."""
    errors: list[SourceError] = []
    for name in _SECTIONS:
        errors += await _ask_sections(apn, [name], ask, pages, missing)
        if not is_settled and not any(_has_data(page) for page in pages):
            # Nothing yet: settle now whether there is such a parcel, before asking for more.
            if not await is_known(apn, ask, pages):
                _keep_search_only(pages)
                return False
            is_settled = True
    if not any(_has_data(page) for page in pages):
        if errors:
            raise errors[0]
        raise InvalidAnswerError(f"parcel {apn}: the county has it, but every section is empty")
    info = next((page for page in pages if page.name == "propertyinfo"), None)
    keys = fold_keys(info.json(), "propertyinfo").keys() if info else ADDRESS_KEYS
    if not keys & ADDRESS_KEYS:
        await _ask_sections(apn, ["address"], ask, pages, missing)
    await _ask_improvements(apn, ask, pages, missing)
    return True


def _sort_kept(pages: Mapping[str, Page]) -> tuple[list[Page], dict[str, str]]:
    """Return the kept pages that hold data, searches included, and the sections without one."""
    whole = pages.get("parcel")
    is_whole = whole is not None and _kind_of(whole) == "data"
    kept = [
        page
        for name, page in pages.items()
        if name.startswith(FIRST_PAGE)
        or (name == "parcel" and is_whole)
        or (name in _TABLES_OF and _why_no_data(page) is None)
    ]
    if whole is not None and is_whole:
        asked = _left_out(whole)
    elif not any(_has_data(page) for page in kept):
        _keep_search_only(kept)
        return kept, {}
    else:
        asked = (*_SECTIONS, *(name for name in ("address",) if name in pages))
    if lacks_improvements(kept):
        asked = (*asked, IMPROVEMENTS_KEY)
    names = {page.name for page in kept}
    return kept, {name: "not among the kept pages" for name in asked if name not in names}


def _has_data(page: Page) -> bool:
    return not page.name.startswith(FIRST_PAGE) and not is_empty(page.json())


def _keep_search_only(pages: list[Page]) -> None:
    pages[:] = [page for page in pages if page.name.startswith(FIRST_PAGE)]
