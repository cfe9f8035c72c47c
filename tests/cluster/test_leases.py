"""Leases of a host's pace: one at a time, none after its time, and all that was done is told."""

from __future__ import annotations

import asyncio
import pickle
import time
from dataclasses import replace

import pytest

from propkit.errors import CollectionCancelledError
from propkit.pace import Pace
from propkit.runtime.cluster import lending
from propkit.runtime.cluster.asker import Asker
from propkit.runtime.cluster.leased import LeasedPace
from propkit.runtime.cluster.lending import Lender
from propkit.runtime.cluster.messages import FromOwner, Lease, PaceReport, Setup
from propkit.runtime.cluster.parts import AskerSeen
from propkit.sections import BrowsingSettings, CollectSettings
from propkit.usage import Cap

LONG = 60.0


def lease_of(number: int = 1, *, seconds: float = LONG, in_flight: int = 2) -> Lease:
    return Lease(
        number=number, seconds=seconds, wait_seconds=0.0, spacing_seconds=0.01,
        in_flight=in_flight, caps={},
    )  # fmt: skip


def report_of(wants: int | None = None, **more: object) -> PaceReport:
    given = {
        "wants": wants, "in_flight": 0, "starts": [], "answers": [], "refusals": [],
        "returned": None, "crawl_seconds": None, "is_restarted": False, **more,
    }  # fmt: skip
    return PaceReport(**given)  # type: ignore[arg-type]


class Owner:
    """What a lender says, in order."""

    def __init__(self, pace: Pace, caps: dict[str, Cap] | None = None) -> None:
        self.given: list[tuple[str, Lease]] = []
        self.called_back: list[str] = []
        self.pauses: list[float] = []
        self._news = asyncio.Event()
        self.lender = Lender(
            pace,
            caps or {},
            send=self._send,
            call_back=self.called_back.append,
            tell_pause=self.pauses.append,
        )

    def _send(self, name: str, lease: Lease) -> None:
        self.given.append((name, lease))
        self._news.set()

    async def has_given(self, number: int) -> None:
        """Wait until so many leases were given."""
        async with asyncio.timeout(LONG):
            while len(self.given) < number:
                self._news.clear()
                await self._news.wait()

    def hear(self, asker: str, report: PaceReport) -> None:
        self.lender.hear(asker, report)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


# ---------------------------------------------------------------- the worker's side


async def test_nothing_starts_without_a_lease():
    pace = LeasedPace(30.0, lambda: None)
    waiting = asyncio.create_task(pace.place(LONG).__aenter__())
    await settle()
    assert not waiting.done()
    assert pace.report().wants == 0

    pace.lease(lease_of(), time.monotonic() + LONG)
    await waiting

    report = pace.report()
    assert (report.wants, report.in_flight, [n for n, _ in report.starts]) == (None, 1, [1])


async def test_a_lease_says_when_its_first_request_may_start():
    pace = LeasedPace(30.0, lambda: None)

    pace.lease(replace(lease_of(), wait_seconds=LONG), time.monotonic() + LONG)

    assert not pace.is_free()


async def test_a_lease_that_comes_too_late_starts_nothing():
    """The owner may have lent the pace to somebody else by then."""
    pace = LeasedPace(30.0, lambda: None)

    pace.lease(lease_of(), time.monotonic() - 0.001)

    assert not pace.is_free()
    pace.check(LONG)
    assert pace.report().returned == (1, 0.0)


async def test_a_renewal_that_crossed_its_return_is_not_taken_up():
    pace = LeasedPace(30.0, lambda: None)
    pace.lease(lease_of(), time.monotonic() + LONG)
    pace.give_back()
    assert pace.report().returned is not None

    pace.lease(lease_of(), time.monotonic() + LONG)
    assert not pace.is_free()

    pace.lease(lease_of(2), time.monotonic() + LONG)
    assert pace.is_free()


async def test_what_goes_back_says_when_the_next_may_start():
    pace = LeasedPace(30.0, lambda: None)
    pace.lease(replace(lease_of(), spacing_seconds=5.0), time.monotonic() + LONG)
    pace.take()

    pace.give_back()

    number, wait_seconds = pace.report().returned or (0, 0.0)
    assert number == 1
    assert 4.5 < wait_seconds <= 5.0


