"""Reading the assessor's answers: the one-call object and the sections give the same records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from propkit.errors import InvalidAnswerError, LayoutChangedError
from propkit.pages import Page
from propkit.records import Parcel, Residence, Sale, Valuation
from propkit.sources._base import (
    Payload,
    read_bool,
    read_date,
    read_decimal,
    read_float,
    read_int,
    read_text,
)
from propkit.sources._readers import Fields, fold_keys, pick, read_apn, read_area, split_address

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
# No document gives the keys of the address section: these are a client's and the searches'.
_STREET_KEYS: Final = ("housenumber", "direction", "streetname", "suffix", "unit")
_CITY_KEYS: Final = ("situscity", "cityname", "city")
_ZIP_KEYS: Final = ("situszip", "zip", "zipcode")


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers about one parcel, with keys in lower case, whichever pages they came on."""

    apn: str
    property_: Fields
    owner: Fields
    house: Fields
    values: tuple[Fields, ...]
    situs: tuple[str | None, str | None, str | None]

    @classmethod
    def of(cls, payload: Payload, apn: str) -> Answers:
        """Read the pages of a payload; an unknown layout or another parcel is an error."""
        whole = _object(payload.page("parcel"), PROPERTY_KEYS)
        info = whole or _object(payload.page("propertyinfo"), PROPERTY_KEYS)
        owner = _object(payload.page("owner-details"), _OWNER_KEYS)
        owner = owner or _known(fold_keys(whole.get("owner"), "Owner"), _OWNER_KEYS, "Owner")
        house = _object(payload.page("residential-details"), _HOUSE_KEYS)
        house = house or _known(
            fold_keys(whole.get("residentialpropertydata"), "ResidentialPropertyData"),
            _HOUSE_KEYS,
            "ResidentialPropertyData",
        )
        page = payload.page("valuations")
        values = _value_rows(page.json() if page else whole.get("valuations"))
        for fields in (info, owner, house):
            named = read_text(fields.get("apn"))
            if named is not None and read_apn(named) != apn:
                raise InvalidAnswerError(f"parcel {apn}: the answer is about {named!r}")
        situs = _situs(info)
        if situs is None:
            situs = _address(payload.page("address"))
        return cls(apn, info, owner, house, values, situs)

    @property
    def deed_number(self) -> str | None:
        """The recording number of the last deed."""
        number = read_text(self.owner.get("mostcurrentdeed"))
        return number if number and number.strip("0") else None

    def parcel(self, county: str) -> Parcel | None:
        """Return the parcel; None where no answer says anything about it."""
        info, owner = self.property_, self.owner
        if not info and not owner and not any(self.situs):
            return None
        geo = fold_keys(info.get("geo"), "Geo")
        newest = max(self.values, key=_tax_year, default={})
        lines = (read_text(owner.get(f"mailingaddress{line}")) for line in (1, 2))
        lot_size = read_area(info.get("lotsize"), "LotSize")
        return Parcel(
            apn=self.apn,
            county=county,
            property_type=read_text(info.get("propertytype")),
            situs_address=self.situs[0],
            situs_city=self.situs[1],
            situs_zip=self.situs[2],
            owner_name=read_text(owner.get("ownership")),
            in_care_of=read_text(owner.get("incareof")),
            mailing_address=" ".join(line for line in lines if line) or None,
            mailing_city=read_text(owner.get("mailingcity")),
            mailing_state=read_text(owner.get("mailingstate")),
            mailing_zip=read_text(owner.get("mailingzip")),
            legal_description=read_text(info.get("propertydescription")),
            subdivision=_text(info, "SubdivisionName", "SubdivisonName"),
            lot_number=_text(info, "LotNumber"),
            mcr=_text(info, "MCR"),
            section_township_range=_text(info, "SectionTownshipRange"),
            lot_size_sqft=lot_size or read_area(self.house.get("lotsize"), "LotSize"),
            jurisdiction=_text(info, "LocalJusidiction", "LocalJurisdiction"),
            elementary_school_district=_text(info, "ElementarySchoolDistrict"),
            high_school_district=_text(info, "HighSchoolDistrict"),
            tax_area_code=_text(info, "TaxAreaCode") or _text(newest, "TaxAreaCode"),
            use_code=_text(info, "PropertyUseCode") or _text(newest, "PropertyUseCode"),
            use_description=_text(info, "PEPropUseDesc") or _text(newest, "PEPropUseDesc"),
            is_rental=read_bool(info.get("isrental"), "IsRental"),
            # No parcel of the county lies at 0, 0.
            latitude=read_float(pick(geo, "lat", "latitude"), "Geo.lat") or None,
            longitude=read_float(pick(geo, "long", "lon", "lng", "longitude"), "Geo.long") or None,
            deed_number=self.deed_number,
            deed_date=read_date(owner.get("deeddate"), "DeedDate"),
            deed_type=read_text(owner.get("deedtype")),
        )

    def residence(self) -> Residence | None:
        """Return the house; None without a construction year and a livable area."""
        house = self.house
        year = _number(house, "ConstructionYear") or None
        area = read_area(house.get("livablespace"), "LivableSpace")
        if year is None and area is None:
            return None
        return Residence(
            apn=self.apn,
            construction_year=year,
            original_construction_year=_number(house, "OriginalConstructionYear") or None,
            livable_area_sqft=area,
            detached_livable_area_sqft=read_area(house.get("detached_livable_sqft"), "Detached"),
            pool_area_sqft=read_area(house.get("pool"), "Pool"),
            quality_grade=_text(house, "ImprovementQualityGrade"),
            covered_patios=_number(house, "NumberOfCoveredPatios"),
            uncovered_patios=_number(house, "NumberOfUncoveredPatios"),
            patio_type=_text(house, "PatioType"),
            exterior_walls=_text(house, "ExteriorWalls"),
            roof_type=_text(house, "RoofType"),
            bath_fixtures=_number(house, "BathFixtures"),
            cooling=_text(house, "Cooling"),
            heating=_text(house, "Heating"),
            garage_stalls=_number(house, "NumberOfGarages"),
            carport_stalls=_number(house, "NumberOfCarports"),
            parking_type=_text(house, "ParkingType") or _parking_type(house.get("parkingdetails")),
            physical_condition=_text(house, "PhysicalCondition"),
            market_area=_text(house, "AssessorMarket"),
            neighborhood=_text(house, "AreaNeighborhood"),
        )

    def valuations(self) -> list[Valuation]:
        """Return the values of each tax year."""
        years: dict[int, Valuation] = {}
        for row in self.values:
            value = _read_valuation(row, self.apn)
            if years.setdefault(value.tax_year, value) != value:
                raise LayoutChangedError(f"Valuations: two values for {value.tax_year}")
        return list(years.values())

    def sale(self) -> Sale | None:
        """Return the last sale; None without a date and a price."""
        sold_on = read_date(self.owner.get("saledate"), "SaleDate")
        price = read_decimal(self.owner.get("saleprice"), "SalePrice") or None
        if sold_on is None and price is None:
            return None
        return Sale(
            apn=self.apn, sold_on=sold_on, recording_number=self.deed_number, sale_price=price
        )


