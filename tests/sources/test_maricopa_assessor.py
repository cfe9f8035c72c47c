"""What the assessor's source asks for, in which order, and what it concludes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from propkit.errors import (
    InvalidAnswerError,
    LayoutChangedError,
    RequestError,
    SourceBlockedError,
    SourceRejectedError,
    SourceTimeoutError,
    SourceUnavailableError,
)
from propkit.pages import Page
from propkit.record_block import Emptied
from propkit.records import Improvement, Parcel, Residence
from propkit.sources import Parsed
from propkit.sources.maricopa_assessor import MaricopaAssessor

SAVED = Path(__file__).parent / "maricopa_assessor"
WHOLE = json.loads((SAVED / "house_in_one_call/parcel.json").read_text("utf-8"))
KEYS = {"Owner", "Valuations", "ResidentialPropertyData"}
INFO = {key: value for key, value in WHOLE.items() if key not in KEYS}
APN = "30477566"
ROOT = f"/parcel/{APN}"
SEARCH = f"/search/property/?q={APN}&page=1"
FRAME = "<!DOCTYPE html><html><head><title>Page not found: Office</title></head><body/></html>"
OTHER = "<!DOCTYPE html><html><head><title>Welcome</title></head><body></body></html>"
KNOWN = {"TOTAL": 2, "Results": [{"APN": f"{APN}A"}, {"APN": "304-77-566"}]}
UNKNOWN = {"TOTAL": 1, "Results": [{"APN": f"{APN}A"}]}
SECTIONS = {
    f"{ROOT}/propertyinfo": INFO,
    f"{ROOT}/owner-details": WHOLE["Owner"],
    f"{ROOT}/valuations": WHOLE["Valuations"],
    f"{ROOT}/residential-details": WHOLE["ResidentialPropertyData"],
}
EMPTY_SECTIONS = {key: [] for key in SECTIONS}
# A house has no improvements, so their section is not asked for.
HOUSE_TABLES = {*MaricopaAssessor.provides} - {"improvements"}
BUILT = f"{ROOT}/improvements"
SHOP = {
    "CCI": "C",
    "EffectiveAge": "25",
    "ImprovementDescription": "Loft   ",
    "ImprovementNumber": "000101",
    "ImprovementSquareFootage": "9,991",
    "QualityRank": "2",
    "Model": "338",
}

Make = Callable[..., Any]


@pytest.fixture
def assessor(script: Make) -> Callable[[dict[str, object]], Any]:
    return lambda answers: script(MaricopaAssessor(), answers)


def test_one_call_is_enough(assessor: Make) -> None:
    run = assessor({ROOT: WHOLE})

    parsed = run.collect("304-77-566")

    assert run.asked == [ROOT]
    assert {record.table for record in parsed.records} == HOUSE_TABLES


def test_a_section_that_the_one_call_leaves_out_is_asked_for(assessor: Make) -> None:
    whole = {key: value for key, value in WHOLE.items() if key != "Owner"}
    run = assessor({ROOT: whole, **SECTIONS})

    parsed = run.collect(APN)

    assert run.asked == [ROOT, f"{ROOT}/owner-details"]
    assert parsed == assessor({ROOT: WHOLE}).collect(APN)


def test_a_section_that_the_one_call_has_empty_is_not_asked_for(assessor: Make) -> None:
    run = assessor({ROOT: {**WHOLE, "Owner": None, "Valuations": []}})

    run.collect(APN)

    assert run.asked == [ROOT]


@pytest.mark.parametrize("answer", [[], {}, None, ""], ids=repr)
def test_an_empty_answer_is_settled_by_the_search(assessor: Make, answer: object) -> None:
    run = assessor({ROOT: answer, SEARCH: UNKNOWN})

    parsed = run.collect(APN)

    assert parsed == Parsed(is_found=False)
    assert run.asked == [ROOT, SEARCH]


@pytest.mark.parametrize(
    ("status", "body"), [(204, b""), (404, b'{"message": "no"}'), (500, b"<html>no</html>")]
)
def test_a_status_that_may_mean_nothing_is_settled_by_the_search(
    assessor: Make, page: Make, status: int, body: bytes
) -> None:
    run = assessor({ROOT: page(body, status=status), SEARCH: UNKNOWN})

    assert run.collect(APN) == Parsed(is_found=False)
    assert run.asked[-1] == SEARCH


def test_an_empty_answer_for_a_known_parcel_leads_to_the_sections(assessor: Make) -> None:
    run = assessor({ROOT: [], SEARCH: KNOWN, **SECTIONS})

    parsed = run.collect(APN)

    assert run.asked == [ROOT, SEARCH, *SECTIONS]
    assert parsed.records == assessor({ROOT: WHOLE}).collect(APN).records


def test_an_empty_body_is_never_an_unknown_parcel(assessor: Make, page: Make) -> None:
    with pytest.raises(InvalidAnswerError):
        assessor({ROOT: page(b""), SEARCH: UNKNOWN}).collect(APN)


def test_another_page_is_never_an_unknown_parcel(assessor: Make) -> None:
    with pytest.raises(InvalidAnswerError):
        assessor({ROOT: OTHER, SEARCH: UNKNOWN}).collect(APN)


def test_a_search_that_cannot_be_asked_leaves_the_parcel_open(assessor: Make) -> None:
    with pytest.raises(SourceTimeoutError):
        assessor({ROOT: [], SEARCH: SourceTimeoutError("silence")}).collect(APN)


def test_a_frame_that_does_not_come_again_costs_one_try(assessor: Make) -> None:
    run = assessor({ROOT: (FRAME, WHOLE)})

    run.collect(APN)

    assert run.asked == [ROOT, ROOT]


@pytest.mark.parametrize("status", [200, 404])
def test_a_host_without_the_one_call_is_asked_for_sections(
    assessor: Make, page: Make, status: int
) -> None:
    run = assessor({ROOT: page(FRAME, status=status), **SECTIONS})
    first = [run.collect(APN) for _ in range(3)]
    run.ask.asked.clear()

    last = run.collect(APN)

    assert run.asked == [*SECTIONS]
    assert last.records == assessor({ROOT: WHOLE}).collect(APN).records
    assert [last] * 3 == first


def test_an_unknown_parcel_does_not_disprove_the_one_call(assessor: Make, page: Make) -> None:
    frame = page(FRAME, status=404)
    run = assessor({ROOT: frame, **dict.fromkeys(SECTIONS, frame), SEARCH: UNKNOWN})

    for _ in range(5):
        assert run.collect(APN) == Parsed(is_found=False)

    assert run.asked[-3:] == [ROOT, f"{ROOT}/propertyinfo", SEARCH]


def _parcels(parsed: Parsed) -> list[Parcel]:
    return [record for record in parsed.records if isinstance(record, Parcel)]


def test_a_parcel_read_from_the_sections_only_fills_what_is_known(
    assessor: Make, page: Make
) -> None:
    info = {key: value for key, value in INFO.items() if key != "Geo"}
    failed = page('{"Message": "An error has occurred."}', status=500)
    whole = assessor({ROOT: WHOLE}).collect(APN)

    run = assessor({ROOT: failed, SEARCH: KNOWN, **SECTIONS, f"{ROOT}/propertyinfo": info})
    parsed = run.collect(APN)

    unsaid = {"lot_number", "latitude", "longitude"}
    assert (parsed.missing, parsed.unsaid) == ((), {"parcels": unsaid})
    assert _parcels(parsed) == [
        dataclasses.replace(one, latitude=None, longitude=None) for one in _parcels(whole)
    ]
    assert (whole.missing, whole.unsaid) == ((), {"parcels": {"lot_number"}})


@pytest.mark.parametrize(
    ("answer", "info"),
    [
        pytest.param(FRAME, {}, id="a host without the one call"),
        pytest.param([], {}, id="an empty answer"),
        pytest.param(500, {"Geo": {}}, id="sections that tell where it lies"),
    ],
)
def test_sections_that_are_the_whole_truth_leave_nothing_out(
    assessor: Make, page: Make, answer: object, info: dict[str, object]
) -> None:
    info |= {key: value for key, value in INFO.items() if key != "Geo"}
    first = page(FRAME, status=404) if answer == FRAME else answer
    first = page("{}", status=500) if answer == 500 else first
    run = assessor({ROOT: first, SEARCH: KNOWN, **SECTIONS, f"{ROOT}/propertyinfo": info})

    parsed = run.collect(APN)

    place = set() if "Geo" in info else {"latitude", "longitude"}
    assert (parsed.missing, parsed.unsaid) == ((), {"parcels": {"lot_number", *place}})


def test_a_failed_section_beside_a_failed_one_call_leaves_the_parcel_out(
    assessor: Make, page: Make
) -> None:
    answers = {ROOT: page("{}", status=500), SEARCH: KNOWN, **SECTIONS}
    answers[f"{ROOT}/propertyinfo"] = SourceUnavailableError("propertyinfo: HTTP 500")
    run = assessor(answers)

    parsed = run.collect(APN)

    assert (parsed.missing, _parcels(parsed)) == (("parcels",), [])
    assert run.fetch(APN).missing["propertyinfo"] == "HTTP 500"


def test_a_one_call_that_fails_for_known_parcels_is_asked_no_more(
    assessor: Make, page: Make
) -> None:
    run = assessor({ROOT: page("{}", status=500), SEARCH: KNOWN, **SECTIONS})
    first = [run.collect(APN) for _ in range(3)]
    run.ask.asked.clear()

    last = run.collect(APN)

    assert run.asked == [*SECTIONS]
    assert [last] * 3 == first


@pytest.mark.parametrize("between", [WHOLE, FRAME], ids=["data", "a frame"])
def test_failures_of_the_one_call_count_only_in_a_row(
    assessor: Make, page: Make, between: object
) -> None:
    failed = page("{}", status=500)
    run = assessor({SEARCH: KNOWN, **SECTIONS})
    for answer in (failed, failed, between, failed, failed):
        run.ask.answers[ROOT] = answer
        run.collect(APN)
    run.ask.asked.clear()

    run.collect(APN)

    assert run.asked[0] == ROOT


def test_an_unknown_parcel_does_not_count_as_a_failed_one_call(assessor: Make, page: Make) -> None:
    run = assessor({ROOT: page("{}", status=500), SEARCH: UNKNOWN})

    for _ in range(5):
        assert run.collect(APN) == Parsed(is_found=False)

    assert run.asked[-2:] == [ROOT, SEARCH]


def test_empty_sections_of_an_unknown_parcel_are_settled_by_the_search(
    assessor: Make, page: Make
) -> None:
    run = assessor({ROOT: page("<html/>", status=405), **EMPTY_SECTIONS, SEARCH: UNKNOWN})

    assert run.collect(APN) == Parsed(is_found=False)


def test_empty_sections_of_a_known_parcel_are_invalid(assessor: Make) -> None:
    with pytest.raises(InvalidAnswerError, match="every section is empty"):
        assessor({ROOT: [], **EMPTY_SECTIONS, SEARCH: KNOWN}).collect(APN)


@pytest.mark.parametrize(
    ("name", "tables"),
    [
        ("propertyinfo", ("parcels",)),
        ("owner-details", ("parcels", "sales")),
        ("valuations", ("valuations",)),
        ("residential-details", ("residences",)),
    ],
)
@pytest.mark.parametrize(
    "error",
    [SourceUnavailableError("down"), SourceTimeoutError("silence"), InvalidAnswerError("cut")],
    ids=lambda error: error.failure_class,
)
def test_a_failed_section_leaves_its_tables_out(
    assessor: Make, name: str, tables: tuple[str, ...], error: Exception
) -> None:
    answers = {ROOT: [], SEARCH: KNOWN, **SECTIONS, BUILT: []}
    run = assessor({**answers, f"{ROOT}/{name}": error})

    parsed = run.collect(APN)

    assert parsed.missing == tables
    assert {record.table for record in parsed.records} == HOUSE_TABLES - set(tables)


@pytest.mark.parametrize("error", [SourceBlockedError("captcha"), SourceRejectedError("token")])
def test_a_block_or_a_refusal_ends_the_item(assessor: Make, error: Exception) -> None:
    answers = {ROOT: [], SEARCH: KNOWN, **SECTIONS, f"{ROOT}/valuations": error}

    with pytest.raises(type(error)):
        assessor(answers).collect(APN)


def test_when_every_section_fails_the_first_error_counts(assessor: Make) -> None:
    answers: dict[str, object] = {ROOT: [], SEARCH: KNOWN}
    answers |= dict.fromkeys(SECTIONS, SourceUnavailableError("later"))
    answers[f"{ROOT}/propertyinfo"] = SourceTimeoutError("first")

    with pytest.raises(SourceTimeoutError, match="first"):
        assessor(answers).collect(APN)


def test_the_address_is_asked_for_only_where_the_others_have_no_situs(assessor: Make) -> None:
    info = {key: value for key, value in INFO.items() if key != "PropertyAddress"}
    address = {"HouseNumber": "2778", "Direction": "E", "StreetName": "COURTNEY", "Suffix": "ST"}
    address |= {"CityName": "GILBERT", "Zip": "85298"}
    answers = {ROOT: {**WHOLE, **info}, f"{ROOT}/address": address}
    answers[ROOT] = {key: value for key, value in WHOLE.items() if key != "PropertyAddress"}
    run = assessor(answers)

    parsed = run.collect(APN)

    assert run.asked == [ROOT, f"{ROOT}/address"]
    assert parsed.records == assessor({ROOT: WHOLE}).collect(APN).records


def _without_house(answer: dict[str, Any], *keys: str) -> dict[str, Any]:
    """Return a one-call answer without a house, and without some of its keys."""
    house = {**answer["ResidentialPropertyData"], "LivableSpace": None, "ConstructionYear": None}
    changed = {**answer, "ResidentialPropertyData": house}
    return {key: value for key, value in changed.items() if key not in keys}


LOFT = Improvement(
    apn=APN,
    improvement_number="000101",
    description="Loft",
    area_sqft=9991,
    effective_age_years=25,
    quality_rank="2",
    model="338",
    cci="C",
)


def test_improvements_that_the_one_call_carries_are_read_from_it(assessor: Make) -> None:
    run = assessor({ROOT: {**_without_house(WHOLE), "Improvements": [SHOP, SHOP]}})

    parsed = run.collect(APN)

    assert run.asked == [ROOT]
    assert [one for one in parsed.records if one.table == "improvements"] == [LOFT]


@pytest.mark.parametrize("is_whole", [True, False], ids=["one call", "sections"])
def test_improvements_are_asked_for_where_no_house_stands(assessor: Make, is_whole: bool) -> None:
    shop = _without_house(WHOLE, "Improvements")
    sections = {**SECTIONS, f"{ROOT}/residential-details": shop["ResidentialPropertyData"]}
    whole = {ROOT: shop} if is_whole else {ROOT: [], SEARCH: KNOWN, **sections}
    run = assessor({**whole, BUILT: [SHOP]})

    payload = run.fetch(APN)
    parsed = run.source.parse(payload)

    assert run.asked == [*whole, BUILT]
    assert [one for one in parsed.records if one.table == "improvements"] == [LOFT]
    assert run.source.assemble(APN, None, payload.pages) == payload


def test_improvements_that_cannot_be_had_are_missing(assessor: Make) -> None:
    shop = _without_house(WHOLE, "Improvements")
    run = assessor({ROOT: shop, BUILT: SourceUnavailableError("down")})

    payload = run.fetch(APN)

    assert run.source.parse(payload).missing == ("improvements",)
    assert run.source.assemble(APN, None, payload.pages).missing.keys() == {"improvements"}


@pytest.mark.parametrize(
    ("answers", "emptied"),
    [
        ({ROOT: WHOLE}, []),
        ({ROOT: _without_house(WHOLE, "Improvements"), BUILT: []}, ["residences", "improvements"]),
        ({ROOT: _without_house(WHOLE, "Improvements"), BUILT: [SHOP]}, ["residences"]),
        ({ROOT: {**_without_house(WHOLE), "Improvements": []}}, ["residences", "improvements"]),
        ({ROOT: {**WHOLE, "ResidentialPropertyData": {}, "Improvements": None}}, []),
        ({ROOT: {**WHOLE, "ResidentialPropertyData": {"LivableSpace": None}},
          BUILT: SourceUnavailableError("down")}, []),
        ({ROOT: [], SEARCH: KNOWN, **SECTIONS, f"{ROOT}/residential-details": []}, []),
        ({ROOT: [], SEARCH: KNOWN, **SECTIONS,
          f"{ROOT}/residential-details": SourceUnavailableError("down"), BUILT: []},
         ["improvements"]),
    ],
    ids=["house", "land", "shop", "carried", "blank", "not said", "blank section", "no section"],
)  # fmt: skip
def test_only_what_an_answer_carries_is_gone(
    assessor: Make, answers: dict[str, Any], emptied: list[str]
) -> None:
    parsed = assessor({BUILT: SourceUnavailableError("down"), **answers}).collect(APN)

    assert parsed.emptied == tuple(Emptied(table, APN) for table in emptied)


def test_a_column_without_a_key_is_unsaid_not_absent(assessor: Make) -> None:
    row = {key: value for key, value in SHOP.items() if key != "CCI"}
    run = assessor(
        {ROOT: {**WHOLE, "Improvements": [SHOP, {**row, "ImprovementNumber": "000201"}]}}
    )

    assert run.collect(APN).unsaid["improvements"] == {"cci"}


def test_an_answer_about_another_parcel_is_invalid(assessor: Make) -> None:
    with pytest.raises(InvalidAnswerError, match="30477566A"):
        assessor({ROOT: {**WHOLE, "APN": "30477566A"}}).collect(APN)


@pytest.mark.parametrize(
    "changes",
    [
        {"Valuations": [{"FullCashValue": "1"}]},
        {"Valuations": [{"TaxYear": "soon", "FullCashValue": "1"}]},
        {"Valuations": [{"TaxYear": "2025", "Value": "1"}]},
        {"Valuations": [{"TaxYear": "2025", "FullCashValue": "a lot"}]},
        {"Valuations": [{**WHOLE["Valuations"][0], "AssessmentRatioPercentage": "10.0"}]},
        {"Valuations": {"2025": "1"}},
        {"Valuations": [WHOLE["Valuations"][1], {**WHOLE["Valuations"][1], "FullCashValue": "1"}]},
        {"Owner": {"Name": "OCOTILLO PAT"}},
        {"Owner": ["OCOTILLO PAT"]},
        {"Owner": {**WHOLE["Owner"], "Ownership": {"Name": "OCOTILLO PAT"}}},
        {"Owner": {**WHOLE["Owner"], "DeedDate": "last spring"}},
        {"ResidentialPropertyData": {"Bedrooms": 3}},
        {"LotSize": "0.3 acres"},
        {"Improvements": {"000101": SHOP}},
        {"Improvements": [[SHOP]]},
        {"Improvements": [{**SHOP, "ImprovementNumber": ""}]},
        {"Improvements": [{**SHOP, "ImprovementSquareFootage": "large"}]},
        {"Improvements": [{**SHOP, "EffectiveAge": "25.5"}]},
        {"Improvements": [{**SHOP, "APN": "30477567"}]},
        {"Improvements": [SHOP, {**SHOP, "Model": "163"}]},
    ],
    ids=lambda changes: json.dumps(changes)[:60] + json.dumps(changes)[-60:],
)
def test_what_is_not_understood_is_a_changed_layout(
    assessor: Make, changes: dict[str, object]
) -> None:
    with pytest.raises(LayoutChangedError):
        assessor({ROOT: {**WHOLE, **changes}, BUILT: []}).collect(APN)


def test_the_same_valuation_twice_counts_once(assessor: Make) -> None:
    once = assessor({ROOT: WHOLE}).collect(APN)

    twice = assessor({ROOT: {**WHOLE, "Valuations": WHOLE["Valuations"] * 2}}).collect(APN)

    assert twice == once


@pytest.mark.parametrize(("pool", "area"), [(False, None), (True, None), ("382", 382), ("0", None)])
def test_a_pool_is_its_area_or_absent(assessor: Make, pool: object, area: int | None) -> None:
    house = {**WHOLE["ResidentialPropertyData"], "Pool": pool}
    records = assessor({ROOT: {**WHOLE, "ResidentialPropertyData": house}}).collect(APN).records

    assert [r.pool_area_sqft for r in records if isinstance(r, Residence)] == [area]


@pytest.mark.parametrize(
    ("deed", "keys"),
    [("20130183449", ["20130183449"]), ("DKT 15669-1139", []), ("", []), ("00000000000", [])],
)
def test_only_a_number_is_asked_of_the_recorder(assessor: Make, deed: str, keys: list[str]) -> None:
    whole = {**WHOLE, "Owner": {**WHOLE["Owner"], "MostCurrentDeed": deed}}
    parsed = assessor({ROOT: whole}).collect(APN)

    assert [one.key for one in parsed.follow_ups] == keys
    assert [one.deed_number for one in parsed.records if isinstance(one, Parcel)] == [
        deed if deed.strip("0") else None
    ]


# --- search -----------------------------------------------------------------------------------

ROWS = [
    {"APN": f"{APN[:5]}{number:03}", "Ownership": f"OCOTILLO {number}", "SitusAddress": "1 A ST"}
    for number in range(60)
]


def _pages(rows: list[dict[str, str]], query: str, envelope: str = "Results") -> dict[str, object]:
    answers: dict[str, object] = {}
    for number in range(1, len(rows) // 25 + 3):
        part = rows[(number - 1) * 25 : number * 25]
        body: object = {"TOTAL": len(rows), "Results": part}
        if envelope == "RealProperty":
            nested = [{**row, "Parcel": {"Apn": row["APN"]}} for row in part]
            body = {"realProperty": {"Results": nested, "Total": str(len(rows))}, "BPP": {}}
        answers[f"/search/property/?q={query}&page={number}"] = body if part else []
    return answers


@pytest.mark.parametrize("envelope", ["Results", "RealProperty"])
def test_a_search_reads_every_page(assessor: Make, envelope: str) -> None:
    run = assessor(_pages(ROWS, "ocotillo", envelope))

    hits = run.search("ocotillo", by="owner")

    assert [row["apn"] for row in hits.rows] == [row["APN"] for row in ROWS]
    assert (hits.total, hits.is_complete, len(run.asked)) == (60, True, 3)


def test_a_search_stops_at_its_limit(assessor: Make) -> None:
    run = assessor(_pages(ROWS, "ocotillo"))

    hits = run.search("ocotillo", by="owner", limit=30)

    assert (len(hits.rows), hits.total, hits.is_complete, len(run.asked)) == (30, 60, False, 2)


def test_a_search_keeps_only_rows_whose_own_field_fits(assessor: Make) -> None:
    rows = [
        {"APN": "10000001", "Ownership": "SAGE PAT", "SitusAddress": "1 N OCOTILLO ST"},
        {"APN": "10000002", "Ownership": "OCOTILLO PAT/LEE", "SitusAddress": "2 E SAGE AVE"},
        {"AccountNo": "0000370", "Name1": "OCOTILLO LEE"},
    ]
    answers = _pages(rows, "lee ocotillo")

    hits = assessor(answers).search("lee ocotillo", by="owner")

    assert hits.rows == (
        {
            "apn": "10000002",
            "owner_name": "OCOTILLO PAT/LEE",
            "situs_address": "2 E SAGE AVE",
            "situs_city": None,
            "situs_zip": None,
            "property_type": None,
            "subdivision": None,
            "mcr": None,
            "section_township_range": None,
            "rental_id": None,
        },
    )
    assert hits.is_complete


def test_rows_that_carry_only_an_apn_are_kept(assessor: Make) -> None:
    rows: list[dict[str, object]] = [
        {"Parcel": {"Apn": "10000001"}},
        {"Parcel": {"Apn": "10000002"}, "Ownership": "SAGE PAT"},
        {"Parcel": {"Apn": "10000003"}, "Ownership": None},
        {"Parcel": {"Apn": "10000004"}, "Ownership": "OCOTILLO PAT"},
    ]
    body = {"RealProperty": {"results": rows, "total": 4}}

    hits = assessor({"/search/property/?q=ocotillo&page=1": body}).search("ocotillo", by="owner")

    assert [(row["apn"], row["owner_name"]) for row in hits.rows] == [
        ("10000001", None),
        ("10000004", "OCOTILLO PAT"),
    ]
    assert hits.is_complete


def test_a_search_by_apn_gives_only_that_parcel(assessor: Make) -> None:
    hits = assessor({SEARCH: KNOWN}).search("304-77-566", by="apn")

    assert [row["apn"] for row in hits.rows] == [APN]


def test_a_host_that_repeats_its_page_does_not_hold_the_search(assessor: Make) -> None:
    answers = {
        f"/search/property/?q=x&page={number}": {"TOTAL": 60, "Results": ROWS[:25]}
        for number in (1, 2)
    }

    hits = assessor(answers).search("x", by="subdivision")

    assert (hits.total, hits.is_complete) == (60, False)


@pytest.mark.parametrize(
    "body",
    [[], {}, [ROWS[0]], {"hits": []}, {"TOTAL": 3}, {"Results": {"a": 1}}, {"Results": [{"a": 1}]}],
    ids=repr,
)
def test_an_unknown_envelope_is_never_an_empty_search(assessor: Make, body: object) -> None:
    with pytest.raises(LayoutChangedError):
        assessor({ROOT: [], SEARCH: body}).collect(APN)


@pytest.mark.parametrize(
    "body", [{"TOTAL": 0, "Results": None}, {"total": "0"}, {"RealProperty": {"total": 0}}]
)
def test_a_search_without_results_is_an_empty_search(assessor: Make, body: object) -> None:
    assert assessor({ROOT: [], SEARCH: body}).collect(APN) == Parsed(is_found=False)


def test_a_count_without_rows_settles_nothing(assessor: Make) -> None:
    with pytest.raises(InvalidAnswerError, match="no rows"):
        assessor({ROOT: [], SEARCH: {"TOTAL": 3, "Results": []}}).collect(APN)


@pytest.mark.parametrize(("query", "by"), [("x", "colour"), (" ", "owner"), ("SMITH", "apn")])
def test_a_senseless_search_is_refused(assessor: Make, query: str, by: str) -> None:
    with pytest.raises(RequestError):
        assessor({}).search(query, by=by)


def test_the_payload_keeps_the_proof_of_an_unknown_parcel(assessor: Make) -> None:
    payload = assessor({ROOT: [], SEARCH: UNKNOWN}).fetch(APN)

    assert [page.name for page in payload.pages] == ["search"]
    assert all(isinstance(page, Page) for page in payload.pages)
    assert dataclasses.replace(payload, pages=()).missing == {}
