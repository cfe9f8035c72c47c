"""``Parsed.unsaid``: what an answer has no field for, and that an empty field is a statement."""

from __future__ import annotations

import copy
import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from propkit.pages import Page
from propkit.records import RECORD_TYPES
from propkit.sources import Parsed, Payload, Source
from propkit.sources._config import find_sources
from propkit.sources.arcgis_parcels import ArcgisParcels
from propkit.sources.socrata_parcels import SocrataParcels

FOLDER = Path(__file__).parent
LAYERS: tuple[Source, ...] = (ArcgisParcels(), SocrataParcels())
SOURCES = {**find_sources(), **{layer.name: layer for layer in LAYERS}}
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
WHOLE = json.loads((FOLDER / "maricopa_assessor/house_in_one_call/parcel.json").read_text("utf-8"))
DEED = json.loads((FOLDER / "maricopa_recorder/deed/document.json").read_text("utf-8"))
APN = "30477566"

HOUSE = {
    field.name for field in dataclasses.fields(RECORD_TYPES["residences"]) if field.name != "apn"
}
OWNER = {
    "owner_name",
    "in_care_of",
    "mailing_address",
    "mailing_city",
    "mailing_state",
    "mailing_zip",
    "deed_number",
    "deed_date",
    "deed_type",
}
OFF_THE_MAP = {
    "property_type",
    "legal_description",
    "elementary_school_district",
    "high_school_district",
    "tax_area_code",
    "use_description",
    "is_rental",
    "deed_type",
}
COOK = {
    *OFF_THE_MAP,
    "in_care_of",
    "mailing_city",
    "mailing_state",
    "mailing_zip",
    "subdivision",
    "lot_number",
    "mcr",
    "section_township_range",
    "lot_size_sqft",
    "jurisdiction",
    "use_code",
    "deed_number",
    "deed_date",
}
SALE = {"sold_on", "recording_number", "sale_price"}

UNSAID: dict[str, dict[str, set[str]]] = {
    "cook_il_parcels/rows_with_fields_left_out": {"parcels": COOK},
    "cook_il_parcels/unknown_parcels": {},
    "maricopa_assessor/commercial_in_one_call_other_keys": {
        "parcels": {
            "deed_type",
            "elementary_school_district",
            "high_school_district",
            "in_care_of",
            "lot_number",
            "mailing_address",
            "mailing_city",
            "mailing_state",
            "mailing_zip",
            "mcr",
            "section_township_range",
        }
    },
    "maricopa_assessor/house_in_one_call": {"parcels": {"lot_number"}},
    "maricopa_assessor/house_in_sections": {"parcels": {"lot_number"}},
    "maricopa_assessor/sections_without_owner": {
        "parcels": {"lot_number", "latitude", "longitude", *OWNER},
        "residences": HOUSE,
        "sales": SALE,
    },
    "maricopa_assessor/unknown_parcel_in_other_envelope": {},
    "maricopa_assessor/unknown_parcel_with_near_matches": {},
    "maricopa_assessor/vacant_land_redacted_owner": {"parcels": {"lot_number"}},
    "maricopa_parcels/a_part_of_an_area": {"parcels": OFF_THE_MAP},
    "maricopa_parcels/two_of_three": {"parcels": OFF_THE_MAP},
    "maricopa_parcels/unknown_parcels": {},
    "maricopa_recorder/codes_in_one_text": {"documents": {"apn", "suffix"}},
    "maricopa_recorder/deed": {"documents": {"apn", "suffix"}},
    "maricopa_recorder/information_blocked": {
        "documents": {
            "apn",
            "docket_book",
            "docket_page",
            "document_codes",
            "names",
            "page_count",
            "recorded_on",
            "suffix",
        }
    },
    "maricopa_recorder/old_document_in_the_shape_of_the_search": {
        "documents": {"apn", "is_restricted", "page_count"}
    },
    "maricopa_recorder/restricted": {"documents": {"apn", "suffix"}},
    "maricopa_recorder/unknown_number": {},
    "maricopa_recorder_portal/deed": {"documents": {"apn", "suffix"}},
    "maricopa_recorder_portal/restricted": {"documents": {"apn", "suffix"}},
    "maricopa_recorder_portal/several_codes": {"documents": {"apn", "suffix"}},
    "maricopa_recorder_portal/unknown_number": {},
    "maricopa_treasurer/list_block_and_back_taxes": {"tax_bills": {"amount_paid"}},
    "maricopa_treasurer/no_payments_in_the_grid": {"tax_bills": {"amount_paid"}},
    "maricopa_treasurer/payments_not_to_be_had": {"tax_bills": {"amount_paid"}},
    "maricopa_treasurer/table_block_and_tax_years_with_split": {
        "tax_bills": {"amount_due", "amount_paid", "assessed_tax"}
    },
    "maricopa_treasurer/unknown_parcel": {},
    "maricopa_treasurer/years_not_to_be_had": {
        "tax_bills": {"has_tax_lien", "status", "tax_lien_note"}
    },
    "maricopa_treasurer_activities/an_activity_not_to_be_had": {},
    "maricopa_treasurer_activities/never_paid": {},
    "maricopa_treasurer_activities/one_payment_with_split_letter": {},
    "maricopa_treasurer_activities/two_payments": {},
    "maricopa_treasurer_activities/unknown_parcel": {},
    "maricopa_treasurer_browser/list_block_and_back_taxes": {"tax_bills": {"amount_paid"}},
    "maricopa_treasurer_browser/table_block_and_tax_years_with_split": {
        "tax_bills": {"amount_due", "amount_paid", "assessed_tax"}
    },
    "maricopa_treasurer_browser/unknown_parcel": {},
    "maricopa_treasurer_details/details_not_to_be_had": {
        "tax_statements": {
            "assessed_tax",
            "exemption",
            "interest_paid",
            "tax_area_code",
            "tax_paid",
            "total_paid",
        }
    },
    "maricopa_treasurer_details/exempt_with_split_letter": {},
    "maricopa_treasurer_details/small_bill": {},
    "maricopa_treasurer_details/unknown_parcel": {},
    "propertyradar/a_page": {},
    "propertyradar/columns_of_five_fields": {
        "leads": {field.name for field in dataclasses.fields(RECORD_TYPES["leads"])}.difference(
            {"radar_id", "criteria_id", "apn", "owner", "avm", "is_site_vacant"}
        ),
    },
    "propertyradar/odd_values_and_a_row_twice": {},
    "propertyradar/past_the_end": {},
}


