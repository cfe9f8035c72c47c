"""What the records said before: changes of values, and tables as they stood at a moment.

A record table holds what was answered last. What an answer said otherwise before, and what has
gone, stands in ``changes``; undone from now backwards it gives each table as of any moment since
the first answer. The moments are those of the answers, not of their commit.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, cast

import pyarrow as pa

from propkit.durations import parse_moment
from propkit.errors import RequestError
from propkit.kinds import HOME_COUNTY
from propkit.records import RECORD_TYPES, Record
from propkit.store.batches import read_head
from propkit.store.reading import Reading
from propkit.store.schema import record_schema

if TYPE_CHECKING:
    import pandas as pd

CHANGES: Final = (
    *("apn", "table", "row", "column", "old", "new"),
    *("source", "changed_at", "county", "batch_id", "kind"),
)
"""The columns of changes; ``row`` tells apart the rows of one parcel, such as a tax year."""

_OTHER_KINDS: Final = ("validation", "search", "enhance")
_BATCH_ID: Final = re.compile(r"\d{8}-\d{6}-[0-9a-f]+")
_PARCEL: Final = ("county", "apn")
_STARTED: Final = "coalesce({0}.unchanged_since, {0}.collected_at)"
_TYPES: Final = {
    pa.string(): "VARCHAR",
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE",
    pa.bool_(): "BOOLEAN",
    pa.date32(): "DATE",
    pa.list_(pa.string()): "VARCHAR[]",
}


def find_moment(store: Reading, since: object) -> datetime:
    """Return the moment (aware UTC) that a person means by ``since``.

    That is a moment, the number or id of a batch (when it was made), or ``"last batch"``: the
    last one that collects records. None is the beginning.

    Raises
    ------
    RequestError
        It is no moment, and there is no such batch.
    """
    if since is None:
        return datetime.min.replace(tzinfo=UTC)
    if since == "last batch":
        made = store.rows(
            "SELECT max(created_at) AS at FROM batch_heads WHERE kind NOT IN (SELECT unnest($1))",
            [list(_OTHER_KINDS)],
        )[0]["at"]
        if made is None:
            raise RequestError("there is no batch yet that has collected records")
        return cast("datetime", made)
    is_number = isinstance(since, int) and not isinstance(since, bool)
    if is_number or (isinstance(since, str) and _BATCH_ID.fullmatch(since)):
        return read_head(store, cast("int | str", since)).created_at
    return parse_moment(since)


def read_changes(
    store: Reading,
    since: datetime,
    *,
    apn: str | None = None,
    county: str | None = None,
    tables: Sequence[str] = tuple(RECORD_TYPES),
) -> pd.DataFrame:
    """Return what has changed since a moment (aware UTC): :data:`CHANGES`, the newest last.

    Values are text, absent is NA. ``kind`` is ``changed``, ``removed`` or ``added``; added is what
    came about a parcel of which something was known before that moment.
    """
    added = " UNION ALL BY NAME ".join(_added(RECORD_TYPES[table]) for table in tables)
    known = " UNION ".join(_known(kind) for kind in RECORD_TYPES.values())
    columns = ", ".join(f'"{name}"' for name in CHANGES)
    return store.frame(
        f"WITH known AS ({known} UNION SELECT county, apn FROM changes"
        " WHERE old_started_at < $since),"
        # The source of a row that went stands for it where it had no other value.
        " noted AS (SELECT *, column_name = 'source' AND is_removed AND count(*) OVER"
        " (PARTITION BY table_name, identity, changed_at) > 1 AS is_told FROM changes"
        " WHERE changed_at >= $since AND table_name IN (SELECT unnest($tables)))"
        f' SELECT {columns} FROM (SELECT county, apn, table_name AS "table", {_noted_row(tables)}'
        ' AS "row", column_name AS "column", old, new, source, changed_at, batch_id,'
        " CASE WHEN is_removed THEN 'removed' ELSE 'changed' END AS kind"
        f" FROM noted WHERE NOT is_told UNION ALL BY NAME {added})"
        " WHERE ($apn IS NULL OR apn = $apn) AND ($county IS NULL OR county = $county)"
        ' ORDER BY changed_at, county, apn, "table", "row", "column"',
        {"since": since, "apn": apn, "county": county, "tables": list(tables)},
    )


def read_as_of(store: Reading, table: str, moment: datetime, order: str) -> pd.DataFrame:
    """Return a record table as it stood at a moment (aware UTC), in the order of ``order``.

    ``collected_at`` is when an answer said so last, as far as that is known: where a later answer
    said the same, it is when one said so first.
    """
    kind = RECORD_TYPES[table]
    types = {field.name: _sql_type(field.type) for field in record_schema(kind)}
    del types["collected_at"]
    open_columns = [column for column in types if column not in kind.identity]
    undone = ", ".join(
        f"any_value(old) FILTER (column_name = '{column}') AS old_{column},"
        f" bool_or(column_name = '{column}') AS has_{column}"
        for column in open_columns
    )
    values = {
        column: f"CASE WHEN undone.identity IS NULL THEN now.{column}"
        f" WHEN has_{column} THEN old_{column}::{of}"
        f" WHEN NOT was_removed THEN now.{column} END"
        for column, of in types.items()
    }
    for place, column in enumerate(kind.identity, start=1):
        values[column] = f"coalesce(now.{column}, undone.identity[{place}]::{types[column]})"
    columns = ", ".join(f"{value} AS {column}" for column, value in values.items())
    started = f"coalesce(undone.started_at, {_STARTED.format('now')})"
    seen = "coalesce(undone.seen_at, now.collected_at)"
    return store.frame(
        "WITH later AS (SELECT *, rowid AS place FROM changes"
        " WHERE table_name = $table AND changed_at > $moment"
        # Of a row that went and came again only what was until it went.
        " QUALIFY coalesce(sum(is_removed::INTEGER) OVER (PARTITION BY identity"
        " ORDER BY changed_at, is_removed RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"
        " EXCLUDE GROUP), 0) = 0),"
        " first AS (FROM later QUALIFY row_number() OVER"
        " (PARTITION BY identity, column_name ORDER BY place) = 1),"
        f" undone AS (SELECT identity, {undone}, bool_or(is_removed) AS was_removed,"
        " arg_min(old_started_at, place) AS started_at,"
        " arg_min(old_collected_at, place) AS seen_at FROM first GROUP BY identity)"
        f" SELECT {columns}, CASE WHEN {seen} <= $moment THEN {seen} ELSE {started} END"
        f" AS collected_at FROM {table} AS now FULL JOIN undone"
        f" ON undone.identity = {_identity(kind, 'now')}"
        f" WHERE {started} <= $moment ORDER BY {order}",
        {"table": table, "moment": moment},
    )


def read_raw_changes(
    store: Reading, table: str, apn: str, county: str
) -> dict[tuple[str | None, ...], list[dict[str, Any]]]:
    """Return the older versions of a parcel's rows of a table by identity, the newest first.

    Each has ``changed_at``, ``is_removed``, ``old_started_at``, ``old_collected_at`` and ``old``:
    by column, where the version after it said something else, or was gone.
    """
    versions: dict[tuple[str | None, ...], list[dict[str, Any]]] = {}
    names = ("changed_at", "is_removed", "old_started_at", "old_collected_at")
    for row in store.rows(
        f"SELECT identity, {', '.join(names)}, column_name, old FROM changes"
        " WHERE table_name = $1 AND apn = $2 AND county = $3 ORDER BY rowid DESC",
        [table, apn, county],
    ):
        of = versions.setdefault(tuple(row["identity"]), [])
        version = {name: row[name] for name in names}
        if not of or {name: of[-1][name] for name in names} != version:
            of.append({**version, "old": {}})
        of[-1]["old"][row["column_name"]] = row["old"]
    return versions


def read_values(
    store: Reading, table: str, column: str, apn: str, county: str
) -> dict[tuple[str | None, ...], dict[str, Any]]:
    """Return what a parcel's rows of a table say in a column now, by identity.

    Each has ``value`` (text), ``source``, ``collected_at`` and ``since``: since when it says so.
    """
    kind = RECORD_TYPES[table]
    rows = store.rows(
        f"SELECT {_identity(kind, 'it')} AS identity, it.{column}::VARCHAR AS value, it.source,"
        f" it.collected_at, {_STARTED.format('it')} AS since FROM {table} AS it"
        f" WHERE it.apn = $1 AND {_county(kind)} = $2",
        [apn, county],
    )
    return {tuple(row["identity"]): row for row in rows}


def label_row(table: str, identity: Sequence[str | None]) -> str:
    """Return what tells a row apart from the others of its parcel."""
    own = identity[_own_place(RECORD_TYPES[table]) - 1 :]
    return " ".join(part for part in own if part is not None)


def _noted_row(tables: Sequence[str]) -> str:
    cases = " ".join(
        f"WHEN '{table}' THEN identity[{_own_place(RECORD_TYPES[table])}:]" for table in tables
    )
    return f"coalesce(array_to_string(CASE table_name {cases} END, ' '), '')"


def _own_place(kind: type[Record]) -> int:
    """Return which of the identity's columns (from 1) is the first that is not the parcel."""
    return 1 + sum(column in _PARCEL for column in kind.identity)


