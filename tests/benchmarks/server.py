"""The server that all contenders ask: the demo county's answers about parcels, from memory.

``python -m tests.benchmarks.server SPEC.json``, in a process of its own. The answers are the demo
county's assessor's, or its leads API's, made before the first request, so that serving a parcel
costs some 30 µs. Each host of the spec is a port with its own latency, enforced limit and faults.

It writes one line of JSON with its ports and keys when it is ready. Then it obeys lines on stdin:
``reset`` forgets counts, limits and faults, ``stats`` answers a line of JSON. It ends with stdin.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Protocol

from aiohttp.test_utils import make_mocked_request

from propkit.demo_county.assessor import Assessor
from propkit.demo_county.limits import Bucket, Limit, retry_after
from propkit.demo_county.switches import Switches
from propkit.demo_county.truth import CountyTruth
from tests.benchmarks.layer_pages import LayerPages
from tests.benchmarks.lead_pages import LeadPages

FAULTS = ("500", "503", "429", "cut_body", "dropped", "html_page", "empty")
MOST_FAULTS = 2
"""Requests for one parcel that fail at most; the next one is answered."""

_LENGTH = re.compile(rb"\ncontent-length: *(\d+)", re.IGNORECASE)
_MAINTENANCE = (
    b"<!DOCTYPE html><html><head><title>Maintenance</title></head>"
    b"<body><h1>We will be back in a minute</h1></body></html>"
)
_REASONS = {200: "OK", 404: "Not Found", 429: "Too Many Requests"} | {
    500: "Internal Server Error",
    503: "Service Unavailable",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSpec:
    """How one host behaves. None for the rate is no limit; ``faults`` is a share from 0 to 1."""

    requests_per_second: float | None = None
    burst: int = 2
    latency_seconds: float = 0.0
    faults: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent: the bytes, and whether the connection ends then. No bytes: it is dropped."""

    data: bytes
    ends: bool = False


@dataclass(slots=True)
class Stats:
    """What a host has seen. Times are the monotonic seconds of accepted requests' arrival."""

    requests: int = 0
    refused: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    first_at: float | None = None
    last_at: float | None = None


class Pages(Protocol):
    """What a host knows."""

    @property
    def keys(self) -> list[str]:
        """What can be asked for."""
        ...

    def find(self, path: str) -> tuple[str, bytes] | None:
        """Return what a path asks for and the answer's body; None for no such page."""
        ...