def _payload(source: str, key: str, **bodies: object) -> Payload:
    pages = tuple(
        Page(
            name=name.replace("_", "-"),
            url=f"http://county.test/{name}",
            fetched_at=NOON,
            status=200,
            content_type="text/html" if isinstance(body, bytes) else "application/json",
            body=body if isinstance(body, bytes) else json.dumps(body).encode(),
        )
        for name, body in bodies.items()
    )
    return Payload(source=source, key=key, pages=pages)


def _saved(case: str) -> Payload:
    folder = FOLDER / case
    told = json.loads((folder / "case.json").read_text("utf-8"))
    pages = tuple(
        Page(
            name=file.stem,
            url=f"http://county.test/{file.stem}",
            fetched_at=NOON,
            status=told.get("status", {}).get(file.stem, 200),
            content_type="text/html" if file.suffix == ".html" else "application/json",
            body=file.read_bytes(),
        )
        for file in sorted(folder.iterdir())
        if file.name not in {"case.json", "expected.json"}
    )
    missing = told.get("missing", {})
    return Payload(source=folder.parent.name, key=told["key"], pages=pages, missing=missing)


def _parse(payload: Payload) -> Parsed:
    return SOURCES[payload.source].parse(payload)


def _read_whole(whole: object) -> dict[str, Any]:
    """Return what a one-call answer leaves unsaid beyond the lot number, which none has."""
    unsaid = dict(_parse(_payload("maricopa_assessor", APN, parcel=whole)).unsaid)
    left = unsaid.pop("parcels") - {"lot_number"}
    return {"parcels": left, **unsaid} if left else unsaid


@pytest.mark.parametrize("case", UNSAID)
def test_a_saved_answer_leaves_exactly_these_columns_unsaid(case: str) -> None:
    assert _parse(_saved(case)).unsaid == UNSAID[case]


def test_every_saved_answer_is_told_here() -> None:
    cases = {
        f"{file.parent.parent.name}/{file.parent.name}" for file in FOLDER.glob("*/*/case.json")
    }

    assert cases == set(UNSAID)


def test_unsaid_names_columns_that_there_are() -> None:
    for case in UNSAID:
        for table, columns in _parse(_saved(case)).unsaid.items():
            assert columns <= {field.name for field in dataclasses.fields(RECORD_TYPES[table])}


