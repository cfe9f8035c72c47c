"""Opening a store: made, shared, refused; what it holds outlives the process."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from propkit.criteria import read_criteria
from propkit.errors import RequestError, StoreError
from propkit.items import Item, State
from propkit.records import RECORD_TYPES
from propkit.store import Store, askers
from propkit.store.batches import create_batch, set_state
from propkit.store.purchases import keep_criteria
from propkit.store.schema import LEDGER_SCHEMAS, MIGRATIONS
from tests.store.made import batch_of, noon, page, parcel, payments, result, write

if TYPE_CHECKING:
    from collections.abc import Iterator

    from propkit.terms import Freshness

HOLD = """
import sys
from propkit.store import Store
store = Store.open(sys.argv[1])
print("open", flush=True)
sys.stdin.read()
store.close()
"""
NOBODY = 65534


@contextmanager
def held_by_another_process(path: Path) -> Iterator[int]:
    """Let another process hold the store; give its PID."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        try:
            assert holder.stdout.readline() == "open\n"
            yield holder.pid
        finally:
            holder.stdin.close()
            holder.wait(timeout=60)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Lower the rights of this process, so that permissions bite for root too."""
    if os.getuid() != 0:
        yield
        return
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.fixture
def locked_folder() -> Iterator[Path]:
    """Give a folder that everyone may enter and nobody may write."""
    # Not tmp_path: pytest's own folders let no other user in.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755 if os.getuid() == 0 else 0o555)
        yield folder
        folder.chmod(0o755)


def test_a_new_file_has_every_table(path: Path):
    """Opening makes the file, its record tables and its ledgers, all empty."""
    store = Store.open(path)
    tables = [*RECORD_TYPES, *LEDGER_SCHEMAS, "batches"]
    counts = {table: store.rows(f"SELECT count(*) AS n FROM {table}")[0]["n"] for table in tables}
    store.close()

    assert path.is_file()
    assert counts == dict.fromkeys(tables, 0)


def test_the_file_keeps_the_format_that_an_older_duckdb_reads(store: Store):
    """DuckDB 1.5 can open the file: its format is v1.5.0, whatever version wrote it."""
    rows = store.rows(
        "SELECT tags['storage_version'] AS version FROM duckdb_databases()"
        " WHERE database_name = current_database()"
    )

    assert rows == [{"version": "v1.5.0+"}]


def test_a_new_file_is_this_users_alone_and_an_old_one_is_left_as_shared(path: Path):
    """Owners' names and telephone numbers stand in it; who lets others read it has said so."""
    Store.open(path).close()
    made = path.stat().st_mode & 0o777
    path.chmod(0o640)
    Store.open(path).close()

    assert (made, path.stat().st_mode & 0o777) == (0o600, 0o640)


@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_the_log_beside_the_file_is_as_private_as_the_file(path: Path, mode: int):
    """Also the next one, which comes after a checkpoint, and one that an older propkit left."""
    log = path.with_name(f"{path.name}.wal")
    modes = []

    def write(store: Store) -> None:
        keep_criteria(store, read_criteria({"State": "AZ"})).result()
        modes.append((log.stat().st_mode & 0o777, log.stat().st_size > 0))

    before = os.umask(0o002)
    try:
        Store.open(path).close()
        path.chmod(mode)
        for _ in range(2):
            with closing(Store.open(path)) as store:
                write(store)
                with store.checkpointed():
                    assert not log.exists()
                write(store)
                log.chmod(0o664)
                write(store)
    finally:
        os.umask(before)

    assert modes == [(mode, True)] * 6
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_what_was_made_beside_the_file_and_not_needed_goes_with_it(path: Path):
    """No empty log, no empty folder; also where a store cannot be opened."""
    Store.open(path).close()
    with closing(Store.open(path)) as store:
        with store.checkpointed():
            pass
        store.writer.flush().result(timeout=60)
    with duckdb.connect(str(path)) as connection:
        connection.execute("INSERT INTO schema_migrations VALUES ('9999_later', now())")
    with pytest.raises(StoreError, match="newer"):
        Store.open(path)

    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_file_opened_twice_is_one_store_until_both_closed(path: Path):
    """Two openers in one process share the store; the first to close does not end the other."""
    first, second = Store.open(path), Store.open(path.parent / "." / path.name)
    first.close()
    still_open = second.rows("SELECT 1 AS n")
    second.close()

    assert first is second
    assert still_open == [{"n": 1}]
    with pytest.raises(StoreError, match="is closed"):
        second.rows("SELECT 1 AS n")