class Answers:
    """The demo county's answers about its first parcels, by APN.

    The floor plan, the same for every house and most of an answer, is kept once.
    """

    def __init__(self) -> None:
        self._sketch = b""
        self._parts: dict[str, tuple[bytes, ...]] = {}

    @property
    def keys(self) -> list[str]:
        """The APNs, in the county's order."""
        return list(self._parts)

    @classmethod
    async def make(cls, parcels: int, seed: int = 7, county_size: int | None = None) -> Answers:
        """Ask the demo county's assessor, without HTTP, for so many parcels that it knows."""
        # About 1 in 120 parcels is unknown to the assessor.
        truth = CountyTruth(county_size or parcels + parcels // 50 + 50, seed)
        assessor, switches = Assessor(truth), Switches(token=None)
        request = make_mocked_request("GET", "/")
        answers = cls()
        for apn in truth.apns():
            if len(answers._parts) == parcels:
                return answers
            made = await assessor.answer(request, f"/parcel/{apn}", switches)
            body = made.body
            if not isinstance(body, bytes):
                raise TypeError(f"the answer about {apn} has no body of bytes")
            if body != b"[]":
                answers._keep(apn, body)
        if len(answers._parts) < parcels:
            raise ValueError(f"the demo county knows {len(answers._parts)} of {parcels} parcels")
        return answers

    def body(self, apn: str) -> bytes | None:
        """Return the answer about one parcel; None for another."""
        parts = self._parts.get(apn)
        return None if parts is None else self._sketch.join(parts)

    def find(self, path: str) -> tuple[str, bytes] | None:
        """Return the APN that a path asks about and the answer; None for no such page."""
        kind, _, apn = path.removeprefix("/").partition("/")
        body = self.body(apn) if kind == "parcel" else None
        return None if body is None else (apn, body)

    def _keep(self, apn: str, body: bytes) -> None:
        if not self._sketch and (pages := json.loads(body)["Sketches"]["Pages"]):
            self._sketch = pages[0]["Sketch"].encode()
        self._parts[apn] = tuple(body.split(self._sketch)) if self._sketch else (body,)


class Host:
    """One port: its limit, its faults and its counts."""

    def __init__(self, spec: HostSpec, pages: Pages, seed: int = 0) -> None:
        self.spec = spec
        self._pages = pages
        self._seed = seed
        self.reset()

    def reset(self) -> None:
        """Forget every request."""
        self.stats = Stats()
        self._asked: Counter[str] = Counter()
        self._bucket = Bucket(Limit(self.spec.requests_per_second, self.spec.burst))

    def answer(self, path: str) -> Answer:
        """Answer one request."""
        found = self._pages.find(path)
        if found is None:
            return Answer(as_http(404, b"no such page", "text/plain"))
        key, body = found
        stats, now = self.stats, time.monotonic()
        stats.requests += 1
        if (wait := self._bucket.seconds_until_allowed(now)) > 0:
            stats.refused += 1
            return Answer(as_http(429, b"too many", "text/plain", retry_after(wait)))
        stats.first_at = now if stats.first_at is None else stats.first_at
        stats.last_at = now
        fault = None
        if self.spec.faults:
            fault = choose_fault(self._seed, key, self._asked[key], self.spec.faults)
            self._asked[key] += 1
        if fault is None:
            return Answer(as_http(200, body, "application/json; charset=utf-8"))
        stats.faults[fault] = stats.faults.get(fault, 0) + 1
        return make_fault(fault, body)


def choose_fault(seed: int, apn: str, nth: int, share: float) -> str | None:
    """Return what goes wrong with the nth request for a parcel: always the same, or None."""
    if nth >= MOST_FAULTS:
        return None
    random = Random(f"{seed}/{apn}/{nth}")
    return random.choice(FAULTS) if random.random() < share else None


def make_fault(fault: str, body: bytes) -> Answer:
    """Return a faulty answer in place of the one with this body."""
    if fault in {"429", "503"}:
        return Answer(as_http(int(fault), b"later", "text/plain", "1"))
    if fault == "500":
        return Answer(as_http(500, b"an error", "text/plain"))
    if fault == "cut_body":
        whole = as_http(200, body, "application/json; charset=utf-8")
        return Answer(whole[: -len(body) // 2], ends=True)
    if fault == "dropped":
        return Answer(b"", ends=True)
    if fault == "html_page":
        return Answer(as_http(200, _MAINTENANCE, "text/html; charset=utf-8"))
    return Answer(as_http(200, b"", "application/json; charset=utf-8"))


def as_http(status: int, body: bytes, content_type: str, retry_seconds: str | None = None) -> bytes:
    """Return the bytes of an HTTP answer."""
    pause = f"Retry-After: {retry_seconds}\r\n" if retry_seconds else ""
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: {content_type}\r\n"
        f"{pause}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Connection(asyncio.Protocol):
    """One client's connection; requests are answered in the order in which they come."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._waiting = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole; a body is dropped."""
        self._waiting += data
        for head in self._take_requests():
            answer = self._host.answer(head.split(b" ", 2)[1].decode("ascii", "replace"))
            ends = answer.ends or b"\nconnection: close" in head.lower()
            if self._host.spec.latency_seconds:
                loop = asyncio.get_running_loop()
                loop.call_later(self._host.spec.latency_seconds, self._send, answer.data, ends)
            else:
                self._send(answer.data, ends)

    def _take_requests(self) -> list[bytes]:
        data, at, heads = self._waiting, 0, []
        while (end := data.find(b"\r\n\r\n", at)) >= 0:
            size = _LENGTH.search(data, at, end)
            after = end + 4 + (int(size[1]) if size else 0)
            if after > len(data):
                break
            heads.append(data[at:end])
            at = after
        self._waiting = data[at:]
        return heads

    def _send(self, data: bytes, ends: bool) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if not data:
            transport.abort()
            return
        transport.write(data)
        if ends:
            transport.close()


async def serve(count: int, specs: list[HostSpec], *, serves: str) -> None:
    """Serve so many parcels, or leads, until stdin ends."""
    pages: Pages
    if serves == "parcels":
        pages = await Answers.make(count)
    else:
        pages = LeadPages.make(count) if serves == "leads" else LayerPages.make(count)
    hosts = [Host(spec, pages, seed) for seed, spec in enumerate(specs)]
    loop = asyncio.get_running_loop()
    servers = [
        await loop.create_server(lambda host=host: Connection(host), "127.0.0.1", 0)
        for host in hosts
    ]
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    _say({"ports": ports, "keys": pages.keys})
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    async for line in commands:
        if line.strip() == b"reset":
            for host in hosts:
                host.reset()
        stats = [asdict(host.stats) for host in hosts]
        _say({"hosts": stats, "cpu_seconds": time.process_time()})
    for server in servers:
        server.close()


def _say(what: object) -> None:
    # Not print: what is said must have left before the next command is read.
    os.write(sys.stdout.fileno(), f"{json.dumps(what)}\n".encode())


def main() -> None:
    """Serve what the spec says."""
    spec = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    hosts = [HostSpec(**host) for host in spec["hosts"]]
    asyncio.run(serve(spec["count"], hosts, serves=spec["serves"]))


if __name__ == "__main__":
    main()
