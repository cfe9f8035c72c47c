"""The HTTP client against the real demo county: polite, patient, and clear about what failed."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from propkit import http_client, http_line
from propkit.answers import read_retry_after
from propkit.errors import (
    CollectionCancelledError,
    InvalidAnswerError,
    SourceBlockedError,
    SourceError,
    SourceRejectedError,
    SourceTimeoutError,
    SourceUnavailableError,
)
from propkit.http_client import Host, HttpAsk, HttpClient, Usage
from propkit.items import RetryPolicy
from propkit.pace import Pace
from propkit.pages import Page
from tests.collecting import be_patient, note_places

if TYPE_CHECKING:
    from propkit.demo_county.county import County

ATTEMPTS = 3
AT_ONCE = RetryPolicy(attempts=ATTEMPTS, backoff_initial=0, backoff_max=0, retry_after_max=5)
SECRET = "tok-5f2c-do-not-show"
CLOCK = 0.002  # the county's clock and ours tick apart by less


def make_pace(requests_per_second: float = 1e6, max_in_flight: int = 10) -> Pace:
    return Pace(requests_per_second, max_in_flight)


def make_host(county: County, system: str = "assessor", **changes: Any) -> Host:
    fields: dict[str, Any] = {
        "base_url": county.base_url(system),
        "pace": make_pace(),
        "headers": {"AUTHORIZATION": county.token or ""},
        "obey_robots": False,
        **changes,
    }
    return Host(**fields)


@asynccontextmanager
async def asking(
    host: Host,
    *,
    retry: RetryPolicy = AT_ONCE,
    request_timeout: float = 60,
    should_stop: Callable[[], bool] = lambda: False,
) -> AsyncIterator[HttpAsk]:
    client = HttpClient(retry=retry, request_timeout=request_timeout)
    async with client, client.ask(host, Usage(should_stop=should_stop)) as ask:
        yield ask


def strike(county: County, kind: str, **rule: object) -> None:
    county.switch(faults=[{"kind": kind, **rule}])


def parcel_path(county: County, skip: int = 0) -> str:
    return f"/parcel/{county.apns(1, skip=skip)[0]}/valuations"


def statuses(county: County, system: str | None = None) -> list[int | None]:
    return [entry["status"] for entry in county.ledger(system)]


# ---------------------------------------------------------------- a good answer


async def test_a_good_answer_is_a_page_that_is_kept(county: County):
    """Everything about the answer as it came, and one request in the county's ledger."""
    path = parcel_path(county)
    before = datetime.now(UTC)

    async with asking(make_host(county)) as ask:
        page = await ask.get(path, name="valuations")

    assert page == Page(
        name="valuations",
        url=f"{county.base_url('assessor')}{path}",
        fetched_at=page.fetched_at,
        status=200,
        content_type=page.content_type,
        body=page.body,
    )
    assert before <= page.fetched_at <= datetime.now(UTC)
    assert page.json()[0]["TaxYear"]
    assert (ask.pages, ask.attempts, statuses(county)) == ([page], 1, [200])


@pytest.mark.parametrize("path", ["/search/rp/", "search/rp/"])
async def test_an_address_is_the_base_the_path_and_the_query(county: County, path: str):
    """However the slashes stand; the query is encoded."""
    host = make_host(county, base_url=county.base_url("assessor") + "/")

    async with asking(host) as ask:
        page = await ask.get(path, name="search", params={"q": "7 A&B ST", "page": "1"})

    assert page.url == f"{county.base_url('assessor')}/search/rp/?q=7+A%26B+ST&page=1"
    assert county.ledger()[0]["query"] == "q=7 A%26B ST&page=1"


async def test_every_request_says_who_asks(county: County):
    """The identity as it was configured, and nothing of the HTTP library's own."""
    identity = {
        "User-Agent": "null",
        "X-Client": "propkit/0.1.0 (+me@example.org)",
        "From": "me@example.org",
        "Referer": "https://recorder.maricopa.gov/",
    }
    host = make_host(county, "treasurer", headers=identity, obey_robots=True)
    apn = county.apns(1)[0]

    async with asking(host) as ask:
        await ask.get("/Parcel/", name="summary", params={"Parcel": apn}, expect="html")

    sent = {name.lower(): value for name, value in identity.items()} | {"accept": "*/*"}
    assert [(entry["path"], entry["headers"]) for entry in county.ledger()] == [
        ("/robots.txt", sent),
        ("/Parcel/", sent),
        ("/Parcel/Summary.aspx", sent),
    ]


async def test_without_a_user_agent_none_is_sent(county: County):
    """The assessor's contract forbids one: the library's own must not slip in."""
    async with asking(make_host(county)) as ask:
        await ask.get(parcel_path(county), name="valuations")

    assert county.ledger()[0]["headers"] == {"accept": "*/*"}
    assert county.ledger()[0]["has_authorization"] is True


# ---------------------------------------------------------------- too many requests


