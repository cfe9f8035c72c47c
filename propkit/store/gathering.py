"""Records of some answers, gathered by table into the rows that replace older ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from propkit.record_block import RecordBlock, Row, rows_of
from propkit.records import Record
from propkit.store.replacing import KINDS, RECORD_FEEDS, Kind, Replacement, make_array


@dataclass(frozen=True, slots=True)
class Answer:
    """An item's records, and the columns by table in which it leaves things unsaid.

    ``at`` is when it came; ``changed_at`` when it began to count, where that is another moment.
    """

    records: Sequence[Record]
    unsaid: Mapping[str, frozenset[str]]
    source: str
    at: datetime | None
    batch_id: str
    changed_at: datetime | None = None


_TIME = pa.timestamp("us", tz="UTC")
_NOTHING: frozenset[str] = frozenset()
_ABSENT = (None, ())
"""What stands in a column of which an answer says nothing."""
_Told = tuple[list[Row], list[int]]
"""Rows of one table, and the number of each one's answer."""
_Held = list[tuple[int, Mapping[str, Sequence[Any]]]]
"""Columns of one table, each lot with the number of its answer."""


class _Rows:
    """The rows that a group's answers leave in one table; answers go by their number."""

    def __init__(self, kind: Kind, answers: Sequence[Answer]) -> None:
        self.kind = kind
        self.says = [answer.unsaid.get(kind.table, _NOTHING) for answer in answers]
        self.rows: dict[Any, Row] = {}  # by identity
        self.unsaid: dict[Any, frozenset[str]] = {}  # by identity, where it is not as says has it
        self.numbers: dict[Any, int] = {}  # the answer of each record, by identity
        self._owners: dict[Any, int] = {}  # the last answer, by scope
        self._members: dict[Any, list[Any]] = defaultdict(list)  # identities by scope
        # What the answer before left, by scope: row and unsaid columns by identity.
        self._earlier: dict[Any, dict[Any, tuple[Row, frozenset[str]]]] = {}

    def add(self, row: Row, number: int) -> None:
        """Take a row of an answer, which thereby takes the row's whole scope."""
        scope = self.kind.get_scope(row)
        identity = self.kind.get_identity(row)
        before = self._owners.setdefault(scope, number)
        if before != number:
            self._owners[scope] = number
            taken = [scope] if self.kind.is_one_row else self._members.pop(scope)
            for key in taken:
                del self.numbers[key]
            self._earlier[scope] = {
                key: (self.rows.pop(key), self.unsaid.pop(key, self.says[before])) for key in taken
            }
        is_new = identity not in self.rows
        if not is_new or scope in self._earlier:
            row = self._follow(row, scope, identity, self.says[number])
        if is_new and not self.kind.is_one_row:
            self._members[scope].append(identity)
        self.rows[identity] = row
        self.numbers[identity] = number

    def _follow(self, row: Row, scope: Any, identity: Any, unsaid: frozenset[str]) -> Row:
        """Return a row that has others of its scope before it, with what it leaves unsaid."""
        if identity in self.rows:
            before = self.rows[identity]
            open_before = self.unsaid.get(identity, unsaid)
        elif identity in self._earlier[scope]:
            before, open_before = self._earlier[scope][identity]
        else:  # the answer before took the row away
            before, open_before = row, _NOTHING
        is_open = unsaid & self.kind.open_columns
        absent = [
            (column, place)
            for place, column in enumerate(self.kind.columns)
            if column in is_open and row[place] in _ABSENT
        ]
        self.unsaid[identity] = frozenset(
            column for column, place in absent if before[place] in _ABSENT and column in open_before
        )
        values = list(row)
        for _, place in absent:
            values[place] = before[place]
        return tuple(values)


def gather_records(answers: Sequence[Answer]) -> list[Replacement]:
    """Return what the answers leave in each table, ready to be registered and written.

    Each answer takes the whole of its records' scopes, of two answers the later. What comes by
    column is kept so, where no record depends on another one.
    """
    stamps = _Stamps(answers)
    blocks = _find_blocks(answers)
    gathered = [_gather_block(kind, held, answers, stamps) for kind, held in blocks.items()]
    whole = {kind for kind, each in zip(blocks, gathered, strict=True) if each is not None}
    tables: dict[type[Record], _Told] = defaultdict(lambda: ([], []))
    for number, records in enumerate(answer.records for answer in answers):
        rest = records.without(whole) if isinstance(records, RecordBlock) else records
        for kind, rows in rows_of(rest).items():
            told, numbers = tables[kind]
            told += rows
            numbers += [number] * len(rows)
    return [
        *(each for each in gathered if each is not None),
        *(_gather_rows(KINDS[of], told, answers, stamps) for of, told in tables.items()),
    ]


