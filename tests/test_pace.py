"""Pace: a host is never asked too often, whoever asks. Time is virtual: nothing waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from propkit.errors import SourceUnavailableError
from propkit.pace import Pace
from tests.virtual_time import now, run

EPSILON = 1e-6


def make_pace(requests_per_second: float = 1.0, max_in_flight: int = 1) -> Pace:
    return Pace(requests_per_second, max_in_flight, clock=now)


async def ask(pace: Pace, log: list[Any], name: Any, hold: float = 0.0, max_wait: float = 1e9):
    async with pace.place(max_wait, url="http://h/x"):
        log.append((name, now()))
        await asyncio.sleep(hold)


async def settle() -> None:
    """Let every task go on until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)


# ---------------------------------------------------------------- properties

rates = st.floats(min_value=0.05, max_value=200)
delays = st.floats(min_value=0, max_value=5)
requests = st.lists(st.tuples(delays, delays), min_size=1, max_size=25)
pauses = st.lists(st.tuples(delays, delays), max_size=3)


@settings(max_examples=150)
@given(rates, st.integers(1, 5), requests, pauses)
def test_no_window_holds_more_than_the_rate_allows(rate, max_in_flight, asked, paused):
    """In any window of T seconds at most rate * T + 1 starts; places in flight and order hold."""
    starts: list[tuple[int, float]] = []
    arrivals: list[int] = []
    in_flight: list[int] = []
    quiet: list[tuple[float, float]] = []

    async def one(number: int, arrives: float, hold: float, pace: Pace) -> None:
        await asyncio.sleep(arrives)
        arrivals.append(number)
        async with pace.place(1e9):
            starts.append((number, now()))
            in_flight.append(1)
            assert len(in_flight) <= max_in_flight
            await asyncio.sleep(hold)
            in_flight.pop()

    async def pause(at: float, seconds: float, pace: Pace) -> None:
        await asyncio.sleep(at)
        pace.pause(seconds)
        quiet.append((now(), now() + seconds))

    async def work() -> Pace:
        pace = make_pace(rate, max_in_flight)
        async with asyncio.TaskGroup() as group:
            for number, (arrives, hold) in enumerate(asked):
                group.create_task(one(number, arrives, hold, pace))
            for at, seconds in paused:
                group.create_task(pause(at, seconds, pace))
        return pace

    pace = run(work())

    times = [at for _, at in starts]
    assert [number for number, _ in starts] == arrivals
    for first in range(len(times)):
        for last in range(first, len(times)):
            assert last - first + 1 <= rate * (times[last] - times[first]) + 1 + EPSILON
    for begin, end in quiet:
        assert [at for at in times if begin + EPSILON < at < end - EPSILON] == []
    assert (pace.requests, pace.refused) == (len(asked), len(paused))


@settings(max_examples=100)
@given(
    st.integers(1, 3),
    st.lists(st.tuples(delays, delays, st.none() | delays), min_size=1, max_size=15),
)
def test_cancelled_waiters_leave_no_place_behind(max_in_flight, asked):
    """After any cancels, as many requests as before may be in flight, and at the pace."""

    async def work() -> tuple[list[Any], float]:
        pace, log = make_pace(2.0, max_in_flight), []
        tasks = []
        for arrives, hold, cancelled_after in asked:
            task = asyncio.create_task(_later(arrives, ask(pace, log, "early", hold)))
            tasks.append(task)
            if cancelled_after is not None:
                asyncio.get_running_loop().call_later(arrives + cancelled_after, task.cancel)
        await asyncio.gather(*tasks, return_exceptions=True)
        after: list[Any] = []
        late = [asyncio.create_task(ask(pace, after, n, 100)) for n in range(max_in_flight + 1)]
        begin = now()
        await asyncio.gather(*late)
        return after, begin

    starts, begin = run(work())

    # All places are taken within the pace; one more has to wait for a place.
    assert starts[max_in_flight - 1][1] - begin <= 0.51 * max_in_flight + EPSILON
    assert starts[max_in_flight][1] == pytest.approx(starts[0][1] + 100, abs=1e-3)


async def _later(seconds: float, work: Coroutine[Any, Any, None]) -> None:
    try:
        await asyncio.sleep(seconds)
    except BaseException:
        work.close()
        raise
    await work


