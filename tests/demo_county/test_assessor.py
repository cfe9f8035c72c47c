from __future__ import annotations

import httpx
import pytest

from propkit.demo_county import County
from propkit.demo_county.truth import CountyTruth

SECTIONS = [
    "propertyinfo",
    "address",
    "valuations",
    "residential-details",
    "owner-details",
    "improvements",
    "sketches",
    "mapids",
    "rental-details/ANY%20OWNER",
    "similar-parcels-residential/10001",
]


def text(value: object) -> str | None:
    return (str(value).strip() or None) if value is not None else None


def number(value: object) -> str | None:
    plain = text(value)
    return None if plain in (None, "na") else f"{plain}.00"


def whole(value: object) -> int | None:
    # Not `in`: 0 is a count and equals False, but Pool False is absent.
    return None if value is None or value is False else int(str(value))


def day(value: str | None) -> str | None:
    return f"{value[6:]}-{value[:2]}-{value[3:5]}" if value else None


def one_line(row: dict) -> str:
    if not row["SitusAddress"]:
        return ""
    return f"{row['SitusAddress']} {row['SitusCity']}, AZ {row['SitusZip']}"


def read_parcel(answer: dict, rows: dict[str, dict]) -> dict:
    """Read the one-call answer by hand; only the address is split with the search's help."""
    assert answer["PropertyAddress"] == one_line(rows[answer["APN"]])
    owner, geo = answer["Owner"], answer["Geo"] or {"lat": None, "long": None}
    row = rows[answer["APN"]]
    lines = [text(owner["MailingAddress1"]), text(owner["MailingAddress2"])]
    return {
        "apn": answer["APN"],
        "county": "maricopa",
        "property_type": text(answer["PropertyType"]),
        "situs_address": text(row["SitusAddress"]),
        "situs_city": text(row["SitusCity"]),
        "situs_zip": text(row["SitusZip"]),
        "owner_name": text(owner["Ownership"]),
        "in_care_of": text(owner["InCareOf"]),
        "mailing_address": " ".join(line for line in lines if line) or None,
        "mailing_city": text(owner["MailingCity"]),
        "mailing_state": text(owner["MailingState"]),
        "mailing_zip": text(owner["MailingZip"]),
        "legal_description": text(answer["PropertyDescription"]),
        "subdivision": text(answer["SubdivisionName"]),
        "lot_number": None,
        "mcr": text(answer["MCR"]),
        "section_township_range": answer["SectionTownshipRange"],
        "lot_size_sqft": int(answer["LotSize"]),
        "jurisdiction": text(answer["LocalJusidiction"]),
        "elementary_school_district": answer["ElementarySchoolDistrict"],
        "high_school_district": answer["HighSchoolDistrict"],
        "tax_area_code": answer["TaxAreaCode"],
        "use_code": answer["PropertyUseCode"],
        "use_description": answer["PEPropUseDesc"],
        "is_rental": answer["IsRental"],
        "latitude": geo["lat"],
        "longitude": geo["long"],
        "deed_number": owner["MostCurrentDeed"],
        "deed_date": day(owner["DeedDate"]),
        "deed_type": text(owner["DeedType"]),
    }


def read_residence(answer: dict) -> list[dict]:
    house = answer["ResidentialPropertyData"]
    if not house["ConstructionYear"] and not house["LivableSpace"]:
        return []
    return [
        {
            "apn": answer["APN"],
            "construction_year": whole(house["ConstructionYear"]),
            "original_construction_year": whole(house["OriginalConstructionYear"]),
            "livable_area_sqft": whole(house["LivableSpace"]),
            "detached_livable_area_sqft": whole(house["Detached_Livable_sqft"]),
            "pool_area_sqft": whole(house["Pool"]),
            "quality_grade": house["ImprovementQualityGrade"],
            "covered_patios": whole(house["NumberOfCoveredPatios"]),
            "uncovered_patios": whole(house["NumberOfUncoveredPatios"]),
            "patio_type": text(house["PatioType"]),
            "exterior_walls": text(house["ExteriorWalls"]),
            "roof_type": text(house["RoofType"]),
            "bath_fixtures": whole(house["BathFixtures"]),
            "cooling": house["Cooling"],
            "heating": house["Heating"],
            "garage_stalls": whole(house["NumberOfGarages"]),
            "carport_stalls": whole(house["NumberOfCarports"]),
            "parking_type": house["ParkingType"],
            "physical_condition": house["PhysicalCondition"],
            "market_area": house["AssessorMarket"],
            "neighborhood": house["AreaNeighborhood"],
        }
    ]


