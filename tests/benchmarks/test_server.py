"""The benchmark's server: the demo county's own answers, enforced limits, faults by seed."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.request import Request

import pytest

from propkit.demo_county.county import County, opener
from tests.benchmarks.server import MOST_FAULTS, Answers, Connection, Host, HostSpec, choose_fault

SEED, COUNTY_SIZE = 20261122, 2000  # of the test session's county


@pytest.fixture(scope="module")
def answers() -> Answers:
    return asyncio.run(Answers.make(30, SEED, COUNTY_SIZE))


@asynccontextmanager
async def connected(
    host: Host,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    loop = asyncio.get_running_loop()
    async with await loop.create_server(lambda: Connection(host), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        yield reader, writer
        writer.close()
        await writer.wait_closed()


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    body = await reader.readexactly(int(headers["Content-Length"]))
    return int(first.split()[1]), headers, body


async def ask(host: Host, *paths: str) -> list[tuple[int, dict[str, str], bytes]]:
    """Send all requests at once on one connection, and return the answers."""
    async with connected(host) as (reader, writer):
        writer.write("".join(f"GET {path} HTTP/1.1\r\n\r\n" for path in paths).encode())
        return [await read_answer(reader) for _ in paths]


async def test_it_answers_as_the_demo_county_does(answers: Answers, county: County) -> None:
    headers = {"AUTHORIZATION": county.token}
    expected = []
    for apn in answers.keys:
        url = f"{county.base_url('assessor')}/parcel/{apn}"
        request = Request(url, headers=headers)  # noqa: S310 -- of the county on loopback
        with opener.open(request) as answer:
            expected.append((200, answer.headers["Content-Type"], answer.read()))

    found = await ask(Host(HostSpec(), answers), *(f"/parcel/{apn}" for apn in answers.keys))

    assert expected == [(status, given["Content-Type"], body) for status, given, body in found]


async def test_it_knows_nothing_else(answers: Answers) -> None:
    host = Host(HostSpec(), answers)

    found = await ask(host, "/robots.txt", "/parcel/99999999", f"/search/{answers.keys[0]}")

    assert [status for status, _, _ in found] == [404, 404, 404]
    assert host.stats.requests == 0


async def test_requests_that_come_in_pieces_are_answered_in_order(answers: Answers) -> None:
    first, second = answers.keys[:2]
    requests = f"GET /parcel/{first} HTTP/1.1\r\n\r\nGET /parcel/{second} HTTP/1.1\r\n\r\n"
    async with connected(Host(HostSpec(latency_seconds=0.001), answers)) as (reader, writer):
        for piece in (requests[:20], requests[20:70], requests[70:]):
            writer.write(piece.encode())
            await writer.drain()
        found = [await read_answer(reader) for _ in range(2)]

    assert [json.loads(body)["APN"] for _, _, body in found] == [first, second]


async def test_a_limit_is_enforced(answers: Answers) -> None:
    # One token an hour: however slowly the test runs, only the burst is let through.
    host = Host(HostSpec(requests_per_second=1 / 3600, burst=2), answers)

    found = await ask(host, *(f"/parcel/{apn}" for apn in answers.keys[:10]))

    assert [status for status, _, _ in found] == [200] * 2 + [429] * 8
    assert int(found[-1][1]["Retry-After"]) >= 1
    assert (host.stats.requests, host.stats.refused) == (10, 8)
    host.reset()
    again = await ask(host, f"/parcel/{answers.keys[0]}")
    assert again[0][0] == 200


def test_faults_depend_on_the_seed_alone_and_end() -> None:
    def faults(seed: int) -> list[str | None]:
        return [choose_fault(seed, str(n), nth, 0.1) for n in range(2000) for nth in range(4)]

    first = faults(1)
    assert first == faults(1)
    assert first != faults(2)
    assert 0.08 < sum(fault is not None for fault in first) / (2000 * MOST_FAULTS) < 0.12
    assert not any(choose_fault(1, str(n), MOST_FAULTS, 1.0) for n in range(100))


def test_every_fault_is_struck_and_every_parcel_answered_at_last(answers: Answers) -> None:
    host = Host(HostSpec(faults=1.0), answers)

    last = {}
    for _ in range(MOST_FAULTS + 1):
        for apn in answers.keys:
            last[apn] = host.answer(f"/parcel/{apn}").data

    assert sum(host.stats.faults.values()) == MOST_FAULTS * len(answers.keys)
    assert len(host.stats.faults) == 7
    assert all(data.endswith(answers.body(apn) or b"?") for apn, data in last.items())


async def test_a_body_is_cut_and_a_connection_dropped(answers: Answers) -> None:
    outcomes: Counter[str] = Counter()
    host = Host(HostSpec(faults=1.0), answers)
    for apn in answers.keys:
        async with connected(host) as (reader, writer):
            writer.write(f"GET /parcel/{apn} HTTP/1.1\r\n\r\n".encode())
            try:
                status, _, body = await read_answer(reader)
            except asyncio.IncompleteReadError as error:
                outcomes["cut_body" if error.partial else "dropped"] += 1
            except ConnectionError:
                outcomes["dropped"] += 1
            else:
                outcomes[f"{status}, {len(body) > 0}"] += 1

    assert outcomes["cut_body"] == host.stats.faults["cut_body"]
    assert outcomes["dropped"] == host.stats.faults["dropped"]
    assert outcomes["200, False"] == host.stats.faults["empty"]
