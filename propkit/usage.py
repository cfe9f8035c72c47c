"""What a run has asked of one host, and how much it may."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from propkit.errors import BudgetSpentError, CollectionCancelledError


@dataclass(slots=True, kw_only=True)
class Usage:
    """What one run has asked of one host, how much it may, and whether it may go on.

    ``requests`` counts every request sent, ``refused`` the answers 429 and 503, ``received_bytes``
    the bodies; ``slow`` has the addresses and seconds of answers that took long. Once
    ``should_stop`` says so, no further request is sent.
    """

    max_requests: int | None = None
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
            The run was stopped; the cap leaves none.
        """
        self.check()
        if self.max_requests is not None and self.requests >= self.max_requests:
            raise BudgetSpentError(f"the cap of {self.max_requests} requests is reached")
        self.requests += 1

    def check(self) -> None:
        """Raise ``CollectionCancelledError`` once the run was stopped."""
        if self.should_stop():
            raise CollectionCancelledError("the batch was cancelled")