def test_closing_too_often_takes_the_store_from_nobody(path: Path):
    """A close after the last one does nothing, also to a store opened since."""
    old = Store.open(path)
    old.close()
    new = Store.open(path)

    old.close()

    assert new.rows("SELECT 1 AS n") == [{"n": 1}]
    new.close()


def test_a_store_held_by_another_process_names_its_pid(path: Path):
    """While another process has the file open, the error says which; afterwards it opens."""
    with held_by_another_process(path) as pid, pytest.raises(StoreError) as failure:
        Store.open(path)

    assert f"in use by another process (PID {pid})" in str(failure.value)

    store = Store.open(path)
    assert store.rows("SELECT count(*) AS n FROM parcels") == [{"n": 0}]
    store.close()


@pytest.mark.parametrize(
    "content", [b"apn,owner\n132-38-011A,SMITH\n", b"SQLite format 3\x00" + bytes(4096), b"x"]
)
def test_a_file_that_is_no_database_is_left_as_it_is(path: Path, content: bytes):
    """A CSV named by mistake is refused by name, and not a byte of it is touched."""
    path.write_bytes(content)

    with pytest.raises(StoreError, match=r"test\.duckdb is no DuckDB file"):
        Store.open(path)

    assert path.read_bytes() == content
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_database_of_something_else_is_left_as_it_is(path: Path):
    """A DuckDB file with other tables gets none of propkit's."""
    with duckdb.connect(path) as connection:
        connection.execute("CREATE TABLE invoices (id INTEGER)")
    content = path.read_bytes()

    with pytest.raises(StoreError, match=r"no propkit store.*invoices"):
        Store.open(path)

    assert path.read_bytes() == content
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_missing_folder_is_named(path: Path):
    """A store in a folder that does not exist makes neither."""
    with pytest.raises(StoreError, match=r"nowhere is no folder"):
        Store.open(path.parent / "nowhere" / path.name)

    assert [entry.name for entry in path.parent.iterdir()] == []


def test_a_folder_in_place_of_a_file_is_refused(path: Path):
    """A path that is a folder cannot be a store."""
    path.mkdir()

    with pytest.raises(StoreError, match=r"test\.duckdb is a folder; expected a file"):
        Store.open(path)


def test_a_folder_that_cannot_be_written_is_refused(locked_folder: Path):
    """In a read-only folder the error says what to do, and nothing is made."""
    with (
        as_nobody(),
        pytest.raises(StoreError, match="cannot be written: choose a folder that is yours"),
    ):
        Store.open(locked_folder / "test.duckdb")

    assert [entry.name for entry in locked_folder.iterdir()] == []


def test_a_file_that_cannot_be_written_is_refused(locked_folder: Path):
    """A store of somebody else is refused, not opened read-only by surprise."""
    path = locked_folder / "test.duckdb"
    locked_folder.chmod(0o755)
    Store.open(path).close()
    path.chmod(0o644 if os.getuid() == 0 else 0o444)

    with as_nobody(), pytest.raises(StoreError, match=r"test\.duckdb cannot be written"):
        Store.open(path)


