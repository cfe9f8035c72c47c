from __future__ import annotations

import json
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx
import pytest

from propkit.demo_county import County
from propkit.demo_county.faults import FaultPlan, Rule, read_rule


@pytest.fixture
def path(county: County) -> str:
    return f"/assessor/parcel/{county.truth(county.apns(3))['parcels'][0]['apn']}"


def strike(county: County, **rule: object) -> None:
    county.switch(faults=[{"system": "assessor", "path": "^/parcel", **rule}])


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
    when = parsedate_to_datetime(client.get(path).headers["retry-after"])

    assert seconds == "7"
    assert 5 < (when - datetime.now(UTC)).total_seconds() <= 8


def test_a_hanging_request_is_in_flight_until_the_client_gives_up(
    client, county: County, path: str
):
    strike(county, kind="hang")

    with pytest.raises(httpx.ReadTimeout):
        client.get(path, timeout=0.2)

    entry = county.ledger()[0]
    assert (entry["fault"], entry["status"]) == ("hang", None)


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
    ],
)
def test_a_wrong_rule_is_refused_with_a_sentence(rule: object, says: str):
    with pytest.raises(ValueError, match=says):
        read_rule(rule)
