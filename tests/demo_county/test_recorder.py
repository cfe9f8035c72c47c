from __future__ import annotations

import re
from datetime import date

import httpx
import pytest

from propkit.demo_county import County
from propkit.demo_county.truth import CountyTruth

SEARCH = "/recorder/documents/search"


def read_document(apn: str, body: dict) -> dict:
    month, day, year = (int(part) for part in body["recordingDate"].split("-"))
    return {
        "recording_number": body["recordingNumber"],
        "suffix": None,
        "apn": apn,
        "recorded_on": date(year, month, day).isoformat(),
        "document_codes": body["documentCodes"],
        "names": body["names"],
        "page_count": body["pageAmount"],
        "docket_book": str(body["docketBook"]) if body["docketBook"] else None,
        "docket_page": str(body["pageMap"]) if body["pageMap"] else None,
        "is_restricted": body["restricted"],
    }


def test_what_the_api_says_is_the_truth_field_for_field(client: httpx.Client, county: County):
    truth = county.truth(county.apns(300, seed=3))
    found = []

    for parcel in truth["parcels"]:
        if parcel["deed_number"]:
            answer = client.get(f"/recorder/documents/{parcel['deed_number']}")
            if answer.status_code == 200:
                found.append(read_document(parcel["apn"], answer.json()))
            else:
                assert answer.status_code == 404

    assert found == truth["documents"]
    assert any(row["is_restricted"] for row in found)
    assert any(len(row["document_codes"]) > 1 for row in found)
    assert any(row["docket_book"] for row in found)


def test_a_popular_name_saturates_at_501_and_a_page_at_200(client: httpx.Client):
    params = {"lastNames": "OCOTILLO", "firstNames": "PAT", "pageSize": 500}

    pages = [client.get(SEARCH, params={**params, "pageNumber": n}).json() for n in (1, 2, 3, 4)]

    rows = [row for page in pages for row in page["searchResults"]]
    assert [len(page["searchResults"]) for page in pages] == [200, 200, 101, 0]
    assert {page["totalResults"] for page in pages} == {501}
    numbers = [row["recordingNumber"] for row in rows]
    assert numbers == sorted(numbers)
    assert all(row["names"].startswith("OCOTILLO PAT") for row in rows)
    assert {"", "A"} == {row["recordingSuffix"] for row in rows}


def test_a_search_row_has_other_types_than_a_document(client: httpx.Client):
    params = {"lastNames": "CHOLLA", "firstNames": "SAM", "maxResults": 300}
    rows = client.get(SEARCH, params=params).json()["searchResults"]
    more = next(row for row in rows if row["documentCode"].endswith("+"))
    old = next(row for row in rows if row["docketBook"])

    document = client.get(f"/recorder/documents/{more['recordingNumber']}").json()

    assert isinstance(more["recordingNumber"], int)
    assert isinstance(document["recordingNumber"], str)
    assert len(document["documentCodes"]) > 1
    assert isinstance(document["docketBook"], int)
    assert isinstance(old["docketBook"], str)
    assert all(re.fullmatch(r"[1-9]\d?-\d{2}-\d{4}", row["recordingDate"]) for row in rows)


def test_dates_codes_and_middle_names_filter(client: httpx.Client):
    base = {"lastNames": "OCOTILLO", "firstNames": "PAT"}

    dated = client.get(SEARCH, params={**base, "beginDate": "2024-01-01", "endDate": "2024-12-31"})
    coded = client.get(SEARCH, params={**base, "documentCode": "FL"}).json()["searchResults"]
    middle = client.get(SEARCH, params={**base, "middleNameIs": "B"}).json()["searchResults"]
    company = client.get(SEARCH, params={"businessNames": "SAGUARO HOLDINGS"}).json()

    assert {row["recordingDate"][-4:] for row in dated.json()["searchResults"]} == {"2024"}
    assert coded
    numbers = {row["recordingNumber"] for row in coded if not row["recordingSuffix"]}
    for number in list(numbers)[:5]:
        assert "FED TAX L" in client.get(f"/recorder/documents/{number}").json()["documentCodes"]
    assert {row["names"] for row in middle} == {"OCOTILLO PAT B"}
    assert {row["names"] for row in company["searchResults"]} == {"SAGUARO HOLDINGS LLC"}


@pytest.mark.parametrize(
    "params",
    [
        {"documentCode": "FED TAX L"},
        {"documentTitle": "LIEN"},
        {"apn": "30477566"},
        {"lastNames": ""},
    ],
)
def test_unknown_filters_are_dropped_and_the_answer_is_of_1947(client, params: dict[str, str]):
    answer = client.get(SEARCH, params=params).json()

    assert answer["totalResults"] == 501
    assert {row["recordingDate"][-4:] for row in answer["searchResults"]} == {"1947"}


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/documents/by-name", 400, "Invalid recording number"),
        ("/documents/search", 400, None),
        ("/documents/search?lastNames=A&beginDate=yesterday", 400, None),
        ("/documents/19990000000", 404, None),
        ("/documents/1", 404, None),
        ("/book/15/page/3", 404, None),
    ],
)
def test_errors_have_one_json_shape(client, path: str, status: int, message: str | None):
    answer = client.get(f"/recorder{path}")

    body = answer.json()
    assert (answer.status_code, body["status"]) == (status, status)
    assert body["path"] == path.partition("?")[0]
    assert body.get("message") == message
    assert re.fullmatch(r"\d{1,2}-\d{2}-\d{4}", body["timestamp"])


def test_a_restricted_document_is_a_blocked_page_and_any_other_a_pdf(client, truth: CountyTruth):
    documents = [d for d in map(truth.document, range(1000)) if d]
    hidden = next(d.recording_number for d in documents if d.is_restricted)
    shown = next(d.recording_number for d in documents if not d.is_restricted)

    for path in (f"/documents/{hidden}/pdf", f"/preview/pdf?recordingNumber={hidden}"):
        answer = client.get(f"/recorder{path}")
        assert answer.headers["content-type"].startswith("text/html")
        assert "Information Blocked" in answer.text
    for path in (f"/documents/{shown}/pdf", f"/preview/pdf?recordingNumber={shown}"):
        answer = client.get(f"/recorder{path}")
        assert answer.headers["content-type"] == "application/pdf"
        assert answer.content.startswith(b"%PDF-1.4")
        start = int(answer.content.split(b"startxref\n")[1].split(b"\n")[0])
        assert answer.content[start : start + 4] == b"xref"


def test_a_document_of_suffix_a_is_another_document(client: httpx.Client):
    params = {"lastNames": "AGAVE", "firstNames": "LEE"}
    rows = client.get(SEARCH, params=params).json()["searchResults"]
    number = next(row["recordingNumber"] for row in rows if row["recordingSuffix"] == "A")

    first = client.get(f"/recorder/documents/{number}").json()
    second = client.get(f"/recorder/documents/{number}?suffix=A").json()

    assert second["documentCodes"] == ["CORR D/T"] != first["documentCodes"]
