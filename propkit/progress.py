"""What a running batch tells: one frozen event, for any listener."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from propkit.items import ENDED, Item, State

TOLD = ENDED - {State.CANCELLED}
"""The ends that an item comes to; one that was cancelled came to none."""

_NAMED = 2
"""How many of the things that answers lack are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceProgress:
    """How far one source is: items, requests, refusals (429, 503) and the kept rate.

    ``ended`` are those that came to an end, ``cancelled`` those that never will; ``failed`` those that
    count as failed. In place of the ``replaced`` ones, which failed and are at an end here, a second
    way is asked. ``resting_seconds`` are those until a source is asked again that is left alone for a
    while, since it was down or asked for a pause; None where it is not left alone. The guard keeps so
    many answers ``kept_back``, which count as running, since they are ``lacking`` what the source has
    nearly always given: tables, or columns of theirs.
    """

    source: str
    total: int
    ended: int
    failed: int
    requests: int
    refused: int
    requests_per_second: float
    stopped: str | None = None
    replaced: int = 0
    cancelled: int = 0
    resting_seconds: float | None = None
    kept_back: int = 0
    lacking: tuple[str, ...] = ()

    @property
    def rest(self) -> str | None:
        """When a source that is left alone is asked again, in words."""
        if self.resting_seconds is None or self.stopped or self.ended >= self.total:
            return None
        seconds = round(self.resting_seconds)
        return f"asked again in {seconds} s" if seconds else "asked again now"

    @property
    def doubt(self) -> str | None:
        """Why answers are kept back, in words."""
        if not self.kept_back:
            return None
        names = ", ".join(self.lacking[:_NAMED])
        more = ", ..." if len(self.lacking) > _NAMED else ""
        return f"{self.kept_back:,} kept back until it is clear why they lack {names}{more}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One event of a batch. Times are seconds.

    Where a second way is asked in place of an item that failed, only the second way's item counts.
    ``changed`` are the items that are new or have moved on since the last event, each once, as it
    is now. A batch that buys leads has pages for items: of the ``leads_expected`` so many ``leads``
    have come, for ``leads_cost`` (USD) beyond the quota; None in every other batch.
    """

    batch_id: str
    state: str
    total: int
    counts: Mapping[State, int]
    partial: int
    sources: tuple[SourceProgress, ...]
    elapsed_seconds: float
    eta_seconds: float | None
    current: str | None
    changed: tuple[Item, ...] = ()
    leads: int | None = None
    leads_expected: int = 0
    leads_cost: Decimal | None = None

    @property
    def ended(self) -> int:
        """How many items came to an end, whatever it is; those that were cancelled did not."""
        return sum(count for state, count in self.counts.items() if state in TOLD)

    @property
    def reach(self) -> str:
        """How far it is, in words: of its items, or of its leads."""
        if self.leads is None:
            return f"{self.ended} of {self.total} items"
        return (
            f"{self.leads:,} of {self.leads_expected:,} leads, {self.ended} of {self.total} pages"
        )

    @property
    def replaced(self) -> int:
        """How many failed items a second way is, or was, asked in place of."""
        return sum(source.replaced for source in self.sources)


Listener = Callable[[Progress], object]
"""Called from the collector's thread."""


_VERBS = {
    "running": "Collecting",
    "completed": "Collected",
    "cancelled": "Cancelled after",
    "paused": "Paused after",
    "interrupted": "Interrupted after",
}
_BUYING = {"running": "Buying", "completed": "Bought"}


def describe(progress: Progress) -> str:
    """Return an event as one line."""
    counts = progress.counts
    share = 100 * progress.ended / progress.total if progress.total else 100
    parts = [f"{counts.get(State.DONE, 0) - progress.partial} done"]
    for name, count in [
        ("partial", progress.partial),
        ("not found", counts.get(State.NOT_FOUND, 0)),
        ("failed", counts.get(State.FAILED, 0)),
        ("cancelled", counts.get(State.CANCELLED, 0)),
        ("skipped", counts.get(State.SKIPPED, 0)),
        ("of these by a second way", progress.replaced),
    ]:
        if count:
            parts.append(f"{count} {name}")
    verbs = _VERBS if progress.leads is None else {**_VERBS, **_BUYING}
    verb = verbs.get(progress.state, progress.state.capitalize())
    text = (
        f"{verb} {progress.reach} ({share:.0f} %): "
        f"{', '.join(parts)}, {progress.elapsed_seconds:.0f} s"
    )
    if progress.eta_seconds is not None:
        text += f", about {progress.eta_seconds:.0f} s to go"
    for source in progress.sources:
        text += f" | {source.source} stopped" if source.stopped else ""
        text += f" | {source.source} left alone, {source.rest}" if source.rest else ""
        text += f" | {source.source}: {source.doubt}" if source.doubt else ""
    return text
