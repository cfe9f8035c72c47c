"""Kept connections against a server on loopback that says, byte for byte, what a test wants."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import aiohttp
import pytest
from yarl import URL

from propkit import http_exchange
from propkit.http_exchange import Address, Exchange, Origin
from propkit.http_line import Answer
from propkit.time_limits import TimeLimits

BODY = b'{"apn": "10101001"}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(
    BODY
)
USUAL = HEAD + BODY
READ = Answer(200, "application/json", BODY)


@dataclass
class Peer:
    """A server: what it says to each request, in pieces, and what became of its connections."""

    says: list[Sequence[bytes]]
    port: int = 0
    connections: int = 0
    ended: int = 0
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        with suppress(ConnectionError):
            while await reader.readline():
                await reader.readuntil(b"\r\n\r\n")
                for piece in self.says.pop(0):
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0.002)  # or two pieces may come as one
        self.ended += 1
        writer.close()

    async def ask(self, exchange: Exchange, jar: aiohttp.CookieJar | None = None) -> Answer:
        origin = Origin(URL(f"http://127.0.0.1:{self.port}"), {"User-Agent": "propkit"})
        return await exchange.ask(origin, origin.address("/x", None), name="page", jar=jar)


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not is_so():  # noqa: ASYNC110 -- it is another's connection
            await asyncio.sleep(0.001)


@asynccontextmanager
async def talking(*says: Sequence[bytes]) -> AsyncIterator[tuple[Peer, Exchange]]:
    peer, exchange = Peer(list(says)), Exchange(30, TimeLimits())
    server = await asyncio.start_server(peer.answer, "127.0.0.1", 0)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer, exchange
    finally:
        await exchange.close()
        await until(lambda: peer.ended == peer.connections)
        server.close()
        await server.wait_closed()


async def test_a_connection_serves_one_request_after_the_other():
    async with talking([USUAL], [USUAL], [USUAL]) as (peer, exchange):
        read = [await peer.ask(exchange) for _ in range(3)]

        assert (read, peer.connections) == ([READ] * 3, 1)


@pytest.mark.parametrize("cut", [1, 12, 40, len(HEAD) - 2, len(HEAD), len(USUAL) - 1])
async def test_an_answer_is_the_same_wherever_it_is_cut(cut: int):
    """A head in pieces is aiohttp's to read, a body in pieces is not."""
    async with talking([USUAL[:cut], USUAL[cut:]], [USUAL]) as (peer, exchange):
        assert [await peer.ask(exchange) for _ in range(2)] == [READ, READ]


PACKED = gzip.compress(BODY)


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(PACKED), PACKED),
            id="packed",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
            b"\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY),
            id="in chunks",
        ),
        pytest.param(HEAD.replace(b"\r\n\r\n", b"\r\nX-A: b\r\n\r\n") + BODY, id="another field"),
        pytest.param(
            HEAD.replace(b"\r\n\r\n", b"\r\nconnection:  Keep-Alive\r\n\r\n") + BODY, id="kept"
        ),
    ],
)
async def test_every_good_answer_leaves_the_connection_for_the_next(said: bytes):
    async with talking([said], [said]) as (peer, exchange):
        read = [await peer.ask(exchange) for _ in range(2)]

        assert (read, peer.connections) == ([READ, READ], 1)


async def test_a_connection_that_says_its_last_is_not_asked_again():
    said = USUAL.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
    async with talking([said], [USUAL]) as (peer, exchange):
        read = [await peer.ask(exchange) for _ in range(2)]

        assert (read, peer.connections) == ([READ, READ], 2)


async def test_more_than_its_length_is_no_answer():
    async with talking([USUAL + b"more"], [USUAL]) as (peer, exchange):
        with pytest.raises(aiohttp.ClientError):
            await peer.ask(exchange)

        assert (await peer.ask(exchange), peer.connections) == (READ, 2)


async def test_what_nobody_asked_for_ends_a_kept_connection():
    """It would be taken for the next answer."""
    async with talking([USUAL], [USUAL]) as (peer, exchange):
        await peer.ask(exchange)
        peer.writers[0].write(USUAL.replace(b"10101001", b"99999999"))
        await peer.writers[0].drain()
        (line,) = exchange._idle[f"http://127.0.0.1:{peer.port}"]
        await until(lambda: not line.is_usable)

        assert await peer.ask(exchange) == READ
        assert peer.connections == 2


async def test_a_connection_that_the_host_has_closed_is_made_anew():
    async with talking([USUAL], [USUAL]) as (peer, exchange):
        await peer.ask(exchange)
        (line,) = exchange._idle[f"http://127.0.0.1:{peer.port}"]
        peer.writers[0].close()
        await until(lambda: not line.is_usable)

        assert await peer.ask(exchange) == READ


async def test_two_lengths_are_no_answer():
    """Which of them holds is how requests are smuggled."""
    said = USUAL.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\n", 1)
    async with talking([said]) as (peer, exchange):
        with pytest.raises(aiohttp.ClientError):
            await peer.ask(exchange)


async def test_a_connection_that_ends_in_mid_answer_says_so():
    async with talking([USUAL[:-3]]) as (peer, exchange):
        asking = asyncio.ensure_future(peer.ask(exchange))
        await until(lambda: not peer.says)
        peer.writers[0].close()

        with pytest.raises(aiohttp.ClientError):
            await asking


async def test_the_cookies_of_an_answer_are_kept():
    said = USUAL.replace(b"\r\n\r\n", b"\r\nSet-Cookie: session=5\r\n\r\n", 1)
    jar = aiohttp.CookieJar(unsafe=True)
    async with talking([said]) as (peer, exchange):
        assert await peer.ask(exchange, jar) == READ

    assert {cookie.key: cookie.value for cookie in jar} == {"session": "5"}


async def test_a_request_that_is_given_up_closes_its_connection():
    async with talking([HEAD], [USUAL]) as (peer, exchange):
        asking = asyncio.ensure_future(peer.ask(exchange))
        await until(lambda: len(peer.says) == 1)
        asking.cancel()
        await asyncio.wait([asking])

        await until(lambda: peer.ended == 1)
        assert await peer.ask(exchange) == READ


async def test_idle_connections_are_closed_after_a_while(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(http_exchange, "_KEPT_SECONDS", 0.01)
    async with talking([USUAL]) as (peer, exchange):
        await peer.ask(exchange)

        await until(lambda: peer.ended == 1)
        assert exchange._idle == {}


@pytest.mark.parametrize(
    ("path", "params"),
    [("/parcel/1", None), ("parcel/1", None), ("/a b/é", None), ("/x", {"q": "a&b ü"}), ("/", {})],
)
async def test_an_address_is_what_the_url_says(path: str, params: dict[str, str] | None):
    """The quick way writes the same line as yarl does."""
    origin = Origin(URL("http://h:8080/base/"), {})

    address = origin.address(path, params)

    same = Address.of(address.url)
    assert (str(address), address.target) == (same.text, same.target)
    assert address.text.startswith("http://h:8080/base/")
