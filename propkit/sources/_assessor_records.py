"""Reading the assessor's answers: the one-call object and the sections give the same records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from propkit.errors import InvalidAnswerError, LayoutChangedError
from propkit.pages import Page
from propkit.record_block import Row, row_maker
from propkit.records import Parcel, Residence, Sale, Valuation, column_names
from propkit.sources._assessor_columns import (
    GEO,
    HOUSE,
    HOUSE_SIZE,
    LAND,
    OWNER,
    PROPERTY,
    SALE,
    VALUE,
    read_tax_year,
)
from propkit.sources._base import Payload, read_text
from propkit.sources._layouts import ABSENT, Fields, Layout, page_fields, pick_first, read_fields
from propkit.sources._readers import read_apn, split_address

KEY_OF: Final[Mapping[str, str]] = {
    "owner-details": "owner",
    "valuations": "valuations",
    "residential-details": "residentialpropertydata",
}
"""The sections that the one-call answer carries under a key of its own."""

ADDRESS_KEYS: Final = frozenset({"propertyaddress", "situsaddress"})
PROPERTY_KEYS: Final = ADDRESS_KEYS | {
    "apn", "propertytype", "propertydescription", "subdivisionname", "subdivisonname",
    "sectiontownshiprange", "localjusidiction", "localjurisdiction", *KEY_OF.values(),
}  # fmt: skip
_OWNER_KEYS: Final = frozenset({
    "ownership", "ownerid", "incareof", "mailingaddress1", "mostcurrentdeed", "deeddate",
    "saledate", "saleprice", "redacted",
})  # fmt: skip
_HOUSE_KEYS: Final = frozenset({
    "constructionyear", "livablespace", "lotsize", "pool", "bathfixtures",
    "improvementqualitygrade",
})  # fmt: skip
_VALUE_KEYS: Final = frozenset({"fullcashvalue", "limitedpropertyvalue"})
# No document gives the keys of the address section: these are a client's and the searches'.
_STREET_KEYS: Final = ("housenumber", "direction", "streetname", "suffix", "unit")
_CITY_KEYS: Final = ("situscity", "cityname", "city")
_ZIP_KEYS: Final = ("situszip", "zip", "zipcode")

_SITUS_COLUMNS: Final = ("situs_address", "situs_city", "situs_zip")
_SITUS: Final = frozenset(_SITUS_COLUMNS)
_PARCEL: Final = (
    *("apn", "county", *Parcel.noted, *_SITUS_COLUMNS),
    *(*OWNER.names, *PROPERTY.names, *GEO.names),
)
"""The columns of a parcel, as they are read."""
_NOTED: Final = (None,) * len(Parcel.noted)
_PARCEL_COLUMNS: Final = frozenset(_PARCEL).difference({"apn", "county"}, Parcel.noted)
_VALUATION: Final = ("apn", *VALUE.names)
_HOUSE: Final = ("apn", *HOUSE_SIZE.names, *HOUSE.names)
_SALE: Final = ("apn", *SALE.names)
_PARCEL_ROW: Final = row_maker(Parcel, *_PARCEL)
_VALUATION_ROW: Final = row_maker(Valuation, *_VALUATION)
_HOUSE_ROW: Final = row_maker(Residence, *_HOUSE)
_SALE_ROW: Final = row_maker(Sale, *_SALE)
_YEAR: Final = column_names(Valuation).index("tax_year")
_LOT_SIZE: Final = _PARCEL.index("lot_size_sqft")
# What the newest valuation says where the property does not.
_ALSO_VALUED: Final = ("tax_area_code", "use_code", "use_description")
_ALSO_PLACES: Final = [
    (_PARCEL.index(name), column_names(Valuation).index(name)) for name in _ALSO_VALUED
]

Unsaid = Mapping[str, frozenset[str]]


class Reading(NamedTuple):
    """What the answers say about one parcel; ``unsaid`` is shared, so not to be changed.

    There is one row at most of the parcel, of its house and of its sale.
    """

    parcels: Sequence[Row]
    residences: Sequence[Row]
    valuations: Sequence[Row]
    sales: Sequence[Row]
    deed_number: str | None
    unsaid: Unsaid


class _Situs(NamedTuple):
    """Street, city and ZIP of a parcel, and for which of these columns there was a key."""

    street: str | None
    city: str | None
    zip_code: str | None
    said: frozenset[str]


class _Answers(NamedTuple):
    """The answers about one parcel, whichever pages they came on."""

    apn: str
    info: Fields
    owner: Fields
    house: Fields
    values: list[Any]
    situs: _Situs


class _Values(NamedTuple):
    """The valuations, the newest of them, and the layouts of their rows."""

    found: tuple[Row, ...]
    newest: Row | None
    newest_layout: Layout
    layouts: tuple[Layout, ...]


def read_assessor(payload: Payload, apn: str, county: str, *, has_parcel: bool) -> Reading:
    """Read the pages of a payload; an unknown layout or another parcel is an error.

    Without ``has_parcel`` the parcel is left out.
    """
    answers = _sort_answers(payload, apn)
    values = _read_values(answers.values, apn)
    geo = answers.info.child("geo", "Geo") if has_parcel else ABSENT
    sold_on, deed_number, price = sold = SALE.read(answers.owner)
    return Reading(
        _read_parcel(answers, county, geo, values.newest) if has_parcel else (),
        _read_residence(answers.house, apn),
        values.found,
        () if sold_on is None and price is None else (_SALE_ROW((apn, *sold)),),
        deed_number,
        _find_unsaid(
            _Layouts(
                answers.info.layout,
                answers.owner.layout,
                answers.house.layout,
                geo.layout,
                answers.situs.said,
                values.newest_layout,
                values.layouts,
            )
        ),
    )


def says_no_house(payload: Payload) -> bool:
    """Whether the answers have what makes a house, and both of it is absent.

    An object without anything in it may be a hiccup, and says nothing for certain.
    """
    whole = _page_fields(payload.page("parcel"), PROPERTY_KEYS)
    house = _section(payload, "residential-details", whole, "ResidentialPropertyData", _HOUSE_KEYS)
    is_said = bool(house.answer) and HOUSE_SIZE.columns <= HOUSE_SIZE.said(house.layout)
    return is_said and not _read_residence(house, "")


def _sort_answers(payload: Payload, apn: str) -> _Answers:
    whole = _page_fields(payload.page("parcel"), PROPERTY_KEYS)
    info = whole if whole.answer else _page_fields(payload.page("propertyinfo"), PROPERTY_KEYS)
    owner = _section(payload, "owner-details", whole, "Owner", _OWNER_KEYS)
    house = _section(payload, "residential-details", whole, "ResidentialPropertyData", _HOUSE_KEYS)
    page = payload.page("valuations")
    values = _value_rows(page.json() if page else whole.get("valuations"))
    for part in (info, owner, house):
        named = read_text(part.get("apn"))
        if named is not None and read_apn(named) != apn:
            raise InvalidAnswerError(f"parcel {apn}: the answer is about {named!r}")
    situs = _situs(info)
    if situs is None:
        situs = _address(payload.page("address"))
    return _Answers(apn, info, owner, house, values, situs)


def _page_fields(page: Page | None, known: frozenset[str]) -> Fields:
    """Return a page's object; one that is empty says nothing, as one that was not asked for."""
    if page is None:
        return ABSENT
    fields = page_fields(page)
    return _known(fields, known, page.name) if fields.answer else ABSENT


