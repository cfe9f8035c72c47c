"""What is paid is sent once, and it is known whether it can have had an effect."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from propkit.demo_county.switches import Switches
from propkit.errors import (
    InvalidAnswerError,
    SourceError,
    SourceRejectedError,
    SourceTimeoutError,
    SourceUnavailableError,
)
from propkit.http_client import Host, HttpAsk, HttpClient
from propkit.items import RetryPolicy
from propkit.pace import Pace
from propkit.usage import Usage
from tests.guests.notebooks import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from propkit.demo_county import County

BODY = {"Criteria": [{"name": "State", "value": ["AZ"]}]}
PAID = {"Purchase": "1", "Limit": "1"}
RULE = {"system": "propertyradar", "path": "Purchase=1"}


@pytest.fixture
def selling(county: County) -> County:
    """Return the session's county with the leads API as it was started."""
    county.switch(leads=Switches().as_json()["leads"])
    county.clear_account()
    return county


@asynccontextmanager
async def asking(base_url: str, token: str, **options: Any) -> AsyncIterator[HttpAsk]:
    host = Host(
        base_url=base_url,
        pace=Pace(1e6, 10),
        headers={"Authorization": f"Bearer {token}"},
        obey_robots=False,
    )
    retry = RetryPolicy(attempts=3, backoff_initial=0, backoff_max=0, retry_after_max=5)
    client = HttpClient(retry=retry, request_timeout=options.get("request_timeout", 60))
    async with client, client.ask(host, Usage()) as ask:
        yield ask


def given(county: County) -> tuple[str, str]:
    settings = county.leads_settings()["propertyradar"]
    return settings["base_url"], settings["token"]


async def test_a_body_is_posted_and_the_answer_kept(selling: County):
    """One POST, its page among the item's pages."""
    async with asking(*given(selling)) as ask:
        page = await ask.send("/properties", name="count", params={"Purchase": "0"}, body=BODY)

    assert page.json()["results"] == []
    assert ask.pages == [page]
    assert [(e["method"], e["status"]) for e in selling.ledger("propertyradar")] == [("POST", 200)]


@pytest.mark.parametrize(
    ("fault", "error", "had_no_effect"),
    [
        ({"kind": "status", "status": 429, "retry_after": 0}, SourceUnavailableError, True),
        ({"kind": "status", "status": 503, "retry_after": 0}, SourceUnavailableError, False),
        ({"kind": "status", "status": 500}, SourceUnavailableError, False),
        ({"kind": "status", "status": 408}, SourceUnavailableError, False),
        ({"kind": "drop"}, SourceUnavailableError, False),
        ({"kind": "cut"}, SourceError, False),
        ({"kind": "truncated"}, InvalidAnswerError, False),
        ({"kind": "empty200"}, InvalidAnswerError, False),
        ({"kind": "204"}, InvalidAnswerError, False),
        ({"kind": "hang", "seconds": 20}, SourceTimeoutError, False),
    ],
)
async def test_what_is_paid_is_sent_once(
    selling: County, fault: dict[str, Any], error: type[SourceError], had_no_effect: bool
):
    """Whatever the answer: a refusal has no effect, of everything else nobody knows."""
    selling.switch(faults=[{**RULE, **fault}])
    patience = 1 if error is SourceTimeoutError else 30  # a busy machine may take a second
    async with asking(*given(selling), request_timeout=patience) as ask:
        with pytest.raises(error):
            await ask.send("/properties", name="leads", params=PAID, body=BODY, is_paid=True)

    wait_until(lambda: bool(selling.ledger("propertyradar")))  # it may see what hangs late
    assert len(selling.ledger("propertyradar")) == 1
    assert ask.had_no_effect is had_no_effect
    assert ask.attempts == 1


async def test_what_is_free_is_tried_again(selling: County):
    """The same faults at a count: two failures, then the answer."""
    selling.switch(
        faults=[{"kind": "status", "status": 500, "system": "propertyradar", "first": 2}]
    )
    async with asking(*given(selling)) as ask:
        await ask.send("/properties", name="count", params={"Purchase": "0"}, body=BODY)

    assert [e["status"] for e in selling.ledger("propertyradar")] == [500, 500, 200]
    assert ask.attempts == 3


async def test_a_refusal_that_explains_itself_is_a_page(selling: County):
    """402 with an error in JSON is for the source to read; 401 is the token's."""
    selling.switch(leads={"quota": 0, "price": None})
    base_url, token = given(selling)
    async with asking(base_url, token) as ask:
        page = await ask.send("/properties", name="leads", params=PAID, body=BODY, is_paid=True)
        refused = ask.had_no_effect
    async with asking(base_url, "wrong") as other:
        with pytest.raises(SourceRejectedError, match="HTTP 401"):
            await other.send("/properties", name="leads", params=PAID, body=BODY, is_paid=True)

    assert (page.status, refused, other.had_no_effect) == (402, True, True)


async def test_what_was_never_sent_has_no_effect(selling: County):
    """Nobody listens at the port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        async with asking(f"http://127.0.0.1:{port}", "token") as ask:
            with pytest.raises(SourceUnavailableError, match="cannot connect"):
                await ask.send("/properties", name="leads", params=PAID, body=BODY, is_paid=True)

    assert ask.had_no_effect is True