async def three_at_one_host(county: County, retry: RetryPolicy) -> list[dict[str, Any]]:
    """Ask two systems that share a pace, three parcels at once; return the ledger."""
    pace = make_pace(max_in_flight=1)
    hosts = [make_host(county, name, pace=pace) for name in ("assessor", "treasurer", "assessor")]
    paths = [parcel_path(county), "/Parcel/Summary.aspx", parcel_path(county, skip=1)]
    expects = ["json", "html", "json"]
    async with HttpClient(retry=retry, request_timeout=60) as client:

        async def one(number: int) -> None:
            async with client.ask(hosts[number], Usage()) as ask:
                await ask.get(paths[number], name="page", expect=expects[number])  # type: ignore[arg-type]

        await asyncio.gather(*(one(number) for number in range(3)))
    assert pace.refused == 1
    return county.ledger()


def quiet_seconds(ledger: list[dict[str, Any]]) -> float:
    """Seconds between the first answer, which was a refusal, and the next request."""
    refused, *others = ledger
    assert [entry["status"] for entry in others] == [200, 200, 200]
    ended = refused["started_monotonic"] + refused["seconds"]
    return float(min(entry["started_monotonic"] for entry in others) - ended)


@pytest.mark.parametrize(("status", "form"), [(429, "seconds"), (503, "date")])
async def test_retry_after_pauses_the_whole_host(county: County, status: int, form: str):
    """No request of anyone starts before; the refused one is asked again."""
    strike(county, "status", status=status, retry_after=1, retry_after_form=form, first=1)

    ledger = await three_at_one_host(county, AT_ONCE)

    assert ledger[0]["status"] == status
    # A date has whole seconds, rounded up by the county.
    assert 0.99 <= quiet_seconds(ledger) < 60


async def test_a_refusal_without_retry_after_pauses_the_host_by_the_backoff(
    county: County, monkeypatch
):
    """The drawn pause is for all who ask the host, not for the refused alone."""
    monkeypatch.setattr(random, "random", lambda: 1.0)
    strike(county, "status", status=429, first=1)

    ledger = await three_at_one_host(county, RetryPolicy(backoff_initial=0.25))

    assert 0.25 - CLOCK <= quiet_seconds(ledger) < 60


async def test_a_pause_longer_than_allowed_gives_the_item_up(county: County):
    """One request, no wait, and the reason in the error."""
    strike(county, "status", status=429, retry_after=600)
    host = make_host(county)

    async with asking(host) as ask:
        with pytest.raises(SourceUnavailableError, match=r"left alone for (600|5[5-9]\d) s"):
            await ask.get(parcel_path(county), name="valuations")

    assert statuses(county) == [429]
    assert 500 < host.pace.wait_seconds <= 600


async def test_the_countys_own_limit_is_never_met_at_its_pace(county: County):
    """Twelve at once, asked at the county's limit: nothing is refused."""
    county.switch(limits={"assessor": {"requests_per_second": 20, "burst": 4, "max_in_flight": 2}})
    host = make_host(county, pace=Pace(20, 2))
    before = county.health()["violations"]

    async with HttpClient(retry=AT_ONCE, request_timeout=60) as client:

        async def one(number: int) -> None:
            async with client.ask(host, Usage()) as ask:
                await ask.get(parcel_path(county, skip=number), name="valuations")

        await asyncio.gather(*(one(number) for number in range(12)))

    assert statuses(county) == [200] * 12
    assert county.health()["violations"] == before


# ---------------------------------------------------------------- what heals, and what does not

HEALING: dict[str, tuple[dict[str, object], type[SourceError], str]] = {
    "429": ({"kind": "status", "status": 429}, SourceUnavailableError, "HTTP 429"),
    "500": ({"kind": "status", "status": 500}, SourceUnavailableError, "HTTP 500"),
    "502": ({"kind": "status", "status": 502}, SourceUnavailableError, "HTTP 502"),
    "503": ({"kind": "status", "status": 503}, SourceUnavailableError, "HTTP 503"),
    "504": ({"kind": "status", "status": 504}, SourceUnavailableError, "HTTP 504"),
    "hang": ({"kind": "hang"}, SourceTimeoutError, "no answer in time"),
    "slow": ({"kind": "slow", "seconds": 60}, SourceTimeoutError, "no answer in time"),
    "drop": ({"kind": "drop"}, SourceUnavailableError, "ServerDisconnectedError"),
    "cut": ({"kind": "cut"}, InvalidAnswerError, "the answer was cut short"),
    "truncated": ({"kind": "truncated"}, InvalidAnswerError, "expected JSON, got bad JSON"),
    "html200": ({"kind": "html200"}, InvalidAnswerError, "expected JSON, got HTML"),
    "empty200": ({"kind": "empty200"}, InvalidAnswerError, "expected JSON, got an empty body"),
    "204": ({"kind": "204"}, InvalidAnswerError, "expected JSON, got an empty body"),
    "charset": ({"kind": "wrong_charset"}, InvalidAnswerError, "not readable as utf-8"),
}