def test_a_folder_that_cannot_be_entered_is_refused(tmp_path: Path):
    """A folder that this user may not even look into is a StoreError like any other."""
    # Path.is_dir() raises PermissionError here before Python 3.14.
    folder = tmp_path / "closed" / "inner"
    folder.mkdir(parents=True)
    folder.parent.chmod(0o000)

    with as_nobody(), pytest.raises(StoreError, match="inner is no folder"):
        Store.open(folder / "test.duckdb")

    folder.parent.chmod(0o755)


def test_a_newer_schema_is_refused_and_the_file_let_go(path: Path):
    """An older propkit does not write into a newer one's file, nor keeps it locked."""
    Store.open(path).close()
    with duckdb.connect(path) as connection:
        connection.execute("INSERT INTO schema_migrations VALUES ('9999_later', now())")

    with pytest.raises(StoreError, match=r"newer propkit.*9999_later.*update propkit"):
        Store.open(path)

    with duckdb.connect(path) as other:  # refused while the first connection is open
        assert other.execute("SELECT count(*) FROM schema_migrations").fetchone() == (
            len(MIGRATIONS) + 1,
        )


def test_a_reopened_store_holds_everything(path: Path):
    """Records, payloads, fetches, freshness, items and batches outlive the process' hold."""
    store = Store.open(path)
    batch = batch_of(store, "1", "2")
    write(
        store,
        result("1", [parcel("1", "SMITH"), *payments("1", 2025, 10)], batch_id=batch),
        result("2", batch_id=batch, pages=[page(b"\xff\x00"), page(b"{}")], at=noon(5)),
    )
    tables = [*RECORD_TYPES, *LEDGER_SCHEMAS, "batch_heads", "schema_migrations"]
    before = {table: store.rows(f"FROM {table}") for table in tables}
    store.close()

    again = Store.open(path)
    after = {table: again.rows(f"FROM {table}") for table in tables}
    again.close()

    assert [row["state"] for row in after["batch_heads"]] == ["interrupted"]
    assert [row.pop("state") for row in before["batch_heads"]] == ["running"]
    after["batch_heads"][0].pop("state")
    assert after == before
    filled = {"parcels", "tax_payments", "payloads", "fetches", "freshness", "items"}
    assert {table for table in filled if not after[table]} == set()


def test_freshness_is_the_newest_answer_of_each_key(store: Store):
    """The newest answer counts, in whatever order they were written; what is unknown is absent."""
    write(
        store,
        result("1", at=noon(60), missing=("residences", "sales")),
        result("1", at=noon(0)),
        result("2", at=noon(0)),
        result("3", at=None),
        result("4", at=noon(0.25), state=State.NOT_FOUND),
        result("1", at=noon(30), source="maricopa_treasurer"),
    )

    found = store.freshness(
        {
            "maricopa_recorder": ["1"],
            "maricopa_assessor": ["4", "1", "3", "5"],
            "maricopa_treasurer": ["5", "1"],
        }
    )

    assert {source: sorted(_rows(columns)) for source, columns in found.items()} == {
        "maricopa_assessor": [
            ("1", noon(60).timestamp(), True, ("residences", "sales")),
            ("4", noon(0.25).timestamp(), False, ()),
        ],
        "maricopa_treasurer": [("1", noon(30).timestamp(), True, ())],
    }


def _rows(columns: Freshness) -> list[tuple[Any, ...]]:
    return list(
        zip(columns.keys, columns.checked_at, columns.is_found, columns.missing, strict=True)
    )


def test_freshness_of_no_keys_is_nothing(store: Store):
    """Nothing asked is nothing known, also over a ledger that has rows."""
    write(store, result("1"))

    assert store.freshness({}) == {}
    assert store.freshness({"maricopa_assessor": []}) == {}


def test_active_is_what_running_batches_have_left(store: Store):
    """Of the keys asked about, at their source, and not what is done or of an ended batch."""
    running, ended = batch_of(store, "1", "2", "3"), batch_of(store, "4")
    set_state(store, ended, "completed")
    write(store, result("2", batch_id=running))

    found = store.active({"maricopa_assessor": ["1", "2", "4", "5"], "maricopa_treasurer": ["3"]})

    assert found == {("maricopa_assessor", "1"): running}
    assert store.active({}) == {}


