"""The owner's side of a host's pace: lent to one worker after the other, never to two at once.

Whoever has the lease starts requests by its own clock, and says when the next one may start as it
gives the lease back: so no two requests are closer than the pace allows, whatever the network does
in between and whatever the clocks say. A host that allows a hundred requests a second and more is
lent in parts, or the workers would wait for each other: up to so many workers, each with its share.
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
"""So long a lease is used before another's turn; where nobody else waits it is renewed."""
_RENEW_AFTER = 0.4
_FAST_PER_SECOND = 100.0
_CHANGED = 1.02
_MOST_STARTS = 1000


@dataclass(slots=True)
class _Loan:
    """A lease that is out."""

    given_at: float
    lease: Lease


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
    ) -> None:
        self._pace = pace
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
        pace, now = self._pace, time.monotonic()
        borrower = self._borrowers.setdefault(asker, _Borrower())
        self._note_requests(borrower, report)
        borrower.wants = report.wants
        if report.wants is not None and asker not in self._turns:
            self._turns.append(asker)
        if report.returned is not None:
            number, wait_seconds = report.returned
            if asker in self._loans and self._loans[asker].lease.number == number:
                self._take_back(asker, wait_seconds)
        for pause_seconds, refused in report.refusals:
            started_at = None if refused is None else borrower.starts.get(refused)
            pace.pause(pause_seconds, started_at)
        if report.refusals:
            self._tell_pause(pace.pause_seconds)
        loan = self._loans.get(asker)
        if loan is not None:
            self._renew(asker, loan, now)
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
            self._call_back(asker)

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
                asker = self._next_asker()
                if asker is None or not self._is_open:
                    self._pace.lend(self._note_wanted)
                    self._pace.take_back(0.0)
                    continue
                self._is_wanted = False
                self._pace.lend(self._note_wanted)
                self._give(asker)
            self._give_parts()
            wait = min(
                (loan.given_at + LEASE_SECONDS - time.monotonic() for loan in self._loans.values()),
                default=None,
            )
            try:
                async with asyncio.timeout(wait):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _give_parts(self) -> None:
        """Lend what is left of a fast host to further askers."""
        while self._loans and self._is_open and not self._is_wanted:
            others = [asker for asker in self._turns if asker not in self._loans]
            parts = self._parts()
            if not others or len(self._loans) >= parts or self._room(None) < 1:
                return
            self._give(others[0])

    def _parts(self) -> int:
        pace = self._pace
        if pace.requests_per_second <= _FAST_PER_SECOND or self._caps:
            return 1
        return max(1, min(len(self._borrowers), pace.most_in_flight))

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

    def _terms(self, asker: str, number: int) -> Lease:
        parts = self._parts()
        share = max(1, self._pace.most_in_flight // parts)
        return Lease(
            number=number,
            seconds=USE_SECONDS,
            spacing_seconds=self._pace.spacing_seconds * parts,
            in_flight=max(0, min(share, self._room(asker))),
            caps={name: cap.most - cap.spent for name, cap in self._caps.items()},
        )

    def _give(self, asker: str) -> None:
        self._number += 1
        lease = self._terms(asker, self._number)
        self._loans[asker] = _Loan(time.monotonic(), lease)
        self._turns.remove(asker)
        self._send(asker, lease)

    def _renew(self, asker: str, loan: _Loan, now: float) -> None:
        """Let an asker go on where nobody else waits; tell it what has changed of the terms."""
        if not self._is_open or self._is_wanted:
            return
        others_wait = any(one not in self._loans for one in self._turns)
        if others_wait and self._parts() <= len(self._loans):
            return
        terms = self._terms(asker, loan.lease.number)
        change = max(
            terms.spacing_seconds / loan.lease.spacing_seconds,
            loan.lease.spacing_seconds / terms.spacing_seconds,
        )
        is_due = now - loan.given_at > _RENEW_AFTER
        if is_due or change > _CHANGED or terms.in_flight != loan.lease.in_flight:
            self._loans[asker] = _Loan(now, terms)
            self._send(asker, terms)

    def _take_back(self, asker: str, wait_seconds: float) -> None:
        if self._loans.pop(asker, None) is not None and not self._loans:
            self._pace.take_back(wait_seconds)
        self._changed.set()

    def _expire(self) -> None:
        """Take back what was lent to somebody who is not heard any more."""
        now = time.monotonic()
        for asker, loan in list(self._loans.items()):
            if now - loan.given_at > LEASE_SECONDS:
                self._take_back(asker, loan.lease.spacing_seconds)

    def _note_wanted(self) -> None:
        """Take note that somebody else of this store waits for a place, or that the host rests."""
        self._is_wanted = True
        if self._pace.pause_seconds:
            for asker in self._loans:
                self._call_back(asker)

    def _next_rank(self) -> int | None:
        ranks = [self._borrowers[asker].wants for asker in self._turns]
        return min((rank for rank in ranks if rank is not None), default=None)

    def _next_asker(self) -> str | None:
        """Return whose turn it is; who wants nothing any more is passed by."""
        for asker in list(self._turns):
            if self._borrowers[asker].wants is not None:
                return asker
            self._turns.remove(asker)
        return None
