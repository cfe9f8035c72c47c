"""One request and its answer, by connections that aiohttp makes and that are kept here.

aiohttp's session makes much anew for every request: headers, cookies, timers, redirects. That
costs four times as much as all the rest. Here what is the same for every request to a host is
made once, and what the session would do besides (redirects, retries) is done elsewhere. The usual
answer is read by :mod:`propkit.http_line`, any other by aiohttp's parser.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Mapping

import aiohttp
from aiohttp.http import HttpProcessingError
from yarl import URL

from propkit import http_line
from propkit.errors import InvalidAnswerError
from propkit.http_line import Answer, Line
from propkit.time_limits import TimeLimits

_KEPT_SECONDS = 15.0
_PLAIN_PATH = re.compile(r"(?:/[\w-]+(?:\.[\w-]+)*)+/?", re.ASCII)
_END_OF_LINE = re.compile(r"[\r\n\0]")


class Address:
    """What one request asks for: as a text, and the path and query in it as they are sent."""

    __slots__ = ("target", "text")

    def __init__(self, text: str, target: str) -> None:
        self.text = text
        self.target = target

    def __str__(self) -> str:
        return self.text

    @classmethod
    def of(cls, url: URL) -> Address:
        """Return the address that a URL is."""
        return cls(str(url), url.raw_path_qs)

    @property
    def url(self) -> URL:
        """The address in its parts."""
        return URL(self.text, encoded=True)


class Origin:
    """What every request to one base address has in common: the connection, and the headers."""

    def __init__(self, base: URL, headers: Mapping[str, str]) -> None:
        self.root = str(base.origin())
        self._base = str(base).rstrip("/")
        self._base_path = base.raw_path.rstrip("/")
        self.request = aiohttp.ClientRequest(
            "GET",
            base,
            headers=dict(headers),
            skip_auto_headers=("User-Agent",),  # aiohttp's own would say "Python"
            loop=asyncio.get_running_loop(),
        )
        self.head = _write_headers(self.request.headers)

    def address(self, path: str, params: Mapping[str, str] | None) -> Address:
        """Return the address of a path below the base, however its slashes stand."""
        if params is None and _PLAIN_PATH.fullmatch(path):
            return Address(self._base + path, self._base_path + path)  # nothing to encode
        url = URL(f"{self._base}/{path.lstrip('/')}")
        return Address.of(url if params is None else url.update_query(params))


class Exchange:
    """Kept connections to any number of hosts; lives in one event loop.

    Parameters
    ----------
    seconds
        The longest that a request and its answer may take, the connecting included.
    """

    def __init__(self, seconds: float, limits: TimeLimits) -> None:
        self._seconds = seconds
        self._limits = limits
        self._loop = asyncio.get_running_loop()  # asked for once: that is a system call
        self._connector = aiohttp.TCPConnector(limit=0)
        self._timeout = aiohttp.ClientTimeout(total=seconds)
        self._idle: dict[str, list[Line]] = {}
        self._busy: set[Line] = set()
        self._sweeping: asyncio.TimerHandle | None = None

    async def close(self) -> None:
        """Close every connection."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        self._close_idle(math.inf)
        for line in self._busy:
            line.close()
        await self._connector.close()

    async def ask(
        self,
        origin: Origin,
        address: Address,
        *,
        name: str,
        jar: aiohttp.CookieJar | None = None,
        body: object = None,
    ) -> Answer:
        """Get an address, or post ``body``, with the cookies of ``jar``; no redirects.

        Bytes are an encoded form, anything else is posted as JSON. Errors name the page by ``name``.

        Raises
        ------
        TimeoutError
            It took too long.
        aiohttp.ClientError
            No connection, or one that was lost; ``ClientPayloadError``: in mid-answer.
        InvalidAnswerError
            The answer is larger than ``MAX_BODY_BYTES``.
        """
        request = _write_request(origin, address, jar, body)
        with self._limits.limit(self._seconds):
            line = self._take_idle(origin)
            if line is None:
                connect = self._connector.connect(origin.request, [], self._timeout)
                line = Line(await connect, self._loop)
            self._busy.add(line)
            try:
                answer = await line.ask(request)
                if answer is None:
                    connection = line.hand_over()
                    answer = await _read_any(connection, address, name, jar)
                    connection.release()
                else:
                    self._put_aside(origin, line)
            except BaseException:
                line.close()
                raise
            finally:
                self._busy.discard(line)
        return answer

    def _take_idle(self, origin: Origin) -> Line | None:
        """Return a connection that is kept, the one that was used last."""
        idle = self._idle.get(origin.root)
        while idle:
            line = idle.pop()
            if line.is_usable:
                return line
            line.close()
        return None

    def _put_aside(self, origin: Origin, line: Line) -> None:
        """Keep a connection for the next request, for a while."""
        line.idle_since = self._loop.time()
        self._idle.setdefault(origin.root, []).append(line)
        if self._sweeping is None:
            self._sweeping = self._loop.call_later(_KEPT_SECONDS, self._sweep)

    def _sweep(self) -> None:
        self._sweeping = None
        self._close_idle(self._loop.time() - _KEPT_SECONDS)
        if self._idle:
            self._sweeping = self._loop.call_later(_KEPT_SECONDS, self._sweep)

    def _close_idle(self, before: float) -> None:
        """Close what was not used since then, or is of no use."""
        for root, lines in list(self._idle.items()):
            kept = [line for line in lines if line.is_usable and line.idle_since > before]
            for line in lines:
                if line not in kept:
                    line.close()
            if kept:
                self._idle[root] = kept
            else:
                del self._idle[root]


