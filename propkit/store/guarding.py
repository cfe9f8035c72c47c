"""What a guest's SQL may do: ask the store's tables, and nothing else.

The transaction is read-only besides. That is not enough: a SELECT can call functions that read
files, that switch logging on, or that end the process.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import duckdb

from propkit.errors import RequestError

READING = frozenset({"SELECT", "EXPLAIN", "RELATION"})
"""Kinds of statement that ask."""

MAX_SQL = 200_000
"""Characters of the longest query that a guest may send."""

_FUNCTIONS = frozenset(
    {
        "duckdb_columns",
        "duckdb_constraints",
        "duckdb_databases",
        "duckdb_functions",
        "duckdb_keywords",
        "duckdb_schemas",
        "duckdb_tables",
        "duckdb_types",
        "duckdb_views",
        "generate_series",
        "json_each",
        "json_tree",
        "pragma_table_info",
        "range",
        "repeat",
        "summary",
        "unnest",
    }
)
"""Functions that give tables and neither read files nor change anything."""

_READERS = frozenset(
    {
        "glob",
        "parquet_file_metadata",
        "parquet_kv_metadata",
        "parquet_metadata",
        "parquet_scan",
        "parquet_schema",
        "read_blob",
        "read_csv",
        "read_csv_auto",
        "read_json",
        "read_json_auto",
        "read_json_objects",
        "read_ndjson",
        "read_ndjson_auto",
        "read_ndjson_objects",
        "read_parquet",
        "read_text",
        "sniff_csv",
    }
)
"""Functions that read files."""

_SIDE_EFFECTS = frozenset({"nextval", "setseed", "write_log"})
_EXPLAIN = re.compile(r"\s*EXPLAIN(\s+ANALYZE)?(\s*\([^()]*\))?\s+", re.IGNORECASE)
_NOT_A_NAME = re.compile(r"[./\\:*?\[\]]")
"""What stands in the name of a file or an address, and in none of the store's tables."""


def check_reading(sql: str) -> duckdb.Statement:
    """Return the one statement that SQL holds, and that asks.

    Raises
    ------
    RequestError
        The SQL is wrong, is more than one statement, or is of a kind that writes.
    """
    try:
        statements = duckdb.extract_statements(sql)
        kinds = [statement.type.name for statement in statements]
    except (duckdb.Error, ValueError) as error:  # of some kinds the client knows no name
        raise RequestError(f"the SQL cannot be read: {error}") from error
    if len(kinds) != 1 or kinds[0] not in READING:
        said = ", ".join(kinds) or "nothing"
        raise RequestError(f"one reading query is expected, this is {said}: {sql!r}")
    return statements[0]


@lru_cache(maxsize=256)
def check_guest_sql(sql: str, *, may_read_files: bool) -> None:
    """Refuse what a guest may not ask.

    Raises
    ------
    RequestError
        As :func:`check_reading`; or it calls what reads files or changes something.
    """
    if len(sql) > MAX_SQL:
        raise RequestError(f"the SQL is longer than {MAX_SQL:,} characters")
    statement = check_reading(sql)
    text = statement.query
    if statement.type.name == "EXPLAIN":
        text = _EXPLAIN.sub("", text, count=1)
    allowed = _FUNCTIONS | _READERS if may_read_files else _FUNCTIONS
    for node in _nodes(_tree(text)):
        name = _called(node)
        if name is not None and name not in allowed:
            raise RequestError(f"a guest's SQL may not call {name}()")
        table = node.get("table_name")
        if isinstance(table, str) and _NOT_A_NAME.search(table) and not may_read_files:
            raise RequestError(f"a guest's SQL may not read the file {table!r}")
        if node.get("function_name") in _SIDE_EFFECTS:
            raise RequestError(f"a guest's SQL may not call {node['function_name']}()")


def _tree(sql: str) -> dict[str, Any]:
    with duckdb.connect() as connection:
        found = connection.execute("SELECT json_serialize_sql(?)", [sql]).fetchall()
    tree: dict[str, Any] = json.loads(found[0][0])
    if tree.get("error"):
        raise RequestError(f"a guest's SQL may only ask: {tree.get('error_message')}")
    return tree


def _nodes(tree: object) -> Iterator[dict[str, Any]]:
    """Give every dict of a tree; deep trees are walked without recursion."""
    left = [tree]
    while left:
        node = left.pop()
        if isinstance(node, dict):
            yield node
            left += node.values()
        elif isinstance(node, list):
            left += node


def _called(node: dict[str, Any]) -> str | None:
    """Return the name of the function that gives a table, where the node is one."""
    if node.get("type") != "TABLE_FUNCTION":
        return None
    function = node.get("function") or {}
    return str(function.get("function_name", "")).lower()