# ---------------------------------------------------------------- examples


def starts_of(work: Callable[[Pace, list[Any]], Coroutine[Any, Any, None]], pace: Pace) -> Any:
    """Run ``work`` and return who started when, in seconds since the beginning."""
    log: list[Any] = []

    async def timed() -> float:
        begin = now()
        await work(pace, log)
        return begin

    begin = run(timed())
    return [(name, pytest.approx(at - begin, abs=EPSILON)) for name, at in log]


def test_the_first_starts_at_once_and_the_others_a_little_below_the_rate():
    """Two a second is kept as one every 0.506 s: exactly at a limit, clocks decide."""

    async def work(pace: Pace, log: list[Any]) -> None:
        await asyncio.gather(*(ask(pace, log, n) for n in "abc"))

    pace = make_pace(2.0, 3)

    assert starts_of(work, pace) == [("a", 0.0), ("b", 0.506), ("c", 1.012)]
    assert pace.requests_per_second == pytest.approx(2 / 1.012)


def test_a_rest_saves_up_no_burst():
    """Who did not ask for ten seconds may not ask ten times at once."""

    async def work(pace: Pace, log: list[Any]) -> None:
        await asyncio.sleep(10)
        await asyncio.gather(*(ask(pace, log, n) for n in "ab"))

    assert starts_of(work, make_pace(1.0, 2)) == [("a", 10.0), ("b", 11.012)]


def test_a_slow_answer_holds_its_place():
    """With one place, the next starts when the answer is there, not when the rate allows."""

    async def work(pace: Pace, log: list[Any]) -> None:
        await asyncio.gather(ask(pace, log, "a", 7), ask(pace, log, "b"))

    assert starts_of(work, make_pace(1.0, 1)) == [("a", 0.0), ("b", 7.0)]


def test_a_pause_delays_everyone_also_who_waits_already():
    """The whole host is left alone, and then asked a little less often than before."""

    async def work(pace: Pace, log: list[Any]) -> None:
        tasks = [asyncio.create_task(ask(pace, log, n)) for n in "abc"]
        await settle()
        pace.pause(20)
        await asyncio.gather(*tasks)

    pace = make_pace(1.0, 3)

    assert starts_of(work, pace) == [("a", 0.0), ("b", 20.0), ("c", 20 + 1.012 / (0.72 * 0.95))]
    assert pace.refused == 1


def test_a_shorter_pause_does_not_shorten_a_longer_one():
    """Of two pauses the later end counts."""

    async def work(pace: Pace, log: list[Any]) -> None:
        pace.pause(20)
        pace.pause(5)
        assert pace.wait_seconds == 20
        await ask(pace, log, "a")

    assert starts_of(work, make_pace()) == [("a", 20.0)]


def test_a_pause_longer_than_the_wait_allowed_is_an_error_and_leaks_no_place():
    """The source is given up for the item; when the pause is over, all places are there."""

    async def work(pace: Pace, log: list[Any]) -> None:
        pace.pause(61)
        for _ in range(5):
            with pytest.raises(SourceUnavailableError) as caught:
                await ask(pace, log, "never", max_wait=60)
            assert str(caught.value) == "the host asks to be left alone for 61 s (http://h/x)"
        await asyncio.sleep(1)
        await asyncio.gather(*(ask(pace, log, n, 500, max_wait=60) for n in "ab"))

    assert starts_of(work, make_pace(1.0, 2)) == [("a", 61.0), ("b", 61 + 1.012 / (0.72 * 0.95))]


def test_a_slow_pace_is_no_pause():
    """A crawl delay longer than the longest pause is waited for: the host did not refuse."""

    async def work(pace: Pace, log: list[Any]) -> None:
        await asyncio.gather(*(ask(pace, log, n, max_wait=60) for n in "ab"))

    pace = make_pace(1.0, 2)
    pace.slow_to(600)

    assert starts_of(work, pace) == [("a", 0.0), ("b", 600.0)]


def test_a_crawl_delay_slows_and_never_hastens():
    """The larger spacing is kept."""
    pace = make_pace(2.0)
    spacings = []

    for seconds in (3.0, 1.0, 5.0):
        pace.slow_to(seconds)
        spacings.append((pace.spacing_seconds, pace.requests_per_second))

    assert spacings == [(3.0, 1 / 3), (3.0, 1 / 3), (5.0, 1 / 5)]


