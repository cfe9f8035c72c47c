"""SQL by hand: it reads anything and writes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from propkit.errors import RequestError
from propkit.records import RECORD_TYPES
from propkit.store import database
from tests.store.made import parcel, payments, result, write

if TYPE_CHECKING:
    from pathlib import Path

    from propkit.store import Store


@pytest.fixture
def filled(store: Store) -> Store:
    records = [parcel("1", "SMITH"), parcel("2", "DOE"), *payments("1", 2025, 10, 20)]
    write(store, result("1", records))
    return store


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT apn FROM parcels ORDER BY apn", [["1"], ["2"]]),
        ("FROM parcels SELECT apn WHERE owner_name = 'DOE'", [["2"]]),
        ("WITH p AS (FROM parcels) SELECT count(*) FROM p", [[2]]),
        ("  -- how many\n  SELECT count(*) FROM tax_payments;  ", [[2]]),
        ("VALUES (1), (2)", [[1], [2]]),
        ("SELECT apn FROM parcels ANTI JOIN tax_payments USING (apn)", [["2"]]),
        ("SELECT 'INSERT INTO parcels; DROP TABLE parcels' AS said", [
            ["INSERT INTO parcels; DROP TABLE parcels"]
        ]),
    ],
)  # fmt: skip
def test_reading_queries_are_answered(filled: Store, sql: str, rows: list[list[Any]]):
    """Every way to ask is understood, whatever it begins with or mentions."""
    assert filled.query(sql).to_numpy().tolist() == rows


@pytest.mark.parametrize(
    ("sql", "columns"),
    [
        ("DESCRIBE parcels", ["column_name", "column_type", "null", "key", "default", "extra"]),
        ("SHOW TABLES", ["name"]),
        ("EXPLAIN SELECT 1", ["explain_key", "explain_value"]),
        ("SUMMARIZE SELECT apn FROM parcels", None),
        ("SELECT apn FROM parcels WHERE false", ["apn"]),
    ],
)
def test_queries_about_the_store_are_answered(filled: Store, sql: str, columns: list[str] | None):
    """What a table holds, which tables there are and how a query runs can be asked too."""
    frame = filled.query(sql)

    assert columns is None or list(frame.columns) == columns


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO batch_logs VALUES ('b', now(), 'info', 'm')",
        "UPDATE parcels SET owner_name = 'ME'",
        "DELETE FROM parcels",
        "TRUNCATE parcels",
        "DROP TABLE parcels",
        "CREATE TABLE t AS FROM parcels",
        "CREATE TEMP TABLE t AS FROM parcels",
        "ALTER TABLE parcels DROP COLUMN owner_name",
        "MERGE INTO parcels USING (SELECT '3' AS apn) USING (apn) WHEN MATCHED THEN DELETE",
        # Both are read as a question by their first word, and write all the same.
        "EXPLAIN ANALYZE INSERT INTO batch_logs VALUES ('b', now(), 'info', 'm')",
        "WITH x AS (INSERT INTO batch_logs VALUES ('b', now(), 'info', 'm') RETURNING *) FROM x",
        "WITH x AS (DELETE FROM parcels RETURNING *) SELECT count(*) FROM x",
        "SELECT 1; DELETE FROM parcels",
        "SELECT 1; SELECT 2",
        "COPY parcels TO 'out.csv'",
        "COPY (SELECT 1) TO 'out.parquet'",
        "EXPORT DATABASE 'out'",
        "ATTACH 'out.duckdb'",
        "UPDATE EXTENSIONS",
        "PRAGMA memory_limit='1GB'",
        "SET threads = 1",
        "CHECKPOINT",
        "BEGIN",
        "INSTALL httpfs",
        "USE memory",
        "",
        "-- nothing",
        ";",
    ],
)
def test_whatever_writes_is_refused(filled: Store, home: Path, sql: str):
    """Nothing but batches writes: not into the store, and no file beside it."""
    before = [filled.rows(f"FROM {table}") for table in (*RECORD_TYPES, "batch_logs")]
    tables = filled.rows("SHOW TABLES")

    with pytest.raises(RequestError):
        filled.query(sql)

    assert [filled.rows(f"FROM {table}") for table in (*RECORD_TYPES, "batch_logs")] == before
    assert filled.rows("SHOW TABLES") == tables
    assert [entry.name for entry in (home / "work").iterdir()] == []


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELEC 1", "the SQL cannot be read: .*SELEC"),
        ("SELECT nope FROM parcels", "the SQL cannot be run: .*nope"),
        ("FROM nowhere", "the SQL cannot be run: .*nowhere"),
        ("DELETE FROM parcels", "one reading query is expected, this is DELETE"),
        ("SELECT 1; SELECT 2", "one reading query is expected, this is SELECT, SELECT"),
        ("SELECT apn FROM parcels WHERE apn = ?", "the SQL cannot be run: "),
    ],
)
def test_wrong_sql_is_told_in_duckdbs_words(filled: Store, sql: str, message: str):
    """The error says what DuckDB found wrong, or what was asked instead of a query."""
    with pytest.raises(RequestError, match=message):
        filled.query(sql)


@pytest.mark.parametrize(
    ("sql", "params"),
    [
        ("SELECT apn FROM parcels WHERE owner_name = ?", ["SMITH"]),
        ("SELECT apn FROM parcels WHERE owner_name = $owner", {"owner": "SMITH"}),
        ("SELECT apn FROM parcels WHERE apn IN (SELECT unnest(?))", [["1", "x"]]),
    ],
)
def test_parameters_are_bound(filled: Store, sql: str, params: Any):
    """Values come as parameters, by place or by name, lists too."""
    assert filled.query(sql, params)["apn"].tolist() == ["1"]


def test_a_bound_value_is_never_sql(filled: Store):
    """A name with a quote in it is only a name."""
    name = "x' OR 1=1; DROP TABLE parcels; --"

    frame = filled.query("SELECT apn, ? AS name FROM parcels WHERE owner_name = ?", [name, name])

    assert len(frame) == 0
    assert filled.query("SELECT count(*) AS n FROM parcels")["n"].tolist() == [2]


def test_a_query_that_fails_leaves_nothing_open(filled: Store):
    """After an error both reading and writing go on."""
    with pytest.raises(RequestError):
        filled.query("SELECT error('stop') FROM parcels")

    write(filled, result("3", [parcel("3")]))

    assert filled.query("SELECT count(*) AS n FROM parcels")["n"].tolist() == [3]


def test_variables_of_python_are_no_tables(store: Store, monkeypatch: pytest.MonkeyPatch):
    """A table that is not there is not found among propkit's own frames, whoever asks."""
    monkeypatch.setattr(database, "kept_frame", pd.DataFrame({"a": [1]}), raising=False)

    for ask in (store.query, store.rows, store.answer_guest):
        with pytest.raises(RequestError, match="kept_frame does not exist"):
            ask("FROM kept_frame")
