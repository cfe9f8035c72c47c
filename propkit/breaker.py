"""A source that fails again and again is left alone for a while, then probed with one item."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

from propkit.errors import SourceTimeoutError, SourceUnavailableError

TROUBLE = frozenset({SourceUnavailableError.failure_class, SourceTimeoutError.failure_class})
"""Failures that say the source is down, not that one answer is bad."""


Entry = Literal["yes", "probe", "no"]


class Breaker:
    """Says when a source may be asked.

    Closed: always. Open, after ``failures`` items in a row that found the source down: not for
    ``seconds``. Then one item probes it: when it goes well the breaker closes, else it stays
    open twice as long. After ``probes`` in vain the source is given up, until :meth:`rearm`.

    Parameters
    ----------
    failures
        Items in a row.
    seconds, seconds_max
        The first pause, and the longest.
    probes
        Most probes in a row that may fail.
    clock
        Seconds, monotonic.
    """

    def __init__(
        self,
        *,
        failures: int,
        seconds: float,
        seconds_max: float,
        probes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.failures = 0
        self._most_failures = failures
        self._seconds = seconds
        self._seconds_max = seconds_max
        self._most_probes = probes
        self._clock = clock
        self._probes = 0
        self._open_until: float | None = None
        self._is_probing = False

    @property
    def is_open(self) -> bool:
        """Whether the source is left alone; a probe may be due."""
        return self._open_until is not None

    @property
    def is_given_up(self) -> bool:
        """Whether every probe was in vain."""
        return self._probes >= self._most_probes

    @property
    def wait_seconds(self) -> float:
        """Seconds until the source may be asked, by a probe first; 0 when it may be now."""
        if self._open_until is None:
            return 0.0
        return max(0.0, self._open_until - self._clock())

    def try_enter(self) -> Entry:
        """Say whether an item may be asked for now; of an open breaker one at a time, a probe."""
        if self._open_until is None:
            return "yes"
        if self.is_given_up or self._is_probing or self.wait_seconds > 0:
            return "no"
        self._is_probing = True
        return "probe"

    def leave(self, entry: Entry, failure_class: str | None) -> bool:
        """Take note of how an item ended; return whether that opened or closed the breaker.

        Other failures than those of :data:`TROUBLE` prove that the source answers. An item that
        was cancelled proves nothing.
        """
        is_probe, was_open = entry == "probe", self.is_open
        if is_probe:
            self._is_probing = False
        if failure_class == "cancelled" or (was_open and not is_probe):
            return False  # or it was under way when the breaker opened
        if failure_class not in TROUBLE:
            self.reset()
            return was_open
        self.failures += 1
        self._probes += is_probe
        if not is_probe and self.failures < self._most_failures:
            return False
        seconds = min(self._seconds * 2**self._probes, self._seconds_max)
        self._open_until = self._clock() + seconds
        return True

    def resume(self, failures: int, wait_seconds: float) -> None:
        """Go on as an earlier run left off."""
        self.failures = failures
        if failures >= self._most_failures:
            self._open_until = self._clock() + min(wait_seconds, self._seconds_max)

    def rearm(self) -> None:
        """Let the next item be a probe, at once, where the breaker is open: somebody asks for more."""
        if self.is_open:
            self._probes = 0
            self._open_until = self._clock()

    def reset(self) -> None:
        """Close the breaker."""
        self.failures = self._probes = 0
        self._open_until = None
