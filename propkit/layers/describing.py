"""Which field of an unknown layer may be which column: proposed with a confidence, never assumed.

A field's name and alias are compared with those that counties use, its type and a sample of its
values with what the column holds. Only a column whose confidence reaches ``SURE`` is mapped by
itself; the others are shown for a person to decide.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from propkit.layers.facts import LayerField
from propkit.layers.fields import Field, read_text

SURE: Final = 0.75
_SHOWN: Final = 0.3
ACRES: Final = 43560.0

# Names as counties write them, folded: the sure ones, and those that may mean something else.
_NAMES: Final[dict[str, tuple[str, str]]] = {
    "apn": (
        (
            "apn parcelid parcelnumber parcelno parcelnum parid folio folionumber pin pinnum pidtext"
            " pidnum propid taxparcelid swissblid bbl ain assessorparcelnumber prclid taxid gpin upc"
            " parcelidnumber"
        ),
        (
            "pid parcel pinnumber apndash key accountnumber account prop propertyid geoid gisid"
            " parcelkey parcelpin accountno acctnum mapblklot"
        ),
    ),
    "owner_name": (
        (
            "owner ownername ownername1 owner1 ownernme1 ownernm ownname ownername1 trueowner1"
            " pyownername primaryowner parcelowner ownerfullname nameline1 owneraddressname owner48"
        ),
        "name taxpayer taxpayername ownershort name1 taxpayernm grantee",
    ),
    "situs_address": (
        (
            "situs situsaddress siteaddress siteaddr propaddr propertyaddress physicaladdress"
            " situsaddr truesiteaddr propaddressfull physaddr paraddrall siteaddress1 locationaddress"
            " situsfulladdress propertylocation"
        ),
        "address location fulladdress addr fulladdr siteadd locaddress streetaddress",
    ),
    "situs_city": (
        (
            "situscity sitecity propcity propertycity physicalcity truesitecity parcity"
            " propaddresscityname sitecityname"
        ),
        "city muninm municnm municipality community",
    ),
    "situs_zip": (
        (
            "situszip sitezip propzip propertyzip physicalzip truesitezipcode situszipcode parzip"
            " propaddresszipcode1 lociczip loczip sitezipcode"
        ),
        "zip zipcode zipcd postalcode",
    ),
    "mailing_address": (
        (
            "mailaddress mailingaddress mailaddr mailaddr1 mailaddress1 owneraddr owneraddress"
            " owneraddr1 ownaddr1 pstladdres pstladdress mailaddressfull addrln1 ownad1"
            " truemailingaddr1 mailaddrstreet pyaddress mailingaddress1 owneraddress1 mailadd"
        ),
        "addr1 addressline1 address1 owneradd",
    ),
    "mailing_city": ("mailcity mailingcity ownercity pstlcity owncity owneraddrcity", "addrcity"),
    "mailing_state": ("mailstate mailingstate ownerstate pstlstate ownstate", "state st"),
    "mailing_zip": (
        "mailzip mailingzip ownerzip pstlzip5 ownzip mailzipcode ownadzip ownerzipcode pstlzip",
        "zip zipcode",
    ),
    "subdivision": (
        "subname subdivision subdivisionname subdivname subdiv subdivnm cnvyname",
        "platname plat",
    ),
    "lot_number": ("lotnum lotnumber lotno", "lot"),
    "legal_description": (
        "legaldescription legaldesc legal legaldescr prprtydscrp legaldesc1",
        "legal1 description",
    ),
    "lot_size_sqft": (
        (
            "landsize lotsize lotsqft landsqft lotsizesqft landareasqft sqft lotarea"
            " acres acreage gisacres calcacres grossac grossacres deedacres totalacres calcacreage"
            " landacres"
        ),
        "area shapearea statedarea landarea stshapearea",
    ),
    "use_code": ("usecode usecd propclass landusecode puc propertyusecode lucode", "landuse luc"),
    "use_description": (
        (
            "usedescription usedesc landusedescription propertyusedescription usedscrp"
            " landusedesc classdscrp"
        ),
        "classdescription",
    ),
    "deed_number": ("deednumber deedno docnumber recordingnumber instrumentnumber", "docno deed"),
    "deed_date": ("deeddate recordingdate deeddt", "saledate docdate"),
    "latitude": ("latitude lat", "y ycoord"),
    "longitude": ("longitude lon long lng", "x xcoord"),
}
_IS_ACRES = re.compile("acre|acr$|ac$")
_KINDS: Final = {
    "lot_size_sqft": {"number", "text"},
    "latitude": {"number", "text"},
    "longitude": {"number", "text"},
    "deed_date": {"date", "text", "number"},
    "apn": {"text", "number", "other"},
}
_TEXTS: Final = {"text", "number", "other"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A field that may be a column: how sure that is (0 to 1), and why."""

    column: str
    field: Field
    confidence: float
    why: str
    sample: tuple[str, ...]

    @property
    def is_sure(self) -> bool:
        """Whether it is mapped without a person's word."""
        return self.confidence >= SURE


