"""``validate`` and ``parse_validation``: does the assessor know this parcel, in one request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from propkit.errors import (
    InvalidAnswerError,
    LayoutChangedError,
    RequestError,
    SourceBlockedError,
    SourceRejectedError,
    SourceUnavailableError,
)
from propkit.http_client import Host, HttpAsk, HttpClient, Usage
from propkit.items import RetryPolicy
from propkit.pace import Pace
from propkit.sources import Payload, Source
from propkit.sources._config import find_sources
from propkit.sources.maricopa_assessor import MaricopaAssessor

if TYPE_CHECKING:
    from propkit.demo_county.county import County

SAVED = Path(__file__).parent / "maricopa_assessor"
APN = "30477566"
SEARCH = f"/search/property/?q={APN}&page=1"
SECOND = f"/search/property/?q={APN}&page=2"
AT_ONCE = RetryPolicy(attempts=2, backoff_initial=0, backoff_max=0, retry_after_max=1)
NEAR = [{"APN": f"{APN}{letter}"} for letter in "ABCDEFGHIJKLMNOPQRSTUVWXY"]

Make = Callable[..., Any]


@pytest.fixture
def validate(script: Make) -> Callable[..., tuple[bool, list[str]]]:
    """Return what is asked and answered where the office answers so."""

    def validated(answers: dict[str, object], key: str = APN) -> tuple[bool, list[str]]:
        run = script(MaricopaAssessor(), answers)
        payload = asyncio.run(run.source.validate(key, None, run.ask))
        return run.source.parse_validation(payload), run.asked

    return validated


@asynccontextmanager
async def _asking(county: County) -> AsyncIterator[HttpAsk]:
    host = Host(
        base_url=county.base_url("assessor"),
        pace=Pace(1e6, 10),
        headers={"AUTHORIZATION": county.token or ""},
    )
    async with (
        HttpClient(retry=AT_ONCE, request_timeout=60) as client,
        client.ask(host, Usage()) as ask,
    ):
        yield ask


async def _ask_county(county: County, key: str) -> bool:
    source = MaricopaAssessor()
    async with _asking(county) as ask:
        return source.parse_validation(await source.validate(key, None, ask))


def _paths(county: County) -> list[str]:
    return [entry["path"] for entry in county.ledger("assessor") if "robots" not in entry["path"]]


async def test_a_parcel_of_the_county_is_known_at_one_request(county: County) -> None:
    apns = county.apns(6)
    for apn in apns:
        county.clear_ledger()

        assert await _ask_county(county, f"{apn[:3]}-{apn[3:5]}-{apn[5:]}")
        assert len(_paths(county)) == 1


async def test_a_parcel_that_the_county_does_not_have_is_not_known(county: County) -> None:
    apn = county.apns(1)[0]
    county.clear_ledger()

    assert not await _ask_county(county, f"{apn[:8]}ZZ")
    assert len(_paths(county)) == 1


async def test_both_envelopes_of_the_search_are_read(county: County) -> None:
    county.switch(envelope="real_property")

    assert await _ask_county(county, county.apns(1)[0])


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "captcha"}, SourceBlockedError),
        ({"kind": "status", "status": 503}, SourceUnavailableError),
        ({"kind": "token_expiry"}, SourceRejectedError),
        ({"kind": "html200"}, InvalidAnswerError),
        ({"kind": "empty200"}, InvalidAnswerError),
        ({"kind": "truncated"}, InvalidAnswerError),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else "",
)
async def test_what_is_no_answer_settles_nothing(
    county: County, fault: dict[str, object], error: type[Exception]
) -> None:
    apn = county.apns(1)[0]
    county.switch(faults=[{"system": "assessor", "path": "^/search/", **fault}])

    with pytest.raises(error):
        await _ask_county(county, apn)


def test_a_parcel_is_known_by_its_own_number_only(validate: Make) -> None:
    near = {"TOTAL": 2, "Results": [{"APN": f"{APN}A"}, {"APN": "30477567"}]}
    exact = {"TOTAL": 2, "Results": [{"APN": f"{APN}A"}, {"APN": "304-77-566"}]}

    assert validate({SEARCH: near}) == (False, [SEARCH])
    assert validate({SEARCH: exact}) == (True, [SEARCH])
    assert validate({SEARCH: {"TOTAL": 0, "Results": []}}) == (False, [SEARCH])


def test_near_matches_are_read_to_their_end(validate: Make) -> None:
    first = {"TOTAL": 26, "Results": NEAR}

    last = {"TOTAL": 26, "Results": [{"APN": APN}]}
    assert validate({SEARCH: first, SECOND: last}) == (True, [SEARCH, SECOND])
    last = {"TOTAL": 26, "Results": [{"APN": "30477567"}]}
    assert validate({SEARCH: first, SECOND: last}) == (False, [SEARCH, SECOND])


@pytest.mark.parametrize(
    ("case", "known"),
    [
        ("unknown_parcel_with_near_matches", False),
        ("unknown_parcel_in_other_envelope", False),
    ],
)
def test_saved_answers_are_settled(validate: Make, case: str, known: bool) -> None:
    key = json.loads((SAVED / case / "case.json").read_text("utf-8"))["key"]
    answer = json.loads((SAVED / case / "search.json").read_text("utf-8"))

    assert validate({f"/search/property/?q={key}&page=1": answer}, key)[0] is known


@pytest.mark.parametrize(
    "answer", [{"Hits": []}, [{"APN": APN}], {"TOTAL": 1, "Results": [{"Parcel": 7}]}], ids=repr
)
def test_an_unknown_layout_is_no_unknown_parcel(validate: Make, answer: object) -> None:
    with pytest.raises(LayoutChangedError):
        validate({SEARCH: answer})


def test_a_count_without_rows_settles_nothing(validate: Make) -> None:
    with pytest.raises(InvalidAnswerError, match="no rows"):
        validate({SEARCH: {"TOTAL": 3, "Results": []}})


def test_what_is_no_apn_is_not_asked_for(validate: Make) -> None:
    with pytest.raises(RequestError, match="no APN"):
        validate({}, "SMITH")


@pytest.mark.parametrize(
    ("name", "body", "why"),
    [
        ("search", {"TOTAL": 26, "Results": NEAR}, "come to an end"),
        ("search", {"TOTAL": 3, "Results": []}, "no rows"),
        ("search", "<html><title>Just a moment...</title></html>", "got HTML"),
        ("parcel", {"APN": APN}, "no search"),
    ],
)
def test_a_payload_that_settles_nothing_is_invalid(
    page: Make, name: str, body: object, why: str
) -> None:
    payload = Payload(source="maricopa_assessor", key=APN, pages=(page(body, name=name),))

    with pytest.raises(InvalidAnswerError, match=why):
        MaricopaAssessor().parse_validation(payload)


def test_a_validation_is_no_record_of_a_parcel(page: Make) -> None:
    body = {"TOTAL": 1, "Results": [{"APN": APN}]}
    payload = Payload(source="maricopa_assessor", key=APN, pages=(page(body, name="search"),))

    with pytest.raises(InvalidAnswerError, match="no section"):
        MaricopaAssessor().parse(payload)


OFFICES = [source for source in find_sources().values() if source.county == "maricopa"]


def test_who_sells_is_no_county_office() -> None:
    others = set(find_sources()) - {source.name for source in OFFICES}

    assert others == {"propertyradar"}


@pytest.mark.parametrize("source", OFFICES, ids=lambda source: source.name)
def test_no_county_office_costs_credits(source: Source) -> None:
    assert getattr(type(source), "credits_per_item", None) == 0.0
