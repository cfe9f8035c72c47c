"""Durations and moments as people write them: ``"24h"``, seconds as a number, ``"2026-11-22"``."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated

from pydantic import BeforeValidator

from propkit.errors import RequestError

NEVER = timedelta.max
"""The ``max_age`` of a record that is never refetched."""

_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)?", re.IGNORECASE)


def parse_duration(value: object) -> timedelta:
    """Read a duration: ``"24h"``, ``"7d"``, ``"90s"``, seconds as a number, a timedelta.

    ``None`` and ``"never"`` mean that a record never grows too old (:data:`NEVER`).

    Raises
    ------
    RequestError
        The value is none of these, or it is negative.
    """
    if value is None or value in ("never", NEVER):
        return NEVER
    if isinstance(value, timedelta):
        seconds: float = value.total_seconds()
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value)
    else:
        match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
        unit = (match[2] or "s").lower() if match else ""
        if match is None or unit not in _UNITS:
            raise RequestError(
                f"{value!r} is no duration; expected e.g. '24h', '7d', '90s', seconds as a "
                "number, 0 or 'never'"
            )
        seconds = float(match[1]) * _UNITS[unit]
    if not 0 <= seconds < NEVER.total_seconds():
        raise RequestError(f"{value!r} is no duration; it must not be negative or endless")
    return timedelta(seconds=seconds)


def parse_moment(value: object) -> datetime:
    """Read a moment: a datetime, a date, or either as ISO text; without a zone it is UTC.

    Raises
    ------
    RequestError
        The value is none of these.
    """
    moment = value
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value.strip())
        except ValueError:
            moment = None
    if isinstance(moment, date) and not isinstance(moment, datetime):
        moment = datetime.combine(moment, time.min)
    if not isinstance(moment, datetime):
        raise RequestError(
            f"{value!r} is no moment; expected e.g. '2026-11-22', '2026-11-22T12:00+00:00' or a"
            " datetime"
        )
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


Duration = Annotated[timedelta, BeforeValidator(parse_duration)]
