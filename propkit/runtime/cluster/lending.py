"""The owner's side of a host's pace: lent to one worker after the other, never to two at once.

Whoever has the lease starts requests by its own clock, and says when the next one may start as it
gives the lease back: so no two requests are closer than the pace allows, whatever the network does
in between and whatever the clocks say. A host that allows a hundred requests a second and more is
lent in parts, or the workers would wait for each other: up to so many workers, each with its share.
What is out never adds up to more than the pace: a share that is to be smaller comes back first.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from propkit.pace import Pace
from propkit.runtime.cluster.messages import LEASE_SECONDS, Lease, PaceReport
from propkit.usage import Cap

USE_SECONDS = 1.0
"""So long a lease is used unless it is renewed."""
TURN_SECONDS = 5.0
"""So long it is renewed where others wait for their turn: messages take time, and nobody asks then."""
IDLE_SECONDS = 0.1
"""Who has not used a lease for so long, though others wait, is asked for it."""
_RENEW_AFTER = 0.4
_FAST_PER_SECOND = 100.0
_CHANGED = 1.02
_MOST_STARTS = 1000
_LEAST_SHARE = 0.99


@dataclass(slots=True)
class _Loan:
    """A lease that is out: since when, when it was renewed and used last, and if it is called back."""

    lease: Lease
    turn_at: float
    given_at: float
    used_at: float
    is_called: bool = False


@dataclass(slots=True)
class _Borrower:
    """What is known of one asker at this host."""

    wants: int | None = None
    in_flight: int = 0
    starts: dict[int, float] = field(default_factory=dict)


class Lender:
    """Lends one host's pace to the askers of a run.

    ``send`` gives an asker a lease, ``call_back`` asks for it; ``tell_pause`` tells all of a pause.
    """

    def __init__(
        self,
        pace: Pace,
        caps: Mapping[str, Cap],
        *,
        send: Callable[[str, Lease], None],
        call_back: Callable[[str], None],
        tell_pause: Callable[[float], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pace = pace
        self._clock = clock
        self._caps = caps
        self._send = send
        self._call_back = call_back
        self._tell_pause = tell_pause
        self._borrowers: dict[str, _Borrower] = {}
        self._loans: dict[str, _Loan] = {}
        self._turns: list[str] = []
        self._changed = asyncio.Event()
        self._number = 0
        self._is_wanted = False
        self._is_open = True
        self._task = asyncio.create_task(self._lend())

    def hear(self, asker: str, report: PaceReport) -> None:
        """Take in what an asker did, and what it wants."""
        pace, now = self._pace, self._clock()
        borrower = self._borrowers.setdefault(asker, _Borrower())
        self._note_requests(borrower, report)
        borrower.wants = report.wants
        if report.returned is not None:
            number, wait_seconds = report.returned
            if asker in self._loans and self._loans[asker].lease.number == number:
                self._take_back(asker, wait_seconds)
        if report.wants is not None and asker not in [*self._turns, *self._loans]:
            self._turns.append(asker)
        for pause_seconds, refused in report.refusals:
            started_at = None if refused is None else borrower.starts.get(refused)
            pace.pause(pause_seconds, started_at)
        if report.refusals:
            self._tell_pause(pace.pause_seconds)
        loan = self._loans.get(asker)
        if loan is not None and (report.starts or report.wants is not None):
            loan.used_at = now
        # What ends of somebody without a lease leaves more to those who have one.
        for name in [asker] if loan is not None else list(self._loans):
            self._renew(name, self._loans[name], now)
        self._changed.set()

    def _note_requests(self, borrower: _Borrower, report: PaceReport) -> None:
        """Let the pace know of requests and answers as if they had been asked here."""
        pace = self._pace
        for number, seconds_ago in report.starts:
            borrower.starts[number] = pace.note_start(seconds_ago)
        while len(borrower.starts) > _MOST_STARTS:
            del borrower.starts[next(iter(borrower.starts))]
        before, borrower.in_flight = borrower.in_flight, report.in_flight
        pace.note_in_flight(report.in_flight - before)
        for seconds in report.answers:
            pace.succeed(seconds)
        if report.crawl_seconds is not None:
            pace.slow_to(report.crawl_seconds)
        if report.is_restarted:
            pace.restart()

    def forget(self, asker: str) -> None:
        """Let go of an asker that is lost; what it had borrowed comes back when its time is over."""
        borrower = self._borrowers.pop(asker, None)
        if borrower is not None:
            self._pace.note_in_flight(-borrower.in_flight)
        if asker in self._turns:
            self._turns.remove(asker)

    def stop(self) -> None:
        """Lend nothing more, and have all come back."""
        self._is_open = False
        for asker in self._loans:
            self._recall(asker)

    async def watch(self) -> None:
        """Wait until it ends; raise what has ended it."""
        await self._task

    async def close(self) -> None:
        """End; what is still out comes back now: those who have it are gone or stopped."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        for asker, loan in list(self._loans.items()):
            self._take_back(asker, loan.lease.spacing_seconds)
        for asker in list(self._borrowers):
            self.forget(asker)

    # --- lending ---------------------------------------------------------------------------------

    async def _lend(self) -> None:
        while True:
            self._changed.clear()
            self._expire()
            if self._is_open and not self._loans and (rank := self._next_rank()) is not None:
                # As a request among those of everybody else that uses the store.
                place = self._pace.place(math.inf, rank=rank)
                await place.__aenter__()
                self._is_wanted = False
                self._pace.lend(self._note_wanted)
                waiting = self._waiting()
                if not waiting or not self._is_open:
                    self._pace.take_back(0.0)
                    continue
                self._give(waiting[0])
            self._give_parts()
            self._recall_idle()
            try:
                async with asyncio.timeout(self._wait_seconds()):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _wait_seconds(self) -> float | None:
        """Return in how many seconds a loan ends, or is idle; None where none is out."""
        ends = [loan.given_at + LEASE_SECONDS for loan in self._loans.values()]
        ends += [self._loans[asker].used_at + IDLE_SECONDS for asker in self._unused()]
        return min(ends) - self._clock() if ends else None

    def _give_parts(self) -> None:
        """Lend what is left of a fast host to further askers; have it made room for."""
        while self._loans and self._is_open and not self._is_wanted:
            waiting, parts = self._waiting(), self._parts()
            if not waiting or len(self._loans) >= parts:
                return
            least = _LEAST_SHARE / parts
            if self._share_left(None) < least:
                for asker in self._loans:
                    if self._share_of(asker) * _LEAST_SHARE > 1 / parts:
                        self._recall(asker)
                return
            if self._room(None) < 1:
                return
            self._give(waiting[0])

    def _recall_idle(self) -> None:
        """Have leases come back that others would use."""
        for asker in self._unused():
            if self._clock() - self._loans[asker].used_at >= IDLE_SECONDS:
                self._recall(asker)

    def _unused(self) -> list[str]:
        """Return who has a lease, and no request that waits, while others want one."""
        if not self._waiting():
            return []
        return [
            asker
            for asker, loan in self._loans.items()
            if not loan.is_called
            and (asker not in self._borrowers or self._borrowers[asker].wants is None)
        ]

    def _recall(self, asker: str) -> None:
        loan = self._loans[asker]
        if not loan.is_called:
            loan.is_called = True
            self._call_back(asker)

    def _waiting(self) -> list[str]:
        """Return who wants a lease and has none, in the order of their turns."""
        return [asker for asker in self._turns if self._borrowers[asker].wants is not None]

    def _parts(self) -> int:
        pace = self._pace
        if pace.requests_per_second <= _FAST_PER_SECOND or self._caps:
            return 1
        return max(1, min(len(self._loans) + len(self._waiting()), pace.most_in_flight))

    def _share_of(self, asker: str) -> float:
        return self._pace.spacing_seconds / self._loans[asker].lease.spacing_seconds

    def _share_left(self, asker: str | None) -> float:
        """Return the share of the pace that an asker may have, given what all others have."""
        return 1 - sum([self._share_of(name) for name in self._loans if name != asker])

    def _room(self, asker: str | None) -> int:
        """Return how many requests an asker may have under way, given what all others have."""
        borrowed = sum(one.in_flight for one in self._borrowers.values())
        others = self._pace.in_flight - borrowed
        for name, borrower in self._borrowers.items():
            if name != asker:
                loan = self._loans.get(name)
                most = loan.lease.in_flight if loan is not None else 0
                others += max(borrower.in_flight, most)
        return self._pace.most_in_flight - others

    def _terms(self, asker: str, number: int) -> Lease | None:
        """Return what an asker may have now; None where others have all of the pace still."""
        parts, most = self._parts(), self._pace.most_in_flight
        others = len(self._loans.keys() - {asker})
        share = min(1 / parts, self._share_left(asker))
        if share <= 0:
            return None
        spacing = self._pace.spacing_seconds / share
        room = max(0, self._room(asker))
        return Lease(
            number=number,
            seconds=USE_SECONDS,
            wait_seconds=spacing if others else 0.0,
            spacing_seconds=spacing,
            in_flight=min(-(-most // parts), max(min(room, 1), room // max(1, parts - others))),
            caps={name: cap.most - cap.spent for name, cap in self._caps.items()},
        )

    def _give(self, asker: str) -> None:
        lease = self._terms(asker, self._number + 1)
        if lease is None:
            return
        self._number += 1
        now = self._clock()
        self._loans[asker] = _Loan(lease, turn_at=now, given_at=now, used_at=now)
        self._turns.remove(asker)
        self._send(asker, lease)

    def _renew(self, asker: str, loan: _Loan, now: float) -> None:
        """Let an asker go on until its turn is over; tell it what has changed of the terms."""
        if not self._is_open or self._is_wanted or loan.is_called:
            return
        parts = self._parts()
        is_over = len(self._loans) < parts or now - loan.turn_at > TURN_SECONDS
        if len(self._loans) > parts or (is_over and self._waiting()):
            return
        terms = self._terms(asker, loan.lease.number)
        if terms is None:
            return
        change = max(
            terms.spacing_seconds / loan.lease.spacing_seconds,
            loan.lease.spacing_seconds / terms.spacing_seconds,
        )
        is_due = now - loan.given_at > _RENEW_AFTER
        if is_due or change > _CHANGED or terms.in_flight != loan.lease.in_flight:
            loan.lease, loan.given_at = terms, now
            self._send(asker, terms)

    def _take_back(self, asker: str, wait_seconds: float) -> None:
        if self._loans.pop(asker, None) is not None and not self._loans:
            self._pace.take_back(wait_seconds)
        self._changed.set()

    def _expire(self) -> None:
        """Take back what was lent to somebody who is not heard any more."""
        now = self._clock()
        for asker, loan in list(self._loans.items()):
            if now - loan.given_at > LEASE_SECONDS:
                self._take_back(asker, loan.lease.spacing_seconds)

    def _note_wanted(self) -> None:
        """Take note that somebody else of this store waits for a place, or that the host rests."""
        self._is_wanted = True
        if self._pace.pause_seconds:
            for asker in self._loans:
                self._recall(asker)

    def _next_rank(self) -> int | None:
        ranks = [self._borrowers[asker].wants for asker in self._turns]
        return min((rank for rank in ranks if rank is not None), default=None)
