"""What the assessor answers besides parcels: accounts, rentals, subdivisions, maps, sketches."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from propkit.errors import InvalidAnswerError, LayoutChangedError, RequestError
from propkit.pages import Page
from propkit.records import Improvement, column_names
from propkit.sources._assessor_accounts import (
    look_up_account,
    read_mobile_home,
    read_personal_property,
    read_texts,
)
from propkit.sources._assessor_improvements import read_improvements
from propkit.sources._assessor_search import PAGE_SIZE, demand_apn, read_hit
from propkit.sources._base import Ask, SearchHits, read_date, read_int, read_text
from propkit.sources._readers import Fields, fold_keys, is_empty, read_apn, read_area

Row = dict[str, Any]

_SEARCHES: Final = {
    "personal_property": "/search/bpp/",
    "mobile_homes": "/search/mh/",
    "rentals": "/search/rental/",
    "subdivisions": "/search/sub/",
}
_SECTION: Final = re.compile(
    r"(?:SEC(?:TION)?)?\s*(\d{1,2})[\s-]*T?\s*0?(\d{1,2})([NS])[\s-]*R?\s*0?(\d{1,2})([EW])"
)
_SALE: Final = re.compile(r"(?P<price>n/a|[^/]*)/(?P<day>.*)", re.DOTALL | re.IGNORECASE)

_ACCOUNTS: Final = ("personal_property_account", "mobile_home_account", "mobile_home_of_vin")
_PAGE: Final = re.compile(r"(\d{3})[\s-]*(\d{2})", re.ASCII)

ASSESSOR_LOOKUPS: Final = (
    *_SEARCHES,
    *_ACCOUNTS,
    "parcels_by_mcr",
    "parcels_by_section",
    "map_files",
    "map_files_by_mcr",
    "map_files_by_page",
    "rental_registration",
    "improvements",
    "similar_parcels",
    "sketches",
)
"""What can be looked up at the assessor."""


async def look_up_assessor(what: str, given: Mapping[str, str], ask: Ask, limit: int) -> SearchHits:
    """Ask for one thing; ``given["query"]`` is a name, an APN, an MCR or a section."""
    query = " ".join(given.get("query", "").split())
    if not query:
        raise RequestError(f"nothing to look up among {what}: the query is empty")
    if what in _SEARCHES:
        return await _page_through(_SEARCHES[what], {"q": query}, _ROWS[what], ask, limit)
    if what == "parcels_by_mcr":
        path = f"/parcel/mcr/{quote(query, safe='')}/"
        return await _page_through(path, {}, _read_parcel, ask, limit)
    if what == "parcels_by_section":
        return await _page_through(
            f"/parcel/str/{read_section(query)}/", {}, _read_parcel, ask, limit
        )
    if what in _ACCOUNTS:
        rows = await look_up_account(what, query, ask)
    elif what == "map_files_by_mcr":
        rows = await _ask_maps(f"mcr/{quote(query, safe='')}", ask)
    elif what == "map_files_by_page":
        rows = await _ask_maps("bookmap/{}/{}".format(*_read_page_number(query)), ask)
    else:
        rows = await _look_up_parcel(what, demand_apn(query), ask)
    return SearchHits(rows=tuple(rows[:limit]), total=len(rows), is_complete=len(rows) <= limit)


def read_section(text: str) -> str:
    """Return section, township and range as the API takes them: ``"13 1N 4E"``, ``"131N4E"``.

    Raises
    ------
    RequestError
        The text is none.
    """
    plain = text.upper().replace(" ", "")
    # Without separators the township has one digit, as the assessor's own texts do.
    joined = re.fullmatch(r"(\d{1,2})(\d)([NS])(\d{1,2})([EW])", plain)
    match = joined or _SECTION.fullmatch(text.upper().strip())
    if match is None:
        raise RequestError(f"{text!r} is no section; expected one such as 13-01N-04E")
    section, township, north, range_, east = match.groups()
    return f"{int(section):02d}-{int(township):02d}{north}-{int(range_):02d}{east}"


def _read_page_number(text: str) -> tuple[str, str]:
    match = _PAGE.fullmatch(text)
    if match is None:
        raise RequestError(f"{text!r} is no page of a map book; expected one such as 304-77")
    return match[1], match[2]


async def _page_through(
    path: str, params: Mapping[str, str], read: Callable[[Fields], Row], ask: Ask, limit: int
) -> SearchHits:
    """Ask for page after page to the end; a host that repeats a page is an error."""
    rows: list[Row] = []
    total: int | None = None
    number, before = 0, b""
    while True:
        number += 1
        page = await ask.get(path, name=f"page-{number}", params={**params, "page": str(number)})
        found, counted = _read_page(page, is_first=number == 1)
        total = total if counted is None else counted
        if found and page.body == before:
            raise InvalidAnswerError("search: the same page came twice", url=page.url)
        before = page.body
        rows += [read(fold_keys(row, path)) for row in found]
        # A search that counts nothing ends with a page that is not full, a listing with none.
        is_short = total is None and bool(params) and len(found) < PAGE_SIZE
        has_ended = not found or is_short or (total is not None and len(rows) >= total)
        if has_ended or len(rows) > limit:
            break
    if has_ended and total is not None and len(rows) < total:
        raise InvalidAnswerError(f"search: {total} results, but only {len(rows)} rows")
    is_complete = has_ended and len(rows) <= limit
    return SearchHits(
        rows=tuple(rows[:limit]),
        total=len(rows) if total is None and has_ended else total,
        is_complete=is_complete,
    )


def _read_page(page: Page, *, is_first: bool) -> tuple[list[Any], int | None]:
    """Read one page in any of its envelopes; an unknown one is an error, never an empty result."""
    answer = page.json()
    # Past the last page of a listing the answer is empty, also where the listing has no page.
    if is_empty(answer) and (not is_first or "/parcel/" in page.url):
        return [], None
    fields = fold_keys(answer, "search")
    if "results" not in fields and "parcels" not in fields:
        inner = [value for value in fields.values() if isinstance(value, dict)]
        if len(inner) == 1:
            fields = fold_keys(inner[0], "search")
    rows = fields.get("results", fields.get("parcels"))
    total = read_int(fields.get("total"), "search total")
    if rows is None and total == 0:
        rows = []
    if not isinstance(rows, list):
        raise LayoutChangedError("search: neither Results nor Parcels", url=page.url)
    return rows, total


async def _look_up_parcel(what: str, apn: str, ask: Ask) -> list[Row]:
    """Ask for one section of a parcel, and before it for what its address needs."""
    if what == "rental_registration":
        owner = await _section(apn, "owner-details", ask)
        name = read_text(owner.get("ownership")) or "" if isinstance(owner, dict) else ""
        path = f"rental-details/{quote(name, safe='')}/"
        answer = await _section(apn, path, ask)
        return [] if is_empty(answer) else [_read_rental(apn, fold_keys(answer, what))]
    if what == "similar_parcels":
        info = await _section(apn, "propertyinfo", ask)
        mcr = read_text(info.get("mcr")) if isinstance(info, dict) else None
        if mcr is None:  # outside a plat nothing is similar
            return []
        answer = await _section(apn, f"similar-parcels-residential/{quote(mcr, safe='')}", ask)
        return [_read_similar(fold_keys(row, what)) for row in _rows_of(answer, what)]
    if what == "improvements":
        answer = await _section(apn, "improvements/", ask)
        names = column_names(Improvement)
        return [dict(zip(names, row, strict=True)) for row in read_improvements(answer, apn)[0]]
    if what == "map_files":
        return _read_maps(await _section(apn, "mapids/", ask))
    return _read_sketches(apn, await _section(apn, "sketches/", ask))


async def _section(apn: str, path: str, ask: Ask) -> Any:
    return await _get(f"/parcel/{apn}/{path}", path.partition("/")[0], ask)


async def _get(path: str, name: str, ask: Ask) -> Any:
    answer = (await ask.get(path, name=name)).json()
    return fold_keys(answer, name) if isinstance(answer, dict) else answer


def _rows_of(answer: Any, what: str) -> list[Any]:
    if is_empty(answer):
        return []
    if not isinstance(answer, list):
        raise LayoutChangedError(f"{what}: expected a list, got {type(answer).__name__}")
    return answer


def _read_rental_row(fields: Fields) -> Row:
    apn = read_apn(fields.get("apn"))
    if apn is None:
        raise LayoutChangedError(f"search: a row without an APN: {sorted(fields)[:8]}")
    return {"apn": apn} | read_texts(
        fields,
        ("owner_name", "owner"),
        ("situs_address", "address"),
        ("situs_city", "city"),
        ("situs_zip", "zip"),
        ("contact", "contact"),
        ("agent", "agent"),
    )


def _read_subdivision(fields: Fields) -> Row:
    name = read_texts(fields, ("subdivision", "subdivisionname"))
    return name | {"parcels": read_int(fields.get("parcelcount"), "ParcelCount")}


def _read_parcel(fields: Fields) -> Row:
    hit = read_hit(fields)
    if hit is None:
        raise LayoutChangedError(f"search: a row without an APN: {sorted(fields)[:8]}")
    return dict(hit)


_ROWS: Final[Mapping[str, Callable[[Fields], Row]]] = {
    "personal_property": read_personal_property,
    "mobile_homes": read_mobile_home,
    "rentals": _read_rental_row,
    "subdivisions": _read_subdivision,
}


def _read_rental(apn: str, fields: Fields) -> Row:
    row = read_texts(
        fields,
        ("owner_name", "ownername"),
        ("owner_phone", "ownerphone"),
        ("business_phone", "businesscontactphone"),
        ("agent_phone", "agentphone"),
    )
    days = {
        column: _day(read_date(fields.get(key), key))
        for column, key in (("registered_on", "dateregistered"), ("updated_on", "lastupdate"))
    }
    return {"apn": apn} | row | days


def _read_similar(fields: Fields) -> Row:
    apn = read_apn(fields.get("parcel"))
    sale = _SALE.fullmatch(read_text(fields.get("salespricedate")) or "/")
    if apn is None or sale is None:
        raise LayoutChangedError(f"similar parcels: unknown row {sorted(fields)[:8]}")
    sizes = {
        "lot_size_sqft": "landsize",
        "livable_area_sqft": "livablesqfootage",
        "pool_area_sqft": "poolarea",
    }
    return {
        "apn": apn,
        "sale_price": read_int(sale["price"].strip(), "SalesPriceDate"),
        # The day may have slashes of its own.
        "sold_on": _day(read_date(sale["day"].strip(), "SalesPriceDate")),
        "full_cash_value": read_int(fields.get("fullcashvalue"), "FullCashValue"),
        "construction_year": read_int(fields.get("constructionyear"), "ConstructionYear"),
        "is_foreclosed": (read_text(fields.get("foreclosed")) or "").upper() == "R97",
        **{column: read_area(fields.get(key), key) for column, key in sizes.items()},
    }


async def _ask_maps(path: str, ask: Ask) -> list[Row]:
    return _read_maps(await _get(f"/mapid/{path}", "mapids", ask))


def _read_maps(answer: Any) -> list[Row]:
    if is_empty(answer):
        return []
    if not isinstance(answer, dict):
        raise LayoutChangedError(f"mapids: expected an object, got {type(answer).__name__}")
    rows = []
    for kind, files in answer.items():
        for file in _rows_of(files, "mapids"):
            fields = fold_keys(file, "mapids")
            rows.append(
                {"kind": kind.removesuffix(" maps")}
                | read_texts(fields, ("file_name", "filename"), ("url", "url"))
                | {"updated_on": _day(_read_map_date(fields.get("updatedate")))}
            )
    return rows


def _read_map_date(value: Any) -> Any:
    text = read_text(value)
    if text is None:
        return None
    try:
        return datetime.strptime(text, "%d-%b-%y").date()  # noqa: DTZ007 -- a day has no zone
    except ValueError:
        raise LayoutChangedError(f"mapids: {text!r} is no date") from None


def _read_sketches(apn: str, answer: Any) -> list[Row]:
    if is_empty(answer):
        return []
    fields = fold_keys(answer, "sketches")
    pages = _rows_of(fields.get("pages"), "sketches")
    count = read_int(fields.get("totalpages"), "TotalPages")
    if "pages" not in fields or count not in {None, len(pages)}:
        raise LayoutChangedError(f"sketches: {count} pages, but {len(pages)} came")
    rows = []
    for number, page in enumerate(pages, start=1):
        image = read_text(fold_keys(page, "sketches").get("sketch"))
        if image is None:
            raise LayoutChangedError("sketches: a page without a sketch")
        rows.append({"apn": apn, "page": number, "png_base64": image})
    return rows


def _day(day: Any) -> str | None:
    return None if day is None else day.isoformat()
