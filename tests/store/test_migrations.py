"""A file of an older propkit is brought up to date, and what it holds stays."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import duckdb

from propkit.kinds import EXTRA_DATASETS
from propkit.records import RECORD_TYPES
from propkit.store import Store
from propkit.store.migrating import apply_steps
from propkit.store.schema import MIGRATIONS
from tests.store.made import page, parcel, payments, result, write

if TYPE_CHECKING:
    from pathlib import Path

# The tables of 0001 that may hold rows before 0002, and are still what they were.
OLD_TABLES = [
    *[table for table in RECORD_TYPES if table not in ("leads", "improvements", *EXTRA_DATASETS)],
    *["fetches", "freshness", "items", "batch_heads", "batch_logs"],
]
NEW_TABLES = [
    *["paces", "breakers", "runs", "coverage", "hits"],
    *["leads", "lead_criteria", "lead_persons", "purchases"],
    *[*EXTRA_DATASETS, "tax_liens", "reparse_changes", "parcel_shapes", "layers", "improvements"],
    *["changes", "postings", "posting_runs", "batch_identifiers"],
]


def fill_old_store(path: Path, *, is_empty: bool = False) -> dict[str, list[tuple]]:
    """Make a file with 0001 only and a row in most of its tables; return its rows by table."""
    ((name, step),) = MIGRATIONS[:1]
    with duckdb.connect(path) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        journal = "CREATE TABLE schema_migrations (name VARCHAR, applied_at TIMESTAMPTZ)"
        apply_steps(connection, [name], [journal, step])
        if is_empty:
            return {}
        connection.execute(
            """
            INSERT INTO parcels BY NAME
                SELECT '1' AS apn, 'maricopa' AS county, 'SMITH' AS owner_name, 's' AS source,
                    TIMESTAMPTZ '2026-11-22 12:00:00+00' AS collected_at;
            INSERT INTO tax_bills SELECT '1', 2025, 'Paid', 10, 10, 0, false, 's',
                TIMESTAMPTZ '2026-11-22 12:00:00+00';
            INSERT INTO payloads VALUES ('ab', '{}', NULL), ('cd', NULL, '\\xFF'::BLOB);
            INSERT INTO payloads SELECT 'n' || i, 'body ' || i, NULL FROM range(2500) t(i);
            DELETE FROM payloads WHERE sha256 = 'n7';
            INSERT INTO fetches SELECT 's', '1', '1', 'parcel', 'http://h', 200, 'text/plain',
                TIMESTAMPTZ '2026-11-22 12:00:00+00', 'ab', 1, 'b1';
            INSERT INTO freshness
                SELECT 's', '1', TIMESTAMPTZ '2026-11-22 12:00:00+00', true, ['sales'];
            INSERT INTO items SELECT 'b1', 's', '1', '1', 1, 0, 'done', 1, NULL, NULL, NULL, NULL,
                ['sales'];
            INSERT INTO batch_heads SELECT 'b1', 1, 'collect', 'completed', '{}', 'me', NULL,
                TIMESTAMPTZ '2026-11-22 12:00:00+00', NULL, NULL;
            INSERT INTO batch_logs
                SELECT 'b1', TIMESTAMPTZ '2026-11-22 12:00:00+00', 'info', 'batch made';
            """
        )
        rows = {table: connection.sql(f"FROM {table}").to_arrow_table() for table in OLD_TABLES}
    return {
        table: [tuple(row.values()) for row in data.to_pylist()] for table, data in rows.items()
    }


def test_a_store_of_the_first_schema_opens_with_its_data(path: Path):
    """Every old row is as it was, logs with the new columns empty; the new tables are there."""
    before = fill_old_store(path)

    with closing(Store.open(path)) as store:
        after = {
            table: [tuple(row.values()) for row in store.rows(f"FROM {table}")]
            for table in OLD_TABLES
        }
        applied = [row["name"] for row in store.rows("FROM schema_migrations ORDER BY name")]
        new = {table: store.rows(f"FROM {table}") for table in NEW_TABLES}
        payloads = store.bodies(["ab", "cd", *(f"n{number}" for number in range(2500))])
        blocks = store.rows("FROM payload_blocks WHERE part = 0 ORDER BY block")

    before["batch_heads"] = [(*row, row[7], None) for row in before["batch_heads"]]
    before["items"] = [(*row, None) for row in before["items"]]
    before["batch_logs"] = [(*row, None, None, None, None) for row in before["batch_logs"]]
    before["tax_bills"] = [(*row[:7], None, *row[7:]) for row in before["tax_bills"]]
    before["parcels"] = [(*row[:-2], None, *row[-2:]) for row in before["parcels"]]
    for table in RECORD_TYPES.keys() & before.keys():
        before[table] = [(*row, None) for row in before[table]]
    assert after == before
    assert sum(map(len, after.values())) == 7
    assert payloads == {
        "ab": b"{}",
        "cd": b"\xff",
        **{f"n{number}": f"body {number}".encode() for number in range(2500) if number != 7},
    }
    assert [row["block"] for row in blocks] == [0, 1]
    assert sum(row["size"] for row in blocks) == sum(map(len, payloads.values()))
    assert applied == [name for name, _ in MIGRATIONS]
    assert new == {table: [] for table in NEW_TABLES}


def test_what_was_collected_by_a_second_way_counts_once_from_now_on(path: Path):
    """A failed item names the second way that was asked in its place; all others stay as they are."""
    fill_old_store(path)
    criteria = '{"fallbacks": {"first": ["second"]}}'
    rows = [("first", "1"), ("second", "1"), ("first", "2"), ("other", "1")]
    with duckdb.connect(path) as connection:
        connection.execute("UPDATE batch_heads SET criteria = ?", [criteria])
        connection.executemany(
            "INSERT INTO items SELECT 'b1', ?, ?, ?, 1, 1, if(? = 'second', 'done', 'failed'), 1,"
            " NULL, NULL, NULL, NULL, []",
            [(source, key, key, source) for source, key in rows],
        )

    with closing(Store.open(path)) as store:
        found = store.rows("SELECT source, key, replaced_by FROM items WHERE source <> 's'")
        counted = store.rows("SELECT total, done, failed, replaced FROM batches")

    by = {("first", "1"): "second"}
    assert found == [{"source": s, "key": k, "replaced_by": by.get((s, k))} for s, k in rows]
    assert counted == [{"total": 4, "done": 2, "failed": 2, "replaced": 1}]


def test_a_migrated_store_is_written_and_read_like_a_new_one(path: Path):
    """The migration is applied once; the parcel from before it is replaced by a newer answer."""
    fill_old_store(path)

    for owner in ("DOE", "ROE"):  # opened twice
        with closing(Store.open(path)) as store:
            records = [parcel("1", owner), *payments("1", 2025, 10)]
            write(store, result("1", records, pages=[page(b"{}")]))
            assert store.rows("SELECT owner_name FROM parcels") == [{"owner_name": owner}]
            assert store.duplicates() == {}
            assert len(store.rows("FROM schema_migrations")) == len(MIGRATIONS)


SCHEMA = (
    "SELECT sql FROM duckdb_tables() WHERE schema_name = 'main' AND NOT internal"
    " UNION ALL SELECT sql FROM duckdb_views() WHERE NOT internal ORDER BY sql"
)


def test_a_new_store_is_made_at_once_as_migrations_would_make_it(path: Path):
    """Tables, columns in their order, what may be absent, how it is packed, and views."""
    old = path.with_name("old.duckdb")
    fill_old_store(old, is_empty=True)

    schemas, applied = [], []
    for one in (path, old):
        with closing(Store.open(one)) as store:
            schemas.append([row["sql"].replace("propkit.", "") for row in store.rows(SCHEMA)])
            applied.append([row["name"] for row in store.rows("FROM schema_migrations")])

    new, migrated = schemas
    assert new == migrated
    assert len(new) == 43
    assert applied == [[name for name, _ in MIGRATIONS]] * 2


def test_an_empty_file_of_duckdb_becomes_a_store(path: Path):
    """It holds no tables, but is not new: a program has made and left it."""
    with duckdb.connect(path) as connection:
        connection.execute("CREATE TABLE gone AS FROM range(10); CHECKPOINT; DROP TABLE gone")

    with closing(Store.open(path)) as store:
        assert len(store.rows("FROM schema_migrations")) == len(MIGRATIONS)
