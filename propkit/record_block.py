"""Many records at once, held by whole columns, and that there is none."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple, overload

from propkit.records import Record


class Emptied(NamedTuple):
    """That an office has no row of a table for a parcel: of one tax year, or (None) of none."""

    table: str
    apn: str
    tax_year: int | None = None


class RecordBlock(Sequence[Record]):
    """Records of some tables, held by column; one is made when it is looked at.

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

    def __len__(self) -> int:
        return sum(map(_length, self.columns.values()))

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
        for kind, held in self.columns.items():
            if number < _length(held):
                return kind(**{name: _plain(values[number]) for name, values in held.items()})
            number -= _length(held)
        raise IndexError(place)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, RecordBlock):
            other = tuple(other)
        return isinstance(other, tuple) and tuple(self) == other

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<RecordBlock: {len(self)} records>"

    def without(self, kinds: Collection[type[Record]]) -> RecordBlock:
        """Return the records of the other tables."""
        return RecordBlock({k: held for k, held in self.columns.items() if k not in kinds})


def _plain(value: Any) -> Any:
    """Return a value of an Arrow array as Python's; its own have no ``as_py``."""
    return value.as_py() if hasattr(value, "as_py") else value


def _length(columns: Mapping[str, Sequence[Any]]) -> int:
    return len(next(iter(columns.values()), ()))
