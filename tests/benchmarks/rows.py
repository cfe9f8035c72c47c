"""What a contender has stored: counts, a checksum of the contents, what is lost and doubled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from tests.benchmarks import layer_by_hand, leads_by_hand
from tests.benchmarks.by_hand import COMPARED, IDENTITIES


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What everybody must store alike: each table's columns as SQL types, and its identity.

    ``key`` is the column by which rows belong to what was asked for; what has no row in the table
    ``main`` is lost.
    """

    key: str
    main: str
    columns: Mapping[str, Mapping[str, str]]
    identities: Mapping[str, Sequence[str]]


SERVED = {
    "parcels": Compared(key="apn", main="parcels", columns=COMPARED, identities=IDENTITIES),
    "leads": Compared(
        key="radar_id",
        main="leads",
        columns={"leads": leads_by_hand.COMPARED},
        identities={"leads": ("radar_id",)},
    ),
    "layer": Compared(
        key="apn",
        main="parcels",
        columns=layer_by_hand.COMPARED,
        identities=layer_by_hand.IDENTITIES,
    ),
}
"""What is compared, by what the server serves."""


@dataclass(frozen=True, slots=True)
class Rows:
    """One table: how many rows, how many of them a second time, and a sum over the contents.

    The checksum does not depend on the order, or on the type in which a value is stored.
    """

    count: int
    doubled: int
    checksum: str


def read_rows(
    folder: Path, keys: Sequence[str], compared: Compared = SERVED["parcels"]
) -> tuple[dict[str, Rows], int]:
    """Return each table's rows about these parcels, or leads, and how many of them have none.

    The stores are all DuckDB files of the folder, in whatever schema the tables stand.
    """
    sums = {table: [0, 0, 0] for table in compared.columns}
    found: set[str] = set()
    wanted = set(keys)
    for path in sorted(folder.glob("*.duckdb")):
        with duckdb.connect(str(path), read_only=True) as connection:
            stored = connection.execute(
                "SELECT table_name, schema_name, list(column_name) FROM duckdb_columns()"
                " WHERE database_name = current_database() GROUP BY ALL"
            ).fetchall()
            connection.execute("CREATE TEMP TABLE wanted AS SELECT unnest(?) AS key", [list(keys)])
            for table, schema, columns in stored:
                if table in compared.columns and schema != "temp":
                    name = f'"{schema}"."{table}"'
                    query = _query(table, name, columns, compared)
                    values = connection.execute(query).fetchall()[0]
                    sums[table] = [a + (b or 0) for a, b in zip(sums[table], values, strict=True)]
                    if table == compared.main:
                        rows = connection.execute(f"SELECT {compared.key} FROM {name}").fetchall()
                        found |= {key for (key,) in rows} & wanted
    rows_of = {
        table: Rows(count, count - distinct, f"{checksum % 2**64:016x}")
        for table, (count, distinct, checksum) in sums.items()
    }
    return rows_of, len(wanted - found)


def _query(table: str, name: str, columns: Sequence[str], compared: Compared) -> str:
    # A column in which a store has only absent values may not have been made.
    values = [
        f"CAST({column if column in columns else 'NULL'} AS {kind})"
        for column, kind in compared.columns[table].items()
    ]
    identity = ", ".join(column for column in compared.identities[table] if column in columns)
    return (
        f"SELECT count(*), count(DISTINCT ({identity},)), sum(hash({', '.join(values)})::HUGEINT)"
        f" FROM {name} WHERE {compared.key} IN (FROM wanted)"
    )
