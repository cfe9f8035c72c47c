"""How a parcel stands, for a person: a colour, a word and a sign each, never colour alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A status as it is shown; ``tone`` is green, yellow, red, grey or blue."""

    word: str
    sign: str
    tone: str
    title: str


STATUSES: Final[dict[str, Status]] = {
    "failed": Status(
        word="Failed", sign="✗", tone="red", title="A source could not be asked; see the failures"
    ),
    "no_data": Status(
        word="No data", sign="∅", tone="red", title="The county says that it has no such parcel"
    ),
    "active": Status(
        word="In progress", sign="◐", tone="yellow", title="Its sources are being asked"
    ),
    "queued": Status(word="In queue", sign="…", tone="yellow", title="It waits for its turn"),
    "partial": Status(word="Partial", sign="◑", tone="yellow", title="Some tables are missing"),
    "none": Status(word="Not collected", sign="○", tone="grey", title="Never collected"),
    "cancelled": Status(
        word="Cancelled", sign="⊘", tone="grey", title="The batch was cancelled before its turn"
    ),
    "old": Status(word="Out of date", sign="◌", tone="grey", title="Collected, too long ago"),
    "fresh": Status(
        word="Fresh", sign="●", tone="blue", title="Collected a short time ago: nothing is asked"
    ),
    "complete": Status(word="Complete", sign="✓", tone="green", title="Every table is collected"),
}
"""By code, in the order in which a table sorts them: what needs a look comes first."""

OPEN: Final = frozenset({"active", "queued"})
"""Statuses of what is in work."""