def _added(kind: type[Record]) -> str:
    """Return the query of rows that came, one for each column with a value."""
    others = [column for column in record_schema(kind).names[:-2] if column not in kind.identity]
    values = ", ".join(
        f"{{column_name: '{column}', new: it.{column}::VARCHAR}}" for column in others
    )
    label = [column for column in kind.identity if column not in _PARCEL]
    row = f"concat_ws(' ', {', '.join(f'it.{column}' for column in label)})" if label else "''"
    return (
        f'SELECT * EXCLUDE column_name, column_name AS "column" FROM (SELECT {_county(kind)}'
        f' AS county, it.apn, \'{kind.table}\' AS "table", {row} AS "row",'
        f" unnest([{values}], recursive := true), NULL AS old, it.source,"
        f" {_STARTED.format('it')} AS changed_at, NULL AS batch_id, 'added' AS kind"
        f" FROM {kind.table} AS it SEMI JOIN known"
        f" ON known.apn = it.apn AND known.county = {_county(kind)}"
        " ANTI JOIN (FROM changes WHERE NOT is_removed) AS begun"
        f" ON begun.table_name = '{kind.table}' AND begun.identity = {_identity(kind, 'it')}"
        f" AND begun.changed_at = {_STARTED.format('it')}"
        f" WHERE {_STARTED.format('it')} >= $since AND ($apn IS NULL OR it.apn = $apn))"
        " WHERE new IS NOT NULL"
    )


def _known(kind: type[Record]) -> str:
    return (
        f"SELECT {_county(kind)} AS county, it.apn FROM {kind.table} AS it"
        f" WHERE {_STARTED.format('it')} < $since AND ($apn IS NULL OR it.apn = $apn)"
    )


def _county(kind: type[Record]) -> str:
    return "lower(it.county)" if "county" in record_schema(kind).names else f"'{HOME_COUNTY}'"


def _identity(kind: type[Record], table: str) -> str:
    return f"[{', '.join(f'{table}.{column}::VARCHAR' for column in kind.identity)}]"


def _sql_type(of: Any) -> str:
    if pa.types.is_decimal(of):
        return f"DECIMAL({of.precision}, {of.scale})"
    return _TYPES.get(of, "TIMESTAMPTZ")