def test_an_error_inside_gives_the_place_back():
    """What went wrong with one request keeps no other from its place."""

    async def work(pace: Pace, log: list[Any]) -> None:
        async def fail(name: str) -> None:
            async with pace.place(60):
                log.append((name, now()))
                raise ZeroDivisionError

        for name in "abc":
            with pytest.raises(ZeroDivisionError):
                await fail(name)

    starts = [("a", 0.0), ("b", 1.012), ("c", 2.024)]
    assert starts_of(work, make_pace(1.0, 1)) == starts


def test_a_cancelled_waiter_gives_its_turn_to_the_next():
    """Whether it waits for the turn, for a place or for the time."""

    async def work(pace: Pace, log: list[Any]) -> None:
        tasks = [asyncio.create_task(ask(pace, log, n, hold=3)) for n in "abcd"]
        await asyncio.sleep(0.1)
        tasks[1].cancel()  # waits for the place that a holds
        await settle()
        tasks[2].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        paused = asyncio.create_task(ask(pace, log, "e"))
        pace.pause(50)
        await asyncio.sleep(1)
        paused.cancel()  # waits for the end of the pause
        await settle()
        await ask(pace, log, "f")

    assert starts_of(work, make_pace(1.0, 1)) == [("a", 0.0), ("d", 3.0), ("f", 56.0)]


def test_a_waiter_cancelled_as_its_turn_comes_gives_it_back():
    """The place was given to it a moment ago, and it never woke: the host is not stuck with it."""

    async def work() -> bool:
        pace = make_pace(1000.0, 1)
        pace.take()
        waiter = asyncio.create_task(ask(pace, [], "b"))
        await asyncio.sleep(1)
        pace.leave()  # now the waiter has the place, and has not noticed yet
        waiter.cancel()
        await asyncio.gather(waiter, return_exceptions=True)
        await asyncio.sleep(1)
        return pace.is_free()

    assert run(work())


def test_the_wait_is_told_before_asking():
    """Seconds until the next start; 0 when it may be now."""
    waits = []

    async def work(pace: Pace, log: list[Any]) -> None:
        waits.append(pace.wait_seconds)
        await ask(pace, log, "a")
        waits.append(pace.wait_seconds)
        await asyncio.sleep(5)
        waits.append(pace.wait_seconds)

    starts_of(work, make_pace(1.0))

    assert waits == [0.0, pytest.approx(1.012), 0.0]


def test_virtual_time_is_what_waits_here():
    """The clock of these tests jumps: a day passes at once, in the right order."""
    order: list[Any] = []

    async def work() -> None:
        await asyncio.gather(
            *(_later(seconds, _note(order, seconds)) for seconds in (86400, 1, 3600))
        )

    run(work())

    assert [seconds for seconds, _ in order] == [1, 3600, 86400]
    assert [b - a for (_, a), (_, b) in pairwise(order)] == pytest.approx([3599, 82800])


async def _note(order: list[Any], value: float) -> None:
    order.append((value, now()))


# ---------------------------------------------------------------- a host that refuses


async def collect_for(
    seconds: float, pace: Pace, limit: float, burst: float = 3.0
) -> tuple[int, int]:
    """Ask a host that allows ``limit`` requests/s and a burst; return answered and refused."""
    tokens, filled_at, start = burst, now(), now()
    answered = refused = 0

    async def one() -> None:
        nonlocal tokens, filled_at, answered, refused
        while now() - start < seconds:
            async with pace.place(1e9) as place:
                tokens = min(burst, tokens + (now() - filled_at) * limit)
                filled_at = now()
                is_good = tokens >= 1
                tokens -= is_good
                await asyncio.sleep(0.1)
            answered, refused = answered + is_good, refused + (not is_good)
            pace.succeed() if is_good else pace.pause(0.25, place.started_at)

    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(one())
    return answered, refused


@pytest.mark.parametrize("burst", [1.0, 2.0, 3.0, 10.0])
@pytest.mark.parametrize("limit", [5, 10, 20])
def test_an_unknown_limit_is_learned_with_few_refusals(limit: int, burst: float):
    """In the first minute nearly all that the limit allows, and hardly anything refused."""

    async def work() -> tuple[int, int]:
        pace = Pace(5, 8, is_learned=True, clock=now)
        return await collect_for(60, pace, limit, burst)

    answered, refused = run(work())

    assert answered > (0.94 if burst > 1 else 0.82) * limit * 60
    assert refused < 0.03 * answered