def _write_request(
    origin: Origin, address: Address, jar: aiohttp.CookieJar | None, body: object
) -> bytes:
    method = b"GET " if body is None else b"POST "
    request = b"%s%s HTTP/1.1\r\n%s" % (method, address.target.encode("ascii"), origin.head)
    if jar is not None and (cookies := jar.filter_cookies(address.url)):
        pairs = "; ".join(f"{one.key}={one.coded_value}" for one in cookies.values())
        request += _write_headers({"Cookie": pairs})
    if body is None:
        return request + b"\r\n"
    is_form = isinstance(body, bytes)
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = "application/x-www-form-urlencoded" if is_form else "application/json"
    about = {"Content-Type": kind, "Content-Length": str(len(content))}
    return b"%s%s\r\n%s" % (request, _write_headers(about), content)


def _write_headers(headers: Mapping[str, str]) -> bytes:
    for name, value in headers.items():
        if _END_OF_LINE.search(name) or _END_OF_LINE.search(value):
            raise ValueError(f"the header {name!r} holds a line break or a null character")
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()]).encode()


async def _read_any(
    connection: aiohttp.connector.Connection,
    address: Address,
    name: str,
    jar: aiohttp.CookieJar | None,
) -> Answer:
    """Read an answer of any kind by aiohttp's parser."""
    protocol = connection.protocol
    assert protocol is not None  # noqa: S101 -- a connection that was handed over is not closed
    try:
        head, content = await protocol.read()
        while 100 <= head.code < 200 and head.code != 101:  # "go on", "early hints"
            head, content = await protocol.read()
    except HttpProcessingError as error:
        raise aiohttp.ClientError(f"no answer of HTTP: {error.message}") from error
    headers = head.headers
    if jar is not None:
        jar.update_cookies_from_headers(headers.getall("Set-Cookie", ()), address.url)
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > http_line.MAX_BODY_BYTES:
            raise InvalidAnswerError(f"{name}: the answer is too large", url=str(address))
    return Answer(
        head.code,
        headers.get("Content-Type", ""),
        bytes(body),
        headers.get("Retry-After"),
        headers.get("Location"),
    )
