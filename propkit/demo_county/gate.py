"""The gate before the systems: ledger, limits, latency and faults for every request."""

from __future__ import annotations

import asyncio
import time
from random import Random
from typing import Protocol

from aiohttp import web

from propkit.demo_county import strikes
from propkit.demo_county.answers import as_json
from propkit.demo_county.assessor import Assessor
from propkit.demo_county.classifieds import Classifieds
from propkit.demo_county.datasets import Datasets
from propkit.demo_county.faults import (
    ALL_SYSTEMS,
    CLASSIFIEDS,
    DATASETS,
    LEADS,
    MAPS,
    FaultPlan,
)
from propkit.demo_county.leads import LeadsApi
from propkit.demo_county.ledger import Entry, Ledger, kept_headers
from propkit.demo_county.limits import Bucket, Limit, retry_after
from propkit.demo_county.maps import Maps
from propkit.demo_county.recorder import Recorder
from propkit.demo_county.switches import ALLOW_ALL, Switches
from propkit.demo_county.treasurer import COOKIE, Treasurer
from propkit.demo_county.truth import CountyTruth


class System(Protocol):
    """One of the county's systems."""

    async def answer(self, request: web.Request, path: str, switches: Switches) -> web.Response:
        """Return the true answer to a request for a path below the system's prefix."""


class Gate:
    """Let requests through to the systems, as the switches say."""

    def __init__(self, truth: CountyTruth, switches: Switches) -> None:
        self.truth = truth
        self.ledger = Ledger()
        self._treasurer = Treasurer(truth)
        self.leads = LeadsApi(truth)
        self.classifieds = Classifieds()
        self._systems: dict[str, System] = {
            "assessor": Assessor(truth),
            "treasurer": self._treasurer,
            "recorder": Recorder(truth),
            LEADS: self.leads,
            MAPS: Maps(truth),
            DATASETS: Datasets(truth),
            CLASSIFIEDS: self.classifieds,
        }
        self._latency = Random(truth.seed)
        self.buckets = {system: Bucket(Limit()) for system in ALL_SYSTEMS}
        self.faults = FaultPlan()
        self.switches = Switches()
        self.throw(switches)

    def throw(self, switches: Switches) -> None:
        """Put switches in force; counts of faults and tokens start anew only where changed."""
        if switches.faults != self.faults.rules:
            self.faults = FaultPlan(switches.faults, seed=self.truth.seed)
        for system, bucket in self.buckets.items():
            limit = switches.limits.get(system, Limit())
            if limit != bucket.limit:
                bucket.change(limit)
        self.switches = switches

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request, writing it into the ledger whatever becomes of it."""
        system, path = _split(request.rel_url.raw_path)
        bucket = self.buckets.get(system) or Bucket(Limit())
        number, started = self.ledger.next_number(), time.monotonic()
        bucket.in_flight += 1
        self.ledger.open(
            Entry(
                number=number,
                system=system,
                method=request.method,
                path=path,
                query=request.query_string,
                started_at=time.time(),
                started_monotonic=started,
                in_flight=bucket.in_flight,
                headers=kept_headers(request.headers),
                has_authorization="Authorization" in request.headers,
                session=request.cookies.get(COOKIE),
            )
        )
        status: int | None = None
        try:
            response = await self._answer(request, system, path, number)
            status = response.status
        except strikes.Dropped:
            # Closed here, so aiohttp finds nobody to send this answer to.
            if request.transport is not None:
                request.transport.abort()
            response = web.Response(status=499)
        finally:
            bucket.in_flight -= 1
            seconds = time.monotonic() - started
            self.ledger.update(number, status=status, seconds=round(seconds, 6))
        return response

    async def _answer(
        self, request: web.Request, system: str, path: str, number: int
    ) -> web.StreamResponse:
        is_robots = path == "/robots.txt"
        if system not in self._systems and not is_robots:
            return web.Response(status=404, text="The demo county has no such system.\n")
        if not is_robots:
            wait = self.buckets[system].seconds_until_allowed(time.monotonic())
            if wait > 0:
                self.ledger.update(number, is_refused=True)
                headers = {"Retry-After": retry_after(wait)}
                return web.Response(status=429, text="Too Many Requests\n", headers=headers)
        url = f"{path}?{request.query_string}" if request.query_string else path
        rule = self.faults.choose(system, request.method, url)
        if rule is not None:
            self.ledger.update(number, fault=rule.kind)
        if rule is not None and rule.kind == "session_loss":
            self._treasurer.forget(request.cookies.get(COOKIE))
            rule = None

        async def true_answer() -> web.Response:
            return await self._true_answer(request, system, path)

        if rule is None:
            return await true_answer()
        return await strikes.strike(
            rule, request, true_answer, lambda: rule not in self.switches.faults
        )

    async def _true_answer(self, request: web.Request, system: str, path: str) -> web.Response:
        if path == "/robots.txt":
            text = self.switches.robots.get(system, ALLOW_ALL)
            return web.Response(text=text, content_type="text/plain")
        if self.switches.latency:
            url = f"{path}?{request.query_string}"
            await asyncio.sleep(self._seconds(system, url) * self.switches.latency)
        return await self._systems[system].answer(request, path, self.switches)

    def _seconds(self, system: str, url: str) -> float:
        """Return the real systems' seconds for one request, as measured by their users."""
        low, high = 0.1, 0.3
        if system == "treasurer":
            low, high = 0.6, 1.5
        elif system == "assessor" and url.startswith("/search/"):
            words = url.partition("q=")[2]
            low, high = (0.11, 0.15) if words[:8].isdigit() else (0.2, 0.95)
            if words[:1].isdigit() and not words[:8].isdigit():
                low, high = 1.5, 3.5
        elif system == "assessor":
            low, high = 0.5, 0.65
        return self._latency.uniform(low, high)

    def health(self) -> dict[str, object]:
        """Return how the county is: size, requests, violations of limits."""
        return {
            "ok": True,
            "parcels": self.truth.size,
            "seed": self.truth.seed,
            "requests": len(self.ledger),
            "violations": {name: dict(b.violations) for name, b in self.buckets.items()},
            "in_flight": {name: b.in_flight for name, b in self.buckets.items()},
        }


def control_error(error: Exception) -> web.Response:
    """Return a control call's error as JSON."""
    return as_json({"error": str(error)}, status=400)


def _split(path: str) -> tuple[str, str]:
    system, _, rest = path.lstrip("/").partition("/")
    return (system, f"/{rest}") if system in ALL_SYSTEMS else ("root", path)