def _object(page: Page | None, known: frozenset[str]) -> Fields:
    """Return a page's object; {} for a page that is empty or was not asked for."""
    return {} if page is None else _known(fold_keys(page.json(), page.name), known, page.name)


def _known(fields: Fields, known: frozenset[str], where: str) -> Fields:
    if fields and not known & fields.keys():
        raise LayoutChangedError(f"{where}: none of the known keys in {sorted(fields)[:8]}")
    return fields


def _value_rows(answer: Any) -> tuple[Fields, ...]:
    if answer is None or answer in ("", {}):
        return ()
    if not isinstance(answer, list):
        raise LayoutChangedError(f"Valuations: expected a list, got {type(answer).__name__}")
    return tuple(fold_keys(row, "Valuations") for row in answer)


def _situs(info: Fields) -> tuple[str | None, str | None, str | None] | None:
    """Return street, city and ZIP; None where the answer has no key for an address."""
    if "situsaddress" in info:
        return _text(info, "SitusAddress"), _text(info, "SitusCity"), _text(info, "SitusZip")
    return split_address(info["propertyaddress"]) if "propertyaddress" in info else None


def _address(page: Page | None) -> tuple[str | None, str | None, str | None]:
    """Read the address section."""
    answer = None if page is None else page.json()
    if isinstance(answer, str):
        return split_address(answer)
    fields = fold_keys(answer, "address")
    if (situs := _situs(fields)) is not None:
        return situs
    _known(fields, frozenset({"streetname", "address"}), "address")
    parts = (read_text(fields.get(key)) for key in _STREET_KEYS)
    street = " ".join(part for part in parts if part) or _text(fields, "address")
    return street, _text(fields, *_CITY_KEYS), _text(fields, *_ZIP_KEYS)


def _text(fields: Fields, *names: str) -> str | None:
    return read_text(pick(fields, *names))


def _number(fields: Fields, name: str) -> int | None:
    return read_int(fields.get(name.lower()), name)


def _parking_type(details: Any) -> str | None:
    first = details[0] if isinstance(details, list) and details else details
    return _text(fold_keys(first, "ParkingDetails"), "ParkingType")


def _tax_year(row: Fields) -> int:
    year = _number(row, "TaxYear")
    if year is None or not 1900 <= year <= 2200:
        raise LayoutChangedError(f"Valuations: no tax year in {row.get('taxyear')!r}")
    return year


def _read_valuation(row: Fields, apn: str) -> Valuation:
    year = _tax_year(row)
    where = f"Valuations {year}"
    if not {"fullcashvalue", "limitedpropertyvalue"} & row.keys():
        raise LayoutChangedError(f"{where}: no values in {sorted(row)[:8]}")
    ratio = read_decimal(row.get("assessmentratiopercentage"), f"{where} ratio")
    if ratio is not None and not 0 <= ratio <= Decimal(1):
        raise LayoutChangedError(f"{where}: {ratio} is no ratio from 0 to 1")
    return Valuation(
        apn=apn,
        tax_year=year,
        full_cash_value=read_decimal(row.get("fullcashvalue"), where),
        limited_property_value=read_decimal(row.get("limitedpropertyvalue"), where),
        property_class=_text(row, "LegalClassificationCode"),
        property_class_description=_text(row, "LegalClassification"),
        assessment_ratio=ratio,
        assessed_full_cash_value=read_decimal(row.get("assessedfcv"), where),
        assessed_limited_property_value=read_decimal(row.get("assessedlpv"), where),
        valuation_source=_text(row, "ValuationSource"),
        use_code=_text(row, "PropertyUseCode"),
        use_description=_text(row, "PEPropUseDesc"),
        tax_area_code=_text(row, "TaxAreaCode"),
        is_pending_change=read_bool(row.get("noticeofchangeindc"), f"{where} NoticeOfChangeIndc"),
    )
