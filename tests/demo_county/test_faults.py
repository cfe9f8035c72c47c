from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from propkit.demo_county import County
from propkit.demo_county.faults import (
    FAULT_KINDS,
    SYSTEMS,
    SYSTEMS_OF,
    FaultPlan,
    Rule,
    example_rule,
    read_rule,
)
from propkit.demo_county.fields import FIELDS


@pytest.fixture
def path(county: County) -> str:
    return f"/assessor/parcel/{county.truth(county.apns(3))['parcels'][0]['apn']}"


def strike(county: County, **rule: object) -> None:
    county.switch(faults=[{"system": "assessor", "path": "^/parcel", **rule}])


def wait_for_entries(county: County) -> list[dict[str, Any]]:
    """Return the ledger once a request has come: a loaded county reads it late."""
    deadline = time.monotonic() + 60
    while not (entries := county.ledger()):
        assert time.monotonic() < deadline, "the county never saw the request"
        time.sleep(0.01)
    return entries


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_status_comes_for_the_first_requests_only(client, county: County, path: str, status: int):
    strike(county, kind="status", status=status, first=2)

    found = [client.get(path) for _ in range(3)]

    assert [answer.status_code for answer in found] == [status, status, 200]
    assert "retry-after" not in found[0].headers
    assert [entry["fault"] for entry in county.ledger()] == ["status", "status", None]


def test_retry_after_comes_in_seconds_or_as_a_date(client, county: County, path: str):
    strike(county, kind="status", status=429, retry_after=7)
    seconds = client.get(path).headers["retry-after"]
    strike(county, kind="status", status=503, retry_after=7, retry_after_form="date")
    asked_at = datetime.now(UTC)
    when = parsedate_to_datetime(client.get(path).headers["retry-after"])
    answered_at = datetime.now(UTC)

    assert seconds == "7"
    # A date has whole seconds.
    assert asked_at + timedelta(seconds=6) < when <= answered_at + timedelta(seconds=8)


def test_a_hanging_request_is_in_flight_until_the_client_gives_up(
    client, county: County, path: str
):
    strike(county, kind="hang")

    with pytest.raises(httpx.ReadTimeout):
        client.get(path, timeout=0.2)

    entries = wait_for_entries(county)
    assert [(entry["fault"], entry["status"]) for entry in entries] == [("hang", None)]


def test_a_hanging_request_ends_when_its_rule_is_taken_back(client, county: County, path: str):
    """Its connection closes, and the next request is answered."""
    strike(county, kind="hang")
    with ThreadPoolExecutor() as threads:
        asked = threads.submit(client.get, path, timeout=60)
        wait_for_entries(county)
        county.switch(faults=[])
        with pytest.raises(httpx.RemoteProtocolError):
            asked.result()

    assert client.get(path).status_code == 200


def test_a_slow_answer_comes_when_its_rule_is_taken_back(client, county: County, path: str):
    true = client.get(path).content
    county.clear_ledger()
    strike(county, kind="slow", seconds=3600)
    with ThreadPoolExecutor() as threads:
        asked = threads.submit(client.get, path, timeout=60)
        wait_for_entries(county)
        county.switch(faults=[])

        assert asked.result().content == true


@pytest.mark.parametrize("kind", ["drop", "hang"])
def test_a_dropped_connection_gives_no_answer(client, county: County, path: str, kind: str):
    strike(county, kind=kind, seconds=0.05)

    with pytest.raises(httpx.RemoteProtocolError):
        client.get(path)

    assert [(e["fault"], e["status"]) for e in county.ledger()] == [(kind, None)]


def test_a_dropped_request_was_processed_before_the_connection_closed(client, county: County):
    apn = county.truth(county.apns(3))["tax_bills"][0]["apn"]
    client.get("/treasurer/Parcel/Summary.aspx")
    county.switch(faults=[{"system": "treasurer", "kind": "drop", "nth": 1}])

    with pytest.raises(httpx.RemoteProtocolError):
        client.get(f"/treasurer/Parcel/?Parcel={apn}")

    assert "Tax Summary" in client.get("/treasurer/Parcel/Summary.aspx").text


def test_a_cut_body_is_shorter_than_announced(client, county: County, path: str):
    strike(county, kind="cut")

    with pytest.raises(httpx.RemoteProtocolError, match=r"incomplete|without sending complete"):
        client.get(path)


def test_truncated_json_has_a_consistent_length(client, county: County, path: str):
    strike(county, kind="truncated")

    answer = client.get(path)

    assert len(answer.content) == int(answer.headers["content-length"])
    with pytest.raises(json.JSONDecodeError):
        answer.json()


def test_other_answers_in_place_of_the_true_one(client, county: County, path: str):
    found = {}
    for kind in ("html200", "captcha", "empty200", "204"):
        strike(county, kind=kind)
        answer = client.get(path)
        found[kind] = (answer.status_code, answer.text[:15], "captcha" in answer.text)
    strike(county, kind="captcha", status=403)

    assert found == {
        "html200": (200, "<!DOCTYPE html>", False),
        "captcha": (200, "<!DOCTYPE html>", True),
        "empty200": (200, "", False),
        "204": (204, "", False),
    }
    assert client.get(path).status_code == 403


