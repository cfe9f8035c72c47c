"""From answers to records, by whole columns: parcels, and their shapes beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import TYPE_CHECKING, Any, Final

from propkit.errors import LayoutChangedError
from propkit.features import Features
from propkit.layers.columns import read_features_column, read_outlines
from propkit.layers.facts import Answer
from propkit.layers.fields import COLUMNS, read_column, spell_field
from propkit.layers.geometry import Centre
from propkit.layers.layer import Layer
from propkit.record_block import RecordBlock
from propkit.records import Parcel, ParcelShape

if TYPE_CHECKING:
    import pyarrow as pa

ReadShape = Callable[[object], tuple[bytes | None, Centre | None]]
ReadKey = Callable[[str], str | None]

_MANY_ROWS: Final = 100
"""So many rows without any APN are no page of streets and waters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerReading:
    """What answers say: the records, the APNs with them, the columns left unsaid, and oddities.

    ``has_shapes`` says whether a row had one.
    """

    records: RecordBlock
    apns: tuple[str, ...]
    unsaid: frozenset[str]
    notes: tuple[str, ...]


def read_answers(
    layer: Layer, answers: Sequence[Answer], read_shape: ReadShape, read_key: ReadKey
) -> LayerReading:
    """Read the rows of some answers; rows without an APN are counted and left out.

    ``read_key`` gives an APN's stored form, None for what is none.

    Raises
    ------
    LayoutChangedError
        A field is not there, or most of its values are no such thing.
    """
    columns: dict[str, list[Any]] = {column: [] for column in layer.fields}
    notes: list[str] = []
    for answer in answers:
        if not answer.rows:
            continue
        for column, field in layer.fields.items():
            values, note = read_column(column, field, answer.names, answer.rows)
            columns[column] += values
            if note is not None:
                notes.append(note)
    shaped = [read_shape(shape) for answer in answers for shape in answer.shapes]
    _add_centres(columns, [centre for _, centre in shaped])
    apns = _read_apns(layer, columns["apn"], read_key)
    has_apn = [apn is not None for apn in apns]
    if not all(has_apn):
        notes.append(_tell_without(has_apn))
        columns = {name: list(compress(values, has_apn)) for name, values in columns.items()}
        shaped = list(compress(shaped, has_apn))
    known = [apn for apn in apns if apn is not None]
    columns["apn"] = known
    columns["county"] = [layer.county] * len(known)
    ids = compress((one for answer in answers for one in answer.ids), has_apn)
    outlines = [
        (apn, one, shape)
        for apn, one, (shape, _) in zip(known, ids, shaped, strict=True)
        if shape is not None
    ]
    shapes: Mapping[str, Sequence[Any]] = {
        "county": [layer.county] * len(outlines),
        "apn": [apn for apn, _, _ in outlines],
        "object_id": [one for _, one, _ in outlines],
        "shape": [shape for _, _, shape in outlines],
    }
    return LayerReading(
        records=RecordBlock({Parcel: columns, ParcelShape: shapes}),
        apns=tuple(known),
        unsaid=frozenset(COLUMNS).difference(columns),
        notes=tuple(dict.fromkeys(notes)),
    )


def read_features(layer: Layer, answers: Sequence[Features], read_key: ReadKey) -> LayerReading:
    """Read the rows of some answers as :func:`read_answers` does; the records hold Arrow's columns.

    Raises
    ------
    LayoutChangedError
        A field is not there, or most of its values are no such thing.
    """
    import pyarrow as pa
    from pyarrow import compute as pc

    said: dict[str, list[pa.Array]] = {column: [] for column in layer.fields}
    notes: list[str] = []
    for answer in answers:
        names = tuple(answer.columns)
        for column, field in layer.fields.items():
            real = spell_field(column, field, names)
            values, note = read_features_column(column, field, real, answer)
            said[column].append(values)
            if note is not None:
                notes.append(note)
    columns = {column: pa.concat_arrays(values) for column, values in said.items()}
    outlines = [read_outlines(answer.shapes) for answer in answers]
    for column, place in (("longitude", 1), ("latitude", 2)):
        middles = pa.concat_arrays([pa.array(one[place], from_pandas=True) for one in outlines])
        if column in columns:
            columns[column] = pc.coalesce(columns[column], middles)
        elif middles.null_count < len(middles):
            columns[column] = middles
    apns = _read_apns(layer, columns["apn"].to_pylist(), read_key)
    known = [apn for apn in apns if apn is not None]
    ids = pa.concat_arrays([_number_rows(answer) for answer in answers])
    shapes = {"object_id": ids, "shape": pa.concat_arrays([shape for shape, *_ in outlines])}
    columns["apn"] = shapes["apn"] = pa.array(apns, pa.string())
    if len(known) < len(apns):
        has_apn = columns["apn"].is_valid()
        notes.append(_tell_without(has_apn.to_pylist()))
        columns, shapes = (
            {name: values.filter(has_apn) for name, values in held.items()}
            for held in (columns, shapes)
        )
    if shapes["shape"].null_count:
        has_shape = shapes["shape"].is_valid()
        shapes = {name: values.filter(has_shape) for name, values in shapes.items()}
    for held in (columns, shapes):
        held["county"] = pa.repeat(pa.scalar(layer.county), len(held["apn"]))
    return LayerReading(
        records=RecordBlock({Parcel: columns, ParcelShape: shapes}),
        apns=tuple(known),
        unsaid=frozenset(COLUMNS).difference(columns),
        notes=tuple(dict.fromkeys(notes)),
    )


def _number_rows(answer: Features) -> pa.Array:
    """Return the rows' numbers as texts."""
    import pyarrow as pa

    if answer.number is None:
        return pa.repeat(pa.scalar(""), len(answer))
    return answer.columns[answer.number].cast(pa.string()).fill_null(str(None))


def _read_apns(layer: Layer, texts: Sequence[str | None], read_key: ReadKey) -> list[str | None]:
    """Return APNs in their stored form, None for what is none.

    Raises LayoutChangedError where none of the texts is one, or none of many rows has a text.
    """
    apns = [None if text is None else read_key(text) for text in texts]
    if any(apns):
        return apns
    field = "+".join(layer.fields["apn"].names)
    if any(texts):
        said = next(filter(None, texts))
        raise LayoutChangedError(f"no value of {field} is an APN, such as {said!r:.40}")
    if len(apns) >= _MANY_ROWS:  # a few may all be streets
        raise LayoutChangedError(f"none of {len(apns)} rows has a value of {field}")
    return apns


def _tell_without(has_apn: Sequence[bool]) -> str:
    return f"{has_apn.count(False)} rows have no APN"


def _add_centres(columns: dict[str, list[Any]], centres: Sequence[Centre | None]) -> None:
    """Let the middle of a shape stand for the place that the layer does not say."""
    for column, place in (("longitude", 0), ("latitude", 1)):
        middles = [None if centre is None else centre[place] for centre in centres]
        said = columns.get(column)
        if said is not None:
            columns[column] = [
                middle if value is None else value
                for value, middle in zip(said, middles, strict=True)
            ]
        elif any(middle is not None for middle in middles):
            columns[column] = middles
