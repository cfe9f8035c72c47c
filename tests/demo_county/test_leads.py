"""The leads API of the demo county: counts, charges, criteria, persons, lists, and its switches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import httpx
import pytest

from propkit.demo_county import County
from propkit.demo_county.lead_switches import LeadSwitches

STATE = [{"name": "State", "value": ["AZ"]}]


@pytest.fixture
def leads(county: County) -> Iterator[httpx.Client]:
    """Return a client of the leads API, whose account has bought nothing."""
    county.switch(leads=asdict(LeadSwitches()))
    county.clear_account()
    given = county.leads_settings()["propertyradar"]
    with httpx.Client(
        base_url=given["base_url"],
        headers={"Authorization": f"Bearer {given['token']}"},
        timeout=60,
        trust_env=False,
    ) as client:
        yield client


def search(leads: httpx.Client, criteria: Any, **params: Any) -> httpx.Response:
    return leads.post("/properties", params=params, json={"Criteria": criteria})


def test_a_count_is_free_and_holds_no_rows(leads, county: County):
    answer = search(leads, STATE, Purchase=0, Limit=10).json()

    assert answer["results"] == []
    assert (answer["resultCount"], answer["totalCost"]) == (10, "0.00")
    assert answer["quantityFreeRemaining"] == 10_000
    assert answer["totalResultCount"] > 1900
    assert county.account() == {
        "free_remaining": 10_000, "records": 0, "cost": "0.00", "charges": [],
    }  # fmt: skip


def test_a_purchase_charges_each_row_and_pages_begin_at_0(leads, county: County):
    pages = [
        search(leads, STATE, Purchase=1, Fields="RadarID", Limit=3, Start=start).json()
        for start in (0, 3)
    ]

    ids = [row["RadarID"] for page in pages for row in page["results"]]
    assert len(set(ids)) == 6
    assert pages[1]["quantityFreeRemaining"] == 9994
    charges = county.account()["charges"]
    assert [charge["ids"] for charge in charges] == [ids[:3], ids[3:]]
    assert {charge["kind"] for charge in charges} == {"properties"}


def test_beyond_the_quota_a_row_costs_money_or_is_refused(leads, county: County):
    county.switch(leads={"quota": 2, "price": "0.10"})
    priced = search(leads, STATE, Purchase=0, Limit=5).json()
    paid = search(leads, STATE, Purchase=1, Limit=5).json()
    county.switch(leads={"price": None})
    refused = search(leads, STATE, Purchase=1, Limit=5)

    assert (priced["totalCost"], paid["totalCost"]) == ("0.30", "0.30")
    assert (refused.status_code, refused.json()["error"]) == (402, "Monthly export quota exhausted")
    assert county.account()["cost"] == "0.30"
    assert county.account()["records"] == 5


@pytest.mark.parametrize(("rebuys", "records"), [("charged", 6), ("free", 3)])
def test_a_row_that_is_bought_twice(leads, county: County, rebuys: str, records: int):
    county.switch(leads={"rebuys": rebuys})

    found = [search(leads, STATE, Purchase=1, Limit=3).json()["results"] for _ in range(2)]

    assert found[0] == found[1]
    assert county.account()["records"] == records


def test_rows_can_come_as_columns(leads, county: County):
    rows = search(leads, STATE, Purchase=1, Fields="RadarID,APN", Limit=2).json()["results"]
    county.switch(leads={"rows": "columns"})
    columns = search(leads, STATE, Purchase=1, Fields="RadarID,APN", Limit=2).json()["results"]

    assert columns == {name: [row[name] for row in rows] for name in ("RadarID", "APN")}


@pytest.mark.parametrize(
    ("body", "params", "status", "error"),
    [
        ({"Criteria": STATE}, {}, 400, "Missing required param Purchase"),
        ({"Criteria": STATE, "Limit": 5}, {"Purchase": 0}, 400, "Unexpected payload field Limit"),
        ({"Criteria": STATE}, {"Purchase": 0, "Limit": 501}, 400, "Invalid Limit"),
        ({"Criteria": STATE}, {"Purchase": 0, "Fields": "RadarID,Foo"}, 400, "Unexpected Field Foo"),
        ({"Criteria": []}, {"Purchase": 0}, 400, "Criteria must be a non-empty array"),
        (
            {"Criteria": [{"name": "Foo", "value": [1]}]},
            {"Purchase": 0}, 400, "Unexpected Criterion Foo",
        ),
        (
            {"Criteria": [{"name": "Pool", "value": ["1"]}]},
            {"Purchase": 0}, 400, "Invalid yesno value",
        ),
        (
            {"Criteria": [{"name": "FirstDate", "value": ["2024-01-01"]}]},
            {"Purchase": 0}, 400, "Invalid date range 2024-01-01",
        ),
    ],
)  # fmt: skip
def test_what_the_api_does_not_take_is_named(
    leads, body: Any, params: dict[str, Any], status: int, error: str
):
    answer = leads.post("/properties", params=params, json=body)

    assert (answer.status_code, answer.json()["error"]) == (status, error)


def test_errors_can_come_under_200_and_need_the_token(leads, county: County):
    county.switch(leads={"error_status": 200})
    under_200 = search(leads, [], Purchase=0)
    county.switch(leads={"error_status": None, "token": "other"})
    refused = search(leads, STATE, Purchase=0)

    assert (under_200.status_code, set(under_200.json())) == (200, {"error", "eventid"})
    assert refused.status_code == 401


@pytest.mark.parametrize(
    ("criterion", "holds"),
    [
        ({"name": "AVM", "value": [[300000, None]]}, lambda row: row["AVM"] >= 300_000),
        ({"name": "ZipFive", "value": [85201, 85224]}, lambda row: row["ZipFive"] in "85201 85224"),
        ({"name": "Pool", "value": [1]}, lambda row: row["Pool"] == 1),
        ({"name": "County", "value": [4013]}, lambda row: row["FIPS"] == "04013"),
        ({"name": "APN", "value": ["34205"]}, lambda row: row["APN"].startswith("342-05")),
        (
            {"name": "isNotSameMailingOrExempt", "value": [1]},
            lambda row: row["isSameMailingOrExempt"] == 0,
        ),
        (
            {"name": "PropertyType", "value": [{"name": "PType", "value": ["CND"]}]},
            lambda row: row["PType"] == "CND",
        ),
        (
            {"name": "FirstDate", "value": ["from: 1/1/2020 to: 12/31/2021"]},
            lambda row: "2020-01-01" <= row["FirstDate"] <= "2021-12-31",
        ),
    ],
)
def test_criteria_select_exactly_what_fits(leads, criterion: dict[str, Any], holds: Any):
    def rows(criteria: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            params = {"Purchase": 1, "Limit": 500, "Start": len(found)}
            answer = search(leads, criteria, **params).json()
            found += answer["results"]
            if len(found) >= answer["totalResultCount"]:
                return found

    def fits(row: dict[str, Any]) -> bool:
        held = row["FirstDate"] if criterion["name"] == "FirstDate" else row.get(criterion["name"])
        return (held is not None or criterion["name"] not in row) and holds(row)

    everyone, some = rows(STATE), rows([criterion])

    assert some
    assert some == [row for row in everyone if fits(row)]


def test_persons_are_charged_and_a_contact_is_unlocked_once(leads, county: County):
    radar_id = search(
        leads, [{"name": "PhoneAvailability", "value": [1]}], Purchase=1, Fields="RadarID", Limit=1
    ).json()["results"][0]["RadarID"]
    free = leads.get(f"/properties/{radar_id}/persons", params={"Purchase": 0}).json()
    persons = leads.get(f"/properties/{radar_id}/persons", params={"Purchase": 1}).json()
    person = persons["results"][0]
    path = f"/persons/{person['PersonKey']}/Phone"
    unlocked = leads.post(path, params={"Purchase": 1}, json={})
    again = leads.post(path, params={"Purchase": 1}, json={})

    assert (free["results"], free["resultCount"]) == ([], len(persons["results"]))
    assert (person["Phones"], person["Emails"]) == ([], [])
    assert unlocked.json()["results"][0]["Phones"][0]["linktext"].startswith("(602) 555-")
    assert (again.status_code, again.json()["error"]) == (409, "already purchased")
    kinds = [charge["kind"] for charge in county.account()["charges"]]
    assert kinds == ["properties", "persons", "phone"]


def test_a_list_holds_the_ids_free_of_charge(leads, county: County):
    body = {"Criteria": STATE, "ListName": "all", "ListType": "static", "isMonitored": 0}
    made = leads.post("/lists", json=body).json()["results"][0]
    items = leads.get(f"/lists/{made['ListID']}/items", params={"Limit": 2, "Start": 1}).json()

    assert made["TotalCount"] == items["totalResultCount"] > 1900
    assert len(items["results"]) == 2
    assert leads.get("/lists").json()["results"] == [made]
    assert county.account()["records"] == 0


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ("many", "are an object, not 'many'"),
        ({"qouta": 5}, "unknown switches"),
        ({"quota": -1}, "quota is a number from 0 up, not -1"),
        ({"rebuys": "maybe"}, "rebuys is one of charged, free, not 'maybe'"),
        ({"price": 0.1}, "price is a text, or null for none, not 0.1"),
        ({"entering": "7"}, "entering is a number, not '7'"),
        ({"error_status": "200"}, "error_status is a status or null, not '200'"),
    ],
)
def test_a_wrong_switch_is_refused_with_a_sentence(changes: object, says: str):
    with pytest.raises(ValueError, match=says):
        LeadSwitches().changed(changes)
