"""Blocks of records into their tables: whole columns from a layer's page, no object for a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import duckdb
import pyarrow as pa

from propkit.records import Parcel, Record, RecordBlock
from propkit.store.replacing import (
    KINDS,
    UNSAID,
    Registered,
    Replacement,
    make_array,
    replace_records,
)
from propkit.store.scopes import StoredScopes

BlockAnswer = tuple[
    RecordBlock, Mapping[str, frozenset[str]], str, datetime | None, datetime | None
]
"""A block, the columns by table in which it leaves things unsaid, its source, its time, and when
the batch was made."""

_BLOCKS = "propkit_blocks"


def write_blocks(
    connection: duckdb.DuckDBPyConnection, answers: Sequence[BlockAnswer], stored: StoredScopes
) -> None:
    """Write blocks inside the caller's transaction; of two rows of one identity the later wins.

    Shapes of these parcels from before the batch are taken away: a layer's new edition may number
    them otherwise, so that nothing would come in their place.
    """
    if not answers:
        return
    kinds = dict.fromkeys(kind for block, *_ in answers for kind in block.columns)
    replacements = [_make_replacement(kind, answers) for kind in kinds]
    tables = {each.table: each.data for each in replacements}
    with Registered(connection, tables, _BLOCKS) as new:
        if Parcel.table in new:
            _remove_old_shapes(connection, new, min(filter(None, (at for *_, at in answers))))
        replace_records(connection, replacements, new, stored)


def _remove_old_shapes(
    connection: duckdb.DuckDBPyConnection, new: Registered, made_at: datetime
) -> None:
    connection.execute(
        "DELETE FROM parcel_shapes USING"
        f" (SELECT DISTINCT county, apn FROM {new[Parcel.table]}) AS new"
        " WHERE parcel_shapes.county = new.county AND parcel_shapes.apn = new.apn"
        " AND parcel_shapes.collected_at < ?",
        [made_at],
    )


def _make_replacement(kind: type[Record], answers: Sequence[BlockAnswer]) -> Replacement:
    """Return the new rows of a table, each identity once."""
    shape = KINDS[kind]
    parts: list[pa.Table] = []
    open_columns: dict[str, list[str]] = {}
    identities: list[tuple[Any, ...]] = []
    for mark, (block, unsaid, source, collected_at, _) in enumerate(answers):
        columns = block.columns.get(kind)
        if columns is None:
            continue
        identities += zip(*(columns[name] for name in shape.identity), strict=True)
        parts.append(_make_part(shape.schema, columns, source, collected_at, mark))
        for column in unsaid.get(shape.table, frozenset()) & shape.open_columns:
            open_columns.setdefault(column, []).append(str(mark))
    data = parts[0] if len(parts) == 1 else pa.concat_tables(parts)
    places = dict(zip(identities, range(len(identities)), strict=True))
    if len(places) < len(identities):
        data = data.take(pa.array(sorted(places.values())))
    if not open_columns:
        data = data.drop_columns([UNSAID])
    return Replacement(shape, data.combine_chunks(), open_columns)


def _make_part(
    schema: pa.Schema,
    columns: Mapping[str, Sequence[Any]],
    source: str,
    collected_at: datetime | None,
    mark: int,
) -> pa.Table:
    rows = len(next(iter(columns.values())))
    arrays = [
        make_array(columns[field.name], field.type)
        if field.name in columns
        else pa.nulls(rows, field.type)
        for field in list(schema)[:-2]
    ]
    arrays += [
        pa.repeat(pa.scalar(source, schema.types[-2]), rows),
        pa.repeat(pa.scalar(collected_at, schema.types[-1]), rows),
        pa.repeat(pa.scalar(mark, pa.int32()), rows),
    ]
    return pa.Table.from_arrays(arrays, schema=schema.append(pa.field(UNSAID, pa.int32())))
