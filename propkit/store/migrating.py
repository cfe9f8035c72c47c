"""Bringing a file's schema up to date."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import duckdb

from propkit.errors import StoreError
from propkit.store.new_tables import NEW_TABLES
from propkit.store.schema import MIGRATIONS, Step

_SIZE = (
    "SELECT total_blocks, wal_size FROM pragma_database_size()"
    " WHERE database_name = current_database()"
)
_TABLE_NAMES = (
    "SELECT table_name FROM duckdb_tables() WHERE database_name = current_database()"
    " UNION ALL SELECT view_name FROM duckdb_views()"
    " WHERE database_name = current_database() AND NOT internal"
)


def migrate(connection: duckdb.DuckDBPyConnection) -> bool:
    """Bring the file's schema up to date; return whether it was empty.

    Raises
    ------
    StoreError
        The file was written by a newer propkit, or holds tables that are not propkit's.
    """
    known = [name for name, _ in MIGRATIONS]
    tables = _find_tables(connection)
    if not tables:
        apply_steps(connection, known, [NEW_TABLES])
        return True
    if "schema_migrations" not in tables:
        raise StoreError(
            f"the file is a DuckDB database, but no propkit store (it holds {min(tables)}): "
            "name another path, the file is left as it is"
        )
    rows = connection.execute("SELECT name FROM schema_migrations ORDER BY name").fetchall()
    applied = [name for (name,) in rows]
    if unknown := [name for name in applied if name not in known]:
        raise StoreError(
            f"the store was written by a newer propkit (it knows {', '.join(unknown)}): "
            "update propkit to open it"
        )
    for name, step in MIGRATIONS:
        if name not in applied:
            apply_steps(connection, [name], [step])
    return False


def apply_steps(
    connection: duckdb.DuckDBPyConnection, names: Sequence[str], steps: Sequence[Step]
) -> None:
    """Make steps in one transaction, and note the migrations that are applied by them.

    Raises
    ------
    StoreError
        The tables cannot be made; the file is as it was.
    """
    connection.execute("BEGIN")
    try:
        for step in steps:
            if isinstance(step, str):
                connection.execute(step)
            else:
                step(connection)
        connection.execute(
            "INSERT INTO schema_migrations SELECT unnest(?), ?", [list(names), datetime.now(UTC)]
        )
    except duckdb.Error as error:
        connection.execute("ROLLBACK")
        raise StoreError(f"the store's tables cannot be made: {error}") from error
    connection.execute("COMMIT")


def _find_tables(connection: duckdb.DuckDBPyConnection) -> set[str]:
    # To ask for names takes DuckDB, which makes a list of its own ones first, ten times as long.
    if connection.execute(_SIZE).fetchall() == [(0, "0 bytes")]:
        return set()
    return {name for (name,) in connection.execute(_TABLE_NAMES).fetchall()}
