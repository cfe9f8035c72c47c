"""The queue's rules: what an item is, which moves are legal, who goes first, when to try again.

::

    waiting ─▶ running ─▶ done | not_found | failed | cancelled
       ▲          │                           │
       └──────────┴── (process died) ─────────┘ retry (of failed and cancelled)

A waiting item may also be ``cancelled`` before it ran, or ``skipped`` because another batch
has collected it meanwhile. What the plan skips never waits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from operator import attrgetter
from typing import Any, Final

from propkit.errors import RequestError


class State(StrEnum):
    """Where an item is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    NOT_FOUND = "not_found"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


ENDED: Final = frozenset(
    {State.DONE, State.NOT_FOUND, State.FAILED, State.CANCELLED, State.SKIPPED}
)
"""States in which nothing more happens by itself."""

_MOVES: Final[dict[State, frozenset[State]]] = {
    State.WAITING: frozenset({State.RUNNING, State.CANCELLED, State.SKIPPED}),
    State.RUNNING: frozenset(
        {State.DONE, State.NOT_FOUND, State.FAILED, State.CANCELLED, State.WAITING}
    ),
    State.FAILED: frozenset({State.WAITING}),
    State.CANCELLED: frozenset({State.WAITING}),
    State.DONE: frozenset(),
    State.NOT_FOUND: frozenset(),
    State.SKIPPED: frozenset(),
}

PRIORITIES: Final = {"critical": 0, "high": 1, "normal": 2, "low": 3}
"""Rank by name; a lower rank is worked on first."""


def parse_priority(name: str) -> int:
    """Return the rank of a priority's name, whatever its case."""
    rank = PRIORITIES.get(name.lower()) if isinstance(name, str) else None
    if rank is None:
        raise RequestError(f"no priority {name!r}; expected one of {', '.join(PRIORITIES)}")
    return rank


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One key at one source in one batch.

    ``apn`` is the parcel on whose behalf the key is asked; ``sequence`` is the place in the
    batch. ``missing`` names the tables that a partial answer leaves out. ``replaced_by`` is the
    source of the second way that is asked in place of an item that failed: that one counts for
    the parcel from then on, this one does not. Times are aware UTC.
    """

    source: str
    key: str
    apn: str | None = None
    priority: int = PRIORITIES["high"]
    sequence: int = 0
    state: State = State.WAITING
    attempts: int = 0
    failure_class: str | None = None
    error: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    missing: tuple[str, ...] = ()
    replaced_by: str | None = None

    @property
    def identity(self) -> tuple[str, str]:
        """What makes the item one of its kind within a batch."""
        return (self.source, self.key)

    @property
    def is_partial(self) -> bool:
        """Whether the item is done but leaves tables out."""
        return self.state is State.DONE and bool(self.missing)

    @property
    def is_fresh(self) -> bool:
        """Whether it was skipped since it is at hand, neither stale nor beyond the budget."""
        return self.state is State.SKIPPED and (self.error or "").startswith("fresh")

    @property
    def order(self) -> tuple[int, int]:
        """The sort key of the queue: priority first, then the place in the batch."""
        return (self.priority, self.sequence)

    def move(self, state: State, **changes: object) -> Item:
        """Return the item in ``state`` with ``changes``; an illegal move is a ``ValueError``."""
        if state not in _MOVES[self.state]:
            raise ValueError(f"an item cannot move from {self.state} to {state}: {self!r}")
        # replace() takes three times as long, for two moves of every item.
        moved = object.__new__(Item)
        for put, value in zip(_PUT.values(), _get_all(self), strict=True):
            put(moved, value)
        _PUT["state"](moved, state)
        for name, value in changes.items():
            _PUT[name](moved, value)
        return moved


_get_all = attrgetter(*[field.name for field in fields(Item)])
_PUT: Final[dict[str, Callable[[Item, Any], None]]] = {
    field.name: getattr(Item, field.name).__set__ for field in fields(Item)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When a failed request is tried again: exponential pauses with full jitter, bounded.

    All times are seconds. ``attempts`` counts the first try too.
    """

    attempts: int = 4
    backoff_initial: float = 0.5
    backoff_max: float = 30.0
    retry_after_max: float = 300.0

    def pause_seconds(self, attempt: int, draw: float) -> float:
        """Return the pause after failed try number ``attempt``; ``draw`` is from 0 to 1."""
        # 2.0 ** 1024 is no float any more; long before, every pause is backoff_max.
        doublings = min(attempt - 1, 64)
        ceiling = min(self.backoff_max, self.backoff_initial * 2.0**doublings)
        return ceiling * draw
