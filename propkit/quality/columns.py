"""What is learned of each column, and the sums that tell a lost one from chance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from itertools import compress, repeat
from math import log, sqrt
from operator import is_, itemgetter
from typing import Any, Final

from propkit.record_block import Row
from propkit.records import Record, column_names

Learned = Mapping[str, Mapping[str, tuple[int, int]]]
"""By table and column: how many answers there were and how many filled the column. The column
``(gap) x`` is the longest row of answers without ``x``: so many answers, 0 filled."""

ANY: Final = "(any)"
"""The pseudo-column that is filled by an answer which has the table."""

EMPTY: Final = (None, "", ())
NOTHING: Final[Mapping[str, frozenset[str]]] = {}

_GAP: Final = "(gap) "
REFRESH_EVERY: Final = 10
"""Answers after which it is seen whether bands are to be learned anew."""

_ENOUGH: Final = 50
_MOST: Final = 5_000
_LEAST_COVERAGE: Final = 0.2
_STEADY_COVERAGE: Final = 0.98
_STANDARD_ERRORS: Final = 3.0
# How sure the sums are: by chance once in a thousand answers, once in a billion.
_SUSPICIOUS: Final = log(1e3)
_CERTAIN: Final = log(1e9)
_HALF: Final = 0.5
_NINE_IN_TEN: Final = 0.9
# Where this much is sure, nine in ten can be told from it within some hundred answers.
_SURELY_STEADY: Final = 0.97
_SHARED: Final = frozenset({
    "parcels.situs_address", "parcels.situs_city", "parcels.situs_zip", "parcels.subdivision",
    "parcels.lot_number", "parcels.mcr", "parcels.section_township_range",
    "parcels.jurisdiction", "parcels.elementary_school_district",
    "parcels.high_school_district", "parcels.tax_area_code", "parcels.latitude",
    "parcels.longitude", "residences.market_area", "residences.neighborhood",
    f"residences.{ANY}", f"sales.{ANY}",
})  # fmt: skip
_SHARED_GAP: Final = 150


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """A column that answers do not fill as they used to.

    ``seen`` and ``learned`` are (answers, filled). ``witness`` is the key of the last answer
    that had the column before; None when there was none in this run.
    """

    table: str
    column: str
    seen: tuple[int, int]
    learned: tuple[int, int]
    witness: str | None = None

    @property
    def message(self) -> str:
        """What was seen and what was expected, in one sentence."""
        answers, filled = self.learned
        is_table = self.column == ANY
        what = f"{self.table}: given" if is_table else f"{self.table}.{self.column}: filled"
        return (
            f"{what} in {self.seen[1]:,} of the last {self.seen[0]:,} answers, "
            f"learned {100 * filled / answers:.4g} % of {answers:,}"
        )


class Score:
    """The running evidence that a column is filled as often as supposed, not as learned.

    It falls with every filled answer, which is made up for when it is asked for: filled answers
    are many and cost nothing. ``seen`` numbers the answers from 1.
    """

    __slots__ = ("_at", "_fill", "_miss", "_value", "missed", "since")

    def __init__(self, *, learned: float, supposed: float) -> None:
        self._value = 0.0
        self._at = self.since = self.missed = 0
        self.suppose(learned=learned, supposed=supposed)

    def suppose(self, *, learned: float, supposed: float) -> None:
        """Set what an empty and a filled answer add, from shares of filled answers."""
        self._miss = log((1 - supposed) / (1 - learned))
        self._fill = log(supposed / learned)

    def miss(self, seen: int) -> float:
        """Add an empty answer; return the evidence."""
        value = self._value + (seen - 1 - self._at) * self._fill
        if value <= 0.0:
            value, self.since, self.missed = 0.0, seen - 1, 0
        self.missed += 1
        self._at = seen
        # Bounded, so that it soon falls after a row of nulls that was no drift.
        self._value = min(value + self._miss, _CERTAIN)
        return self._value

    def value(self, seen: int) -> float:
        """Return the evidence after so many answers."""
        return max(self._value + (seen - self._at) * self._fill, 0.0)


class Column:
    """What is known of one column and what is suspected of it."""

    __slots__ = (
        "default", "empties", "group", "held", "is_drifted", "is_left_alone", "is_steady",
        "last_empty", "longest", "name", "past", "patience", "run", "scores", "value", "witness",
    )  # fmt: skip

    def __init__(self, group: Group, name: str, past: tuple[int, int], longest: int) -> None:
        self.group = group
        self.name = name
        # What gives the column's value of a row, and what that is where it is empty.
        self.value: Callable[[Row], Any] = itemgetter(0)
        self.default: object = None
        self.past = past
        self.longest = longest
        self.patience = _SHARED_GAP if f"{group.table}.{name}" in _SHARED else 0
        self.empties = self.run = self.last_empty = 0
        self.is_steady = self.is_drifted = self.is_left_alone = False
        self.scores: list[Score] = []
        self.held: list[str] = []
        """The keys of the answers held because of this column."""
        self.witness: str | None = None

    @property
    def full_name(self) -> str:
        """The column with its table; the table alone where it is the pseudo-column."""
        return self.group.table if self.name == ANY else f"{self.group.table}.{self.name}"

    @property
    def counts(self) -> tuple[int, int]:
        """The (answers, filled) of the past and of this run's kept answers."""
        answers, filled = self.past
        return answers + self.group.kept, filled + self.group.kept - self.empties

    def refresh(self) -> None:
        """Learn the band anew from the counts, save while answers are held."""
        if self.held or self.is_left_alone:
            return
        answers, filled = self.counts
        if answers < _ENOUGH or filled < _LEAST_COVERAGE * answers:
            self.scores = []
            return
        self.is_steady = filled >= _STEADY_COVERAGE * answers
        low = _lower_bound(answers, filled)
        supposed = [_HALF * low]
        if low >= _SURELY_STEADY and not self.patience:
            supposed.append(_NINE_IN_TEN)
        del self.scores[len(supposed) :]
        for score, share in zip(self.scores, supposed, strict=False):
            score.suppose(learned=low, supposed=share)
        self.scores += [
            Score(learned=low, supposed=share) for share in supposed[len(self.scores) :]
        ]

    def miss(self, seen: int) -> bool:
        """Take an empty answer into the sums; return whether it is suspicious."""
        if self.last_empty == seen - 1:
            self.run += 1
        else:
            self.longest = max(self.longest, self.run)
            self.run = 1
            self.witness = self.group.last_key
        self.last_empty = seen
        is_suspicious = self.is_steady or self.is_drifted
        for score in self.scores:
            if score.miss(seen) >= _SUSPICIOUS:
                is_suspicious = True
        return is_suspicious

    def is_over(self) -> bool:
        """Whether the last answer fills the column and puts an end to the suspicion."""
        seen = self.group.seen
        return (
            not self.is_drifted
            and self.last_empty != seen
            and all(score.value(seen) < _SUSPICIOUS for score in self.scores)
        )

    def drift(self) -> Drift | None:
        """Return the drift once the evidence is certain and more than a row of nulls."""
        least = max(2 * self.longest, self.patience)
        for score in self.scores:
            if score.missed > least and score.value(self.group.seen) >= _CERTAIN:
                answers = self.group.seen - score.since
                return Drift(
                    table=self.group.table,
                    column=self.name,
                    seen=(answers, answers - score.missed),
                    learned=self.counts,
                    witness=self.witness,
                )
        return None

    def leave_alone(self) -> None:
        """Guard the column no more."""
        self.is_left_alone, self.is_drifted = True, False
        self.scores = []

    def learned(self) -> tuple[tuple[int, int], int]:
        """Return the counts and the longest row of nulls, bounded."""
        answers, filled = self.counts
        longest = self.longest if self.is_drifted else max(self.longest, self.run)
        while answers > _MOST:
            answers, filled, longest = answers // 2, filled // 2, longest // 2
        return (answers, filled), longest


