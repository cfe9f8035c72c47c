"""What a run has asked of one source, and how much it may."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from propkit.errors import BudgetSpentError, CollectionCancelledError


@dataclass(slots=True)
class Cap:
    """The most requests of a run, by all who share it: one source, or all of one host."""

    most: int
    spent: int = 0


@dataclass(slots=True, kw_only=True)
class Usage:
    """What one run has asked of one source, how much it may, and whether it may go on.

    ``requests`` counts every request sent, ``refused`` the answers 429 and 503, ``received_bytes``
    the bodies; ``slow`` has the addresses and seconds of answers that took long. Once
    ``should_stop`` says so, no further request is sent.
    """

    caps: Sequence[Cap] = ()
    should_stop: Callable[[], bool] = lambda: False
    requests: int = 0
    refused: int = 0
    received_bytes: int = 0
    slow: list[tuple[str, float]] = field(default_factory=list)

    def spend(self) -> None:
        """Count one request more.

        Raises
        ------
        CollectionCancelledError, BudgetSpentError
            The run was stopped; a cap leaves none.
        """
        self.check()
        for cap in self.caps:
            if cap.spent >= cap.most:
                raise BudgetSpentError(f"the cap of {cap.most} requests is reached")
        self.count(1)

    def count(self, requests: int, refused: int = 0) -> None:
        """Count requests that were sent, by whomever, on behalf of this run."""
        self.requests += requests
        self.refused += refused
        for cap in self.caps:
            cap.spent += requests

    def is_enough_for(self, requests: int) -> bool:
        """Whether the caps leave so many requests."""
        return all(cap.most - cap.spent >= requests for cap in self.caps)

    def check(self) -> None:
        """Raise ``CollectionCancelledError`` once the run was stopped."""
        if self.should_stop():
            raise CollectionCancelledError("the batch was cancelled")
