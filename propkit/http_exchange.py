"""One request and its answer, by aiohttp's connections and its parser.

aiohttp's session makes both anew for every request: headers, cookies, timers, redirects. That
costs four times as much as all the rest. Here what is the same for every request to a host is
made once, and what the session would do besides (redirects, retries) is done elsewhere.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from typing import NamedTuple

import aiohttp
from aiohttp.http import HttpProcessingError
from yarl import URL

from propkit.errors import InvalidAnswerError
from propkit.time_limits import TimeLimits

MAX_BODY_BYTES = 64 * 2**20
_READ_AHEAD_BYTES = 2**18
_PLAIN_PATH = re.compile(r"(?:/[\w-]+(?:\.[\w-]+)*)+/?", re.ASCII)
_END_OF_LINE = re.compile(r"[\r\n\0]")


class Answer(NamedTuple):
    """An answer that was read to its end; ``headers`` is a mapping that ignores case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Origin:
    """What every request to one base address has in common: the connection, and the headers."""

    def __init__(self, base: URL, headers: Mapping[str, str]) -> None:
        self.root = str(base.origin())
        self._base = str(base).rstrip("/")
        self.request = aiohttp.ClientRequest(
            "GET",
            base,
            headers=dict(headers),
            skip_auto_headers=("User-Agent",),  # aiohttp's own would say "Python"
            loop=asyncio.get_running_loop(),
        )
        self.head = _write_headers(self.request.headers)

    def url(self, path: str, params: Mapping[str, str] | None) -> URL:
        """Return the address of a path below the base, however its slashes stand."""
        if params is None and _PLAIN_PATH.fullmatch(path):
            return URL(self._base + path, encoded=True)  # there is nothing to encode
        url = URL(f"{self._base}/{path.lstrip('/')}")
        return url if params is None else url.update_query(params)


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
        self._connector = aiohttp.TCPConnector(limit=0)
        self._timeout = aiohttp.ClientTimeout(total=seconds)

    async def close(self) -> None:
        """Close every connection."""
        await self._connector.close()

    async def ask(
        self,
        origin: Origin,
        url: URL,
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
        request = _write_request(origin, url, jar, body)
        with self._limits.limit(self._seconds):
            connection = await self._connector.connect(origin.request, [], self._timeout)
            try:
                answer = await _exchange(connection, request, url, name, jar)
            except BaseException:
                connection.close()
                raise
            connection.release()
        return answer


def _write_request(origin: Origin, url: URL, jar: aiohttp.CookieJar | None, body: object) -> bytes:
    method = b"GET " if body is None else b"POST "
    request = b"%s%s HTTP/1.1\r\n%s" % (method, url.raw_path_qs.encode("ascii"), origin.head)
    if jar is not None and (cookies := jar.filter_cookies(url)):
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


async def _exchange(
    connection: aiohttp.connector.Connection,
    request: bytes,
    url: URL,
    name: str,
    jar: aiohttp.CookieJar | None,
) -> Answer:
    protocol = connection.protocol
    if protocol is None or protocol.transport is None:
        raise aiohttp.ServerDisconnectedError
    protocol.set_response_params(read_until_eof=True, read_bufsize=_READ_AHEAD_BYTES)
    protocol.transport.write(request)
    try:
        head, content = await protocol.read()
        while 100 <= head.code < 200 and head.code != 101:  # "go on", "early hints"
            head, content = await protocol.read()
    except HttpProcessingError as error:
        raise aiohttp.ClientError(f"no answer of HTTP: {error.message}") from error
    if jar is not None:
        jar.update_cookies_from_headers(head.headers.getall("Set-Cookie", ()), url)
    length = head.headers.get("Content-Length", "")
    is_plain = length.isdecimal() and "Content-Encoding" not in head.headers
    if is_plain and int(length) <= MAX_BODY_BYTES:
        is_here = content.is_eof()  # as a rule an answer comes at once
        whole = await content.readany() if is_here else await content.read()
        return Answer(head.code, head.headers, whole)
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise InvalidAnswerError(f"{name}: the answer is too large", url=str(url))
    return Answer(head.code, head.headers, bytes(body))
