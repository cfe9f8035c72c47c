"""An area to be collected from a layer, and the parts in which it is asked for.

A part is an item of a batch; its key says all that telling it from others and checking it needs:
``area 3f09…: rows 2000+1000`` (by offset) or ``area 3f09…: ids 88-1204, 1000`` (by the range of
the layer's own numbers, with the count of rows in it).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from propkit.errors import InvalidAnswerError

_KEY: Final = re.compile(
    r"area ([0-9a-f]{12}): (?:rows (\d+)\+(\d+)|ids (-?\d+)-(-?\d+), (\d+))", re.ASCII
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """What is to be collected: rows by ``where`` (the layer's SQL) within ``shape`` (Esri JSON).

    ``object_id`` numbers the layer's rows; ``names`` are the fields asked for, as the layer
    spells them; ``shape_field`` is a Socrata dataset's own. ``count`` is how many rows there are.
    """

    where: str | None
    shape: Mapping[str, Any] | None
    names: tuple[str, ...]
    object_id: str | None
    shape_field: str | None = None
    count: int | None = None

    @property
    def id(self) -> str:
        """What tells areas apart."""
        text = json.dumps([self.where, self.shape], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def as_json(self) -> dict[str, Any]:
        """Return the area as :func:`read_area_order` reads it."""
        return {
            "where": self.where,
            "shape": self.shape,
            "names": list(self.names),
            "object_id": self.object_id,
            "shape_field": self.shape_field,
            "count": self.count,
        }


def read_area_order(said: Mapping[str, Any]) -> Area:
    """Return the area that :meth:`Area.as_json` wrote."""
    return Area(**{**said, "names": tuple(said["names"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of an area: ``count`` rows from ``first`` on, up to ``last`` where ids are asked."""

    area_id: str
    first: int
    count: int
    last: int | None = None

    @property
    def key(self) -> str:
        """The key of the part's item."""
        if self.last is None:
            return f"area {self.area_id}: rows {self.first}+{self.count}"
        return f"area {self.area_id}: ids {self.first}-{self.last}, {self.count}"


def is_part(key: str) -> bool:
    """Whether a key is that of a part of an area."""
    return key.startswith("area ") and _KEY.fullmatch(key) is not None


def read_part(key: str) -> Part:
    """Return the part that a key names."""
    match = _KEY.fullmatch(key)
    if match is None:
        raise InvalidAnswerError(f"{key!r:.80} names no part of an area")
    area_id, start, count, first, last, rows = match.groups()
    if start is not None:
        return Part(area_id=area_id, first=int(start), count=int(count))
    return Part(area_id=area_id, first=int(first), last=int(last), count=int(rows))


def parts_by_offset(area: Area, count: int, size: int) -> Iterator[Part]:
    """Yield the parts of so many rows."""
    for start in range(0, count, size):
        yield Part(area_id=area.id, first=start, count=min(size, count - start))


def parts_by_ids(area: Area, ids: Sequence[int], size: int) -> Iterator[Part]:
    """Yield parts that are ranges of the layer's own numbers, given in order."""
    for start in range(0, len(ids), size):
        some = ids[start : start + size]
        yield Part(area_id=area.id, first=some[0], last=some[-1], count=len(some))
