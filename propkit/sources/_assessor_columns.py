"""Which keys of the assessor's answers hold which columns, and how their values are read."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from propkit.errors import LayoutChangedError
from propkit.sources._base import (
    read_bool,
    read_date,
    read_decimal,
    read_float,
    read_int,
    read_text,
)
from propkit.sources._layouts import Shape, code, coded_value, read_fields, text, value
from propkit.sources._readers import read_area


def _read_deed(value: object, where: str) -> str | None:  # noqa: ARG001
    """Read the number of a deed; zeros are none."""
    number = read_text(value)
    return number if number and number.strip("0") else None


def _read_degree(value: object, where: str) -> float | None:
    # No parcel of the county lies at 0, 0.
    return read_float(value, where) or None


def _read_year_built(value: object, where: str) -> int | None:
    return read_int(value, where) or None


def _read_price(value: object, where: str) -> Decimal | None:
    return read_decimal(value, where) or None


def read_tax_year(value: object, where: str) -> int:
    """Read the year of a valuation, which every one has."""
    year = read_int(value, where)
    if year is None or not 1900 <= year <= 2200:
        raise LayoutChangedError(f"Valuations: no tax year in {value!r}")
    return year


def _read_ratio(value: object, where: str) -> Decimal | None:
    ratio = read_decimal(value, where)
    if ratio is not None and not 0 <= ratio <= 1:
        raise LayoutChangedError(f"{where}: {ratio} is no ratio from 0 to 1")
    return ratio


def _join_lines(lines: Sequence[Any]) -> str:
    return " ".join(line for line in map(read_text, lines) if line)


def _join_parking(values: Sequence[Any]) -> str | None:
    kind, details = values
    return read_text(kind) or _read_parking(details)


def _read_parking(details: Any) -> str | None:
    first = details[0] if isinstance(details, list) and details else details
    return read_text(read_fields(first, "ParkingDetails").get("parkingtype"))


PROPERTY: Final = Shape(
    code("property_type", "PropertyType"),
    text("legal_description", "PropertyDescription"),
    code("subdivision", "SubdivisionName", "SubdivisonName"),
    text("lot_number", "LotNumber"),
    code("mcr", "MCR"),
    code("section_township_range", "SectionTownshipRange"),
    value("lot_size_sqft", "LotSize", read=read_area),
    code("jurisdiction", "LocalJusidiction", "LocalJurisdiction"),
    code("elementary_school_district", "ElementarySchoolDistrict"),
    code("high_school_district", "HighSchoolDistrict"),
    code("tax_area_code", "TaxAreaCode"),
    code("use_code", "PropertyUseCode"),
    code("use_description", "PEPropUseDesc"),
    value("is_rental", "IsRental", read=read_bool),
)
GEO: Final = Shape(
    value("latitude", "lat", "latitude", read=_read_degree, where="Geo.lat"),
    value("longitude", "long", "lon", "lng", "longitude", read=_read_degree, where="Geo.long"),
)
OWNER: Final = Shape(
    text("owner_name", "Ownership"),
    code("in_care_of", "InCareOf"),
    text("mailing_address", "MailingAddress1", "MailingAddress2", join=_join_lines),
    code("mailing_city", "MailingCity"),
    code("mailing_state", "MailingState"),
    code("mailing_zip", "MailingZip"),
    value("deed_number", "MostCurrentDeed", read=_read_deed),
    coded_value("deed_date", "DeedDate", read=read_date),
    code("deed_type", "DeedType"),
)
SALE: Final = Shape(
    coded_value("sold_on", "SaleDate", read=read_date),
    value("recording_number", "MostCurrentDeed", read=_read_deed),
    value("sale_price", "SalePrice", read=_read_price),
)
HOUSE_SIZE: Final = Shape(
    coded_value("construction_year", "ConstructionYear", read=_read_year_built),
    value("livable_area_sqft", "LivableSpace", read=read_area),
)
"""What makes a house: without both of these there is none, and nothing else of it is read."""
HOUSE: Final = Shape(
    coded_value("original_construction_year", "OriginalConstructionYear", read=_read_year_built),
    value("detached_livable_area_sqft", "Detached_Livable_sqft", read=read_area, where="Detached"),
    value("pool_area_sqft", "Pool", read=read_area),
    code("quality_grade", "ImprovementQualityGrade"),
    coded_value("covered_patios", "NumberOfCoveredPatios", read=read_int),
    coded_value("uncovered_patios", "NumberOfUncoveredPatios", read=read_int),
    code("patio_type", "PatioType"),
    code("exterior_walls", "ExteriorWalls"),
    code("roof_type", "RoofType"),
    coded_value("bath_fixtures", "BathFixtures", read=read_int),
    code("cooling", "Cooling"),
    code("heating", "Heating"),
    coded_value("garage_stalls", "NumberOfGarages", read=read_int),
    coded_value("carport_stalls", "NumberOfCarports", read=read_int),
    code("parking_type", "ParkingType", "ParkingDetails", join=_join_parking),
    code("physical_condition", "PhysicalCondition"),
    code("market_area", "AssessorMarket"),
    code("neighborhood", "AreaNeighborhood"),
)
LAND: Final = Shape(value("lot_size_sqft", "LotSize", read=read_area))
"""What the house's object says about the parcel."""
VALUE: Final = Shape(
    coded_value("tax_year", "TaxYear", read=read_tax_year),
    value("full_cash_value", "FullCashValue", read=read_decimal),
    value("limited_property_value", "LimitedPropertyValue", read=read_decimal),
    code("property_class", "LegalClassificationCode"),
    code("property_class_description", "LegalClassification"),
    coded_value("assessment_ratio", "AssessmentRatioPercentage", read=_read_ratio),
    value("assessed_full_cash_value", "AssessedFCV", read=read_decimal),
    value("assessed_limited_property_value", "AssessedLPV", read=read_decimal),
    code("valuation_source", "ValuationSource"),
    code("use_code", "PropertyUseCode"),
    code("use_description", "PEPropUseDesc"),
    code("tax_area_code", "TaxAreaCode"),
    coded_value("is_pending_change", "NoticeOfChangeIndc", read=read_bool),
)