def _section(
    payload: Payload, name: str, whole: Fields, where: str, known: frozenset[str]
) -> Fields:
    """Return a section from its own page, else from the one-call answer."""
    fields = _page_fields(payload.page(name), known)
    return fields if fields.answer else _known(whole.child(KEY_OF[name], where), known, where)


def _known(fields: Fields, known: frozenset[str], where: str) -> Fields:
    if fields.answer and known.isdisjoint(fields.layout.key_of):
        names = sorted(fields.layout.key_of)[:8]
        raise LayoutChangedError(f"{where}: none of the known keys in {names}")
    return fields


def _value_rows(answer: Any) -> list[Any]:
    if answer is None or answer in ("", {}):
        return []
    if not isinstance(answer, list):
        raise LayoutChangedError(f"Valuations: expected a list, got {type(answer).__name__}")
    return answer


# --- where it lies ----------------------------------------------------------------------------


def _situs(info: Fields) -> _Situs | None:
    """Return street, city and ZIP; None where the answer has no key for an address."""
    said = _situs_said(info.layout)
    if "situsaddress" in info.layout.key_of:
        street, city, zip_code = map(info.get, ("situsaddress", "situscity", "situszip"))
        return _Situs(read_text(street), read_text(city), read_text(zip_code), said)
    if "propertyaddress" in info.layout.key_of:
        return _Situs(*split_address(info.get("propertyaddress")), said)
    return None


def _address(page: Page | None) -> _Situs:
    """Read the address section."""
    answer = None if page is None else page.json()
    if isinstance(answer, str):
        return _Situs(*split_address(answer), _SITUS if answer else frozenset())
    fields = read_fields(answer, "address")
    if (situs := _situs(fields)) is not None:
        return situs
    _known(fields, frozenset({"streetname", "address"}), "address")
    parts = (read_text(fields.get(key)) for key in _STREET_KEYS)
    street = " ".join(part for part in parts if part) or read_text(fields.get("address"))
    city, zip_code = (
        read_text(pick_first([fields.get(key) for key in keys])) for keys in (_CITY_KEYS, _ZIP_KEYS)
    )
    return _Situs(street, city, zip_code, _situs_said(fields.layout))