def test_refusals_of_requests_under_way_are_one_refusal():
    """Of five requests at once the last three are refused: the pace is cut once, not thrice."""

    async def work() -> list[float]:
        pace = make_pace(10, 5)
        places = [pace.place(60) for _ in range(5)]
        for place in places:
            await place.__aenter__()
        rates = []
        for place in places[2:]:
            pace.pause(1, place.started_at)
            rates.append(pace.requests_per_second)
        for place in places:
            await place.__aexit__()
        await asyncio.sleep(10)
        async with pace.place(60) as later:
            pace.pause(1, later.started_at)
        return [*rates, pace.requests_per_second]

    first, second, third, later = run(work())

    assert first == second == third
    assert later < first


def test_a_host_that_refuses_all_is_not_given_up_in_a_moment():
    """Many quick attempts that are all refused slow it down as one does, and again after seconds."""

    async def work() -> list[float]:
        pace = make_pace(1000, 8)
        rates = []
        for _ in range(3):
            for _ in range(30):
                async with pace.place(60) as place:
                    pace.pause(0.01, place.started_at)
            rates.append(pace.requests_per_second)
            await asyncio.sleep(3)
        return rates

    rates = run(work())

    assert rates == pytest.approx([1000 / 1.012 * (0.72 * 0.95) ** times for times in (1, 2, 3)])


def test_a_host_that_allows_less_than_it_is_known_for_is_asked_less_often():
    """Most requests are answered though the known rate is twice what the host allows."""

    async def work() -> tuple[int, int]:
        return await collect_for(180, make_pace(10, 8), 5)

    answered, refused = run(work())

    assert answered > 0.9 * 5 * 180
    assert refused < 0.06 * answered


def test_a_known_pace_comes_back_after_a_refusal_and_never_exceeds_the_limit():
    """One refusal slows the host down; good answers bring the old pace back, no more."""

    async def work() -> list[float]:
        pace = make_pace(4)
        rates = [pace.requests_per_second]
        pace.pause(0)
        rates.append(pace.requests_per_second)
        for _ in range(2000):
            pace.succeed()
        return [*rates, pace.requests_per_second]

    before, slowed, after = run(work())

    assert slowed < 0.8 * before
    assert after == before


def test_a_crawl_delay_holds_whatever_was_refused_and_came_back():
    """Good answers bring the pace back to the delay, not to what it was before."""

    async def work() -> list[float]:
        paces = [make_pace(10), Pace(10, 1, is_learned=True, clock=now)]
        for pace in paces:
            pace.slow_to(2.0)
            pace.pause(0)
            for _ in range(2000):
                pace.succeed()
        return [pace.spacing_seconds for pace in paces]

    assert run(work()) == [2.0, 2.0]


def test_a_refusal_that_comes_late_is_that_of_its_time():
    """What was under way when the host refused and is answered long after cuts nothing again."""

    async def work() -> list[float]:
        pace = make_pace(1000, 8)
        early = pace.take()
        await asyncio.sleep(1)
        pace.pause(1, pace.take())
        rates = [pace.requests_per_second]
        await asyncio.sleep(60)
        pace.pause(1, early)
        rates.append(pace.requests_per_second)
        pace.pause(1, pace.take())
        return [*rates, pace.requests_per_second]

    first, late, second = run(work())

    assert first == late
    assert second < first


def test_a_host_is_asked_once_a_minute_at_least():
    """However often it refuses: else it would take hours to see that it is back."""

    async def work() -> float:
        pace = make_pace(5)
        for _ in range(100):
            pace.pause(1, pace.take())
            pace.leave()
            await asyncio.sleep(10)
        return pace.requests_per_second

    assert run(work()) == pytest.approx(1 / 60)


def test_what_took_a_place_and_starts_later_is_measured_from_its_start():
    """A browser that has first to be started comes no closer to the next request."""
    waits = []

    async def work(pace: Pace, log: list[Any]) -> None:
        pace.take()
        await asyncio.sleep(5)
        pace.restart()
        waits.append(pace.wait_seconds)

    starts_of(work, make_pace(1.0))

    assert waits == [pytest.approx(1.012)]