FIELDS_OF: list[tuple[tuple[str, ...], dict[str, set[str]]]] = [
    (("PropertyType",), {"parcels": {"property_type"}}),
    (("PropertyDescription",), {"parcels": {"legal_description"}}),
    (("MCR",), {"parcels": {"mcr"}}),
    (("SubdivisionName",), {"parcels": {"subdivision"}}),
    (("LocalJusidiction",), {"parcels": {"jurisdiction"}}),
    (("IsRental",), {"parcels": {"is_rental"}}),
    (("Geo",), {"parcels": {"latitude", "longitude"}}),
    (("Geo", "long"), {"parcels": {"longitude"}}),
    (("Owner", "Ownership"), {"parcels": {"owner_name"}}),
    (("Owner", "MailingZip"), {"parcels": {"mailing_zip"}}),
    (("Owner", "DeedDate"), {"parcels": {"deed_date"}}),
    (
        ("Owner", "MostCurrentDeed"),
        {"parcels": {"deed_number"}, "sales": {"recording_number"}},
    ),
    (("Owner", "SalePrice"), {"sales": {"sale_price"}}),
    (("ResidentialPropertyData", "RoofType"), {"residences": {"roof_type"}}),
    (("ResidentialPropertyData", "Pool"), {"residences": {"pool_area_sqft"}}),
    (("ResidentialPropertyData", "ConstructionYear"), {"residences": {"construction_year"}}),
    (("Valuations", "FullCashValue"), {"valuations": {"full_cash_value"}}),
    (("Valuations", "NoticeOfChangeIndc"), {"valuations": {"is_pending_change"}}),
    # Columns that another field says too.
    (("TaxAreaCode",), {}),
    (("LotSize",), {}),
    (("Owner", "MailingAddress2"), {}),
    (("ResidentialPropertyData", "ParkingType"), {}),
]


def _holder(whole: Any, path: tuple[str, ...], row: int = 0) -> dict[str, Any]:
    holder: Any = whole
    for name in path[:-1]:
        holder = holder[name]
    return holder[row] if isinstance(holder, list) else holder


@pytest.mark.parametrize(("path", "unsaid"), FIELDS_OF, ids="-".join)
def test_a_field_that_is_gone_is_unsaid(path: tuple[str, ...], unsaid: dict[str, set[str]]) -> None:
    whole = copy.deepcopy(WHOLE)

    del _holder(whole, path)[path[-1]]

    assert _read_whole(whole) == unsaid


@pytest.mark.parametrize("path", [path for path, _ in FIELDS_OF], ids="-".join)
@pytest.mark.parametrize("blank", [None, "", "na"], ids=repr)
def test_a_field_that_is_blank_is_a_statement(path: tuple[str, ...], blank: object) -> None:
    whole = copy.deepcopy(WHOLE)

    _holder(whole, path)[path[-1]] = None if path == ("Geo",) else blank

    assert _read_whole(whole) == {}


@pytest.mark.parametrize("name", ["Owner", "ResidentialPropertyData", "Geo", "Valuations"])
@pytest.mark.parametrize("blank", [None, [], {}, ""], ids=repr)
def test_an_object_that_is_blank_is_a_statement_about_its_fields(name: str, blank: object) -> None:
    assert _read_whole({**WHOLE, name: blank}) == {}


def test_keys_count_in_any_case() -> None:
    owner = {key.upper(): value for key, value in WHOLE["Owner"].items()}

    assert _read_whole({**{k.lower(): v for k, v in WHOLE.items()}, "owner": owner}) == {}


def test_a_field_that_one_row_lacks_is_unsaid() -> None:
    whole = copy.deepcopy(WHOLE)

    del _holder(whole, ("Valuations", "AssessedLPV"), row=1)["AssessedLPV"]

    assert _read_whole(whole) == {"valuations": {"assessed_limited_property_value"}}


def test_a_column_that_several_fields_give_is_unsaid_without_all_of_them() -> None:
    whole = copy.deepcopy(WHOLE)
    del whole["LotSize"], whole["TaxAreaCode"]
    del whole["ResidentialPropertyData"]["LotSize"]
    for row in whole["Valuations"]:
        del row["TaxAreaCode"]
    for name in ("ParkingType", "ParkingDetails"):
        whole["ResidentialPropertyData"].pop(name, None)

    assert _read_whole(whole) == {
        "parcels": {"lot_size_sqft", "tax_area_code"},
        "residences": {"parking_type"},
        "valuations": {"tax_area_code"},
    }


