"""Many records at once, held by rows or by whole columns, and that there is none."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import MISSING, fields
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple, overload

from propkit.records import STORED_TYPES, Record, column_names

Row = tuple[Any, ...]
"""A record's values, in the order of its table's columns."""


class Emptied(NamedTuple):
    """That an office has no row of a table for a parcel: of one tax year, or (None) of none."""

    table: str
    apn: str
    tax_year: int | None = None


class _Held(Sequence[Record]):
    """Records of some tables, held as something else; one is made when it is looked at."""

    __slots__ = ()

    @abstractmethod
    def _sizes(self) -> Mapping[type[Record], int]:
        """Return how many records of each table there are."""

    @abstractmethod
    def _make(self, kind: type[Record], number: int) -> Record:
        """Make one record of a table."""

    def __len__(self) -> int:
        return sum(self._sizes().values())

    @overload
    def __getitem__(self, place: int) -> Record: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[Record, ...]: ...

    def __getitem__(self, place: int | slice) -> Record | tuple[Record, ...]:
        if isinstance(place, slice):
            return tuple([self[number] for number in range(*place.indices(len(self)))])
        number = place + len(self) if place < 0 else place
        if number < 0:
            raise IndexError(place)
        for kind, size in self._sizes().items():
            if number < size:
                return self._make(kind, number)
            number -= size
        raise IndexError(place)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, _Held):
            other = tuple(other)
        return isinstance(other, tuple) and tuple(self) == other

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self)} records>"


class RecordBlock(_Held):
    """Records of some tables, held by column.

    To make an object of each of 400 rows of 50 columns takes as long as to read them.

    Parameters
    ----------
    columns
        By table: the values of each column, all of one length, as Python's or as an Arrow array; a
        column that is left out is absent in every record.
    """

    __slots__ = ("columns",)

    def __init__(self, columns: Mapping[type[Record], Mapping[str, Sequence[Any]]]) -> None:
        self.columns = {kind: held for kind, held in columns.items() if _length(held)}

    def _sizes(self) -> Mapping[type[Record], int]:
        return {kind: _length(held) for kind, held in self.columns.items()}

    def _make(self, kind: type[Record], number: int) -> Record:
        held = self.columns[kind]
        return kind(**{name: _plain(values[number]) for name, values in held.items()})

    def without(self, kinds: Collection[type[Record]]) -> RecordBlock:
        """Return the records of the other tables."""
        return RecordBlock({k: held for k, held in self.columns.items() if k not in kinds})


class RecordRows(_Held):
    """Records of some tables, held by row: to fill an object takes longer than to read its values.

    Parameters
    ----------
    rows
        By table, in the order of the records.
    """

    __slots__ = ("rows",)

    def __init__(self, rows: Mapping[type[Record], Sequence[Row]]) -> None:
        self.rows = {kind: some for kind, some in rows.items() if some}

    def _sizes(self) -> Mapping[type[Record], int]:
        return {kind: len(some) for kind, some in self.rows.items()}

    def _make(self, kind: type[Record], number: int) -> Record:
        return kind(**dict(zip(column_names(kind), self.rows[kind][number], strict=True)))


def rows_of(records: Iterable[Record]) -> Mapping[type[Record], Sequence[Row]]:
    """Return records as rows, by table in the order in which the tables come."""
    if isinstance(records, RecordRows):
        return records.rows
    if isinstance(records, RecordBlock):
        return {kind: _transpose(kind, held) for kind, held in records.columns.items()}
    rows: dict[type[Record], list[Row]] = {}
    for record in records:
        kind = type(record)
        rows.setdefault(kind, []).append(_GETTERS[kind](record))
    return rows


def row_maker(kind: type[Record], *names: str) -> Callable[[Sequence[Any]], Row]:
    """Return what makes a row of values that come in the order of these columns.

    Raises
    ------
    ValueError
        One of the table's columns is not among them.
    """
    wanted = column_names(kind)
    if lacking := set(wanted).difference(names):
        raise ValueError(f"{kind.table}: no value for {', '.join(sorted(lacking))}")
    if names == wanted:
        return tuple
    maker: Callable[[Sequence[Any]], Row] = itemgetter(*map(names.index, wanted))
    return maker


_GETTERS: dict[type[Record], Callable[[Record], Row]] = {
    kind: attrgetter(*column_names(kind)) for kind in STORED_TYPES.values()
}


def _transpose(kind: type[Record], held: Mapping[str, Sequence[Any]]) -> list[Row]:
    """Return what is held by column as rows."""
    size = _length(held)
    columns = []
    for column in fields(kind):
        absent = None if column.default is MISSING else column.default
        values: Any = held.get(column.name)
        if values is None:
            values = [absent] * size
        columns.append(values.to_pylist() if hasattr(values, "to_pylist") else values)
    return list(zip(*columns, strict=True))


def _plain(value: Any) -> Any:
    """Return a value of an Arrow array as Python's; its own have no ``as_py``."""
    return value.as_py() if hasattr(value, "as_py") else value


def _length(columns: Mapping[str, Sequence[Any]]) -> int:
    return len(next(iter(columns.values()), ()))
