"""The rows of an ArcGIS answer, read into whole columns without an object for each value.

A page of a thousand rows is ten thousand Python objects, which take longer to make, look through
and let go than all that is done with them. Arrow reads the same JSON straight into columns, where
each value is of the kind that the answer's own ``fields`` say. Whatever is not just so is not read
here but by :meth:`propkit.pages.Page.json`, value by value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    import pyarrow as pa

_START: Final = b'"features":['
_FIRST: Final = b'{"attributes":'
_BETWEEN: Final = b'},{"attributes":'
_APART: Final = b'}\n{"attributes":'
_HALF_PAIRS: Final = (b"\\ud", b"\\uD")
"""Half a surrogate pair is no text that a column could hold."""
_OID: Final = "esriFieldTypeOID"
_WHOLE: Final = frozenset(
    {
        _OID,
        "esriFieldTypeInteger",
        "esriFieldTypeSmallInteger",
        "esriFieldTypeBigInteger",
        "esriFieldTypeDate",
    }
)
_BROKEN: Final = frozenset({"esriFieldTypeDouble", "esriFieldTypeSingle"})
_EXACT: Final = 2.0**53
"""From here on a whole number is not the same as the float next to it."""


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """The rows of one answer.

    ``said`` is all else that it says, ``columns`` has the attributes by field, ``shapes`` the
    geometries as structs of ``rings``, ``x`` and ``y``. ``number`` is the field that numbers the
    rows, None where none is said to.
    """

    said: dict[str, Any]
    columns: dict[str, pa.Array]
    shapes: pa.StructArray
    number: str | None

    def __len__(self) -> int:
        return len(self.shapes)


def read_features(body: bytes) -> Features | None:
    """Read an answer in UTF-8.

    None where it is not the usual one: it has no rows, or a value of a kind that its fields do not
    say, or is no answer at all.
    """
    start, end = body.find(_START) + len(_START), body.rfind(b"]")
    if end <= start or not body.startswith(_FIRST, start) or not _is_text(body):
        return None
    try:
        said = orjson.loads(body[:start] + body[end:])
    except orjson.JSONDecodeError:
        return None
    if not isinstance(said, dict) or said.get("features") != []:
        return None
    kinds = _read_kinds(said.get("fields"))
    if kinds is None:
        return None
    number = next((name for name, kind in kinds.items() if kind == _OID), None)
    number = number or said.get("objectIdFieldName")
    if number is not None and number not in kinds:
        return None
    rows = body[start:end].replace(_BETWEEN, _APART)
    read = _read_rows(rows, kinds)
    # As many as there are commas between them: more would mean that one is missing.
    if read is None or len(read[1]) != rows.count(_APART) + 1:
        return None
    return Features(said, *read, number)


def _is_text(body: bytes) -> bool:
    """Whether all of it is whole characters; Arrow does not look."""
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError:
            return False
    return b"\\" not in body or not any(half in body for half in _HALF_PAIRS)


def _read_kinds(told: object) -> dict[str, str] | None:
    """Return the kinds of the fields, by name; None where that is not told plainly."""
    if not isinstance(told, list) or not told or not all(isinstance(one, dict) for one in told):
        return None
    kinds = {one.get("name"): one.get("type") for one in told}
    if len(kinds) < len(told) or not all(isinstance(name, str) for name in kinds):
        return None
    return {name: str(kind) for name, kind in kinds.items()}


def _read_rows(
    rows: bytes, kinds: dict[str, str]
) -> tuple[dict[str, pa.Array], pa.StructArray] | None:
    """Return attributes by field, and shapes, of objects that stand one a line."""
    import pyarrow as pa
    from pyarrow import compute as pc
    from pyarrow import json

    of = {
        name: pa.int64() if kind in _WHOLE else pa.float64() if kind in _BROKEN else pa.string()
        for name, kind in kinds.items()
    }
    ring = pa.list_(pa.list_(pa.float64()))
    shape = pa.struct({"rings": pa.list_(ring), "x": pa.float64(), "y": pa.float64()})
    schema = pa.schema({"attributes": pa.struct(of), "geometry": shape})
    try:
        table = json.read_json(
            pa.BufferReader(rows),
            json.ReadOptions(use_threads=False, block_size=len(rows) + 1),
            json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
        )
    except pa.ArrowException:
        return None
    attributes, shapes = (table[name].combine_chunks() for name in schema.names)
    if attributes.null_count:  # a row that is nothing
        return None
    columns = dict(zip(of, attributes.flatten(), strict=True))
    for column in columns.values():
        if pa.types.is_floating(column.type):
            most = pc.max(pc.abs(column)).as_py()
            if most is not None and not most < _EXACT:
                return None
    return columns, shapes
