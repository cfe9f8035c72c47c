"""What a contender is asked to do, and the rules that all of them keep."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

Pace = Literal["none", "known", "learn"]
"""No limits; limits that the client is told; limits that it must find out."""

Serves = Literal["parcels", "leads", "layer"]
"""What the server knows: the assessor's parcels, the leads API's pages, or a map layer's."""

Finish = Callable[[], dict[str, Any] | None]
"""Does the job; what it returns is written down beside the times."""

IN_FLIGHT = 16
"""Requests in flight for each host, where the contender can."""

ATTEMPTS = 4
"""Tries of one parcel, the first included, where a contender's tool has no rule of its own."""


def backoff(attempt: int) -> float:
    """Return the seconds to wait after a failed attempt, counted from 1."""
    return 0.25 * 2 ** (attempt - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostJob:
    """One host, and what to collect there: APNs, or RadarIDs."""

    base_url: str
    keys: list[str]
    requests_per_second: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The hosts, and how they may be asked. ``in_flight`` counts requests for each host."""

    hosts: list[HostJob]
    pace: Pace
    in_flight: int = IN_FLIGHT
    token: str = "demo-token"

    def write(self, path: Path) -> None:
        """Write the job down for another process."""
        path.write_text(json.dumps(asdict(self)), "utf-8")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a job that was written down."""
        given = json.loads(path.read_text("utf-8"))
        return cls(**{**given, "hosts": [HostJob(**host) for host in given["hosts"]]})
