"""What can be looked up at an office at once, and the columns of each answer; nothing is stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from propkit.errors import RequestError

_SITUS: Final = {"situs_address": "text", "situs_city": "text", "situs_zip": "text"}

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
    "personal_property": {
        "account_number": "text",
        "name": "text",
        "second_name": "text",
        **_SITUS,
        "is_multiple": "text",
        "lease": "text",
    },
    "mobile_homes": {
        "account_number": "text",
        "name": "text",
        "second_name": "text",
        **_SITUS,
        "vins": "texts",
    },
    "rentals": {
        "apn": "text",
        "owner_name": "text",
        **_SITUS,
        "contact": "text",
        "agent": "text",
    },
    "subdivisions": {"subdivision": "text", "parcels": "int"},
    "parcels_by_mcr": {
        "apn": "text",
        "owner_name": "text",
        **_SITUS,
        "property_type": "text",
        "subdivision": "text",
        "mcr": "text",
        "section_township_range": "text",
        "rental_id": "text",
    },
    "parcels_by_section": {
        "apn": "text",
        "owner_name": "text",
        **_SITUS,
        "property_type": "text",
        "subdivision": "text",
        "mcr": "text",
        "section_township_range": "text",
        "rental_id": "text",
    },
    "map_files": {"kind": "text", "file_name": "text", "updated_on": "date", "url": "text"},
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