def read_valuations(answer: dict) -> list[dict]:
    return [
        {
            "apn": answer["APN"],
            "tax_year": int(value["TaxYear"]),
            "full_cash_value": number(value["FullCashValue"]),
            "limited_property_value": number(value["LimitedPropertyValue"]),
            "property_class": text(value["LegalClassificationCode"]),
            "property_class_description": value["LegalClassification"],
            "assessment_ratio": value["AssessmentRatioPercentage"],
            "assessed_full_cash_value": number(value["AssessedFCV"]),
            "assessed_limited_property_value": number(value["AssessedLPV"]),
            "valuation_source": value["ValuationSource"],
            "use_code": value["PropertyUseCode"],
            "use_description": value["PEPropUseDesc"],
            "tax_area_code": value["TaxAreaCode"],
            "is_pending_change": value["NoticeOfChangeIndc"] == "Y",
        }
        for value in answer["Valuations"]
    ]


def read_sales(answer: dict) -> list[dict]:
    owner = answer["Owner"]
    if not owner["SaleDate"] and not owner["SalePrice"]:
        return []
    return [
        {
            "apn": answer["APN"],
            "sold_on": day(owner["SaleDate"]),
            "recording_number": owner["MostCurrentDeed"],
            "sale_price": number(text(owner["SalePrice"])),
        }
    ]


def test_what_the_api_says_is_the_truth_field_for_field(client: httpx.Client, county: County):
    apns = county.apns(120, seed=1)
    rows: dict[str, dict] = {}
    answers = []
    for apn in apns:
        answer = client.get(f"/assessor/parcel/{apn}").json()
        if answer:
            answers.append(answer)
            found = client.get("/assessor/search/rp/", params={"q": apn}).json()["Results"]
            rows |= {row["APN"]: row for row in found}

    truth = county.truth(apns)

    assert [read_parcel(answer, rows) for answer in answers] == truth["parcels"]
    assert [r for answer in answers for r in read_residence(answer)] == truth["residences"]
    assert [r for answer in answers for r in read_valuations(answer)] == truth["valuations"]
    assert [r for answer in answers for r in read_sales(answer)] == truth["sales"]


def test_the_sections_say_what_the_one_call_says(client: httpx.Client, truth: CountyTruth):
    apn = next(h.apn for h in truth.heads() if h.is_in_assessor and h.is_rental)

    one = client.get(f"/assessor/parcel/{apn}/").json()
    parts = {s: client.get(f"/assessor/parcel/{apn}/{s}/").json() for s in SECTIONS}

    assert parts["propertyinfo"].items() <= one.items()
    assert parts["valuations"] == one["Valuations"]
    assert parts["residential-details"] == one["ResidentialPropertyData"]
    assert parts["owner-details"] == one["Owner"]
    assert parts["improvements"] == one["Improvements"] == []
    assert parts["sketches"] == one["Sketches"]
    assert parts["mapids"] == one["MapIDs"]
    assert parts["rental-details/ANY%20OWNER"]["OwnerName"] == "ANY OWNER"
    assert parts["similar-parcels-residential/10001"] == one["SimilarParcels"]
    assert set(parts["address"]) == {
        "HouseNumber", "Direction", "StreetName", "Suffix", "CityName", "Zip",
    }  # fmt: skip
    assert len(parts["residential-details"]) == 28