@lru_cache(maxsize=128)
def _situs_said(layout: Layout) -> frozenset[str]:
    """Name the columns of the situs for which an object has a key."""
    names = layout.key_of.keys()
    city_keys, zip_keys = set(_CITY_KEYS), set(_ZIP_KEYS)
    if "situsaddress" in names:
        city_keys, zip_keys = {"situscity"}, {"situszip"}
        said = {"situs_address"}
    elif "propertyaddress" in names:
        return _SITUS
    else:
        said = {"situs_address"} if {*_STREET_KEYS, "address"} & names else set()
    if city_keys & names:
        said.add("situs_city")
    if zip_keys & names:
        said.add("situs_zip")
    return frozenset(said)


# --- records ----------------------------------------------------------------------------------


def _read_parcel(answers: _Answers, county: str, geo: Fields, newest: Row | None) -> Sequence[Row]:
    """Return the parcel; nothing where no answer says anything about it."""
    situs = answers.situs
    if not (answers.info.answer or answers.owner.answer or any(situs[:3])):
        return ()
    parcel = [
        *(answers.apn, county, *_NOTED, situs.street, situs.city, situs.zip_code),
        *OWNER.read(answers.owner),
        *PROPERTY.read(answers.info),
        *GEO.read(geo),
    ]
    if parcel[_LOT_SIZE] is None:
        (parcel[_LOT_SIZE],) = LAND.read(answers.house)
    if newest is not None:
        for place, valued in _ALSO_PLACES:
            if parcel[place] is None:
                parcel[place] = newest[valued]
    return (_PARCEL_ROW(parcel),)


def _read_residence(house: Fields, apn: str) -> Sequence[Row]:
    """Return the house; nothing without a construction year and a livable area."""
    size = HOUSE_SIZE.read(house)
    if size == (None, None):
        return ()
    return (_HOUSE_ROW((apn, *size, *HOUSE.read(house))),)


def _read_values(rows: list[Any], apn: str) -> _Values:
    """Read the values of each tax year."""
    years: dict[int, Row] = {}
    layouts: list[Layout] = []
    newest, newest_layout = None, ABSENT.layout
    keys: tuple[str, ...] | None = None
    for row in rows:
        if type(row) is not dict or tuple(row) != keys:  # nearly all are alike
            fields = read_fields(row, "Valuations")
            layout, keys = fields.layout, tuple(fields.answer)
            read = VALUE.reader(layout)
            if layout not in layouts:
                _check_values(fields)
                layouts.append(layout)
        try:
            value = _VALUATION_ROW((apn, *read(row)))
        except LayoutChangedError as error:
            year = read_tax_year(Fields(row, layout).get("taxyear"), "TaxYear")
            raise LayoutChangedError(f"Valuations {year}: {error}") from error
        year = value[_YEAR]
        if years.setdefault(year, value) is not value and years[year] != value:
            raise LayoutChangedError(f"Valuations: two values for {year}")
        if newest is None or year > newest[_YEAR]:
            newest, newest_layout = value, layout
    return _Values(tuple(years.values()), newest, newest_layout, tuple(layouts))


def _check_values(row: Fields) -> None:
    """Raise unless the rows of a layout have a year and values."""
    year = read_tax_year(row.get("taxyear"), "TaxYear")
    if _VALUE_KEYS.isdisjoint(row.layout.key_of):
        names = sorted(row.layout.key_of)[:8]
        raise LayoutChangedError(f"Valuations {year}: no values in {names}")


# --- what they leave unsaid -------------------------------------------------------------------


class _Layouts(NamedTuple):
    """The layouts of all objects of one parcel, and what is said of its situs."""

    info: Layout
    owner: Layout
    house: Layout
    geo: Layout
    situs: frozenset[str]
    newest_value: Layout
    values: tuple[Layout, ...]


@lru_cache(maxsize=256)
def _find_unsaid(layouts: _Layouts) -> Unsaid:
    """Name the columns of each table that no key of these objects stands for."""
    house = layouts.house
    parcel = PROPERTY.said(layouts.info) | OWNER.said(layouts.owner) | GEO.said(layouts.geo)
    parcel |= layouts.situs | LAND.said(house)
    parcel |= VALUE.said(layouts.newest_value) & frozenset(_ALSO_VALUED)
    values = (VALUE.columns - VALUE.said(layout) for layout in layouts.values)
    found = {
        "parcels": _PARCEL_COLUMNS - parcel,
        "residences": (HOUSE_SIZE.columns - HOUSE_SIZE.said(house))
        | (HOUSE.columns - HOUSE.said(house)),
        "valuations": frozenset[str]().union(*values),
        "sales": SALE.columns - SALE.said(layouts.owner),
    }
    return {table: columns for table, columns in found.items() if columns}
