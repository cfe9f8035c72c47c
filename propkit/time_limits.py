"""Time limits for thousands of short pieces of work a second, in one event loop, and patience.

``asyncio.timeout`` sets a timer for each piece, nearly always for nothing. Here one timer looks
after all that is under way: what takes too long is ended a little later than it could be.
Time in which this process stands still counts for nothing: what has come meanwhile was not heard.
"""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import Self

_LOOKS = 20
_LONGEST_WAIT = 0.25
_LONGEST_STEP = 1.0


class Patience:
    """How long somebody has waited who looks again and again, at least every second.

    Time in which this process stands still is left out: what is waited for stands still then, too.
    """

    def __init__(self) -> None:
        self._seconds = 0.0
        self._looked_at = time.monotonic()

    def look(self) -> float:
        """Return the seconds waited so far."""
        now = time.monotonic()
        self._seconds += min(now - self._looked_at, _LONGEST_STEP)
        self._looked_at = now
        return self._seconds


class TimeLimits:
    """What may take only so long, as long as it is under way."""

    def __init__(self) -> None:
        self.running: set[TimeLimit] = set()
        self.loop = asyncio.get_running_loop()  # asked for once: that is a system call
        self._wait = _LONGEST_WAIT
        self._timer: asyncio.TimerHandle | None = None
        self._looks_at = 0.0

    def limit(self, seconds: float) -> TimeLimit:
        """Return a context that may take so long, and up to 0.25 s more.

        Raises
        ------
        TimeoutError
            On leaving: it took longer, and was cancelled.
        """
        self._wait = min(self._wait, seconds / _LOOKS)
        return TimeLimit(self, seconds)

    def watch(self) -> None:
        """See to it that somebody looks."""
        if self._timer is None:
            self._looks_at = time.monotonic() + self._wait
            self._timer = self.loop.call_later(self._wait, self._look)

    def _look(self) -> None:
        self._timer = None
        now = time.monotonic()
        stood_still = now - self._looks_at
        for limit in self.running:
            if stood_still > _LONGEST_WAIT:
                limit.wait_longer(stood_still)
            limit.end_after(now)
        if self.running:
            self.watch()


class TimeLimit:
    """One piece of work; ``due`` is the monotonic clock's, None while the time stands still."""

    __slots__ = ("_cancelling", "_is_over", "_limits", "_seconds", "_task", "due")

    def __init__(self, limits: TimeLimits, seconds: float) -> None:
        self.due: float | None = None
        self._limits = limits
        self._seconds = seconds
        self._is_over = False
        self._task: asyncio.Task[object]
        self._cancelling = 0

    def __enter__(self) -> Self:
        task = asyncio.current_task(self._limits.loop)
        if task is None:
            raise RuntimeError("a time limit is for a task")
        self._task, self._cancelling = task, task.cancelling()
        self.due = time.monotonic() + self._seconds
        self._limits.running.add(self)
        self._limits.watch()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _: TracebackType | None,
    ) -> None:
        self._limits.running.discard(self)
        if (
            self._is_over
            and self._task.uncancel() <= self._cancelling
            and kind is asyncio.CancelledError
        ):
            raise TimeoutError from error

    def stop(self) -> float | None:
        """Let the time stand still; return the seconds that are left, None where it stood."""
        due, self.due = self.due, None
        return None if due is None else due - time.monotonic()

    def go_on(self, left: float) -> None:
        """Let the time run on."""
        self.due = time.monotonic() + left

    def wait_longer(self, seconds: float) -> None:
        """Move the end of the time."""
        if self.due is not None:
            self.due += seconds

    def end_after(self, now: float) -> None:
        """Cancel the work if its time is over."""
        if self.due is not None and self.due <= now and not self._is_over:
            self._is_over = True
            self._task.cancel()