def test_texts_are_padded_and_types_mixed_as_in_the_real_api(client: httpx.Client, truth):
    heads = [h for h in truth.heads() if h.is_in_assessor]
    land = next(h for h in heads if h.property_type == "VACANT LAND COMMERCIAL")
    house = next(
        h
        for h in heads
        if (r := truth.parcel(h.index).residence)
        and r.pool_area_sqft
        and r.covered_patios == 0
        and r.garage_stalls
    )

    empty = client.get(f"/assessor/parcel/{land.apn}/residential-details").json()
    full = client.get(f"/assessor/parcel/{house.apn}/residential-details").json()
    value = client.get(f"/assessor/parcel/{house.apn}/valuations").json()[-1]

    info = client.get(f"/assessor/parcel/{land.apn}/propertyinfo").json()
    assert info["PropertyType"] == "VACANT LAND COMMERCIAL "
    assert (empty["Pool"], empty["ParkingDetails"], empty["BathFixtures"]) == (False, [], 0)
    assert empty["ConstructionYear"] is None
    assert (full["NumberOfCoveredPatios"], full["NumberOfCarports"]) == (0, 0)
    assert full["Pool"].isdigit()
    assert full["ParkingDetails"]["ParkingType"] == "Garage"
    assert len(value["LimitedPropertyValue"]) == 12
    assert len(value["LegalClassificationCode"]) == 4
    assert value["AssessedFCV"] == "na" or len(value["AssessedFCV"]) == 12


def test_an_apn_is_taken_in_any_writing(client: httpx.Client, truth: CountyTruth):
    apn = next(h.apn for h in truth.heads() if h.is_in_assessor and len(h.apn) == 9)
    forms = [
        apn,
        f"{apn[:3]}-{apn[3:5]}-{apn[5:]}",
        f"{apn[:3]}.{apn[3:5]}.{apn[5:]}/",
        apn.lower(),
    ]
    forms.append(f"{apn[:3]}%20{apn[3:5]}%20{apn[5:]}")

    found = [client.get(f"/assessor/parcel/{form}").json()["APN"] for form in forms]

    assert found == [apn] * 5


def test_a_search_pages_by_25_and_tells_the_total(client: httpx.Client, truth: CountyTruth):
    expected = [
        h.apn
        for h in truth.heads()
        if h.is_in_assessor
        and any(
            "OCOTILLO" in (t or "") for t in (h.owner.name, h.situs_address, h.block.subdivision)
        )
    ]
    found: list[str] = []
    for page in range(1, 20):
        params = {"q": "ocotillo", "page": page}
        answer = client.get("/assessor/search/property/", params=params).json()
        assert answer["TOTAL"] == len(expected)
        if not answer["Results"]:
            break
        assert len(answer["Results"]) <= 25
        found += [row["APN"] for row in answer["Results"]]

    assert found == expected
    assert len(found) > 50


def test_a_search_by_apn_answers_near_matches_and_the_exact_one_not_always_first(
    client: httpx.Client, truth: CountyTruth
):
    apns = [h.apn for h in truth.heads() if h.is_in_assessor][5:25]

    answers = [client.get("/assessor/search/rp", params={"q": a}).json()["Results"] for a in apns]

    firsts = [rows[0]["APN"] == apn for rows, apn in zip(answers, apns, strict=True)]
    assert all(apn in [r["APN"] for r in rows] for rows, apn in zip(answers, apns, strict=True))
    assert {True, False} == set(firsts)
    assert client.get("/assessor/search/rp/?q=99999999").json() == {"TOTAL": 0, "Results": []}


def test_the_other_searches_have_their_own_rows(client: httpx.Client, truth: CountyTruth):
    rental = next(h for h in truth.heads() if h.is_in_assessor and h.is_rental)

    rentals = client.get("/assessor/search/rental/", params={"q": rental.apn}).json()["Results"]
    plats = client.get("/assessor/search/sub/", params={"q": "ESTATES"}).json()
    row = client.get("/assessor/search/rp/", params={"q": rental.apn}).json()["Results"][0]

    assert rental.apn in [row["APN"] for row in rentals]
    assert set(rentals[0]) == {
        "APN", "Address", "City", "Zip", "Owner", "Contact", "Agent", "Property",
    }  # fmt: skip
    assert plats["TOTAL"] == len(plats["Results"]) > 0
    assert all(set(plat) == {"SubdivisionName", "ParcelCount"} for plat in plats["Results"])
    assert list(row) == [
        "MCR", "SubdivisonName", "SectionTownshipRange", "APN", "Ownership", "SitusAddress",
        "SitusCity", "SitusZip", "PropertyType", "RentalID",
    ]  # fmt: skip


