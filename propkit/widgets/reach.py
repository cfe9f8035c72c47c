"""How far a batch is: what the panel counts it in, and says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from propkit.progress import Progress
from propkit.runtime.report import BatchReport
from propkit.widgets.spelling import counted, properties


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How far the parcels of a batch are, or its ``leads``: ``ended`` of ``total``."""

    ended: int = 0
    total: int = 0
    is_of_leads: bool = False

    @property
    def words(self) -> str:
        """How far, in words."""
        what = counted(self.total, "lead") if self.is_of_leads else properties(self.total)
        return f"{self.ended:,} of {what}"

    @property
    def verbs(self) -> tuple[str, str]:
        """What is being done, and what was."""
        return ("Buying", "Bought") if self.is_of_leads else ("Collecting", "Collected")

    @property
    def percent(self) -> int:
        """The share that has ended; only what is whole is 100."""
        return 100 * self.ended // self.total if self.total else 100


def find_reach(
    ended: Mapping[str, bool], progress: Progress | None, report: BatchReport | None
) -> Reach:
    """Return how far a batch is: by its parcels, each at its end or not, or by the leads it buys."""
    purchased = None if report is None else report.purchased
    if purchased is not None:
        return Reach(ended=purchased.leads, total=purchased.expected, is_of_leads=True)
    if progress is not None and progress.leads is not None:
        return Reach(ended=progress.leads, total=progress.leads_expected, is_of_leads=True)
    return Reach(ended=sum(ended.values()), total=len(ended))