def patience(name: str, seconds: float) -> float:
    """Return the timeout: short where silence is the fault, so that nothing waits for nothing."""
    return seconds if name in {"hang", "slow"} else 60


@pytest.mark.parametrize("name", HEALING)
async def test_what_can_heal_is_tried_again(
    county: County, monkeypatch: pytest.MonkeyPatch, name: str
):
    """Two failures, then the answer: three requests, and the item is as good as any."""
    rule, _, _ = HEALING[name]
    county.switch(faults=[{**rule, "first": 2}])
    is_silent = iter([True, True, False])
    be_patient(monkeypatch, lambda _: next(is_silent))

    async with asking(make_host(county), request_timeout=patience(name, 0.5)) as ask:
        page = await ask.get(parcel_path(county), name="valuations")

    assert page.json()[0]["TaxYear"]
    assert (ask.pages, ask.attempts) == ([page], 3)
    assert [entry["fault"] for entry in county.ledger()] == [rule["kind"], rule["kind"], None]


def everything_said(error: BaseException, caplog: pytest.LogCaptureFixture) -> str:
    return f"{error} {error!r} {error.__cause__!r} {error.__context__!r} {caplog.text}"


@pytest.mark.parametrize("name", HEALING)
async def test_what_does_not_heal_is_given_up_after_the_attempts(county, caplog, name: str):
    """As many requests as attempts, the last answer kept as evidence, the token unsaid."""
    rule, kind, said = HEALING[name]
    county.switch(faults=[rule], token=SECRET)
    caplog.set_level("DEBUG")
    path = parcel_path(county)

    async with asking(make_host(county), request_timeout=patience(name, 0.5)) as ask:
        with pytest.raises(SourceError) as caught:
            await ask.get(path, name="valuations")

    assert type(caught.value) is kind
    assert str(caught.value).startswith("valuations: ")
    assert said in str(caught.value)
    assert caught.value.url == f"{county.base_url('assessor')}{path}"
    while len(county.ledger()) < ATTEMPTS:  # noqa: ASYNC110 -- it may see the last one late
        await asyncio.sleep(0.01)
    assert [entry["has_authorization"] for entry in county.ledger()] == [True] * ATTEMPTS
    kept = [] if name in {"hang", "slow", "drop", "cut"} else ["valuations (failed)"]
    assert ([page.name for page in ask.pages], ask.attempts) == (kept, ATTEMPTS)
    assert SECRET not in everything_said(caught.value, caplog)


FINAL: dict[str, tuple[dict[str, object], type[SourceError], str]] = {
    "captcha": ({"kind": "captcha"}, SourceBlockedError, "a captcha or challenge page"),
    "captcha 403": (
        {"kind": "captcha", "status": 403},
        SourceBlockedError,
        "a captcha or challenge page",
    ),
    "captcha 503": (
        {"kind": "captcha", "status": 503},
        SourceBlockedError,
        "a captcha or challenge page",
    ),
    "401": ({"kind": "token_expiry", "system": "assessor"}, SourceRejectedError, "HTTP 401"),
    "402": ({"kind": "status", "status": 402}, SourceRejectedError, "HTTP 402"),
    "403": ({"kind": "status", "status": 403}, SourceRejectedError, "HTTP 403"),
    "400": ({"kind": "status", "status": 400}, InvalidAnswerError, "HTTP 400"),
    "404": ({"kind": "status", "status": 404}, InvalidAnswerError, "HTTP 404"),
}


@pytest.mark.parametrize("expect", ["json", "html"])
@pytest.mark.parametrize("name", FINAL)
async def test_what_cannot_heal_is_asked_once(county, caplog, name: str, expect: Any):
    """A captcha, a refused token, a wrong address: exactly one request, the token unsaid."""
    rule, kind, said = FINAL[name]
    county.switch(faults=[rule], token=SECRET)
    caplog.set_level("DEBUG")

    async with asking(make_host(county)) as ask:
        with pytest.raises(SourceError) as caught:
            await ask.get(parcel_path(county), name="valuations", expect=expect)

    assert type(caught.value) is kind
    assert said in str(caught.value)
    assert [entry["has_authorization"] for entry in county.ledger()] == [True]
    assert SECRET not in everything_said(caught.value, caplog)


async def test_a_wrong_token_is_a_rejection(county: County):
    """The county's true answer to a token that it does not know."""
    async with asking(make_host(county, headers={"AUTHORIZATION": "stale"})) as ask:
        with pytest.raises(SourceRejectedError, match="refuses the token, or wants one"):
            await ask.get(parcel_path(county), name="valuations")

    assert statuses(county) == [401]


async def test_the_treasurers_empty_pages_are_named(county: County):
    """For pages too, an empty 200 and a cut page are no pages."""
    said = []
    for kind in ("empty200", "truncated", "204"):
        strike(county, kind, system="treasurer")
        async with asking(make_host(county, "treasurer")) as ask:
            with pytest.raises(InvalidAnswerError) as caught:
                await ask.get("/Parcel/Summary.aspx", name="summary", expect="html")
            said.append(str(caught.value).partition(" (")[0])

    assert said == [
        "summary: expected a page, got an empty body",
        "summary: the page is cut short",
        "summary: expected a page, got an empty body",
    ]
    assert len(county.ledger()) == 3 * ATTEMPTS


