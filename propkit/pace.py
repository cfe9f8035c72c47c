"""One pace per host: at most so many requests a second, at most so many in flight.

Requests get places on a time line, ``spacing_seconds`` apart: the most urgent first, of equal
ones who asked first; who waits grows more urgent with time, so that nobody starves. A host that
says Retry-After pauses them all. A host that refuses, or answers ever more slowly, is asked less
often, and by and by as often as before; where the limit is not known, it is learned in the same
way.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import deque
from collections.abc import Callable

from propkit.pace_place import Place

# Exactly at a host's limit up to 1 % of requests are refused (clocks differ): stay below. A start
# that comes late is caught up, but two starts are never closer than the second number. Timers come
# late by about a millisecond: they are set so much earlier, as measured.
_BELOW_LIMIT = 1.012
_CLOSEST = 1.002
_LATENESS_SHARE = 0.1
_MOST_LATE = 0.003

# An unknown rate doubles in a few seconds until the host refuses for the first time. What the host
# let through until then tells its limit. From then on the rate follows a cubic curve, as TCP CUBIC
# does (RFC 9438): after a refusal it is cut, comes back, stays a while a little below the limit that
# was measured, and only then tries more: the later, the longer it was measured. A host that refuses
# again after a few requests has another limit, and the rate is cut deeply. Found by trying against
# token buckets of 1 to 10 tokens and 2 to 35 requests/s.
_DOUBLING_SECONDS = 1.5
_BURST = 2
_LEAST_STARTS = 5
_MOST_STARTS = 1000
_PEAK_SHARE = 0.985
_AFTER_REFUSAL = 0.95
_AFTER_SOON_REFUSAL = 0.72
_LEAST_DEPTH = 0.05
_PLATEAU_SECONDS = 8.0
_PLATEAU_TIMES = 6.0
_LONGEST_PLATEAU_SECONDS = 120.0
_SETTLING_SECONDS = 2.0
_FASTEST_LEARNED = 50.0
_SLOWEST = 1 / 60

# Answers that take three times as long as is usual, and half a second more, are a host in trouble.
_SLOW_TIMES = 3.0
_SLOW_SECONDS = 0.5
_AFTER_SLOWNESS = 0.85
_LATENCY_SHARE = 0.2
_USUAL_SHARE = 0.01


class Pace:
    """The pace of one host.

    Parameters
    ----------
    requests_per_second
        The host's limit; where it is learned, the rate to begin with.
    max_in_flight
        Most requests under way at once.
    is_learned
        The limit is not known: go faster until the host refuses.
    ageing_seconds
        In this time a waiting request gains one rank of priority.
    clock
        Seconds, monotonic.
    """

    def __init__(
        self,
        requests_per_second: float,
        max_in_flight: int,
        *,
        is_learned: bool = False,
        ageing_seconds: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.is_learned = is_learned
        self.spacing_seconds = _BELOW_LIMIT / requests_per_second
        self._least_spacing = (
            1 / max(_FASTEST_LEARNED, requests_per_second) if is_learned else self.spacing_seconds
        )
        self._peak = 0.0 if is_learned else self.requests_per_second
        self._depth = 1 - _AFTER_SOON_REFUSAL
        self._plateau_seconds = _PLATEAU_SECONDS
        self._recovered_seconds = 0.0
        self._cut_at = self._refused_at = float("-inf")
        self._is_cut = False
        self._starts: deque[float] = deque(maxlen=_MOST_STARTS)
        self._latency = self._usual_latency = 0.0
        self.requests = 0
        self.refused = 0
        self._ageing_seconds = ageing_seconds
        self._clock = clock
        self._next_at = self._closest_at = float("-inf")
        self._paused_until = 0.0
        self._max_in_flight = max_in_flight
        self._in_flight = 0
        self._arrivals = 0
        self._waiting: list[tuple[float, int, Place]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._lateness = 0.0
        self._on_wanted: Callable[[], object] | None = None

    @property
    def requests_per_second(self) -> float:
        """The rate that is kept."""
        return 1 / self.spacing_seconds

    @property
    def knee_per_second(self) -> float | None:
        """The rate a little above which the host last refused; None where it never did."""
        return self._peak if self._is_cut else None

    @staticmethod
    def spacing_of(requests_per_second: float) -> float:
        """Return the spacing that keeps a limit: a little longer than it asks for."""
        return _BELOW_LIMIT / requests_per_second

    @property
    def wait_seconds(self) -> float:
        """Seconds until the next request may start."""
        return max(0.0, self._next_at - self._clock(), self.pause_seconds)

    @property
    def pause_seconds(self) -> float:
        """Seconds for which the host still asks to be left alone."""
        return max(0.0, self._paused_until - self._clock())

    @property
    def in_flight(self) -> int:
        """Requests under way, whoever made them."""
        return self._in_flight

    @property
    def most_in_flight(self) -> int:
        """Most requests under way at once."""
        return self._max_in_flight

    def lend(self, on_wanted: Callable[[], object]) -> None:
        """Leave the time line to others in place of a request that has just got its place.

        Nobody gets a place until :meth:`take_back`. ``on_wanted`` is called when somebody waits
        for one, or the host asks for a pause.
        """
        self._in_flight -= 1
        self.requests -= 1
        if self._starts:  # a cut in between has forgotten them all
            self._starts.pop()
        self._on_wanted = on_wanted
        self._serve()

    def take_back(self, wait_seconds: float) -> None:
        """Keep the time line again; the next request may start in ``wait_seconds`` at the soonest."""
        self._on_wanted = None
        soonest = self._clock() + wait_seconds
        self._next_at = max(self._next_at, soonest)
        self._closest_at = max(self._closest_at, soonest)
        self._serve()

    def note_start(self, seconds_ago: float) -> float:
        """Take note of a request that somebody else has started; return the moment."""
        started_at = self._clock() - seconds_ago
        self.requests += 1
        self._starts.append(started_at)
        return started_at

    def note_in_flight(self, change: int) -> None:
        """Take note that so many more requests of others are under way, or fewer."""
        self._in_flight += change
        if change < 0:
            self._serve()

    def slow_to(self, spacing_seconds: float) -> None:
        """Keep at least this spacing from now on (a crawl delay)."""
        self._least_spacing = max(self._least_spacing, spacing_seconds)
        self.spacing_seconds = max(self.spacing_seconds, spacing_seconds)

    def resume(
        self,
        requests_per_second: float,
        knee_per_second: float | None,
        pause_seconds: float,
    ) -> None:
        """Go on as an earlier run left off: the rate it kept, and the rest of a pause."""
        self.spacing_seconds = max(self._least_spacing, 1 / requests_per_second)
        if knee_per_second is not None:
            self._is_cut = True
            self._peak = knee_per_second
            self._recovered_seconds = self._plateau_seconds
        self._paused_until = max(self._paused_until, self._clock() + pause_seconds)

    def succeed(self, seconds: float | None = None) -> None:
        """Take note of a good answer, and of how long it took.

        A pace that was cut, or is learned, gets faster; one whose host answers ever more slowly
        gets slower.
        """
        if seconds is not None and self._is_slow(seconds):
            self._cut(_AFTER_SLOWNESS, self.requests_per_second, 0.0)
        elif self.spacing_seconds > self._least_spacing:
            self._grow()

    def pause(self, seconds: float, started_at: float | None = None) -> None:
        """Take note of a refusal: no request starts for so long, and then fewer do.

        ``started_at`` (of the pace's clock; now when left out) is when the refused request got
        its place. Refusals of requests that were under way at an earlier one are that one.
        """
        self.refused += 1
        now = self._clock()
        asked_at = now if started_at is None else started_at
        if asked_at in self._starts:
            self._starts.remove(asked_at)  # what stays was let through
        limit, measured_seconds = self._measure_limit(asked_at)
        # A host that refuses all is not asked ever less often by each of a few quick attempts.
        is_new = measured_seconds > 0 or now - self._cut_at > _SETTLING_SECONDS
        if asked_at > self._refused_at and is_new:
            rate = self.requests_per_second
            if measured_seconds:
                peak = min(limit, rate) * _PEAK_SHARE
            else:
                peak = rate * _AFTER_SOON_REFUSAL
            self._plateau_seconds = min(
                max(_PLATEAU_TIMES * measured_seconds, _PLATEAU_SECONDS), _LONGEST_PLATEAU_SECONDS
            )
            self._cut(peak * _AFTER_REFUSAL / rate, peak, seconds)
            self._refused_at = now
        self._paused_until = max(self._paused_until, now + seconds)
        self._serve()

    def _measure_limit(self, refused_at: float) -> tuple[float, float]:
        """Return the rate that the host let through, and for how long; zeros after few requests.

        A host that counts with a bucket of tokens lets a burst and its rate through: in every
        stretch of time up to the refusal at most that, and in one exactly that.
        """
        starts = [start for start in self._starts if start < refused_at]
        if len(starts) < _LEAST_STARTS:
            return 0.0, 0.0
        return max(
            ((len(starts) - number - _BURST + 1) / (refused_at - start), refused_at - start)
            for number, start in enumerate(starts[:-_BURST])
        )

    def place(self, max_wait: float, *, url: object = None, rank: int = 0) -> Place:
        """Return what waits for a place and holds it: ``async with pace.place(60): ...``.

        ``rank`` is the priority's: 0 goes first.

        Raises
        ------
        SourceUnavailableError
            On entering: the host asks for a pause of more than ``max_wait`` seconds.
        """
        return Place(self, max_wait, url, rank)

    def restart(self) -> None:
        """Measure the spacing from now: what took a place has started only now."""
        self._next_at = max(self._next_at, self._clock() + self.spacing_seconds)

    def _is_slow(self, seconds: float) -> bool:
        usual = self._usual_latency or seconds
        latency = self._latency or seconds
        self._latency = latency + _LATENCY_SHARE * (seconds - latency)
        # What is usual falls at once and rises slowly.
        self._usual_latency = min(seconds, usual + _USUAL_SHARE * (seconds - usual))
        return (
            self._latency > _SLOW_TIMES * usual
            and self._latency > usual + _SLOW_SECONDS
            and self._clock() - self._cut_at > _SETTLING_SECONDS
        )

    def _grow(self) -> None:
        """Go faster by what one good answer at this rate proves."""
        if not self._peak:
            rate = self.requests_per_second * 2 ** (self.spacing_seconds / _DOUBLING_SECONDS)
        else:
            self._recovered_seconds += self.spacing_seconds
            distance = self._recovered_seconds / self._plateau_seconds - 1
            rate = self._peak * (1 + self._depth * distance**3)
        self.spacing_seconds = max(self._least_spacing, min(self.spacing_seconds, 1 / rate))

    def _cut(self, share: float, peak: float, seconds: float) -> None:
        """Slow down to a share of the rate; come back to the peak."""
        self._is_cut = True
        self._starts.clear()
        self._cut_at = self._clock() + seconds
        rate = max(self.requests_per_second * share, min(_SLOWEST, self.requests_per_second))
        self.spacing_seconds = 1 / rate
        self._peak = max(peak, rate)
        self._depth = max(1 - rate / self._peak, _LEAST_DEPTH)
        self._recovered_seconds = 0.0

    def _serve(self) -> None:
        """Give places to those whose turn it is; set a timer for the next."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._on_wanted is not None:
            if self._waiting or self.pause_seconds:
                self._on_wanted()
            return
        while self._waiting and self._in_flight < self._max_in_flight:
            now = self._clock()
            pause = self._paused_until - now
            if pause > 0:
                self._give_up(pause)
            # Who comes a little early need not wait, as long as the limit itself is kept.
            slack = self.spacing_seconds * (1 - _CLOSEST / _BELOW_LIMIT) / 2
            if max(self._next_at - slack - now, self._closest_at - now, pause) > 0:
                wait = max(self._next_at - now, pause)
                if self._waiting:
                    self._set_timer(now + wait, wait)
                return
            place = heapq.heappop(self._waiting)[2]
            if not place.ready.done():
                place.started_at = self.take()
                place.ready.set_result(None)

    def _set_timer(self, due: float, wait: float) -> None:
        """Serve again when a place is due."""

        def serve() -> None:
            late = min(max(self._clock() - due + lead, 0.0), _MOST_LATE)
            self._lateness += _LATENESS_SHARE * (late - self._lateness)
            self._serve()

        lead = self._lateness if wait > 2 * self._lateness else 0.0
        self._timer = asyncio.get_running_loop().call_later(wait - lead, serve)

    def _give_up(self, pause: float) -> None:
        """Turn away those who would have to wait longer than they may."""
        for entry in [entry for entry in self._waiting if entry[2].max_wait < pause]:
            self._waiting.remove(entry)
            if not entry[2].ready.done():
                entry[2].ready.set_exception(entry[2].refusal(pause))
        heapq.heapify(self._waiting)

    def is_free(self) -> bool:
        """Whether a request may start at once."""
        now = self._clock()
        return (
            not self._waiting
            and self._on_wanted is None
            and self._in_flight < self._max_in_flight
            and now >= self._next_at
            and now >= self._paused_until
        )

    def take(self) -> float:
        """Take the next place of the time line; return the moment."""
        now = self._clock()
        is_late = now - self._next_at < self.spacing_seconds
        planned = self._next_at if is_late else now
        self._closest_at = now + self.spacing_seconds * (_CLOSEST / _BELOW_LIMIT)
        self._next_at = max(planned + self.spacing_seconds, self._closest_at)
        self.requests += 1
        self._in_flight += 1
        self._starts.append(now)
        return now

    def wait_for(self, place: Place, rank: int) -> None:
        """Queue up."""
        self._arrivals += 1
        urgency = self._clock() + rank * self._ageing_seconds
        heapq.heappush(self._waiting, (urgency, self._arrivals, place))
        self._serve()

    def leave(self) -> None:
        """Give a place in flight back."""
        self._in_flight -= 1
        if self._waiting:
            self._serve()