def test_a_wrong_charset_does_not_decode_as_the_header_says(client, county: County, path: str):
    strike(county, kind="wrong_charset")

    answer = client.get(path)

    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    with pytest.raises(UnicodeDecodeError):
        answer.content.decode("utf-8")


def test_the_token_expires_after_some_requests(client, county: County, path: str):
    strike(county, kind="token_expiry", after=2)

    assert [client.get(path).status_code for _ in range(4)] == [200, 200, 401, 401]


def test_another_token_refuses_the_old_one(client, county: County, path: str):
    county.switch(token="another")

    old = client.get(path).status_code
    new = client.get(path, headers={"AUTHORIZATION": county.token}).status_code

    assert (old, new) == (401, 200)


def test_layout_v2_renames_every_id_and_the_old_selectors_find_nothing(client, county: County):
    apn = county.truth(county.apns(3))["tax_bills"][0]["apn"]
    before = client.get(f"/treasurer/Parcel/?Parcel={apn}").text

    county.switch(faults=[{"system": "treasurer", "kind": "layout_v2"}])
    after = client.get("/treasurer/Parcel/Summary.aspx").text

    assert "cphMainContent_cphRightColumn_" in before
    assert "cphMainContent_cphRightColumn_" not in after
    assert "Tax Summary" in after


def test_a_lost_session_shows_the_search_form_again(client, county: County):
    apn = county.truth(county.apns(3))["tax_bills"][0]["apn"]
    client.get(f"/treasurer/Parcel/?Parcel={apn}")
    county.switch(faults=[{"system": "treasurer", "path": "Activities", "kind": "session_loss"}])

    page = client.get("/treasurer/Parcel/Activities.aspx").text

    assert "Enter a parcel number." in page
    assert county.ledger("treasurer")[-1]["fault"] == "session_loss"


def test_per_url_each_address_fails_once_and_then_works(client, county: County):
    strike(county, kind="status", status=503, first=1, per="url")
    paths = [f"/assessor/parcel/{apn}" for apn in county.apns(3)]

    found = [[client.get(path).status_code for path in paths] for _ in range(2)]

    assert found == [[503, 503, 503], [200, 200, 200]]


def test_selectors_choose_by_count_and_probability_by_seed():
    def fired(**selector: object) -> list[int]:
        plan = FaultPlan((Rule("hang", **selector),), seed=1)  # type: ignore[arg-type]
        return [n for n in range(1, 101) if plan.choose("assessor", "GET", "/x")]

    assert fired(nth=(2, 5)) == [2, 5]
    assert fired(every=40) == [40, 80]
    assert fired(first=3) == [1, 2, 3]
    assert fired(path="^/y") == []
    assert fired(system="recorder") == []
    assert 15 <= len(fired(probability=0.25)) <= 35
    assert fired(probability=0.25) == fired(probability=0.25)


def test_a_rule_starts_after_some_requests_and_counts_from_there():
    def fired(**rule: object) -> list[int]:
        plan = FaultPlan((Rule("hang", **rule),))  # type: ignore[arg-type]
        return [n for n in range(1, 8) if plan.choose("assessor", "GET", "/x")]

    assert fired(after=3) == [4, 5, 6, 7]
    assert fired(after=3, first=2) == [4, 5]
    assert fired(after=3, every=2) == [5, 7]


def test_a_rule_starts_some_seconds_after_it_was_put_in_force():
    seconds = iter([100.0, 104.9, 105.0, 106.0])
    plan = FaultPlan((Rule("hang", after_seconds=5, first=1),), clock=lambda: next(seconds))

    found = [plan.choose("assessor", "GET", "/x") is not None for _ in range(3)]

    assert found == [False, True, False]


def test_an_answer_loses_a_key_or_its_value(client, county: County, path: str):
    before = client.get(path).json()
    strike(county, kind="lose_field", field="FullCashValue", how="absent")
    absent = client.get(path).json()
    strike(county, kind="lose_field", field="FullCashValue", how="blank")
    blank = client.get(path).json()

    assert "FullCashValue" in before["Valuations"][0]
    assert before["Valuations"] != absent["Valuations"]
    for answer, lost in ((absent, None), (blank, "")):
        expected = [dict(row) for row in before["Valuations"]]
        for row in expected:
            row.pop("FullCashValue")
            if lost is not None:
                row["FullCashValue"] = lost
        assert answer["Valuations"] == expected
        assert answer["Owner"] == before["Owner"]
    assert county.ledger()[-1]["fault"] == "lose_field"


def test_an_object_or_a_number_is_lost_as_its_kind(client, county: County, path: str):
    strike(county, kind="lose_field", field="Owner", how="blank")
    owner = client.get(path).json()["Owner"]
    strike(county, kind="lose_field", field="IsRental", how="blank")
    is_rental = client.get(path).json()["IsRental"]

    assert (owner, is_rental) == ({}, None)


