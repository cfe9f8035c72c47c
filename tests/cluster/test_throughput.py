"""Workers of a cluster ask as often as a kernel would, and never more often. Time is virtual."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any, NamedTuple

import pytest

from propkit.pace import Pace
from propkit.runtime.cluster.leased import LeasedPace
from propkit.runtime.cluster.lending import Lender
from propkit.runtime.cluster.messages import LEASE_SECONDS, SIGN_SECONDS, Lease
from tests.virtual_time import now, run

SECONDS = 11.0
JOURNEY = 0.01
"""How long a message takes from one side to the other."""


class Asked(NamedTuple):
    """When requests started at a host, and the most that were under way at once."""

    starts: list[float]
    most: int


class Host:
    """Answers each request after some seconds, and remembers when it came."""

    def __init__(self, latency: float) -> None:
        self._latency = latency
        self._in_flight = self.most = 0
        self.starts: list[float] = []

    async def ask_for_ever(self, pace: Pace) -> None:
        while True:
            async with pace.place(1e9):
                self.starts.append(now())
                self._in_flight += 1
                self.most = max(self.most, self._in_flight)
                await asyncio.sleep(self._latency)
                self._in_flight -= 1


class Worker:
    """What an asker says and hears of one host; its messages take their time."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._news = asyncio.Event()
        self.pace = LeasedPace(30.0, self._news.set, clock=now)

    async def talk(self, lender: Lender) -> None:
        while True:
            self._news.clear()
            report = self.pace.report()
            await asyncio.sleep(JOURNEY)
            lender.hear(self.name, report)
            try:
                async with asyncio.timeout(SIGN_SECONDS):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def check(self) -> None:
        while True:
            self.pace.check(0.1)
            await asyncio.sleep(0.02)


async def ask_by_kernel(pace: Pace, host: Host, items: int) -> Asked:
    return await ask(host, [host.ask_for_ever(pace) for _ in range(items)])


async def ask_by_cluster(pace: Pace, host: Host, items: int, count: int) -> Asked:
    workers = {name: Worker(name) for name in map(str, range(count))}

    def later(what: Any, *given: object) -> None:
        asyncio.get_running_loop().call_later(JOURNEY, what, *given)

    def send(name: str, lease: Lease) -> None:
        later(workers[name].pace.lease, lease, now() + LEASE_SECONDS)

    lender = Lender(
        pace,
        {},
        send=send,
        call_back=lambda name: later(workers[name].pace.give_back),
        tell_pause=lambda _: None,
        clock=now,
    )
    work = [host.ask_for_ever(one.pace) for one in workers.values() for _ in range(items)]
    work += [part for one in workers.values() for part in (one.talk(lender), one.check())]
    asked = await ask(host, work)
    await lender.close()
    return asked


async def ask(host: Host, work: list[Any]) -> Asked:
    tasks = [asyncio.ensure_future(one) for one in work]
    await asyncio.sleep(SECONDS)
    asked = Asked(list(host.starts), host.most)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return asked


@pytest.mark.parametrize(
    ("rate", "most", "latency", "items", "times"),
    [
        pytest.param(5, 8, 0.05, 3, 0.97, id="a slow host"),
        pytest.param(50, 8, 0.05, 3, 0.97, id="a host at its pace"),
        pytest.param(50, 64, 0.05, 3, 0.97, id="many in flight"),
        pytest.param(50, 8, 1.0, 3, 1.5, id="slow answers"),
        pytest.param(1000, 8, 0.05, 3, 1.9, id="a fast host"),
        pytest.param(1000, 64, 0.1, 20, 1.5, id="a fast host, many in flight"),
    ],
)
def test_two_workers_ask_no_less_than_a_kernel_and_no_more_than_the_pace(
    rate: float, most: int, latency: float, items: int, times: float
):
    """Where the kernel's items in work are too few for the pace, those of the workers add up."""
    kernel = run(ask_by_kernel(Pace(rate, most, clock=now), Host(latency), items))

    cluster = run(ask_by_cluster(Pace(rate, most, clock=now), Host(latency), items, 2))

    assert len(cluster.starts) >= times * len(kernel.starts)
    assert cluster.most <= most
    # Lent in parts, the first of each part may come at once.
    at_once = 0 if rate < 100 else 1
    apart = zip(cluster.starts, cluster.starts[1 + at_once :], strict=False)
    assert min(later - first for first, later in apart) >= 1 / rate


def test_more_workers_than_a_host_allows_requests_take_turns():
    cluster = run(ask_by_cluster(Pace(1000, 3, clock=now), Host(0.5), 2, 6))

    assert cluster.most == 3
    assert len(cluster.starts) >= 0.9 * 3 * SECONDS / 0.5


def test_a_host_is_asked_without_a_break_while_nobody_else_wants_its_pace():
    """A lease is renewed in time: no request waits for a message."""
    cluster = run(ask_by_cluster(Pace(20, 8, clock=now), Host(0.05), 3, 1))

    assert max(later - first for first, later in pairwise(cluster.starts)) < 0.06
