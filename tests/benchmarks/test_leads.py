"""The leads scenario on a few leads: the demo county's own pages, and everybody buys the same."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request

from propkit.demo_county.county import opener, start_county
from propkit.demo_county.faults import ALL_SYSTEMS
from tests.benchmarks import measuring, targets
from tests.benchmarks.lead_pages import LeadPages
from tests.benchmarks.leads_by_hand import page_body, page_query
from tests.benchmarks.propkit_client import longest_gap
from tests.benchmarks.scenarios import SCENARIOS
from tests.benchmarks.server import Connection, Host, HostSpec

FEW = 60


def test_pages_are_those_of_the_demo_county() -> None:
    seed = 7
    pages = LeadPages.make(FEW, seed)
    query = f"/v1/properties?{urlencode({**page_query(40), 'Limit': '50'})}"

    found = pages.find(query)

    assert found is not None
    key, body = found
    assert key == "40+50, purchase 1"
    county_size = FEW + FEW // 50 + 50  # as LeadPages makes it
    with start_county(parcels=county_size, seed=seed, limits=dict.fromkeys(ALL_SYSTEMS)) as county:
        request = Request(  # noqa: S310 -- of the county on loopback
            f"{county.url}/propertyradar{query}",
            data=json.dumps(page_body()).encode(),
            headers={"Authorization": "Bearer demo-leads-token"},
        )
        with opener.open(request) as answer:
            expected = json.loads(answer.read())
    made = json.loads(body)
    assert made["results"] == expected["results"][: FEW - 40]
    assert made.keys() == expected.keys()
    assert (made["resultCount"], made["totalResultCount"]) == (FEW - 40, FEW)


def test_an_unpaid_page_only_counts() -> None:
    pages = LeadPages.make(FEW)

    counted = json.loads(pages.page(40, 400, is_paid=False))

    assert counted == {
        "results": [],
        "resultCount": 20,
        "totalResultCount": FEW,
        "totalCost": "0.00",
        "quantityFreeRemaining": 20,
    }
    assert pages.find("/v1/properties?Purchase=1&Start=0") is None
    assert pages.find("/v1/lists") is None


async def test_a_request_with_a_body_is_answered_once_it_is_whole() -> None:
    pages = LeadPages.make(FEW)
    host = Host(HostSpec(), pages)
    loop = asyncio.get_running_loop()
    async with await loop.create_server(lambda: Connection(host), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        body = b'{"Criteria": "\r\n\r\n"}'
        query = urlencode({**page_query(0), "Limit": "3"})
        request = (
            f"POST /v1/properties?{query} HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        )
        writer.write(request + body[:-1])
        await asyncio.sleep(0.02)
        assert host.stats.requests == 0
        writer.write(body[-1:] + request + body)
        for _ in range(2):
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            assert await reader.readexactly(size) == pages.page(0, 3, is_paid=True)
        writer.close()
        await writer.wait_closed()

    assert host.stats.requests == 2


def test_propkit_and_a_client_by_hand_buy_the_same_leads() -> None:
    only = ("propkit_leads", "aiohttp_leads")

    found = measuring.measure("leads", SCENARIOS["leads"], rounds=1, scale=0.05, only=only)

    own, by_hand = (entry["runs"][0] for entry in found["entries"])
    assert own["rows"] == by_hand["rows"]
    assert own["rows"]["500"]["leads"]["count"] == 500
    # A preview, a count, and a purchase for each of two pages; by hand only what is bought.
    assert (own["requests"], by_hand["requests"]) == (4, 2)
    text = "\n".join(SCENARIOS["leads"].table(found))
    assert "| propkit_leads | 500 |" in text
    assert len(targets.check_leads(found)) == 3


def test_leads_are_judged_by_speed_memory_and_the_longest_gap() -> None:
    def an_entry(contender: str, seconds: float, **median: float) -> dict[str, Any]:
        median = {"seconds": seconds, "peak_mb": 100.0, **median}
        return {"contender": contender, "parcels": 1000, "median": median}

    checks = targets.check_leads(
        {
            "entries": [
                an_entry("propkit_leads", 2.0, peak_mb=110.0, gap_ms=101.0),
                an_entry("aiohttp_leads", 1.0),
                an_entry("dlt_leads", 20.0),
            ]
        }
    )

    assert [(check.value, check.is_met) for check in checks] == [
        (0.5, False),
        (10.0, True),
        (1.1, True),
        (101.0, False),
    ]


async def test_the_longest_gap_is_what_blocked_the_loop() -> None:
    watching = asyncio.create_task(longest_gap(0.001))
    await asyncio.sleep(0.01)

    time.sleep(0.15)  # noqa: ASYNC251 -- it is to block
    await asyncio.sleep(0.01)
    watching.cancel()

    assert 0.14 < await watching < 60


async def test_a_gap_that_lasts_to_the_end_counts_too() -> None:
    watching = asyncio.create_task(longest_gap(0.001))
    await asyncio.sleep(0.01)

    time.sleep(0.15)  # noqa: ASYNC251 -- it is to block
    watching.cancel()

    assert 0.14 < await watching < 60