@pytest.mark.parametrize("layout", ["list", "table"])
@pytest.mark.parametrize("how", ["absent", "blank"])
def test_a_page_loses_a_column_and_a_label(client, county: County, layout: str, how: str):
    apn = county.truth(county.apns(3))["tax_bills"][0]["apn"]
    county.switch(layout=layout)
    before = client.get(f"/treasurer/Parcel/?Parcel={apn}").text

    county.switch(
        faults=[
            {"system": "treasurer", "kind": "lose_field", "field": "Assessed Tax", "how": how},
        ]
    )
    after = client.get("/treasurer/Parcel/Summary.aspx").text

    assert after != before
    assert after.count("Assessed Tax") == (0 if how == "absent" else before.count("Assessed Tax"))
    assert after.count("$") < before.count("$")
    assert after.count("Amount Due</th>") == 1


@pytest.mark.parametrize("how", ["absent", "blank"])
def test_a_document_loses_a_key(client, county: County, how: str):
    number = county.truth(county.apns(20))["documents"][0]["recording_number"]
    county.switch(
        faults=[
            {"system": "recorder", "kind": "lose_field", "field": "recordingDate", "how": how},
        ]
    )

    answer = client.get(f"/recorder/documents/{number}").json()

    assert answer.get("recordingDate") == (None if how == "absent" else "")
    assert answer["names"]


@pytest.mark.parametrize(
    ("system", "paths"),
    [
        ("assessor", ["/assessor/parcel/{apn}"]),
        ("treasurer", ["/treasurer/Parcel/?Parcel={apn}", "/treasurer/Parcel/Activities.aspx"]),
        ("recorder", ["/recorder/documents/{number}"]),
    ],
)
def test_every_field_that_can_be_lost_is_in_the_answers(
    client, county: County, system: str, paths: list[str]
):
    truth = county.truth(county.apns(20))
    apn = truth["tax_payments"][0]["apn"]
    number = truth["documents"][0]["recording_number"]

    text = "".join(client.get(path.format(apn=apn, number=number)).text for path in paths)

    assert [name for name in FIELDS[system] if name not in text] == []


@pytest.mark.parametrize("kind", FAULT_KINDS)
def test_every_kind_has_an_example_at_every_system_where_it_means_something(kind: str):
    rules = [read_rule(example_rule(kind, system)) for system in SYSTEMS_OF[kind]]

    assert [(rule.kind, rule.system) for rule in rules] == [
        (kind, system) for system in SYSTEMS_OF[kind]
    ]
    assert set(SYSTEMS_OF[kind]) <= set(SYSTEMS)
    assert FAULT_KINDS[kind].endswith(".")


@pytest.mark.parametrize(
    ("kind", "system"), [(kind, system) for kind in FAULT_KINDS for system in SYSTEMS_OF[kind]]
)
def test_every_kind_strikes_at_every_system(client, county: County, kind: str, system: str):
    truth = county.truth(county.apns(20))
    apn, number = truth["tax_bills"][0]["apn"], truth["documents"][0]["recording_number"]
    path = {
        "assessor": f"/assessor/parcel/{apn}",
        "treasurer": "/treasurer/Parcel/Summary.aspx",
        "recorder": f"/recorder/documents/{number}",
    }[system]
    client.get(f"/treasurer/Parcel/?Parcel={apn}")
    true = client.get(path)
    county.switch(faults=[example_rule(kind, system)])

    try:
        answer = client.get(path)
    except httpx.TransportError:
        assert kind in {"hang", "cut", "drop"}
    else:
        is_same = (answer.status_code, answer.content) == (true.status_code, true.content)
        assert is_same == (kind == "slow")
    assert county.ledger(system)[-1]["fault"] == kind


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("hang", "is an object"),
        ({"kind": "explode"}, "kind is one of"),
        ({"kind": "hang", "often": 1}, "unknown fields"),
        ({"kind": "hang", "system": "sheriff"}, "system is one of"),
        ({"kind": "layout_v2", "system": "recorder"}, "belongs to the system 'treasurer'"),
        ({"kind": "status"}, "needs a status"),
        ({"kind": "hang", "first": 1, "every": 2}, "takes one of"),
        ({"kind": "hang", "path": "("}, "is no pattern"),
        ({"kind": "hang", "field": "names"}, "only the fault 'lose_field' takes a field"),
        ({"kind": "lose_field", "field": "names"}, "needs a system: assessor, treasurer"),
        ({"kind": "lose_field", "system": "recorder"}, "a field of the recorder is one of names"),
        (
            {"kind": "lose_field", "system": "assessor", "field": "Price"},
            "one of PropertyType, .*, not 'Price'",
        ),
        (
            {"kind": "lose_field", "system": "recorder", "field": "names", "how": "gone"},
            "one of absent, blank, not 'gone'",
        ),
    ],
)
def test_a_wrong_rule_is_refused_with_a_sentence(rule: object, says: str):
    with pytest.raises(ValueError, match=says):
        read_rule(rule)
