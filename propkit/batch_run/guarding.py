"""Keeps answers back that lack what the source has always given, until it is clear why."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Self

from propkit.errors import LayoutChangedError
from propkit.item_asker import Outcome
from propkit.items import State
from propkit.pages import Page
from propkit.quality import (
    CanaryLoss,
    Drift,
    DriftGuard,
    Verdict,
    judge_canary,
    lost_by_canaries,
)
from propkit.quality.columns import EMPTY, Learned
from propkit.records import Record
from propkit.sources import Parsed

Filled = Mapping[str, Collection[str]]
"""The columns that are filled in the store, by table."""


@dataclass(slots=True)
class Judgement:
    """What to do now: outcomes to store, why the source is to be stopped, and whom to ask again.

    ``witness`` is a key that had a lost column just before; :meth:`SourceGuard.hear` is told
    what it answers now.
    """

    store: list[Outcome] = field(default_factory=list)
    drift: str | None = None
    witness: str | None = None

    def __iadd__(self, other: Judgement) -> Self:
        self.store += other.store
        self.drift = self.drift or other.drift
        return self


class SourceGuard:
    """Judges the outcomes of one source in one run; see :mod:`propkit.quality`.

    Answers are compared with those of their own layout only: a host that answers in sections what
    it once told in one call has lost no field. What is kept back has not ended yet;
    :meth:`finish` gives it free.

    Parameters
    ----------
    learned
        Coverage by layout (:func:`layout_of`).
    canaries
        Parcels collected before, by key: the layout of that answer, and the columns it filled.
    """

    def __init__(
        self, learned: Mapping[str, Learned], canaries: Mapping[str, tuple[str, Filled]]
    ) -> None:
        self._guards = {layout: DriftGuard(coverage) for layout, coverage in learned.items()}
        self._canaries = dict(canaries)
        self._judged: list[tuple[Outcome, CanaryLoss]] = []
        self._held: dict[str, Outcome] = {}
        self._heard: DriftGuard | None = None

    @property
    def is_waiting_for_canaries(self) -> bool:
        """Whether canaries have still to be asked, so that all others wait."""
        return bool(self._canaries)

    @property
    def held(self) -> int:
        """How many outcomes are kept back, for nothing but further answers."""
        return 0 if self._heard else len(self._held) + len(self._judged)

    @property
    def doubt(self) -> tuple[int, tuple[str, ...]]:
        """How many outcomes are kept back because of what they lack, and what that is."""
        names = dict.fromkeys(chain.from_iterable(g.suspected for g in self._guards.values()))
        return len(self._held), tuple(names)

    def is_canary(self, key: str) -> bool:
        """Whether a key is a canary that was not judged yet."""
        return key in self._canaries

    def excuse(self, key: str) -> None:
        """Let a canary go that was answered elsewhere."""
        self._canaries.pop(key, None)

    def learned(self) -> dict[str, Learned]:
        """Return the coverage by layout, with what this run has added."""
        return {layout: guard.learned() for layout, guard in self._guards.items()}

    def judge(self, outcome: Outcome) -> Judgement:
        """Take an outcome, and say which may be stored now."""
        parsed = outcome.parsed
        layout, before = "", None
        if self._canaries:
            layout, before = self._canaries.pop(outcome.item.key, ("", None))
        if parsed is None or not parsed.is_found:
            judgement = Judgement(store=[outcome])
        elif before is None or layout != layout_of(outcome.pages):
            judgement = self._judge(outcome, parsed)
        else:
            loss = judge_canary(
                before, parsed.records, missing=parsed.missing, unsaid=parsed.unsaid
            )
            self._judged.append((outcome, loss))
            judgement = Judgement()
        if self._judged and not self._canaries:
            judgement += self._judge_canaries()
        return judgement

    def hear(self, witness: Outcome) -> Judgement:
        """Take what the witness answers now: it clears the source, or condemns it."""
        guard, self._heard = self._heard, None
        parsed = witness.parsed
        records = parsed.records if parsed is not None else ()
        if guard is None:  # the run has ended meanwhile
            return Judgement()
        if all(_has(records, drift) for drift in guard.drifts):
            guard.acquit()
            return Judgement(store=self._take(guard.released()))
        return self._condemn(guard)

    def finish(self) -> Judgement:
        """Give free what is kept back, at the end of the run; what a drift withholds has failed."""
        self._canaries.clear()
        self._heard = None
        judgement = self._judge_canaries()
        for guard in self._guards.values():
            judgement.store += self._take(guard.release_all())
            judgement += self._condemn(guard)
        return judgement

    def _judge_canaries(self) -> Judgement:
        names = lost_by_canaries([loss for _, loss in self._judged])
        outcomes = [outcome for outcome, _ in self._judged]
        self._judged.clear()
        judgement = Judgement()
        if names:
            judgement.drift = (
                f"{', '.join(names)}: lacking in parcels that had it when last collected"
            )
            judgement.store = [_fail(outcome, judgement.drift) for outcome in outcomes]
            return judgement
        for outcome in outcomes:
            assert outcome.parsed is not None  # noqa: S101 -- only what was read is judged
            judgement += self._judge(outcome, outcome.parsed)
        return judgement

    def _judge(self, outcome: Outcome, parsed: Parsed) -> Judgement:
        layout, key = layout_of(outcome.pages), outcome.item.key
        guard = self._guards.get(layout)
        if guard is None:
            guard = self._guards[layout] = DriftGuard({})
        verdict = guard.judge(key, parsed.records, missing=parsed.missing, unsaid=parsed.unsaid)
        if verdict is Verdict.KEEP:
            judgement = Judgement(store=[outcome])
        else:
            self._held[key] = outcome
            judgement = Judgement()
        if released := guard.released():
            judgement.store += self._take(released)
        if verdict is Verdict.DRIFT and self._heard is None:
            judgement.witness = next((d.witness for d in guard.drifts if d.witness), None)
            if judgement.witness is None:
                judgement += self._condemn(guard)
            else:
                self._heard = guard
        return judgement

    def _condemn(self, guard: DriftGuard) -> Judgement:
        """Let what a drift withholds fail: without its records, its pages kept as evidence."""
        withheld = self._take(guard.withheld())
        message = guard.message
        return Judgement(
            store=[_fail(outcome, message) for outcome in withheld], drift=message or None
        )

    def _take(self, keys: Iterable[str]) -> list[Outcome]:
        return [self._held.pop(key) for key in keys if key in self._held]


def layout_of(pages: Sequence[Page]) -> str:
    """Return what tells kinds of answers apart: the names of their pages."""
    if len(pages) == 1:
        return pages[0].name
    names = {page.name for page in pages}
    return names.pop() if len(names) == 1 else "+".join(sorted(names))


def _has(records: Iterable[Record], drift: Drift) -> bool:
    """Whether records fill the column of a drift; a table's own is its being there."""
    rows = [record for record in records if record.table == drift.table]
    return any(getattr(row, drift.column, True) not in EMPTY for row in rows)


def _fail(outcome: Outcome, why: str) -> Outcome:
    failed = replace(
        outcome.item,
        state=State.FAILED,
        failure_class=LayoutChangedError.failure_class,
        error=why,
        missing=(),
    )
    return Outcome(item=failed, pages=outcome.pages)
