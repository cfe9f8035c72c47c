"""Rate limits as a county enforces them: a bucket of tokens and a cap on requests in flight."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limit:
    """What one system allows; None means no limit of that kind."""

    requests_per_second: float | None = None
    burst: int = 3
    max_in_flight: int | None = None


POLITE_LIMITS = {
    "assessor": Limit(5.0),
    "treasurer": Limit(2),
    "recorder": Limit(2.0),
}


class Bucket:
    """Count one system's requests against its limit and remember each violation."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.in_flight = 0
        self.violations = {"rate": 0, "in_flight": 0}
        self._tokens = float(limit.burst)
        self._filled_at: float | None = None

    def change(self, limit: Limit) -> None:
        """Put another limit in force, with a full bucket."""
        self.limit = limit
        self._tokens = float(limit.burst)
        self._filled_at = None

    def seconds_until_allowed(self, now: float) -> float:
        """Take a token; return 0, or how long to wait when the request must be refused."""
        limit = self.limit
        if limit.max_in_flight is not None and self.in_flight > limit.max_in_flight:
            self.violations["in_flight"] += 1
            return 1.0
        if limit.requests_per_second is None:
            return 0.0
        if self._filled_at is not None:
            grown = self._tokens + (now - self._filled_at) * limit.requests_per_second
            self._tokens = min(float(limit.burst), grown)
        self._filled_at = now
        if self._tokens >= 1:
            self._tokens -= 1
            return 0.0
        self.violations["rate"] += 1
        return (1 - self._tokens) / limit.requests_per_second


def retry_after(seconds: float) -> str:
    """Return the header's whole seconds, never less than the true wait."""
    return str(max(1, math.ceil(seconds)))