async def test_an_unreachable_host_is_unavailable():
    """Nobody listens: after the attempts, with the host's address and port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        host = Host(base_url=f"http://127.0.0.1:{port}", pace=make_pace())

        async with asking(host) as ask:
            with pytest.raises(SourceUnavailableError, match=rf"robots.txt: .*127\.0\.0\.1:{port}"):
                await ask.get("/x", name="page")

    assert host.pace.requests == ATTEMPTS


async def test_an_unknown_host_name_is_unavailable():
    """A typing error in base_url."""
    host = Host(base_url="http://county.invalid", pace=make_pace(), obey_robots=False)

    async with asking(host) as ask:
        with pytest.raises(SourceUnavailableError, match=r"county\.invalid"):
            await ask.get("/x", name="page")


async def test_pauses_between_attempts_are_drawn_by_the_policy(county: County, monkeypatch):
    """Exponential with full jitter: the draw times the ceiling."""
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def note(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    monkeypatch.setattr(random, "random", lambda: 0.5)
    monkeypatch.setattr(asyncio, "sleep", note)
    strike(county, "status", status=500)
    retry = RetryPolicy(attempts=4, backoff_initial=2, backoff_max=6)

    async with asking(make_host(county), retry=retry) as ask:
        with pytest.raises(SourceUnavailableError):
            await ask.get(parcel_path(county), name="valuations")

    assert [seconds for seconds in pauses if seconds > 1e-3] == [1, 2, 3]


# ---------------------------------------------------------------- accept


async def test_accept_keeps_what_means_something(county: County):
    """A 404 at once; the page is kept as any other."""
    strike(county, "status", status=404)

    async with asking(make_host(county)) as ask:
        page = await ask.get("/parcel/1", name="p", accept=lambda page: page.status == 404)

    assert (page.status, ask.pages, statuses(county)) == (404, [page], [404])


async def test_accept_is_asked_about_a_500_only_when_it_did_not_heal(county: County):
    """The assessor says "no such parcel" with 500: first see whether it is an outage."""
    strike(county, "status", status=500, first=2)
    async with asking(make_host(county)) as ask:
        healed = await ask.get(parcel_path(county), name="p", accept=lambda page: True)
    strike(county, "status", status=500)

    async with asking(make_host(county)) as ask:
        kept = await ask.get(parcel_path(county), name="p", accept=lambda page: True)

    assert (healed.status, kept.status) == (200, 500)
    assert statuses(county) == [500, 500, 200, 500, 500, 500]


@pytest.mark.parametrize("name", ["captcha", "401"])
async def test_accept_lets_no_wall_pass(county: County, name: str):
    """A captcha or a refused token never means something about a parcel."""
    rule, kind, _ = FINAL[name]
    county.switch(faults=[rule])

    async with asking(make_host(county)) as ask:
        with pytest.raises(kind):
            await ask.get(parcel_path(county), name="p", accept=lambda page: True)

    assert len(county.ledger()) == 1


# ---------------------------------------------------------------- redirects and sessions


async def test_each_redirect_takes_a_place_of_the_pace(
    county: County, monkeypatch: pytest.MonkeyPatch
):
    """The treasurer's 302 and its target are two requests, spaced as two."""
    host = make_host(county, "treasurer", pace=make_pace(5), is_session_bound=True)
    apn = county.apns(1)[0]
    places = note_places(monkeypatch)

    async with asking(host) as ask:
        page = await ask.get("/Parcel/", name="summary", params={"Parcel": apn}, expect="html")

    (_, first), (_, second) = places
    assert second - first >= 0.2 - CLOCK
    assert statuses(county) == [302, 200]
    assert page.url == f"{county.base_url('treasurer')}/Parcel/Summary.aspx"
    assert host.pace.requests == 2


async def test_two_parcels_in_flight_never_share_a_session(county: County):
    """Interleaved step by step, each ask reads its own parcel."""
    host = make_host(county, "treasurer", is_session_bound=True)
    apns = county.apns(2)

    async def steps(ask: HttpAsk, apn: str, turn: asyncio.Barrier) -> list[bool]:
        found = []
        for path, params in (
            ("/Parcel/", {"Parcel": apn}),
            ("/Parcel/Summary.aspx", {"List": "All"}),
            ("/Parcel/Activities.aspx", None),
        ):
            page = await ask.get(path, name="page", params=params, expect="html")
            shown = [f"{one[:3]}-{one[3:5]}-{one[5:]}" in page.text for one in apns]
            found.append(shown == [one == apn for one in apns])
            await turn.wait()
        return found

    turn = asyncio.Barrier(2)
    async with HttpClient(retry=AT_ONCE, request_timeout=60) as client:
        async with client.ask(host, Usage()) as one, client.ask(host, Usage()) as two:
            found = await asyncio.gather(steps(one, apns[0], turn), steps(two, apns[1], turn))
        async with client.ask(host, Usage()) as three:
            await three.get("/Parcel/Summary.aspx", name="page", expect="html")

    assert found == [[True] * 3, [True] * 3]
    sessions = [entry["session"] for entry in county.ledger()]
    # Each item's first request comes without a cookie, a later item's too.
    assert (sessions.count(None), sessions[-1], len(set(sessions))) == (3, None, 3)