def propose(
    fields: Sequence[LayerField], rows: Sequence[Mapping[str, Any]]
) -> tuple[list[Proposal], list[Proposal]]:
    """Return the best field of each column, and the other candidates, each the surest first.

    A field stands for one column only, that of which it is surest.
    """
    all_found = sorted(
        (
            found
            for column in _NAMES
            for field in fields
            if (found := _judge(column, field, rows)) is not None and found.confidence >= _SHOWN
        ),
        key=lambda one: (-one.confidence, one.column, one.field.names),
    )
    best: dict[str, Proposal] = {}
    used: set[str] = set()
    others: list[Proposal] = []
    for found in all_found:
        name = found.field.names[0]
        if found.column in best or name in used:
            others.append(found)
        else:
            best[found.column] = found
            used.add(name)
    return sorted(best.values(), key=lambda one: -one.confidence), others


def _judge(column: str, field: LayerField, rows: Sequence[Mapping[str, Any]]) -> Proposal | None:
    named, why = _name_score(column, field)
    if named == 0 or field.kind not in _KINDS.get(column, _TEXTS):
        return None
    values = [text for row in rows if (text := read_text(row.get(field.name))) is not None]
    factor = ACRES if column == "lot_size_sqft" and _IS_ACRES.search(_fold(field)) else None
    if not values:
        score, said = named * 0.7, "no value in the sample"
    else:
        share = _CHECKS.get(column, _any)(values, rows)
        score = named * (0.25 + 0.75 * share)
        said = f"{share:.0%} of the sample fits"
    return Proposal(
        column=column,
        field=Field((field.name,), factor=factor),
        confidence=round(score, 2),
        why=f"{why}; {said}" + ("; in acres" if factor else ""),
        sample=tuple(dict.fromkeys(values))[:3],
    )


def _name_score(column: str, field: LayerField) -> tuple[float, str]:
    sure, doubtful = (set(names.split()) for names in _NAMES[column])
    name, alias = _fold(field), re.sub(r"[^a-z0-9]", "", field.alias.lower())
    if name in sure:
        return 1.0, "named so by counties"
    if alias in sure:
        return 0.9, f"its alias is {field.alias!r}"
    if name in doubtful or alias in doubtful:
        return 0.6, "the name may mean something else"
    return 0.0, ""


def _fold(field: LayerField) -> str:
    return re.sub(r"[^a-z0-9]", "", field.name.rpartition(".")[2].lower())


# --- what a column holds: the share of a sample that fits --------------------------------------

_Check = Callable[[Sequence[str], Sequence[Mapping[str, Any]]], float]


def _share(pattern: str) -> _Check:
    compiled = re.compile(pattern, re.IGNORECASE)

    def check(values: Sequence[str], _: object) -> float:
        return sum(compiled.search(value) is not None for value in values) / len(values)

    return check


def _between(low: float, high: float) -> _Check:
    def check(values: Sequence[str], _: object) -> float:
        return sum(_is_between(value, low, high) for value in values) / len(values)

    return check


def _is_between(value: str, low: float, high: float) -> bool:
    try:
        return low < float(value.replace(",", "")) < high
    except ValueError:
        return False


def _is_key(values: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> float:
    """Return how far values tell rows apart: nearly each another one, with a digit."""
    apart = len(set(values)) / max(len(rows), 1)
    digits = sum(any(char.isdigit() for char in value) for value in values) / len(values)
    return min(apart / 0.9, 1.0) * digits


def _any(values: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> float:
    del values, rows
    return 1.0


_CHECKS: Final[dict[str, _Check]] = {
    "apn": _is_key,
    "owner_name": _share(r"[a-z]{2}"),
    # A line that ends in a ZIP code holds the city too.
    "situs_address": _share(r"^\d+\S* +\S*[a-z](?!.*\d{5}$)"),
    "mailing_address": _share(r"^\d+\S* +\S*[a-z]|box"),
    "situs_city": _share(r"^[a-z][a-z .'/-]+$"),
    "mailing_city": _share(r"^[a-z][a-z .'/-]+$"),
    "mailing_state": _share(r"^[a-z]{2}$"),
    "situs_zip": _share(r"^\d{5}(-?\d{4})?$"),
    "mailing_zip": _share(r"^\d{5}(-?\d{4})?$"),
    "lot_size_sqft": _between(0, 1e10),
    "latitude": _between(15, 72),
    "longitude": _between(-180, -60),
    "deed_date": _share(r"^-?\d{9,}$|\d{4}|\d/\d"),
}
