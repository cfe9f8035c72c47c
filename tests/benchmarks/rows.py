"""What a contender has stored: counts, a checksum of the contents, what is lost and doubled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from tests.benchmarks.by_hand import COMPARED, IDENTITIES


@dataclass(frozen=True, slots=True)
class Rows:
    """One table: how many rows, how many of them a second time, and a sum over the contents.

    The checksum does not depend on the order, or on the type in which a value is stored.
    """

    count: int
    doubled: int
    checksum: str


def read_rows(folder: Path, apns: Sequence[str]) -> tuple[dict[str, Rows], int]:
    """Return each table's rows about these parcels, and how many of the parcels have none.

    The stores are all DuckDB files of the folder, in whatever schema the tables stand.
    """
    sums = {table: [0, 0, 0] for table in COMPARED}
    found: set[str] = set()
    wanted = set(apns)
    for path in sorted(folder.glob("*.duckdb")):
        with duckdb.connect(str(path), read_only=True) as connection:
            stored = connection.execute(
                "SELECT table_name, schema_name, list(column_name) FROM duckdb_columns()"
                " WHERE database_name = current_database() GROUP BY ALL"
            ).fetchall()
            connection.execute("CREATE TEMP TABLE wanted AS SELECT unnest(?) AS apn", [list(apns)])
            for table, schema, columns in stored:
                if table in COMPARED and schema != "temp":
                    query = _query(table, f'"{schema}"."{table}"', columns)
                    values = connection.execute(query).fetchall()[0]
                    sums[table] = [a + (b or 0) for a, b in zip(sums[table], values, strict=True)]
                    if table == "parcels":
                        rows = connection.execute(f'SELECT apn FROM "{schema}".parcels').fetchall()
                        found |= {apn for (apn,) in rows} & wanted
    rows_of = {
        table: Rows(count, count - distinct, f"{checksum % 2**64:016x}")
        for table, (count, distinct, checksum) in sums.items()
    }
    return rows_of, len(wanted - found)


def _query(table: str, name: str, columns: Sequence[str]) -> str:
    # A column in which a store has only absent values may not have been made.
    values = [
        f"CAST({column if column in columns else 'NULL'} AS {kind})"
        for column, kind in COMPARED[table].items()
    ]
    identity = ", ".join(column for column in IDENTITIES[table] if column in columns)
    return (
        f"SELECT count(*), count(DISTINCT ({identity},)), sum(hash({', '.join(values)})::HUGEINT)"
        f" FROM {name} WHERE apn IN (FROM wanted)"
    )