async def test_a_source_without_sessions_keeps_no_cookies(county: County):
    """What one item was told must not follow into the next."""
    async with asking(make_host(county, "treasurer")) as ask:
        for _ in range(2):
            await ask.get("/Parcel/Summary.aspx", name="page", expect="html")

    assert [entry["session"] for entry in county.ledger()] == [None, None]


# ---------------------------------------------------------------- robots.txt


def asked_paths(county: County) -> list[tuple[str, str]]:
    return [(entry["system"], entry["path"]) for entry in county.ledger()]


ROBOTS = ("root", "/robots.txt")


@pytest.mark.parametrize(
    "rules",
    [
        "User-agent: *\nDisallow: /assessor/parcel/\n",
        "User-agent: propkit\nDisallow: /\n\nUser-agent: *\nDisallow:\n",
    ],
)
async def test_robots_txt_that_forbids_is_obeyed(county: County, rules: str):
    """For everybody or for propkit by name: no request but the one for robots.txt."""
    county.switch(robots={"root": rules})

    async with asking(make_host(county, obey_robots=True)) as ask:
        for _ in range(2):
            with pytest.raises(SourceBlockedError, match=r"robots\.txt forbids"):
                await ask.get(parcel_path(county), name="valuations")

    assert asked_paths(county) == [ROBOTS]


async def test_robots_txt_is_read_once_for_all_who_ask(county: County):
    """At the host's root, before the first page, however many begin at once."""
    host = make_host(county, obey_robots=True)
    county.switch(robots={"root": "User-agent: other\nDisallow: /\n"})
    paths = [parcel_path(county, skip=number) for number in range(4)]

    async with HttpClient(retry=AT_ONCE, request_timeout=60) as client:

        async def one(path: str) -> None:
            async with client.ask(host, Usage()) as ask:
                await ask.get(path, name="valuations")

        await asyncio.gather(*(one(path) for path in paths))

    assert asked_paths(county)[0] == ROBOTS
    assert sorted(asked_paths(county)[1:]) == sorted(("assessor", path) for path in paths)


async def test_robots_txt_is_read_anew_after_a_day(county: County, monkeypatch: pytest.MonkeyPatch):
    """A process may live for weeks: what the county forbids meanwhile is not asked for."""
    clock = Mock(wraps=time, monotonic=Mock(return_value=1000.0))
    monkeypatch.setattr(http_client, "time", clock)
    path = parcel_path(county)

    async with asking(make_host(county, obey_robots=True)) as ask:
        await ask.get(path, name="valuations")
        county.switch(robots={"root": "User-agent: *\nDisallow: /\n"})
        clock.monotonic.return_value += 24 * 3600
        await ask.get(path, name="valuations")
        clock.monotonic.return_value += 1
        for _ in range(2):
            with pytest.raises(SourceBlockedError, match=r"robots\.txt forbids"):
                await ask.get(path, name="valuations")

    assert asked_paths(county) == [ROBOTS, ("assessor", path), ("assessor", path), ROBOTS]


async def test_of_robots_txt_that_was_read_nothing_but_the_rules_is_kept(county: County):
    """While it cannot be had, each item asks for it once more."""
    strike(county, "status", path="robots", status=500)
    host = make_host(county, obey_robots=True)

    async with HttpClient(retry=AT_ONCE, request_timeout=60) as client:
        for _ in range(3):
            with pytest.raises(SourceUnavailableError):
                async with client.ask(host, Usage()) as ask:
                    await ask.get(parcel_path(county), name="valuations")

        assert (list(client._origins), client._robots) == ([host], {})


async def test_robots_txt_is_not_asked_for_when_the_settings_say_so(county: County):
    """``obey_robots = false`` is for a county that allowed it in writing."""
    county.switch(robots={"root": "User-agent: *\nDisallow: /\n"})

    async with asking(make_host(county, obey_robots=False)) as ask:
        await ask.get(parcel_path(county), name="valuations")

    assert [system for system, _ in asked_paths(county)] == ["assessor"]


