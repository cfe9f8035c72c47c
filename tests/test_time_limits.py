"""Time limits: what takes too long ends with a TimeoutError, and nothing else does."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace

import pytest

from propkit import time_limits
from propkit.time_limits import Patience, TimeLimit, TimeLimits

SOON = 0.05
LONG = 60.0


async def hang(limits: TimeLimits, seconds: float) -> None:
    with limits.limit(seconds):
        await asyncio.sleep(LONG)


async def test_what_takes_too_long_is_ended():
    """With a TimeoutError, not before its time."""
    limits, began = TimeLimits(), time.monotonic()

    with pytest.raises(TimeoutError):
        await hang(limits, SOON)

    assert time.monotonic() - began >= SOON
    assert limits.running == set()


async def test_what_is_done_in_time_is_left_alone():
    """And is watched no more."""
    limits = TimeLimits()

    with limits.limit(LONG) as limit:
        await asyncio.sleep(0)
        assert limits.running == {limit}

    assert limits.running == set()


async def test_each_of_many_has_a_time_of_its_own():
    """A long one that was there first does not hold up the short ones."""
    limits = TimeLimits()
    patient = asyncio.create_task(hang(limits, LONG))
    await asyncio.sleep(0)

    ended = await asyncio.gather(*(hang(limits, SOON) for _ in range(5)), return_exceptions=True)

    assert [type(error) for error in ended] == [TimeoutError] * 5
    assert not patient.done()
    patient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await patient
    assert limits.running == set()


async def test_the_inner_of_two_limits_is_the_one_that_ends():
    """The outer block goes on."""
    limits = TimeLimits()

    with limits.limit(LONG):
        with pytest.raises(TimeoutError):
            await hang(limits, SOON)
        await asyncio.sleep(0)

    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_the_outer_limit_passes_through_the_inner():
    """It is the outer one's TimeoutError: the inner block sees that it is cancelled."""
    limits, seen = TimeLimits(), []

    async def work() -> None:
        try:
            await hang(limits, LONG)
        except BaseException as error:
            seen.append(type(error))
            raise

    with pytest.raises(TimeoutError), limits.limit(SOON):
        await work()

    assert seen == [asyncio.CancelledError]


async def test_a_cancel_from_elsewhere_stays_one():
    """It is not taken for the end of the time, even when that comes at the same moment."""
    limits = TimeLimits()
    task = asyncio.create_task(hang(limits, LONG))
    await asyncio.sleep(0)
    (limit,) = limits.running
    limit.end_after(time.monotonic() + 2 * LONG)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task

    assert task.cancelled()


async def test_an_error_of_the_work_is_told_as_it_is():
    """Though its time was over too."""
    limits = TimeLimits()

    async def fail() -> None:
        with limits.limit(SOON):
            try:
                await asyncio.sleep(LONG)
            except asyncio.CancelledError:
                raise KeyError("mine") from None

    with pytest.raises(KeyError, match="mine"):
        await fail()


async def test_time_that_stands_still_does_not_run_out():
    """What was left is what runs on."""
    limits = TimeLimits()

    async def wait(limit: TimeLimit) -> float | None:
        left = limit.stop()
        await asyncio.sleep(4 * SOON)
        assert limit.stop() is None
        limit.go_on(left or 0.0)
        return left

    with limits.limit(LONG) as limit:
        left = await wait(limit)
        assert limit.due is not None
        assert left == pytest.approx(LONG, abs=30)


async def test_time_in_which_the_process_stands_still_does_not_run_out():
    """What has come by then is heard first; who is silent on is ended all the same."""
    limits, longer = TimeLimits(), 0.0

    with pytest.raises(TimeoutError), limits.limit(0.4) as limit:  # noqa: PT012
        due = limit.due or 0.0
        time.sleep(0.7)  # noqa: ASYNC251 -- the process stands still
        for _ in range(5):
            await asyncio.sleep(0)
        longer = (limit.due or 0.0) - due
        await asyncio.sleep(LONG)

    assert longer > 0.6


async def test_time_runs_out_once_it_runs_on():
    """What stood still is ended like any other."""
    limits = TimeLimits()

    async def work() -> None:
        with limits.limit(LONG) as limit:
            limit.stop()
            await asyncio.sleep(0)
            limit.go_on(SOON)
            await asyncio.sleep(LONG)

    with pytest.raises(TimeoutError):
        await work()


def test_patience_is_not_lost_while_the_process_stands_still(monkeypatch: pytest.MonkeyPatch):
    """Twenty seconds at once are as one: who is waited for has not had them either."""
    now = [100.0]
    monkeypatch.setattr(time_limits, "time", SimpleNamespace(monotonic=lambda: now[0]))
    patience, waited = Patience(), []

    for seconds in (0.05, 0.05, 20.0, 0.5):
        now[0] += seconds
        waited.append(round(patience.look(), 3))

    assert waited == [0.05, 0.1, 1.1, 1.6]


def test_there_is_no_limit_outside_a_task():
    """Nothing could be cancelled."""

    async def make() -> TimeLimits:
        return TimeLimits()

    limits = asyncio.run(make())

    with pytest.raises(RuntimeError, match="for a task"):
        limits.limit(SOON).__enter__()
