"""Readers that several sources share: keys in any case, APNs, addresses, HTML tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from propkit.errors import LayoutChangedError, SourceError
from propkit.pages import Page, is_html, parse_html
from propkit.sources._base import read_int, read_text

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

Fields = dict[str, Any]
"""A JSON object with its keys in lower case."""


def fold_keys(value: object, where: str) -> Fields:
    """Return a JSON object with lower-case keys; null, "" and [] are an empty one."""
    if value is None or value in ("", []):
        return {}
    if not isinstance(value, dict):
        raise LayoutChangedError(f"{where}: expected an object, got {type(value).__name__}")
    return dict(zip(_fold_names(tuple(value)), value.values(), strict=True))


@lru_cache(maxsize=128)
def _fold_names(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name.lower() for name in names)


def pick(fields: Fields, *names: str) -> Any:
    """Return the first value under one of the names that is not absent, or None."""
    for name in names:
        value = fields.get(name.lower())
        if value is not None and value != "":
            return value
    return None


def is_empty(answer: object) -> bool:
    """Whether a JSON answer says nothing: null, "", [] or {}."""
    return answer is None or answer in ("", [], {})


def why_missing(name: str, error: SourceError) -> str:
    """Return why a page is missing, for ``Payload.missing``, which names the page itself."""
    return str(error).removeprefix(f"{name}: ")


# --- APNs -------------------------------------------------------------------------------------

_APN: Final = re.compile(r"\d{8}[A-Z]{0,2}")
_APN_MARKS: Final = re.compile(r"[-. ]")
# Blanks stand where tags were. A letter set off by one is a split letter only when it stands
# alone, two letters only at the end.
_APN_IN_TEXT: Final = re.compile(
    r"(?<![\w-])(\d{3})(?: ?- ?|[. ])?(\d{2})(?: ?- ?|[. ])?(\d{3})"
    r"(?:-?([A-Z]{1,2})|(?: ?- ?|[ .])([A-Z]{1,2}$|[A-Z]))?(?!\w)"
)


def read_apn(value: object) -> str | None:
    """Return an APN's canonical form (``"13238011A"``), or None when the value is no APN."""
    if value is None:
        return None
    text = str(value)
    if len(text) == 8 and text.isdecimal():
        return text
    text = _APN_MARKS.sub("", text).upper()
    return text if _APN.fullmatch(text) else None


def find_apns(text: str) -> tuple[str, ...]:
    """Return the APNs that a text shows, canonical, split letter included."""
    matches = _APN_IN_TEXT.finditer(" ".join(text.split()).upper())
    return tuple("".join(part for part in match.groups() if part) for match in matches)


def dash_apn(apn: str) -> str:
    """Return the form with dashes of a canonical APN: ``"132-38-011A"``."""
    return f"{apn[:3]}-{apn[3:5]}-{apn[5:]}"


# --- sizes ------------------------------------------------------------------------------------

_SQUARE_FEET: Final = re.compile(r"\s*(?:sq\.?\s*ft\.?|sqft|sf)$", re.IGNORECASE)


def read_area(value: object, where: str) -> int | None:
    """Read square feet: ``"7247"``, ``"11,834 sq ft."``; an area of nothing is absent."""
    if isinstance(value, str) and value.isdecimal() and value.isascii():
        return int(value) or None
    text = read_text(value)
    return read_int(_SQUARE_FEET.sub("", text), where) or None if text else None


# --- addresses --------------------------------------------------------------------------------