def test_a_section_without_anything_in_it_says_nothing() -> None:
    info = {key: value for key, value in WHOLE.items() if not isinstance(value, (dict, list))}
    payload = _payload(
        "maricopa_assessor",
        APN,
        propertyinfo=info,
        owner_details=[],
        valuations=[],
        residential_details=WHOLE["ResidentialPropertyData"],
    )

    assert _parse(payload).unsaid == {
        "parcels": {"lot_number", "latitude", "longitude", *OWNER},
        "sales": SALE,
    }


@pytest.mark.parametrize(
    ("address", "unsaid"),
    [
        ({"StreetName": "COURTNEY", "City": "GILBERT", "Zip": None}, set()),
        ({"StreetName": "COURTNEY", "City": "GILBERT"}, {"situs_zip"}),
        ({"SitusAddress": "2778 E COURTNEY ST"}, {"situs_city", "situs_zip"}),
        ({"PropertyAddress": ""}, set()),
        ("2778 E COURTNEY ST GILBERT, AZ 85298", set()),
        ([], {"situs_address", "situs_city", "situs_zip"}),
    ],
    ids=range(6),
)
def test_an_address_section_says_what_it_has_keys_for(address: object, unsaid: set[str]) -> None:
    whole = {key: value for key, value in WHOLE.items() if key != "PropertyAddress"}
    parsed = _parse(_payload("maricopa_assessor", APN, parcel=whole, address=address))

    assert parsed.unsaid["parcels"] - {"lot_number"} == unsaid


def test_answers_of_one_layout_share_what_is_unsaid() -> None:
    first, second = (
        _parse(_payload("maricopa_assessor", APN, parcel={**WHOLE, "MCR": mcr}))
        for mcr in ("1", None)
    )

    assert first.unsaid is second.unsaid


@pytest.mark.parametrize(
    ("key", "columns"),
    [
        ("names", {"names"}),
        ("documentCodes", {"document_codes"}),
        ("pageAmount", {"page_count"}),
        ("restricted", {"is_restricted"}),
    ],
)
def test_a_field_of_a_document_that_is_gone_is_unsaid(key: str, columns: set[str]) -> None:
    gone = {name: value for name, value in DEED.items() if name != key}
    number = DEED["recordingNumber"]

    def unsaid(answer: object) -> object:
        return _parse(_payload("maricopa_recorder", number, document=answer)).unsaid

    assert unsaid(gone) == {"documents": {"apn", "suffix", *columns}}
    assert unsaid({**DEED, key: None}) == {"documents": {"apn", "suffix"}}
    assert unsaid([DEED, gone]) == {"documents": {"apn", "suffix", *columns}}


def _treasurer(summary: str, years: str) -> Parsed:
    header = "<h3 class='parcel-num'>304-77-566</h3>"
    pages = {
        "parcel": f"<html><body>{header}{summary}</body></html>".encode(),
        "years": f"<html><body>{header}{years}</body></html>".encode(),
    }
    return _parse(_payload("maricopa_treasurer", APN, **pages))


PREFIX = "cphMainContent_cphRightColumn_"
BLOCK = (
    f"<ul id='{PREFIX}taxDue2'><li>Assessed Tax $100.00</li><li>Tax Paid $0.00</li>"
    "<li>Total Due $100.00</li></ul>"
)


def _years(*rows: str) -> str:
    cells = "".join(f"<tr>{row}</tr>" for row in rows)
    return f"<table id='{PREFIX}gvTaxYears'>{cells}</table>"


FULL = "<td>2025</td><td>Unpaid</td><td>$100.00</td><td>$100.00</td>"
OLDER = FULL.replace("2025", "2024")


@pytest.mark.parametrize(
    ("rows", "unsaid"),
    [
        pytest.param([FULL], {}, id="the current year alone"),
        pytest.param([FULL, OLDER], {"tax_bills": {"amount_paid"}}, id="an older year"),
        pytest.param(
            [FULL, OLDER.replace("$100.00", "")], {"tax_bills": {"amount_paid"}}, id="empty cells"
        ),
        pytest.param(
            [FULL, "<td>2024</td><td>Paid</td>"],
            {"tax_bills": {"amount_paid", "amount_due", "assessed_tax"}},
            id="a row of two cells",
        ),
    ],
)
def test_a_bill_says_what_its_row_has_a_cell_for(
    rows: list[str], unsaid: dict[str, set[str]]
) -> None:
    assert _treasurer(BLOCK, _years(*rows)).unsaid == unsaid
