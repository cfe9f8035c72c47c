"""Searching the assessor's roll: both envelopes, pages of 25, and what counts as a hit."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from propkit.errors import InvalidAnswerError, LayoutChangedError, RequestError
from propkit.pages import Page
from propkit.sources._base import Ask, SearchHits, read_int, read_text
from propkit.sources._readers import fold_keys, is_empty, pick, read_apn

FIRST_PAGE: Final = "search"
"""The name of a search's first page; the others' names start with it."""

PAGE_SIZE: Final = 25
_MOST_NEAR_MATCHES: Final = 1000

Hit = dict[str, str | None]
"""A row to show, by column; one that the county's row does not carry is left out."""

_COLUMNS: Final = {
    "owner_name": ("Ownership", "Owner"),
    "situs_address": ("SitusAddress", "Address"),
    "situs_city": ("SitusCity", "City"),
    "situs_zip": ("SitusZip", "Zip"),
    "property_type": ("PropertyType",),
    "subdivision": ("SubdivisonName", "SubdivisionName"),
    "mcr": ("MCR",),
    "section_township_range": ("SectionTownshipRange",),
    "rental_id": ("RentalID",),
}

_FIELDS_OF: Final = {
    "owner": ("owner_name",),
    "address": ("situs_address", "situs_city", "situs_zip"),
    "subdivision": ("subdivision",),
}


@dataclass(frozen=True, slots=True)
class Found:
    """One page of a search: the parcels in it, how many rows it had, and the county's count."""

    hits: tuple[Hit, ...]
    size: int
    total: int | None
    is_last: bool = False
    page: Page | None = None


async def search_roll(query: str, by: str, ask: Ask, limit: int | None) -> SearchHits:
    """Give the rows whose own field contains every word of the query, or is the APN.

    The county's search looks into every field and answers near matches too. A row that carries
    nothing but its APN cannot be told from one that fits, so it is given.
    """
    fits = _filter_of(query, by)
    rows: dict[str, Hit] = {}
    total: int | None = None
    seen = 0
    has_ended = False
    words = (read_apn(query) or query) if by == "apn" else query.strip()
    async with aclosing(_ask_pages(words, ask)) as pages:
        async for found in pages:
            total = found.total
            seen += found.size
            has_ended = found.is_last
            for hit in found.hits:
                if fits(hit):
                    rows.setdefault(str(hit["apn"]), dict.fromkeys(("apn", *_COLUMNS)) | hit)
            if limit is not None and len(rows) >= limit:
                break
    kept = tuple(rows.values())[:limit]
    is_complete = has_ended and len(kept) == len(rows) and seen >= (total or 0)
    return SearchHits(rows=kept, total=total, is_complete=is_complete)


def read_known(apn: str, pages: Iterable[Page]) -> bool:
    """Whether these pages of a search show exactly this parcel; a search cut short is an error."""
    seen, total, is_last = 0, None, False
    for page in pages:
        found = read_found(page)
        if any(hit["apn"] == apn for hit in found.hits):
            return True
        seen += found.size
        total = total if found.total is None else found.total
        is_last = _is_last(found, seen, total)
    if not is_last:
        raise InvalidAnswerError(f"parcel {apn}: the search does not come to an end")
    return False


async def is_known(apn: str, ask: Ask, pages: list[Page]) -> bool:
    """Whether the search knows exactly this parcel; its pages are kept as the proof."""
    seen = 0
    async with aclosing(_ask_pages(apn, ask)) as found_pages:
        async for found in found_pages:
            if found.page is not None:
                pages.append(found.page)
            if any(hit["apn"] == apn for hit in found.hits):
                return True
            seen += found.size
            if found.is_last:
                return False
            if seen >= _MOST_NEAR_MATCHES:
                break
    raise InvalidAnswerError(f"parcel {apn}: the search does not come to an end")


def read_found(page: Page) -> Found:
    """Read one page of a search; an unknown envelope is an error, never an empty result."""
    answer = page.json()
    if is_empty(answer) and page.name != FIRST_PAGE:
        return Found((), 0, None)
    if not isinstance(answer, dict):
        raise LayoutChangedError(f"search: unknown envelope {answer!r:.80}", url=page.url)
    fields = fold_keys(answer, "search")
    if "realproperty" in fields:
        fields = fold_keys(fields["realproperty"], "search RealProperty") or {"total": 0}
    total = read_int(fields.get("total"), "search total")
    rows = fields.get("results")
    if rows is None and total == 0:
        rows = []
    if not isinstance(rows, list):
        raise LayoutChangedError("search: neither Results nor RealProperty.results", url=page.url)
    if total and not rows and page.name == FIRST_PAGE:
        raise InvalidAnswerError(f"search: {total} results, but no rows", url=page.url)
    hits = tuple(hit for row in rows if (hit := read_hit(row)) is not None)
    return Found(hits, len(rows), total)


def demand_apn(text: str) -> str:
    """Return an APN's canonical form; what is no APN is a ``RequestError``."""
    apn = read_apn(text)
    if apn is None:
        raise RequestError(f"{text!r} is no APN; expected one such as 304-77-566A")
    return apn


def _filter_of(query: str, by: str) -> Callable[[Hit], bool]:
    if by == "apn":
        apn = demand_apn(query)
        return lambda hit: hit["apn"] == apn
    names = _FIELDS_OF.get(by)
    if names is None:
        choices = ", ".join(("apn", *_FIELDS_OF))
        raise RequestError(f"cannot search by {by!r}; expected one of {choices}")
    words = query.upper().replace(",", " ").split()
    if not words:
        raise RequestError("the query is empty; expected words to search for")

    def fits(hit: Hit) -> bool:
        carried = [hit[name] or "" for name in names if name in hit]
        text = " ".join(carried).upper()
        return not carried or all(word in text for word in words)

    return fits


async def _ask_pages(words: str, ask: Ask) -> AsyncGenerator[Found, None]:
    """Yield the pages of a search to its end; a host that repeats a page is left alone."""
    seen, number, before = 0, 1, None
    total: int | None = None
    while True:
        page = await ask.get(
            "/search/property/",
            name=FIRST_PAGE if number == 1 else f"{FIRST_PAGE}-{number}",
            params={"q": words, "page": str(number)},
        )
        found = read_found(page)
        total = found.total if found.total is not None else total
        if number > 1 and found.size and page.body == before:
            return
        seen, before = seen + found.size, page.body
        is_last = _is_last(found, seen, total)
        yield Found(found.hits, found.size, total, is_last, page)
        if is_last:
            return
        number += 1


def _is_last(found: Found, seen: int, total: int | None) -> bool:
    return not found.size or (seen >= total if total is not None else found.size < PAGE_SIZE)


def read_hit(row: object) -> Hit | None:
    """Read a row; None for one of another kind (an account, a subdivision)."""
    fields = fold_keys(row, "search row")
    fields |= fold_keys(fields.get("parcel"), "search row Parcel")
    apn = read_apn(fields.get("apn"))
    if apn is None:
        if {"accountno", "parcelcount"} & fields.keys():
            return None
        raise LayoutChangedError(f"search: a row without an APN: {row!r:.120}")
    return {"apn": apn} | {
        column: read_text(pick(fields, *names))
        for column, names in _COLUMNS.items()
        if any(name.lower() in fields for name in names)
    }