async def test_a_refusal_ends_the_lease_and_is_told():
    pace = LeasedPace(30.0, lambda: None)
    pace.lease(lease_of(), time.monotonic() + LONG)
    started_at = pace.take()

    pace.pause(7.0, started_at)

    assert not pace.is_free()
    report = pace.report()
    assert report.refusals == [(7.0, 1)]
    assert report.returned is not None


async def test_a_stop_lets_nobody_wait():
    pace = LeasedPace(30.0, lambda: None)
    waiting = asyncio.create_task(pace.place(LONG).__aenter__())
    await settle()

    pace.stop()

    with pytest.raises(CollectionCancelledError):
        await waiting
    with pytest.raises(CollectionCancelledError):
        await pace.place(LONG).__aenter__()


# ---------------------------------------------------------------- the owner's side


async def test_a_pace_is_lent_to_one_at_a_time():
    pace = Pace(50, 3)
    owner = Owner(pace)
    owner.hear("a", report_of(wants=1))
    owner.hear("b", report_of(wants=1))
    await settle()
    assert [name for name, _ in owner.given] == ["a"]
    assert not pace.is_free()

    number = owner.given[0][1].number
    owner.hear("a", report_of(wants=1, returned=(number, 0.0)))
    await owner.has_given(2)

    assert [name for name, _ in owner.given] == ["a", "b"]
    await owner.lender.close()
    assert pace.in_flight == 0


async def test_a_pace_that_is_cut_as_it_is_lent_goes_on():
    """The request that had just got its place is forgotten with all others by then."""
    pace = Pace(50, 3)
    async with pace.place(LONG):
        pace.pause(0.0)

        pace.lend(lambda: None)
        pace.take_back(0.0)


async def test_who_has_requests_under_way_leaves_so_many_fewer_to_the_next():
    pace = Pace(50, 3)
    owner = Owner(pace)
    owner.hear("a", report_of(wants=1))
    await settle()
    number = owner.given[0][1].number
    owner.hear("b", report_of(wants=1))
    started = [(1, 0.1), (2, 0.05)]

    owner.hear("a", report_of(in_flight=2, starts=started, returned=(number, 0.0)))
    await owner.has_given(2)

    assert [(name, lease.in_flight) for name, lease in owner.given] == [("a", 3), ("b", 1)]
    assert (pace.requests, pace.in_flight) == (2, 2)
    await owner.lender.close()


async def test_a_fast_pace_is_lent_in_parts_that_make_up_the_whole():
    pace = Pace(1000, 8)
    owner = Owner(pace)
    owner.hear("a", report_of())
    owner.hear("b", report_of())

    owner.hear("a", report_of(wants=1))
    owner.hear("b", report_of(wants=1))
    await settle()

    assert [(name, lease.in_flight) for name, lease in owner.given] == [("a", 4), ("b", 4)]
    assert {lease.spacing_seconds for _, lease in owner.given} == {pace.spacing_seconds * 2}
    await owner.lender.close()


async def test_a_lease_whose_holder_is_silent_comes_back_in_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lending, "LEASE_SECONDS", 0.05)
    pace = Pace(50, 3)
    owner = Owner(pace)
    owner.hear("a", report_of(wants=1))
    await settle()
    owner.hear("b", report_of(wants=1))
    owner.lender.forget("a")

    await owner.has_given(2)

    assert [name for name, _ in owner.given] == ["a", "b"]
    await owner.lender.close()


async def test_a_refusal_cuts_the_owners_pace_and_is_told_to_all():
    pace = Pace(20, 3)
    owner = Owner(pace)
    owner.hear("a", report_of(wants=1))
    await settle()
    before = pace.requests_per_second

    number = owner.given[0][1].number
    owner.hear("a", report_of(starts=[(1, 0.1)], refusals=[(3.0, 1)], returned=(number, 0.0)))

    assert pace.requests_per_second < before
    assert pace.refused == 1
    assert [round(seconds) for seconds in owner.pauses] == [3]
    await owner.lender.close()


