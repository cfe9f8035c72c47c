"""A host's pace on a worker: nothing starts without a lease, and all that happens is reported."""

from __future__ import annotations

import time
from collections.abc import Callable

from propkit.errors import CollectionCancelledError
from propkit.pace import Pace
from propkit.pace_place import Place
from propkit.runtime.cluster.messages import Lease, PaceReport

_MOST_NUMBERS = 1000


class LeasedPace(Pace):
    """Keeps the spacing of its lease by its own clock; without a lease, or after it, all wait.

    ``tell`` is called when there is something to report; ``clock`` is as that of a pace.
    """

    def __init__(
        self,
        ageing_seconds: float,
        tell: Callable[[], object],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(1.0, 0, ageing_seconds=ageing_seconds, clock=clock)
        self._least_spacing = 0.0
        self._tell = tell
        self._valid_until = self._used_until = float("-inf")
        self._number = self._lease = self._returned = 0
        self._numbers: dict[float, int] = {}
        self._started: list[tuple[int, float]] = []
        self._answers: list[float | None] = []
        self._refusals: list[tuple[float, int | None]] = []
        self._is_leased = self._is_returning = self._is_restarted = False
        self._crawl_seconds: float | None = None
        self._is_stopped = False
        self._last_used = float("-inf")

    def lease(self, lease: Lease, valid_until: float) -> None:
        """Go by a lease, or by what is new in it; one that comes too late goes back unused."""
        if lease.number <= self._returned:
            return  # it went back while this was on its way
        now = self._clock()
        if not self._is_leased:
            # Elsewhere a request may have started just now: what was missed is not caught up.
            self._next_at = max(self._next_at, now + lease.wait_seconds)
            self._last_used = now
        self._is_leased, self._lease = True, lease.number
        if self._is_returning:
            return
        self.spacing_seconds = max(lease.spacing_seconds, self._least_spacing)
        self._max_in_flight = lease.in_flight
        self._used_until = min(now + lease.seconds, valid_until)
        self._valid_until = valid_until
        self._serve()

    def give_back(self) -> None:
        """Start nothing more by this lease."""
        if self._is_leased and not self._is_returning:
            self._is_returning = True
            self._max_in_flight = 0
            self._tell()

    def check(self, idle_seconds: float) -> None:
        """Give the lease back once its time is over, or nobody has needed it for so long."""
        now = self._clock()
        if self._waiting or self._in_flight:
            self._last_used = now
        if now >= self._used_until or now - self._last_used > idle_seconds:
            self.give_back()

    def rest(self, seconds: float) -> None:
        """Leave the host alone for so long: it has said so, to whomever."""
        self._paused_until = max(self._paused_until, self._clock() + seconds)
        self._give_up(seconds)
        self._serve()

    def stop(self) -> None:
        """Let nobody wait any longer: the batch is cancelled."""
        self._is_stopped = True
        self.give_back()
        for _, _, place in self._waiting:
            if not place.ready.done():
                place.ready.set_exception(CollectionCancelledError("the batch was cancelled"))
        self._waiting.clear()

    def report(self) -> PaceReport:
        """Return what is new since the last time; a lease that goes back goes with it."""
        now = self._clock()
        wants = min((place.rank for _, _, place in self._waiting), default=None)
        returned: tuple[int, float] | None = None
        if self._is_returning:
            self._is_leased = self._is_returning = False
            self._used_until = self._valid_until = float("-inf")
            self._returned = self._lease
            returned = (self._lease, max(0.0, self._next_at - now, self._closest_at - now))
        report = PaceReport(
            wants=wants,
            in_flight=self._in_flight,
            starts=[(number, now - at) for number, at in self._started],
            answers=self._answers,
            refusals=self._refusals,
            returned=returned,
            crawl_seconds=self._crawl_seconds,
            is_restarted=self._is_restarted,
        )
        self._started, self._answers, self._refusals = [], [], []
        self._crawl_seconds, self._is_restarted = None, False
        return report

    # --- what asks by it -------------------------------------------------------------------------

    def is_free(self) -> bool:
        """Whether a request may start at once: only while the lease is valid."""
        return self._may_start() and super().is_free()

    def take(self) -> float:
        """Take the next place of the time line; return the moment."""
        now = super().take()
        self._number += 1
        self._numbers[now] = self._number
        if len(self._numbers) > _MOST_NUMBERS:
            del self._numbers[next(iter(self._numbers))]
        self._started.append((self._number, now))
        self._last_used = now
        self._tell()
        return now

    def leave(self) -> None:
        """Give a place in flight back."""
        super().leave()
        self._tell()

    def succeed(self, seconds: float | None = None) -> None:
        """Report a good answer."""
        self._answers.append(seconds)

    def pause(self, seconds: float, started_at: float | None = None) -> None:
        """Report a refusal, and start nothing more by this lease: the pace will be another."""
        number = None if started_at is None else self._numbers.get(started_at)
        self._refusals.append((seconds, number))
        self.give_back()
        self.rest(seconds)

    def slow_to(self, spacing_seconds: float) -> None:
        """Keep at least this spacing, and have everybody else keep it (a crawl delay)."""
        if spacing_seconds > self._least_spacing:
            super().slow_to(spacing_seconds)
            self._crawl_seconds = spacing_seconds
            self._tell()

    def restart(self) -> None:
        """Measure the spacing from now, here and at the owner's."""
        super().restart()
        self._is_restarted = True
        self._tell()

    def wait_for(self, place: Place, rank: int) -> None:
        """Queue up; whoever has the pace hears of it."""
        super().wait_for(place, rank)
        self._last_used = self._clock()
        if self._is_stopped:
            self.stop()
        self._tell()

    def _may_start(self) -> bool:
        return self._is_leased and not self._is_returning and self._clock() < self._used_until

    def _serve(self) -> None:
        if self._may_start():
            super()._serve()
