"""A kept connection, on which the usual answer is read with next to no work.

Nearly every answer is a 200 of known length, as it is. It is told by its head, and its body cut
out of what came. Any other, also one that is cut short, is aiohttp's to read: it gets the
connection back, with all that has come until then.
"""

from __future__ import annotations

import asyncio
import re
from typing import NamedTuple

import aiohttp

MAX_BODY_BYTES = 64 * 2**20
_READ_AHEAD_BYTES = 2**18
_STATUS = b"HTTP/1.1 200 "
_END = b"\r\n\r\n"
_FIELD = re.compile(rb"([\w!#$%&'*+.^`|~-]+):[ \t]*([^\r\n\0]*?)[ \t]*", re.ASCII)
_MEANS_MORE = frozenset((b"transfer-encoding", b"content-encoding", b"upgrade", b"set-cookie"))


class Answer(NamedTuple):
    """An answer that was read to its end; ``retry_after`` and ``location`` are its headers."""

    status: int
    content_type: str
    body: bytes
    retry_after: str | None = None
    location: str | None = None


class Line(asyncio.Protocol):
    """One connection of aiohttp's, for one request at a time.

    ``idle_since`` is the loop's time when it was last put aside.
    """

    def __init__(
        self, connection: aiohttp.connector.Connection, loop: asyncio.AbstractEventLoop
    ) -> None:
        handler = connection.protocol
        transport = None if handler is None else handler.transport
        if handler is None or transport is None:
            connection.close()
            raise aiohttp.ServerDisconnectedError
        self.idle_since = 0.0
        self._connection = connection
        self._handler = handler
        self._transport = transport
        self._loop = loop
        self._asked: asyncio.Future[Answer | None] | None = None
        self._came: list[bytes] = []
        self._content_type = ""
        self._missing: int | None = None
        self._is_lost = False
        self._why_lost: Exception | None = None
        transport.set_protocol(self)

    @property
    def is_usable(self) -> bool:
        """Whether it can be asked: it is open, and nothing has come that nobody asked for."""
        return not (self._came or self._is_lost or self._transport.is_closing())

    async def ask(self, request: bytes) -> Answer | None:
        """Send a request and return its answer; None: it is not the usual one, :meth:`hand_over`."""
        self._missing = None
        asked: asyncio.Future[Answer | None] = self._loop.create_future()
        self._asked = asked
        self._transport.write(request)
        return await asked

    def hand_over(self) -> aiohttp.connector.Connection:
        """Give the connection back to aiohttp, which reads the answer from its beginning."""
        handler, came = self._handler, self._came
        self._came = []
        handler.set_response_params(read_until_eof=True, read_bufsize=_READ_AHEAD_BYTES)
        self._transport.set_protocol(handler)
        for data in came:
            handler.data_received(data)
        if self._is_lost:
            handler.connection_lost(self._why_lost)
        return self._connection

    def close(self) -> None:
        """Close the connection."""
        self._transport.set_protocol(self._handler)
        self._connection.close()

    def data_received(self, data: bytes) -> None:
        """Take a part of an answer."""
        came, asked = self._came, self._asked
        came.append(data)
        if asked is None or asked.done():
            return
        if self._missing is None:
            self._missing = self._read_head(data)
        if self._missing is not None:
            self._missing -= len(data)
            if self._missing > 0:
                return
        if self._missing is None or self._missing < 0:
            asked.set_result(None)
            return
        came[0] = came[0][came[0].index(_END) + len(_END) :]  # once: a body may be large
        body = came[0] if len(came) == 1 else b"".join(came)
        came.clear()
        asked.set_result(Answer(200, self._content_type, body))

    def connection_lost(self, exc: Exception | None) -> None:
        """Let who waits know that there will be no more."""
        self._is_lost, self._why_lost = True, exc
        if self._asked is not None and not self._asked.done():
            self._asked.set_result(None)

    def _read_head(self, data: bytes) -> int | None:
        """Return how many bytes an answer has in all; None where it is not the usual one."""
        end = data.find(_END)
        if end < 0 or not data.startswith(_STATUS):
            return None
        length: int | None = None
        self._content_type = ""
        for line in data[:end].split(b"\r\n")[1:]:
            field = _FIELD.fullmatch(line)
            if field is None:
                return None
            name, value = field[1].lower(), field[2]
            if name == b"content-length":
                if length is not None or not value.isdigit():
                    return None
                length = int(value)
            elif name == b"content-type":
                self._content_type = value.decode("utf-8", "surrogateescape")
            elif name in _MEANS_MORE or (name == b"connection" and value.lower() != b"keep-alive"):
                return None
        if length is None or length > MAX_BODY_BYTES:
            return None
        return end + len(_END) + length