def test_plats_and_sections_list_25_a_page_until_an_empty_answer(client, truth: CountyTruth):
    block = next(b for b in (truth.head(i * 40).block for i in truth.blocks) if b.mcr)
    section = f"{block.section:02d}-0{block.township}-0{block.range_}"
    apns = [h.apn for h in truth.block_heads(block.number)]

    pages = [client.get(f"/assessor/parcel/mcr/{block.mcr}/?page={n}").json() for n in (1, 2, 3)]
    by_section = client.get(f"/assessor/parcel/str/{section}/").json()["Parcels"]

    assert [r["APN"] for page in pages[:2] for r in page["Parcels"]] == apns
    assert len(pages[0]["Parcels"]) == 25
    assert pages[2] == []
    assert {row["SectionTownshipRange"] for row in by_section} == {block.section_township_range}


def test_map_files_are_found_by_parcel_page_and_plat(client, truth: CountyTruth):
    head = next(h for h in truth.heads() if h.is_in_assessor and h.block.mcr)
    page = f"{head.block.book}/{head.block.map_page:02d}"

    found = [
        client.get(f"/assessor/mapid/{path}").json()
        for path in (f"parcel/{head.apn}", f"bookmap/{page}", f"mcr/{head.block.mcr}")
    ]

    assert found[0] == found[1] == found[2]
    assert list(found[0]) == [
        "Parcel Maps", "Subdivision Maps", "MCR Maps", "S/T/R Maps", "Book/Map Maps",
    ]  # fmt: skip
    assert found[0]["Parcel Maps"][0]["UpdateDate"].endswith("-MAR-08")


@pytest.mark.parametrize("headers", [{}, {"AUTHORIZATION": "wrong"}])
def test_without_the_token_the_answer_is_401(county: County, headers: dict[str, str]):
    url = f"{county.base_url('assessor')}/parcel/{county.apns(1)[0]}"

    answer = httpx.get(url, headers=headers, timeout=60, trust_env=False)

    assert answer.status_code == 401
    assert answer.json() == {"message": "Unauthorized"}


def test_an_unknown_parcel_is_an_empty_list_everywhere(client, county: County, truth: CountyTruth):
    hidden = next(h.apn for h in truth.heads() if not h.is_in_assessor)

    for apn in ("99999999", hidden):
        for section in ("", "/propertyinfo", "/owner-details", "/residential-details"):
            answer = client.get(f"/assessor/parcel/{apn}{section}")
            assert (answer.status_code, answer.json()) == (200, [])

    county.switch(unknown_parcel="500")
    assert client.get("/assessor/parcel/99999999").status_code == 500


@pytest.mark.parametrize(
    "path",
    ["/", "/bpp/x/0000370", "/mh/acct/0001003", "/search/nobody/?q=A", "/parcel/10218779/legal"],
)
def test_an_unknown_path_is_the_sites_frame_page_with_status_200(client: httpx.Client, path: str):
    answer = client.get(f"/assessor{path}")

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "Page not found: Maricopa County Assessor's Office" in answer.text


def test_switches_change_the_envelope_and_take_the_one_call_away(client, county: County):
    apn = county.truth(county.apns(3))["parcels"][0]["apn"]
    before = client.get("/assessor/search/rp/", params={"q": apn}).json()

    county.switch(envelope="real_property", one_call=False)
    after = client.get("/assessor/search/rp/", params={"q": apn}).json()

    assert after == {"RealProperty": {"results": before["Results"], "total": before["TOTAL"]}}
    assert "Page not found" in client.get(f"/assessor/parcel/{apn}").text
    assert client.get(f"/assessor/parcel/{apn}/propertyinfo").json()["APN"] == apn
