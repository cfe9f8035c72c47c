"""What everything that uses one store shares: paces, breakers, and what is in work just now.

Each host has one pace and each source one breaker, whoever asks; two batches with one item cause
one request.
What was learned of hosts and sources is kept in the store, for the next process.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from propkit.breaker import Breaker
from propkit.items import Item
from propkit.pace import Pace
from propkit.sections import CollectSettings
from propkit.sources import FollowUp
from propkit.store import Store
from propkit.store.paces import (
    BreakerState,
    PaceState,
    read_breakers,
    read_paces,
    save_breakers,
    save_paces,
)

log = logging.getLogger(__name__)

Identity = tuple[str, str, str]
"""What is asked for: the way ("collect", "validate", "search"), the source and the key."""

_MOST_REMEMBERED = 10_000
_LEARNED_FOR = timedelta(days=7)
_SLOWED_FOR = timedelta(hours=1)


@dataclass(slots=True)
class Flight:
    """An item that a batch has in work."""

    batch_id: str
    ended: asyncio.Event | None = None

    async def wait(self) -> None:
        """Wait until it has ended."""
        if self.ended is None:
            self.ended = asyncio.Event()
        await self.ended.wait()


class Landing(NamedTuple):
    """How an item ended that a batch had in work, and what its answer asks for."""

    batch_id: str
    item: Item
    follow_ups: tuple[FollowUp, ...] = ()


class Turn(asyncio.Lock):
    """Lets one at a time in; ``memory`` is what the last one may leave to the next."""

    memory: object = None


class Traffic:
    """Paces by host, breakers by source, items in work. Lives in one event loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._paces: dict[str, Pace] = {}
        self._breakers: dict[str, Breaker] = {}
        self._flights: dict[Identity, Flight] = {}
        self._landed: dict[Identity, Landing] = {}
        self._known_paces = read_paces(store)
        self._known_breakers = read_breakers(store)
        self._turns: dict[str, Turn] = {}
        self._saved: dict[str, tuple[object, ...]] = {}

    def pace(
        self,
        host: str,
        requests_per_second: float,
        max_in_flight: int,
        *,
        is_learned: bool,
        settings: CollectSettings,
    ) -> Pace:
        """Return a host's pace; who comes later can only slow it down."""
        pace = self._paces.get(host)
        if pace is not None:
            if not pace.is_learned:
                pace.slow_to(pace.spacing_of(requests_per_second))
            return pace
        pace = Pace(
            requests_per_second,
            max_in_flight,
            is_learned=is_learned,
            ageing_seconds=settings.ageing_seconds,
        )
        known = self._known_paces.get(host)
        now = datetime.now(UTC)
        if known is not None:
            _take_up(pace, known, now)
        else:
            self._saved[host] = _gist(self._state_of(host, pace, now))
        self._paces[host] = pace
        return pace

    def known_pace(self, name: str) -> Pace:
        """Return a pace that was asked for before, by its name."""
        return self._paces[name]

    def rates(self) -> dict[str, float]:
        """Return the requests per second that each host is asked now."""
        return {host: pace.requests_per_second for host, pace in self._paces.items()}

    def breaker(self, source: str, settings: CollectSettings) -> Breaker:
        """Return a source's breaker."""
        breaker = self._breakers.get(source)
        if breaker is None:
            breaker = Breaker(
                failures=settings.breaker_failures,
                seconds=settings.breaker_seconds,
                seconds_max=settings.breaker_seconds_max,
                probes=settings.breaker_probes,
            )
            known, now = self._known_breakers.get(source), datetime.now(UTC)
            if known is not None and known.open_until is not None and known.updated_at <= now:
                breaker.resume(known.failures, (known.open_until - now).total_seconds())
            if known is None:
                self._saved[source] = _gist_of(breaker)
            self._breakers[source] = breaker
        return breaker

    def turn(self, source: str) -> Turn:
        """Return what lets one at a time buy at a source."""
        return self._turns.setdefault(source, Turn())

    def find(self, identity: Identity, batch_id: str, since: datetime) -> Flight | Landing | None:
        """Return another batch's work on the same item: under way, or ended since then.

        None: nobody has asked, the caller may :meth:`begin`.
        """
        flight = self._flights.get(identity)
        if flight is not None:
            return flight
        landed = self._landed.get(identity)
        if landed is None or landed.batch_id == batch_id:
            return None
        ended_at = landed.item.ended_at
        return landed if ended_at is not None and ended_at >= since else None

    def begin(self, identity: Identity, batch_id: str) -> Flight:
        """Take note that a batch asks for an item now."""
        flight = self._flights[identity] = Flight(batch_id)
        return flight

    def forget(self, batch_id: str) -> None:
        """Wait no more for what a batch asks for: it hangs."""
        for identity, flight in list(self._flights.items()):
            if flight.batch_id == batch_id:
                self.end(identity, flight, None)

    def end(self, identity: Identity, flight: Flight, landed: Landing | None) -> None:
        """Take note of how it ended; None where it came to nothing and others have to ask."""
        if self._flights.get(identity) is not flight:
            return  # forgotten, and others may have asked meanwhile
        del self._flights[identity]
        if flight.ended is not None:
            flight.ended.set()
        if landed is not None:
            self._landed.pop(identity, None)
            self._landed[identity] = landed
            if len(self._landed) > _MOST_REMEMBERED:
                del self._landed[next(iter(self._landed))]

    def save(self) -> None:
        """Hand what has changed since the last time to the store's writer, without waiting.

        What nothing was known of, and what is as it began, tells the next process nothing.
        """
        now = datetime.now(UTC)
        paces = [self._state_of(host, pace, now) for host, pace in self._paces.items()]
        breakers = [
            BreakerState(
                source=source,
                failures=breaker.failures,
                open_until=now + timedelta(seconds=breaker.wait_seconds)
                if breaker.is_open
                else None,
                updated_at=now,
            )
            for source, breaker in self._breakers.items()
        ]
        changed_paces = [p for p in paces if self._is_changed(p.host, _gist(p))]
        changed_breakers = [
            b for b in breakers if self._is_changed(b.source, _gist_of(self._breakers[b.source]))
        ]
        if changed_paces:
            save_paces(self._store, changed_paces)
        if changed_breakers:
            save_breakers(self._store, changed_breakers)

    def _is_changed(self, name: str, gist: tuple[object, ...]) -> bool:
        is_changed = self._saved.get(name) != gist
        self._saved[name] = gist
        return is_changed

    def _state_of(self, host: str, pace: Pace, now: datetime) -> PaceState:
        pause = pace.pause_seconds
        return PaceState(
            host=host,
            requests_per_second=pace.requests_per_second,
            knee_per_second=pace.knee_per_second,
            paused_until=now + timedelta(seconds=pause) if pause else None,
            updated_at=now,
        )


def _gist_of(breaker: Breaker) -> tuple[object, ...]:
    """Return what of a breaker is worth a write."""
    return (breaker.failures, breaker.is_open)


def _gist(state: PaceState) -> tuple[object, ...]:
    """Return what of a pace is worth a write: not every little step of a growing rate."""
    paused = state.paused_until
    return (round(state.requests_per_second, 1), paused and paused.replace(microsecond=0))


def _take_up(pace: Pace, known: PaceState, now: datetime) -> None:
    """Begin as an earlier run left off, where that is recent enough to mean something."""
    age = now - known.updated_at
    if age < timedelta(0):
        return  # the clock was set back
    pause = (known.paused_until - now).total_seconds() if known.paused_until else 0.0
    is_recent = age < (_LEARNED_FOR if pace.is_learned else _SLOWED_FOR)
    if is_recent and (pace.is_learned or known.knee_per_second is not None):
        pace.resume(known.requests_per_second, known.knee_per_second, max(0.0, pause))
    elif pause > 0:
        pace.resume(pace.requests_per_second, None, pause)