def test_a_start_that_comes_late_is_caught_up():
    """Half a place late, the next one is due half a place sooner: the rate is kept."""
    waits = []

    async def work(pace: Pace, log: list[Any]) -> None:
        pace.take()
        await asyncio.sleep(1.5 * 1.012)
        pace.take()
        waits.append(pace.wait_seconds)

    starts_of(work, make_pace(1.0, 8))

    assert waits == [pytest.approx(1.002)]


# ---------------------------------------------------------------- who goes first


def test_the_most_urgent_goes_first_and_equals_in_the_order_of_asking():
    """Of those who wait; who has a place keeps it."""

    async def work(pace: Pace, log: list[Any]) -> None:
        async def later(name: str, rank: int) -> None:
            async with pace.place(60, rank=rank):
                log.append((name, now()))

        names = [("a", 3), ("b", 3), ("c", 1), ("d", 0), ("e", 1), ("f", 0)]
        await asyncio.gather(*(later(name, rank) for name, rank in names))

    order = [name for name, _ in starts_of(work, make_pace(1.0, 6))]

    assert order == ["a", "d", "f", "c", "e", "b"]


def test_who_waits_grows_more_urgent():
    """Three ranks are made up for by three times the ageing: nobody starves."""
    log: list[Any] = []

    async def work() -> None:
        pace = Pace(1.0, 1, ageing_seconds=5, clock=now)

        async def one(name: str, rank: int, arrives: float) -> None:
            await asyncio.sleep(arrives)
            async with pace.place(1e9, rank=rank):
                log.append(name)

        async with asyncio.TaskGroup() as group:
            for number in range(60):  # two a second, twice what the pace allows
                group.create_task(one(f"critical {number}", 0, number / 2))
            group.create_task(one("low", 3, 0.1))

    run(work())

    assert 14 <= log.index("low") <= 32


def test_ever_slower_answers_slow_the_pace_and_quick_ones_bring_it_back():
    """Rising latency is a host in trouble, before it refuses."""

    async def work() -> list[float]:
        pace = make_pace(4)
        rates = []
        for seconds, answers in ((0.1, 40), (3.0, 40), (0.1, 400)):
            for _ in range(answers):
                async with pace.place(1e9):
                    await asyncio.sleep(0)
                pace.succeed(seconds)
            rates.append(pace.requests_per_second)
        return rates

    quick, slow, back = run(work())

    assert slow < 0.7 * quick
    assert back == quick


def test_answers_in_milliseconds_may_vary():
    """Ten times as long as usual is no trouble where it is less than half a second."""

    async def work() -> list[float]:
        pace = make_pace(100)
        rates = []
        for seconds in (0.005, 0.1):
            for _ in range(50):
                await asyncio.sleep(0.1)
                pace.succeed(seconds)
            rates.append(pace.requests_per_second)
        return rates

    quick, slower = run(work())

    assert slower == quick


def test_slow_answers_of_one_moment_slow_the_pace_once():
    """Eight that were under way together are one trouble; what is usual is what was quickest."""

    async def work() -> list[float]:
        pace = make_pace(10, 8)
        pace.succeed(3.0)  # the first one had to open a connection
        for _ in range(50):
            pace.succeed(0.1)
        await asyncio.sleep(60)
        rates = [pace.requests_per_second]
        for _ in range(8):
            pace.succeed(3.0)
        return [*rates, pace.requests_per_second]

    usual, slowed = run(work())

    assert 0.8 * usual < slowed < 0.95 * usual


def test_a_pace_goes_on_as_it_was_left():
    """The rate it kept, and the rest of the pause; never above the limit that is known."""
    rates: list[Any] = []

    async def work(pace: Pace, log: list[Any]) -> None:
        pace.resume(0.5, 0.6, 30)
        await asyncio.gather(*(ask(pace, log, n) for n in "ab"))
        rates.append(pace.knee_per_second)
        pace.resume(5.0, None, 0)
        rates.append(pace.requests_per_second)

    assert starts_of(work, make_pace(1.0, 2)) == [("a", 30.0), ("b", 32.0)]
    assert rates == [0.6, pytest.approx(1 / 1.012)]
