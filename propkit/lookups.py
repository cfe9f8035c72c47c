"""What can be looked up at an office at once, and the columns of each answer; nothing is stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from propkit.errors import RequestError

_SITUS: Final = {"situs_address": "text", "situs_city": "text", "situs_zip": "text"}

_PERSONAL_PROPERTY: Final = {
    "account_number": "text",
    "name": "text",
    "second_name": "text",
    **_SITUS,
    "is_multiple": "text",
    "lease": "text",
}
_MOBILE_HOME: Final = {
    "account_number": "text",
    "name": "text",
    "second_name": "text",
    **_SITUS,
    "vins": "texts",
}
_LISTED_PARCEL: Final = {
    "apn": "text",
    "owner_name": "text",
    **_SITUS,
    "property_type": "text",
    "subdivision": "text",
    "mcr": "text",
    "section_township_range": "text",
    "rental_id": "text",
}
_MAP_FILE: Final = {"kind": "text", "file_name": "text", "updated_on": "date", "url": "text"}

LOOKUPS: Final[Mapping[str, Mapping[str, str]]] = {
    "documents": {
        "recording_number": "text",
        "suffix": "text",
        "recorded_on": "date",
        "name": "text",
        "document_code": "text",
        "has_more_codes": "bool",
        "document_kind": "text",
        "docket_book": "text",
        "docket_page": "text",
    },
    "personal_property": _PERSONAL_PROPERTY,
    "mobile_homes": _MOBILE_HOME,
    "rentals": {
        "apn": "text",
        "owner_name": "text",
        **_SITUS,
        "contact": "text",
        "agent": "text",
    },
    "subdivisions": {"subdivision": "text", "parcels": "int"},
    "personal_property_account": _PERSONAL_PROPERTY,
    "mobile_home_account": _MOBILE_HOME,
    "mobile_home_of_vin": {"vin": "text", "account_number": "text"},
    "parcels_by_mcr": _LISTED_PARCEL,
    "parcels_by_section": _LISTED_PARCEL,
    "map_files": _MAP_FILE,
    "map_files_by_mcr": _MAP_FILE,
    "map_files_by_page": _MAP_FILE,
    "rental_registration": {
        "apn": "text",
        "owner_name": "text",
        "owner_phone": "text",
        "business_phone": "text",
        "agent_phone": "text",
        "registered_on": "date",
        "updated_on": "date",
    },
    "improvements": {
        "apn": "text",
        "improvement_number": "text",
        "description": "text",
        "area_sqft": "int",
        "effective_age_years": "int",
        "quality_rank": "text",
        "model": "text",
        "cci": "text",
    },
    "similar_parcels": {
        "apn": "text",
        "sale_price": "int",
        "sold_on": "date",
        "full_cash_value": "int",
        "lot_size_sqft": "int",
        "livable_area_sqft": "int",
        "construction_year": "int",
        "pool_area_sqft": "int",
        "is_foreclosed": "bool",
    },
    "sketches": {"apn": "text", "page": "int", "png_base64": "text"},
}
"""The columns of every lookup with their kinds: text, texts, int, bool, date."""


def check_lookup(what: str) -> str:
    """Return the name of a lookup.

    Raises
    ------
    RequestError
        There is none of that name; the message lists them.
    """
    if what not in LOOKUPS:
        raise RequestError(f"cannot look up {what!r}; expected one of {', '.join(LOOKUPS)}")
    return what
