"""The county's ledger: every request that came, in order, as tests want to count them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace


@dataclass(frozen=True, slots=True)
class Entry:
    """One request; `status` and `seconds` are None while it is in flight.

    `in_flight` counts the system's requests at arrival with this one, so 1 means alone.
    `status` stays None when the connection was closed without an answer.
    """

    number: int
    system: str
    method: str
    path: str
    query: str
    started_at: float
    started_monotonic: float
    in_flight: int
    headers: dict[str, str]
    has_authorization: bool
    session: str | None
    fault: str | None = None
    is_refused: bool = False
    status: int | None = None
    seconds: float | None = None


class Ledger:
    """Keep entries by number; an entry is written at arrival and closed at the end."""

    def __init__(self) -> None:
        self._entries: dict[int, Entry] = {}
        self._next = 1

    def next_number(self) -> int:
        """Return the number of the request that just came; numbers are never used twice."""
        self._next += 1
        return self._next - 1

    def open(self, entry: Entry) -> None:
        """Write down a request that just came."""
        self._entries[entry.number] = entry

    def update(self, number: int, **changes: object) -> None:
        """Add what became known of a request; one that was cleared meanwhile stays cleared."""
        if number in self._entries:
            self._entries[number] = replace(self._entries[number], **changes)  # type: ignore[arg-type]

    def since(self, number: int = 0, system: str | None = None) -> list[dict[str, object]]:
        """Return the entries after a number, oldest first, as JSON objects."""
        return [
            asdict(entry)
            for entry in self._entries.values()
            if entry.number > number and system in (None, entry.system)
        ]

    def clear(self) -> None:
        """Forget all entries; the numbering goes on."""
        self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that say who asks; never the token itself."""
    names = {"user-agent", "referer", "origin", "from", "accept", "content-type"}
    return {
        name.lower(): value
        for name, value in headers.items()
        if name.lower() in names or name.lower().startswith("x-")
    }