def _find_blocks(answers: Sequence[Answer]) -> dict[type[Record], _Held]:
    """Return the tables, a row of which is a scope, that come by column only."""
    found: dict[type[Record], _Held] = {}
    for number, records in enumerate(answer.records for answer in answers):
        if isinstance(records, RecordBlock):
            for kind, columns in records.columns.items():
                found.setdefault(kind, []).append((number, columns))
    if not found:
        return found
    singly = {
        kind
        for answer in answers
        if not isinstance(answer.records, RecordBlock)
        for kind in rows_of(answer.records)
    }
    return {
        kind: held for kind, held in found.items() if kind not in singly and KINDS[kind].is_one_row
    }


def _gather_block(
    of: type[Record], held: _Held, answers: Sequence[Answer], stamps: _Stamps
) -> Replacement | None:
    """Return the rows of a table that comes by column, of two of one identity the later.

    None where an earlier one may have what the later leaves unsaid.
    """
    kind = KINDS[of]
    sizes = [len(columns[kind.identity[0]]) for _, columns in held]
    arrays = [
        pa.concat_arrays(
            [
                make_array(some[name], of) if name in some else pa.nulls(size, of)
                for size, (_, some) in zip(sizes, held, strict=True)
            ]
        )
        for name, of in zip(kind.columns, kind.schema.types, strict=False)
    ]
    numbers = np.repeat([number for number, _ in held], sizes)
    said = [answers[number].unsaid.get(kind.table, _NOTHING) for number, _ in held]
    unsaid = np.repeat([_mark(kind, some) for some in said], sizes)
    data = _make_data(kind, arrays, pa.array(numbers), pa.array(unsaid), stamps)
    identities = [data[name].to_pylist() for name in kind.identity]
    places = {identity: n for n, identity in enumerate(zip(*identities, strict=True))}
    if len(places) < len(data):
        is_same = len(set(said)) == 1
        if not is_same or any(
            some & columns.keys() for some, (_, columns) in zip(said, held, strict=True)
        ):
            return None
        data = data.take(pa.array(sorted(places.values())))
    return Replacement(kind, data)


def _gather_rows(
    kind: Kind, told: _Told, answers: Sequence[Answer], stamps: _Stamps
) -> Replacement:
    """Return the rows of a table that come one by one."""
    rows, numbers = told
    if _is_each_alone(kind, rows, numbers):
        said = [answer.unsaid.get(kind.table, _NOTHING) for answer in answers]
        says = [said[number] for number in numbers]
    else:
        left = _Rows(kind, answers)
        for row, number in zip(rows, numbers, strict=True):
            left.add(row, number)
        rows, numbers = list(left.rows.values()), list(left.numbers.values())
        says = [
            left.unsaid.get(identity, left.says[number])
            for identity, number in zip(left.rows, numbers, strict=True)
        ]
    columns = zip(zip(*rows, strict=True), kind.schema.types, strict=False)
    arrays = [make_array(values, of) for values, of in columns]
    marks = {some: _mark(kind, some) for some in set(says)}
    places, unsaid = pa.array(numbers, pa.int32()), pa.array([marks[some] for some in says])
    return Replacement(kind, _make_data(kind, arrays, places, unsaid, stamps))


def _is_each_alone(kind: Kind, rows: Sequence[Row], numbers: Sequence[int]) -> bool:
    """Whether no two rows have one identity, nor two answers one scope."""
    if len(set(map(kind.get_identity, rows))) < len(rows):
        return False
    if kind.is_one_row:
        return True
    scopes = list(map(kind.get_scope, rows))
    return len(set(zip(scopes, numbers, strict=True))) == len(set(scopes))


class _Stamps:
    """What an answer says of all its rows, as columns with a value for each answer."""

    def __init__(self, answers: Sequence[Answer]) -> None:
        at = make_array([each.at for each in answers], _TIME)
        self.provenance = (pa.array([each.source for each in answers], pa.string()), at)
        changed = at
        if any(each.changed_at is not None for each in answers):
            changed = make_array([each.changed_at or each.at for each in answers], _TIME)
        self.origin = (pa.array([each.batch_id for each in answers], pa.string()), changed)


def _make_data(
    kind: Kind, columns: Sequence[pa.Array], numbers: pa.Array, unsaid: pa.Array, stamps: _Stamps
) -> pa.Table:
    """Return rows as an Arrow table, with the columns of ``STAMPS``.

    ``numbers`` has the answer of each row, ``unsaid`` the marks of what it leaves unsaid.
    """
    return pa.Table.from_arrays(
        [
            *columns,
            *(held.take(numbers) for held in stamps.provenance),
            unsaid,
            *(held.take(numbers) for held in stamps.origin),
        ],
        schema=RECORD_FEEDS[kind.table],
    )


def _mark(kind: Kind, unsaid: frozenset[str]) -> int:
    """Return the mark of columns that are left unsaid."""
    return sum(kind.bits[column] for column in unsaid & kind.open_columns)