async def test_a_crawl_delay_slows_the_pace(county: County, monkeypatch: pytest.MonkeyPatch):
    """The delay is kept between all later requests; a faster pace of ours does not count."""
    county.switch(robots={"root": "User-agent: *\nCrawl-delay: 0.2\n"})
    host = make_host(county, obey_robots=True)
    places = note_places(monkeypatch)

    async with asking(host) as ask:
        for _ in range(3):
            await ask.get(parcel_path(county), name="valuations")

    times = [at for url, at in places if "/parcel/" in url]
    assert len(times) == len(county.ledger("assessor")) == 3
    assert host.pace.spacing_seconds == 0.2
    assert min(later - earlier for earlier, later in pairwise(times)) >= 0.2 - CLOCK


@pytest.mark.parametrize(
    "rule",
    [
        {"kind": "status", "status": 404},
        {"kind": "status", "status": 410},
        {"kind": "status", "status": 401},
        {"kind": "status", "status": 403},
        {"kind": "captcha", "status": 403},
        {"kind": "html200"},
        {"kind": "empty200"},
        {"kind": "204"},
    ],
    ids=lambda rule: f"{rule['kind']}-{rule.get('status', '')}",
)
async def test_without_rules_everything_is_allowed(county: County, rule: dict[str, object]):
    """RFC 9309, 2.3.1.3: a robots.txt that is refused or does not exist forbids nothing."""
    county.switch(faults=[{**rule, "path": "robots"}])
    path = parcel_path(county)

    async with asking(make_host(county, obey_robots=True)) as ask:
        await ask.get(path, name="valuations")

    assert asked_paths(county) == [ROBOTS, ("assessor", path)]


@pytest.mark.parametrize("kind", ["status", "hang", "drop"])
async def test_while_robots_txt_cannot_be_had_nothing_is_asked(
    county: County, monkeypatch: pytest.MonkeyPatch, kind: str
):
    """RFC 9309, 2.3.1.4: 5xx and silence forbid everything; the next item tries again."""
    strike(county, kind, path="robots", status=500 if kind == "status" else None)
    path = parcel_path(county)
    timeout, given_up = patience(kind, 0.3), []
    be_patient(monkeypatch, lambda _: not given_up)

    async with asking(make_host(county, obey_robots=True), request_timeout=timeout) as ask:
        with pytest.raises(SourceUnavailableError, match=r"^robots\.txt: "):
            await ask.get(path, name="valuations")
        given_up = asked_paths(county)
        county.switch(faults=[])
        await ask.get(path, name="valuations")

    assert given_up == [ROBOTS] * ATTEMPTS
    assert asked_paths(county)[ATTEMPTS:] == [ROBOTS, ("assessor", path)]


# ---------------------------------------------------------------- stopping


async def test_a_stop_ends_before_the_next_request(county: County):
    """What is in flight ends; nothing further is sent."""
    stopped: list[bool] = []

    async with asking(make_host(county), should_stop=lambda: bool(stopped)) as ask:
        await ask.get(parcel_path(county), name="one")
        stopped.append(True)
        with pytest.raises(CollectionCancelledError):
            await ask.get(parcel_path(county, skip=1), name="two")

    assert len(county.ledger()) == 1
    assert [page.name for page in ask.pages] == ["one"]


async def test_a_stop_ends_the_attempts(county: County):
    """A failing request is not tried again after a cancel."""
    strike(county, "status", status=500)

    async with asking(make_host(county), should_stop=lambda: bool(county.ledger())) as ask:
        with pytest.raises(CollectionCancelledError):
            await ask.get(parcel_path(county), name="one")

    assert len(county.ledger()) == 1


async def test_a_stop_does_not_wait_for_the_end_of_a_pause(county: County):
    """Who pressed cancel is not kept waiting by a host that is paused, and no place is used up."""
    host = make_host(county)
    host.pace.pause(40)

    async with asking(host, should_stop=lambda: True) as ask, asyncio.timeout(30):
        with pytest.raises(CollectionCancelledError):
            await ask.get(parcel_path(county), name="one")

    assert (county.ledger(), host.pace.requests) == ([], 0)


async def test_a_stop_counts_also_while_a_request_waits_for_its_place(county: County):
    """A request that waited for the end of a pause is not sent after a cancel."""
    stopped: list[bool] = []
    now, path = [0.0], parcel_path(county)
    host = make_host(county, pace=Pace(1e6, 10, clock=lambda: now[0]))

    async with asking(host, should_stop=lambda: bool(stopped)) as ask:
        host.pace.pause(0.05)
        one = asyncio.create_task(ask.get(path, name="one"))
        await asyncio.sleep(0)
        assert not one.done()
        stopped.append(True)
        now[0] = 1.0  # the pause ends only after the cancel
        with pytest.raises(CollectionCancelledError):
            await one

    assert county.ledger() == []


async def test_a_cancelled_request_gives_its_place_back(county: County):
    """The next item can ask although the one before was cut off in flight."""
    strike(county, "hang", first=1)
    host = make_host(county, pace=make_pace(max_in_flight=1))

    async with asking(host) as ask:
        one = asyncio.create_task(ask.get(parcel_path(county), name="one"))
        while not county.health()["in_flight"]["assessor"]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        one.cancel()
        with pytest.raises(asyncio.CancelledError):
            await one
        page = await ask.get(parcel_path(county), name="two")

    assert page.status == 200


