"""Judges the answers of one source in one run: a column that is filled less than learned is drift.

Per table the guard knows how often answers fill each column and, as the pseudo-column ``(any)``,
how often they have the table at all. After every answer it asks of each column whether it is
filled half as often as learned and, where it is hardly ever empty, whether one answer in ten
lacks it now. Each question is a cumulative sum of likelihood ratios: where nulls come by chance,
less than one run of 10,000 answers in a thousand is stopped. A column is guarded once learned
from 50 answers, by the lower end of what these allow (Wilson, three standard errors), and where
at least a fifth of them filled it.

Nulls that come in rows are no drift: it takes more than twice the longest row known, and more
than 150 where a parcel shares the column with its neighbours, since lists follow the roll.

The engine's part, with one guard for each source::

    guard = DriftGuard(learned[source, parser_version])
    canaries, others = choose_canaries(keys, complete)   # ask the canaries first, alone
    losses = [judge_canary(...) for each canary that was found]
    if names := lost_by_canaries(losses): stop the source, store no record of the canaries

    verdict = guard.judge(key, parsed.records, missing=parsed.missing, unsaid=parsed.unsaid)
    KEEP   store the answer
    HOLD   keep it back under its key; its item goes on running
    DRIFT  stop the source with LayoutChangedError(guard.message); store no records of this
           answer nor of those in guard.withheld(), only their pages, as evidence
    for key in guard.released(): store what was held     # after every answer
    for key in guard.release_all(): store what was held  # at the end of the run, whatever ended it
    save guard.learned()

An answer with several records of a table fills a column if one of them does: what only the older
tax years lose is not noticed. Only found answers are judged. A source that was stopped still
answers what is in flight: judge on. ``drift.witness`` is the key that had the column just before
it was lost: if asking it again still gives the column, the nulls are the county's own, and
``guard.acquit()`` lets the run go on.

An answer held until the end of a run too short to tell is stored. An outage that empties every
tenth answer in a column known to be always filled is a drift after some hundred answers: the
first nulls are held and released, those that come too fast stay held.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from propkit.quality.columns import NOTHING, REFRESH_EVERY, Column, Drift, Learned, Table
from propkit.record_block import rows_of
from propkit.records import RECORD_TYPES, Record

Note = tuple[Table, Sequence[Column] | None]
"""The columns of a table that an answer leaves empty; None for an answer without the table."""


class Verdict(Enum):
    """What to do with an answer."""

    KEEP = "keep"
    HOLD = "hold"
    DRIFT = "drift"


@dataclass(slots=True)
class _Held:
    """An answer kept back: the columns because of which, and what it adds to the counts."""

    columns: set[Column]
    notes: list[Note]


class DriftGuard:
    """Judge the answers of one source in one run by what earlier ones filled."""

    def __init__(self, learned: Learned) -> None:
        self._tables: dict[str, Table] = {}
        self._held: dict[str, _Held] = {}
        self._released: list[str] = []
        self._suspected: dict[Column, None] = {}
        self._drifts: dict[Column, Drift] = {}
        self._answers = 0
        for table, columns in learned.items():
            if kind := RECORD_TYPES.get(table):
                self._tables[table] = Table(kind, columns)

    @property
    def drifts(self) -> tuple[Drift, ...]:
        """The columns that were lost, in the order in which it became certain."""
        return tuple(self._drifts.values())

    @property
    def suspected(self) -> list[str]:
        """What the held answers lack: tables, or columns of theirs, in the order of suspicion."""
        return [column.full_name for column in self._suspected]

    @property
    def message(self) -> str:
        """What was seen of the lost columns and what was expected; "" when there are none."""
        return "; ".join(drift.message for drift in self.drifts)

    def judge(
        self,
        key: str,
        records: Iterable[Record],
        *,
        missing: Collection[str] = (),
        unsaid: Mapping[str, frozenset[str]] = NOTHING,
    ) -> Verdict:
        """Return what to do with a found answer.

        A table in ``missing``, or one of which ``unsaid`` has every column, is not judged: the
        answer is of a kind that does not carry it. Any other column in ``unsaid`` is empty like
        one that is null.
        """
        by_kind = rows_of(records)
        self._take_note(by_kind)
        self._answers += 1
        if self._answers % REFRESH_EVERY == 0:
            for table in self._tables.values():
                table.refresh()
        notes: list[Note] = []
        suspects: list[Column] = []
        for name, table in self._tables.items():
            if name in missing or (unsaid and unsaid.get(name, frozenset()) >= table.names):
                continue
            rows = by_kind.get(table.kind)
            empty = None if rows is None else table.empty(rows)
            suspects += table.take(key, empty)
            notes.append((table, empty))
        if self._suspected:
            self._settle()
        if not suspects:
            _keep(notes)
            return Verdict.KEEP
        self._held[key] = _Held(set(suspects), notes)
        for column in suspects:
            column.held.append(key)
            self._suspected[column] = None
            if not column.is_drifted and (drift := column.drift()):
                column.is_drifted = True
                self._drifts[column] = drift
        is_drift = any(column.is_drifted for column in suspects)
        return Verdict.DRIFT if is_drift else Verdict.HOLD

    def released(self) -> list[str]:
        """Return the keys of held answers that are to be stored after all, each once."""
        released, self._released = self._released, []
        return released

    def release_all(self) -> list[str]:
        """Return all keys that are held and have no part in a drift: the run is at its end."""
        withheld = set(self.withheld())
        for key in [key for key in self._held if key not in withheld]:
            self._release(key)
        return self.released()

    def withheld(self) -> list[str]:
        """Return the keys of the answers that a drift keeps from being stored."""
        return [key for key, held in self._held.items() if held.columns & self._drifts.keys()]

    def acquit(self) -> None:
        """Take it that the nulls are the county's own: release what drifts keep back.

        Their columns are counted on, but not guarded any more in this run.
        """
        drifted = list(self._drifts)
        self._drifts.clear()
        for column in drifted:
            column.leave_alone()
            self._clear(column)

    def learned(self) -> dict[str, dict[str, tuple[int, int]]]:
        """Return the coverage with the answers of this run that were kept.

        Counts above 5,000 answers are halved, so that a slow change is learned.
        """
        return {name: table.learned() for name, table in self._tables.items()}

    def _take_note(self, kinds: Iterable[type[Record]]) -> None:
        for kind in kinds:
            if kind.table not in self._tables:
                self._tables[kind.table] = Table(kind, {}, absent=self._answers)

    def _settle(self) -> None:
        for column in [column for column in self._suspected if column.is_over()]:
            self._clear(column)

    def _clear(self, column: Column) -> None:
        """Release the answers that only this column kept back."""
        self._suspected.pop(column, None)
        keys, column.held = column.held, []
        for key in keys:
            held = self._held.get(key)
            if held is not None:
                held.columns.discard(column)
                if not held.columns:
                    self._release(key)

    def _release(self, key: str) -> None:
        _keep(self._held.pop(key).notes)
        self._released.append(key)


def _keep(notes: list[Note]) -> None:
    """Count an answer that is stored."""
    for table, empty in notes:
        table.any.kept += 1
        if empty is None:
            table.any.columns[0].empties += 1
            continue
        table.group.kept += 1
        for column in empty:
            column.empties += 1