def test_active_counts_batches_that_ask_the_same(store: Store):
    """A validation is shared with validations; collecting is shared whatever its tables."""
    item = Item(source="maricopa_assessor", key="1")
    kinds = ("validation", "search", "taxes")
    batches = {kind: create_batch(store, [item], kind=kind, criteria={}).batch_id for kind in kinds}
    keys = {"maricopa_assessor": ["1"]}

    found = {
        kind: store.active(keys, kind).get(item.identity)
        for kind in ("validation", "search", "taxes", "comprehensive")
    }

    assert found == {**batches, "comprehensive": batches["taxes"]}


@pytest.mark.parametrize("ask", [Store.freshness, Store.active])
def test_a_closed_store_says_so(path: Path, ask):
    """Also where many keys are asked about."""
    store = Store.open(path)
    store.close()

    with pytest.raises(StoreError, match="is closed"):
        ask(store, {"maricopa_assessor": ["1"]})


def test_a_query_in_work_is_interrupted_when_the_store_is_closed(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Who closes gets the file free, who asks hears that it is closed; neither sees DuckDB's words."""
    monkeypatch.setattr(askers, "PATIENCE_SECONDS", 0.0)
    store = Store.open(path)
    said: list[StoreError] = []

    def ask() -> None:
        with pytest.raises(StoreError) as failure:
            store.query("SELECT sum(a.range * b.range % 7) FROM range(9999999) a, range(999999) b")
        said.append(failure.value)

    asking = threading.Thread(target=ask)
    asking.start()
    while asking.is_alive() and not store._askers._connections:
        asking.join(0.01)
    store.close()
    asking.join(60)

    assert [str(one) for one in said] == [f"the store {path} is closed"]
    Store.open(path).close()


def test_a_connection_is_kept_for_the_next_who_asks(store: Store):
    """Not one whose question failed, nor one by which a person, or a guest, has asked."""
    store.rows("SELECT 1")
    (kept,) = store._kept
    store.rows("SELECT 2")
    again = list(store._kept)
    with pytest.raises(RequestError, match="cannot be run"):
        store.rows("SELECT no_such_column")
    store.query("SELECT 3")

    assert again == [kept]
    assert store._kept == []


def test_what_is_asked_shortly_before_the_end_is_answered(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The close waits for what does not take long, and nobody comes in any more."""
    monkeypatch.setattr(askers, "PATIENCE_SECONDS", 60.0)
    store = Store.open(path)
    closing_it = threading.Thread(target=store.close)
    with store._asking() as cursor:
        closing_it.start()
        while not store._askers.has_ended:
            closing_it.join(0.01)
        with pytest.raises(StoreError, match="is closed"):
            store.rows("SELECT 1")
        answer = cursor.execute("SELECT 42").fetchall()
    closing_it.join(60)

    assert answer == [(42,)]
    assert not Store.is_open(path)


def test_a_parcels_column_leaves_out_what_is_absent(store: Store):
    """Keys for other sources come from parcels that have one."""
    write(store, result("1", [parcel("1", "SMITH"), parcel("2"), parcel("3", "DOE")]))

    assert store.parcel_column("owner_name", ["1", "2", "4"]) == {"1": "SMITH"}


def test_duplicates_are_found_by_table(store: Store):
    """The proof of uniqueness counts identities that stand twice, NULLs taken as equal."""
    assert store.duplicates() == {}

    store.writer.submit(
        lambda connection: connection.execute(
            "INSERT INTO sales BY NAME SELECT '1' AS apn, 's' AS source, now() AS collected_at"
            " FROM range(2)"
        )
    ).result()

    assert store.duplicates() == {"sales": 1}