# ---------------------------------------------------------------- servers of other makes

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handlers: Mapping[str, Handler]) -> AsyncIterator[tuple[str, list[str]]]:
    """Serve on loopback; give the address and the paths asked for so far."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        return await handlers[request.path](request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", asked
    finally:
        await runner.cleanup()


def outside_host(url: str) -> Host:
    return Host(base_url=url, pace=make_pace(), obey_robots=False, headers={"AUTHORIZATION": "t"})


def move_to(target: str) -> Handler:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": target.format(host=request.host)})

    return answer


async def give_ok(request: web.Request) -> web.Response:
    return web.json_response("ok")


@pytest.mark.parametrize("chunks", [[b"[1", b", 2", b"]"], [b"[" + b"1," * 300_000, b"1]"]])
async def test_a_body_that_comes_in_pieces_is_read_to_its_end(chunks: list[bytes]):
    """A slow server flushes as it goes, and a parcel with sketches is large."""

    async def dribble(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
            await asyncio.sleep(0.02)
        return response

    async with serving({"/x": dribble}) as (url, _), asking(outside_host(url)) as ask:
        page = await ask.get("/x", name="page")

    assert page.body == b"".join(chunks)
    assert ask.attempts == 1


OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@asynccontextmanager
async def saying(*answers: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Say these answers on loopback, a connection each; give the address and what was asked."""
    asked: list[bytes] = []
    left = list(answers)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(left.pop(0))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK, id="hints first"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + OK, id="go on first"),
        pytest.param(OK, id="one answer"),
    ],
)
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'Content-Length: 4\r\n\r\n"ok"', id="of a length"),
        pytest.param(b'\r\n"ok"', id="to the end"),
        pytest.param(
            b'Transfer-Encoding: chunked\r\n\r\n2\r\n"o\r\n2\r\nk"\r\n0\r\n\r\n', id="in chunks"
        ),
    ],
)
async def test_an_answer_is_told_in_any_of_http_ways(answer: bytes, body: bytes):
    """What comes before it is no answer; a connection that ends with it is as good as a length."""
    async with saying(answer + body) as (url, asked), asking(outside_host(url)) as ask:
        page = await ask.get("/x", name="page")

    head = f"Host: {url.removeprefix('http://')}\r\nAUTHORIZATION: t\r\nAccept: */*"
    assert (page.status, page.json(), len(asked)) == (200, "ok", 1)
    assert asked[0].startswith(f"GET /x HTTP/1.1\r\n{head}\r\nAccept-Encoding: ".encode())


async def test_what_is_no_http_is_an_unavailable_host():
    """Tried again as any other."""
    answers = b"NONSENSE\r\n\r\n", OK + b'\r\n"ok"'

    async with saying(*answers) as (url, asked), asking(outside_host(url)) as ask:
        page = await ask.get("/x", name="page")

    assert (page.json(), ask.attempts, len(asked)) == ("ok", 2, 2)


async def test_credentials_in_the_address_are_sent_as_such():
    """As every client does; the request's own line does not show them."""
    async with saying(OK + b'\r\n"ok"') as (url, asked):
        host = Host(
            base_url=url.replace("http://", "http://me:mine@"), pace=make_pace(), obey_robots=False
        )
        async with asking(host) as ask:
            await ask.get("/x", name="page")

    lines = asked[0].decode().splitlines()
    assert lines[:2] == ["GET /x HTTP/1.1", f"Host: {url.removeprefix('http://')}"]
    assert "Authorization: Basic bWU6bWluZQ==" in lines


@pytest.mark.parametrize("value", ["t\r\nX-Other: 1", "t\n", "\0"])
async def test_a_header_cannot_hold_another(value: str):
    """A token with a line break in it is refused before anything is sent."""
    async with serving({"/x": give_ok}) as (url, asked):
        host = Host(base_url=url, pace=make_pace(), obey_robots=False, headers={"T": value})
        async with asking(host) as ask:
            with pytest.raises(ValueError, match="header"):
                await ask.get("/x", name="page")

    assert asked == []


@pytest.mark.parametrize("size", [1000, 1001])
async def test_a_body_may_not_be_endless(monkeypatch, size: int):
    """The limit is exact; a larger body is named as such."""
    monkeypatch.setattr(http_line, "MAX_BODY_BYTES", 1000)

    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=b"1" * size, content_type="application/json")

    async with serving({"/x": answer}) as (url, _), asking(outside_host(url)) as ask:
        if size > 1000:
            with pytest.raises(InvalidAnswerError, match="page: the answer is too large"):
                await ask.get("/x", name="page")
        else:
            assert len((await ask.get("/x", name="page")).body) == size


@pytest.mark.parametrize("target", ["/ok", "ok", "http://{host}/ok"])
async def test_a_redirect_within_the_host_is_followed(target: str):
    """Absolute or relative."""
    handlers = {"/x": move_to(target), "/ok": give_ok}

    async with serving(handlers) as (url, asked), asking(outside_host(url)) as ask:
        page = await ask.get("/x", name="page")

    assert (page.url, page.json(), asked) == (f"{url}/ok", "ok", ["/x", "/ok"])