async def test_who_waits_here_gets_the_pace_when_it_comes_back():
    """A person's search is not behind all of a batch, and not too close to its last request."""
    pace = Pace(50, 3)
    owner = Owner(pace)
    owner.hear("a", report_of(wants=3))
    await settle()
    number = owner.given[0][1].number
    search = asyncio.create_task(pace.place(LONG, rank=0).__aenter__())
    await settle()
    assert not search.done()

    came_back_at = time.monotonic()
    owner.hear("a", report_of(wants=3, returned=(number, 0.3)))
    place = await search

    assert place.started_at - came_back_at >= 0.3
    assert len(owner.given) == 1
    await owner.lender.close()


async def test_who_waits_here_need_not_outlast_a_lease(monkeypatch: pytest.MonkeyPatch):
    """As long as a person's search waits, no lease is renewed and no further part is given."""
    monkeypatch.setattr(lending, "_RENEW_AFTER", -1.0)
    pace = Pace(1000, 8)
    owner = Owner(pace)
    owner.hear("a", report_of(wants=3))
    await settle()
    search = asyncio.create_task(pace.place(LONG, rank=0).__aenter__())
    await settle()

    owner.hear("a", report_of(wants=3))
    owner.hear("b", report_of(wants=3))
    await settle()
    assert [name for name, _ in owner.given] == ["a"]

    owner.hear("a", report_of(wants=3, returned=(owner.given[0][1].number, 0.0)))
    await search
    await owner.lender.close()


async def test_a_share_that_is_to_be_smaller_comes_back_before_the_rest_is_lent():
    pace = Pace(1000, 8)
    owner = Owner(pace)
    owner.hear("a", report_of(wants=1))
    await settle()
    owner.hear("a", report_of(in_flight=1, starts=[(1, 0.0)]))
    owner.hear("a", report_of(wants=1))

    owner.hear("b", report_of(wants=1))
    await settle()
    assert owner.called_back == ["a"]
    assert {name for name, _ in owner.given} == {"a"}

    owner.given.clear()
    owner.hear("a", report_of(wants=1, returned=(1, 0.0)))
    await owner.has_given(2)
    spacing = pace.spacing_seconds * 2
    assert [
        (name, lease.in_flight, lease.spacing_seconds, lease.wait_seconds)
        for name, lease in owner.given
    ] == [("b", 4, spacing, 0.0), ("a", 4, spacing, spacing)]
    await owner.lender.close()


async def test_a_cap_says_what_it_leaves():
    owner = Owner(Pace(50, 3), {"h": Cap(10, spent=4)})

    owner.hear("a", report_of(wants=1))
    await settle()

    assert owner.given[0][1].caps == {"h": 6}
    await owner.lender.close()


async def test_a_lease_counts_from_what_was_heard_when_it_was_given():
    """Not from what was heard since: it would outlast the owner's own count of its time."""
    asker = AskerSeen("a", "w", heard=3)
    asker.say_lease("h", lease_of())

    asker.heard = 5
    asker.say_lease("h", lease_of())

    assert asker.news == FromOwner(heard=3, leases={"h": lease_of()})


async def test_a_lease_that_is_called_back_before_it_is_on_its_way_comes_back():
    """Nobody could lend it to somebody else as long as its time is not over."""
    told = FromOwner(leases={"h": lease_of()}, returns={"h"})
    asker = object.__new__(Asker)
    pace = LeasedPace(30.0, lambda: None)
    asker._sent_at, asker._paces = {0: time.monotonic()}, {"h": pace}
    asker._setup = None

    asker._hear(told)

    assert pace.report().returned == (1, 0.0)


def test_what_a_worker_is_told_first_shows_no_token():
    setup = Setup(
        owner="c",
        configs={"x": "secret-token"},  # type: ignore[dict-item]
        collect=CollectSettings(),
        browsing=BrowsingSettings(),
        browser=None,
        way="collect",
        order=None,
        workers=3,
        cap_names={},
    )

    assert "secret-token" not in repr(setup)
    assert pickle.loads(pickle.dumps(setup)) == setup  # noqa: S301 -- our own
