"""From answers to records, by whole columns: parcels, and their shapes beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

from propkit.errors import LayoutChangedError
from propkit.layers.facts import Answer
from propkit.layers.fields import COLUMNS, read_column
from propkit.layers.geometry import Centre
from propkit.layers.layer import Layer
from propkit.record_block import RecordBlock
from propkit.records import Parcel, ParcelShape

ReadShape = Callable[[object], tuple[bytes | None, Centre | None]]
ReadKey = Callable[[str], str | None]


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
    apns = [None if text is None else read_key(text) for text in columns["apn"]]
    has_apn = [apn is not None for apn in apns]
    if not all(has_apn):
        without = has_apn.count(False)
        if apns and without == len(apns) and any(columns["apn"]):
            raise LayoutChangedError(
                f"no value of {'+'.join(layer.fields['apn'].names)} is an APN, such as"
                f" {next(filter(None, columns['apn']))!r:.40}"
            )
        notes.append(f"{without} rows have no APN")
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
