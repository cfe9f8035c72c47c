"""Records of some answers, gathered by table into the rows that replace older ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from operator import attrgetter
from typing import Any

import numpy as np
import pyarrow as pa

from propkit.record_block import RecordBlock
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
_Told = tuple[list[Record], list[int]]
"""Records of one table, and the number of each one's answer."""
_Held = list[tuple[int, Mapping[str, Sequence[Any]]]]
"""Columns of one table, each lot with the number of its answer."""


class _Rows:
    """The rows that a group's answers leave in one table; answers go by their number."""

    def __init__(self, kind: Kind, answers: Sequence[Answer]) -> None:
        self.kind = kind
        self.says = [answer.unsaid.get(kind.table, _NOTHING) for answer in answers]
        self.records: dict[Any, Record] = {}  # by identity
        self.unsaid: dict[Any, frozenset[str]] = {}  # by identity, where it is not as says has it
        self.numbers: dict[Any, int] = {}  # the answer of each record, by identity
        self._owners: dict[Any, int] = {}  # the last answer, by scope
        self._members: dict[Any, list[Any]] = defaultdict(list)  # identities by scope
        # What the answer before left, by scope: record and unsaid columns by identity.
        self._earlier: dict[Any, dict[Any, tuple[Record, frozenset[str]]]] = {}

    def add(self, record: Record, number: int) -> None:
        """Take a record of an answer, which thereby takes the record's whole scope."""
        scope = self.kind.get_scope(record)
        identity = self.kind.get_identity(record)
        before = self._owners.setdefault(scope, number)
        if before != number:
            self._owners[scope] = number
            taken = [scope] if self.kind.is_one_row else self._members.pop(scope)
            for key in taken:
                del self.numbers[key]
            self._earlier[scope] = {
                key: (self.records.pop(key), self.unsaid.pop(key, self.says[before]))
                for key in taken
            }
        is_new = identity not in self.records
        if not is_new or scope in self._earlier:
            record = self._follow(record, scope, identity, self.says[number])
        if is_new and not self.kind.is_one_row:
            self._members[scope].append(identity)
        self.records[identity] = record
        self.numbers[identity] = number

    def _follow(self, record: Record, scope: Any, identity: Any, unsaid: frozenset[str]) -> Record:
        """Return a record that has others of its scope before it, with what it leaves unsaid."""
        if identity in self.records:
            before = self.records[identity]
            open_before = self.unsaid.get(identity, unsaid)
        elif identity in self._earlier[scope]:
            before, open_before = self._earlier[scope][identity]
        else:  # the answer before took the row away
            before, open_before = record, _NOTHING
        absent = [
            column
            for column in unsaid & self.kind.open_columns
            if getattr(record, column) in _ABSENT
        ]
        kept: dict[str, Any] = {column: getattr(before, column) for column in absent}
        self.unsaid[identity] = frozenset(
            column for column in absent if kept[column] in _ABSENT and column in open_before
        )
        return replace(record, **kept)


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
        for record in records.without(whole) if isinstance(records, RecordBlock) else records:
            told, numbers = tables[type(record)]
            told.append(record)
            numbers.append(number)
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
        type(record)
        for answer in answers
        if not isinstance(answer.records, RecordBlock)
        for record in answer.records
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
    """Return the rows of a table whose records come one by one."""
    records, numbers = told
    if _is_each_alone(kind, records, numbers):
        said = [answer.unsaid.get(kind.table, _NOTHING) for answer in answers]
        says = [said[number] for number in numbers]
    else:
        rows = _Rows(kind, answers)
        for record, number in zip(records, numbers, strict=True):
            rows.add(record, number)
        records, numbers = list(rows.records.values()), list(rows.numbers.values())
        says = [
            rows.unsaid.get(identity, rows.says[number])
            for identity, number in zip(rows.records, numbers, strict=True)
        ]
    arrays = [
        make_array(list(map(attrgetter(name), records)), of)
        for name, of in zip(kind.columns, kind.schema.types, strict=False)
    ]
    marks = {some: _mark(kind, some) for some in set(says)}
    places, unsaid = pa.array(numbers, pa.int32()), pa.array([marks[some] for some in says])
    return Replacement(kind, _make_data(kind, arrays, places, unsaid, stamps))


def _is_each_alone(kind: Kind, records: Sequence[Record], numbers: Sequence[int]) -> bool:
    """Whether no two records are about the same row, nor two answers about the same scope."""
    if len(set(map(kind.get_identity, records))) < len(records):
        return False
    if kind.is_one_row:
        return True
    scopes = list(map(kind.get_scope, records))
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