class Group:
    """Columns that the same answers fill or leave empty."""

    def __init__(
        self, table: str, names: Iterable[str], learned: Mapping[str, tuple[int, int]]
    ) -> None:
        self.table = table
        self.seen = 0
        self.kept = 0
        self.last_key: str | None = None
        self.columns = tuple(
            Column(self, name, learned.get(name, (0, 0)), learned.get(f"{_GAP}{name}", (0, 0))[0])
            for name in names
        )
        self.refresh()

    def refresh(self) -> None:
        """Learn all bands anew; the next time is due at twice as many answers."""
        for column in self.columns:
            column.refresh()
        past = max((column.past[0] for column in self.columns), default=0)
        answers = past + self.kept
        self.refresh_at = (2 * answers if answers >= _ENOUGH else _ENOUGH) - past


class Table:
    """The columns of one table, and whether answers have the table at all.

    ``absent`` counts the answers of this run that were without it.
    """

    def __init__(
        self, kind: type[Record], learned: Mapping[str, tuple[int, int]], *, absent: int = 0
    ) -> None:
        names = optional_columns(kind)
        self.kind = kind
        self.names = frozenset(names)
        self.group = Group(kind.table, names, learned)
        self.any = Group(kind.table, (ANY,), learned)
        self.any.kept = self.any.columns[0].empties = absent
        places = [column_names(kind).index(name) for name in names]
        # Twice the first: with one place itemgetter would give a bare value.
        self._values = itemgetter(*places, places[0]) if names else _no_values
        # What is empty is the column's default: None, or the one empty tuple that Python has.
        self._defaults = tuple(field.default for field in fields(kind) if field.name in self.names)
        for column, place, default in zip(self.group.columns, places, self._defaults, strict=True):
            column.value, column.default = itemgetter(place), default
        self._empty: dict[tuple[bool, ...], tuple[Column, ...]] = {}

    def empty(self, rows: Sequence[Row]) -> Sequence[Column]:
        """Return the columns that no row of an answer fills."""
        mask = tuple(map(is_, self._values(rows[0]), self._defaults))
        empty: Sequence[Column] | None = self._empty.get(mask)
        if empty is None:
            empty = self._empty[mask] = tuple(compress(self.group.columns, mask))
        if empty and len(rows) > 1:
            return [c for c in empty if all(map(is_, map(c.value, rows), repeat(c.default)))]
        return empty

    def take(self, key: str, empty: Sequence[Column] | None) -> Sequence[Column]:
        """Take an answer's empty columns into the sums, None if it lacks the table.

        Return the columns that make the answer suspicious.
        """
        self.any.seen += 1
        if empty is None:
            column = self.any.columns[0]
            return (column,) if column.scores and column.miss(self.any.seen) else ()
        self.any.last_key = key
        group = self.group
        group.seen = seen = group.seen + 1
        suspects = [column for column in empty if column.scores and column.miss(seen)]
        group.last_key = key
        return suspects

    def refresh(self) -> None:
        """Learn the bands anew that are due."""
        for group in (self.any, self.group):
            if group.kept >= group.refresh_at:
                group.refresh()

    def learned(self) -> dict[str, tuple[int, int]]:
        """Return the counts by column, with gaps as columns of their own."""
        found: dict[str, tuple[int, int]] = {}
        for column in (*self.any.columns, *self.group.columns):
            counts, longest = column.learned()
            found[column.name] = counts
            if longest > 1:
                found[f"{_GAP}{column.name}"] = (longest, 0)
        return found


def optional_columns(kind: type[Record]) -> tuple[str, ...]:
    """Return the columns of a table that an answer may leave empty."""
    return tuple(
        field.name
        for field in fields(kind)
        if field.default is not MISSING and field.name not in kind.noted
    )


def _no_values(_: Row) -> tuple[()]:
    return ()


def _lower_bound(answers: int, filled: int) -> float:
    """Return the least share of filled answers that the counts allow (Wilson)."""
    share, square = filled / answers, _STANDARD_ERRORS**2
    spread = _STANDARD_ERRORS * sqrt(share * (1 - share) / answers + square / (4 * answers**2))
    return (share + square / (2 * answers) - spread) / (1 + square / answers)