_CITIES: Final = tuple(
    """AGUILA;ANTHEM;APACHE JUNCTION;ARLINGTON;AVONDALE;BLACK CANYON CITY;BUCKEYE;CAREFREE;CASHION
    CAVE CREEK;CHANDLER;CHANDLER HEIGHTS;CIRCLE CITY;DESERT HILLS;EL MIRAGE;FORT MCDOWELL
    FOUNTAIN HILLS;GILA BEND;GILBERT;GLENDALE;GOODYEAR;GUADALUPE;HIGLEY;KOMATKE;LAVEEN
    LITCHFIELD PARK;LUKE AFB;MARICOPA;MESA;MORRISTOWN;NEW RIVER;NO CITY/TOWN;PALO VERDE
    PARADISE VALLEY;PEORIA;PHOENIX;QUEEN CREEK;RIO VERDE;SAN TAN VALLEY;SCOTTSDALE;SUN CITY
    SUN CITY WEST;SUN LAKES;SURPRISE;TEMPE;THEBA;TOLLESON;TONOPAH;TORTILLA FLAT;UNINCORPORATED
    WADDELL;WICKENBURG;WINTERSBURG;WITTMANN;YOUNGTOWN""".replace("\n    ", ";").split(";")
)
"""Cities and places of the county; none is the end of another's name."""
_CITIES_BY_LAST_WORD: Final = {
    word: tuple(city for city in _CITIES if city.rpartition(" ")[2] == word)
    for word in {city.rpartition(" ")[2] for city in _CITIES}
}
_STREET_TYPES: Final = (
    "ST STREET AVE AV AVENUE DR DRIVE RD ROAD LN LANE CT COURT PL PLACE WAY WY BLVD BOULEVARD "
    "CIR CIRCLE TRL TRAIL PKWY PKY PARKWAY TER TERRACE HWY HIGHWAY LOOP LP PATH PASS RUN CV SQ "
    "ALY XING BND FWY PLZ PT ROW SPUR VIS"
).replace(" ", "|")
_STREET: Final = re.compile(
    rf"(?P<street>.*\b(?:{_STREET_TYPES})\b(?: [NSEW](?:[EW])?\b)?"
    r"(?: (?:UNIT|APT|STE|SUITE|BLDG|LOT|#) ?[\w-]+| #\w+)*) (?P<city>[A-Z][A-Z /.'-]+)"
)
_ZIP: Final = re.compile(r"[,\s]*\b(\d{5}(?:-\d{4})?)$")
_CITY: Final = re.compile(r"[A-Za-z][A-Za-z /.'-]+")
_STATE: Final = re.compile(r"[,\s]*\b(?:AZ|ARIZONA)\.?$", re.IGNORECASE)


def split_address(value: object) -> tuple[str | None, str | None, str | None]:
    """Split ``"2778 E COURTNEY ST GILBERT, AZ 85298"`` into street, city and ZIP.

    Where the city cannot be told, the street is the whole text and the city is None.
    """
    whole = read_text(value)
    if whole is None:
        return None, None, None
    place, zip_code = _cut_zip(whole)
    place = place[:-3] if place.endswith(" AZ") else _STATE.sub("", place)
    place = place.strip(" ,")
    if not place:
        return None, None, zip_code
    street, comma, city = place.rpartition(",")
    if comma and _CITY.fullmatch(city.strip()):
        return street.strip(" ,"), city.strip(), zip_code
    upper = place.upper()
    for city in _CITIES_BY_LAST_WORD.get(upper.rpartition(" ")[2], ()):
        if upper == city:
            return None, place, zip_code
        if upper.endswith(f" {city}"):
            return place[: -len(city)].strip(" ,"), place[-len(city) :], zip_code
    match = _STREET.fullmatch(upper)
    if match is None:
        return whole, None, zip_code
    return place[: match.end("street")], place[match.start("city") :], zip_code


def _cut_zip(text: str) -> tuple[str, str | None]:
    """Split the ZIP off the end of a text."""
    head, blank, last = text.rpartition(" ")
    if blank and len(last) == 5 and last.isdecimal():
        return head.rstrip(" ,"), last
    match = _ZIP.search(text)
    return (text[: match.start()], match[1]) if match else (text, None)


# --- HTML -------------------------------------------------------------------------------------


def node_text(node: LexborNode | None) -> str:
    """Return a node's text, blanks folded (a no-break space is a blank); None gives ""."""
    return "" if node is None else " ".join(node.text(separator=" ").split())


def page_title(page: Page) -> str:
    """Return the title of an HTML page, or "" for anything else; never raises."""
    if not is_html(page):
        return ""
    return node_text(parse_html(page.body.decode("utf-8", "replace")).css_first("title"))


def table_rows(table: LexborNode) -> Iterator[tuple[LexborNode, list[LexborNode]]]:
    """Yield each row of a table with its cells; rows of tables within the table are not its own."""
    for row in table.css("tr"):
        owner = row.parent
        while owner is not None and owner.tag != "table":
            owner = owner.parent
        if owner is not None and owner.mem_id == table.mem_id:
            cells = [cell for cell in row.iter() if cell.tag in {"td", "th"}]
            yield row, cells