@pytest.mark.parametrize("target", ["http://localhost:{port}/ok", "http://127.0.0.1:9/ok"])
async def test_a_redirect_to_another_host_is_a_block(target: str):
    """A login elsewhere: it is not followed, so the token goes nowhere else."""
    async with serving({"/ok": give_ok}) as (url, asked):
        away = target.format(port=URL(url).port)
        handlers = {"/x": move_to(away)}
        async with serving(handlers) as (start, _), asking(outside_host(start)) as ask:
            with pytest.raises(SourceBlockedError, match=f"page: sent to {URL(away).host}"):
                await ask.get("/x", name="page")

    assert asked == []


async def test_where_files_are_offered_a_redirect_may_lead_to_another_site():
    """That site hears who asks and no token, and its own robots.txt holds."""
    heard: list[tuple[str, str | None, str | None]] = []

    async def give(request: web.Request) -> web.Response:
        said = request.headers
        heard.append((request.path, said.get("User-Agent"), said.get("AUTHORIZATION")))
        rules = "User-agent: *\nDisallow: /private\n"
        return web.Response(text=rules if request.path == "/robots.txt" else '"ok"')

    async with serving({"/ok": give, "/private": give, "/robots.txt": give}) as (url, _):
        away = f"http://localhost:{URL(url).port}"
        handlers = {path: move_to(away + path) for path in ("/ok", "/private")}
        async with serving({**handlers, "/robots.txt": give_ok}) as (start, asked):
            headers = {"User-Agent": "propkit/test", "AUTHORIZATION": "t"}
            host = Host(base_url=start, pace=make_pace(), headers=headers, may_lead_away=True)
            async with asking(host) as ask:
                page = await ask.get("/ok", name="page")
                with pytest.raises(SourceBlockedError, match=r"robots\.txt forbids"):
                    await ask.get("/private", name="page")

    assert (page.url, page.json()) == (f"{away}/ok", "ok")
    assert asked == ["/robots.txt", "/ok", "/private"]
    assert heard == [(path, "propkit/test", None) for path in ("/robots.txt", "/ok")]


async def test_redirects_in_a_circle_end():
    """Five requests an attempt, and an answer that is none."""
    async with serving({"/x": move_to("/x")}) as (url, asked), asking(outside_host(url)) as ask:
        with pytest.raises(InvalidAnswerError, match="page: more than 5 redirects"):
            await ask.get("/x", name="page")

    assert asked == ["/x"] * 5 * ATTEMPTS


@pytest.mark.parametrize("target", ["http://[bad", "http://h:99999999/"])
async def test_a_redirect_to_nonsense_is_an_invalid_answer(target: str):
    """No error of the URL library reaches the batch."""
    async with serving({"/x": move_to(target)}) as (url, _), asking(outside_host(url)) as ask:
        with pytest.raises(InvalidAnswerError, match="page: sent to "):
            await ask.get("/x", name="page")


# ---------------------------------------------------------------- Retry-After

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)

RETRY_AFTER = [
    (None, None),
    ("", None),
    ("0", 0.0),
    ("120", 120.0),
    (" 2 ", 2.0),
    ("1.5", 1.5),
    ("-5", None),
    ("soon", None),
    ("Sun, 22 Nov 2026 12:01:30 GMT", 90.0),
    ("Sun, 22 Nov 2026 12:01:30 -0000", 90.0),
    ("Sun, 22 Nov 2026 05:01:30 -0700", 90.0),
    ("Sunday, 22-Nov-26 12:01:30 GMT", 90.0),
    ("Sun Nov 22 12:01:30 2026", 90.0),
    ("Sun, 22 Nov 2026 11:59:00 GMT", 0.0),
    ("Sun, 22 Nov 2026 25:00:00 GMT", None),
    ("Sun, 22 Nov 2026 12:00:00 +99999999999999999", None),
]


@pytest.mark.parametrize(("text", "expected"), RETRY_AFTER)
def test_retry_after_is_read_as_seconds_or_a_date(text: str | None, expected: float | None):
    """The three date forms of HTTP; the past is now; nonsense is as if nothing was said."""
    assert read_retry_after(text, NOW) == expected


@given(st.integers(0, 10**7))
def test_retry_after_gives_back_what_was_asked(seconds: int):
    """As seconds and as a date."""
    date = format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)

    assert read_retry_after(str(seconds), NOW) == seconds
    assert read_retry_after(date, NOW) == seconds


header_like = st.text("0123456789 ,:-+.GMTSunNov", max_size=40)


@given(st.text(max_size=40) | header_like)
def test_any_retry_after_is_seconds_from_0_or_nothing(text: str):
    """A header of whatever kind breaks no batch."""
    found = read_retry_after(text, NOW)

    assert found is None or found >= 0
