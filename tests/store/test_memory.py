"""How much memory DuckDB may take, and who is not bound by what a batch leaves it."""

from __future__ import annotations

import random
import stat
import threading
from contextlib import closing
from types import SimpleNamespace
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pytest

from propkit.store import Store, database, memory
from propkit.store.writer import GROUP_ITEMS
from tests.store.made import page, parcel, result, write

if TYPE_CHECKING:
    from pathlib import Path

LIMIT = "SELECT current_setting('memory_limit')"
LARGE = "SELECT len(list(i)) AS n FROM range(13_000_000) AS t(i)"
"""104 MB in one piece: nothing of it can go by way of the disk."""


def test_only_a_batchs_own_writing_is_kept_small(path: Path):
    """Who asks, or gives the writer a work, has all the memory; two batches may run side by side."""
    with closing(Store.open(path)) as store, store._cursor() as cursor:

        def limits() -> tuple[str, str, str]:
            ((own,),) = cursor.execute(LIMIT).fetchall()
            (asked,) = store.rows(f"{LIMIT} AS now")
            ((work,),) = store.writer.submit(lambda c: c.execute(LIMIT).fetchall()).result()
            return own, asked["now"], work

        seen = [limits()]
        with store.sparing():
            seen.append(limits())
            with store.sparing():
                seen.append(limits())
            seen.append(limits())
        seen.append(limits())

    full = seen[0][0]
    spared = ("91.5 MiB", full, full)
    assert seen == [(full, full, full), spared, spared, spared, (full, full, full)]
    assert full != "91.5 MiB"


def test_a_batch_leaves_duckdb_one_thread_and_who_asks_all(path: Path):
    """Its statements are small: to wake further threads takes longer than these then save."""
    threads = "SELECT current_setting('threads')::INTEGER AS now"
    with closing(Store.open(path)) as store, store._cursor() as cursor:

        def seen() -> tuple[int, int]:
            ((own,),) = cursor.execute(threads).fetchall()
            return own, store.rows(threads)[0]["now"]

        before = seen()
        with store.sparing():
            while_it_runs = seen()
        after = seen()

    every, _ = before
    assert (before, while_it_runs, after) == ((every, every), (1, every), (every, every))


def test_a_large_query_succeeds_while_a_batch_runs(path: Path):
    """It needs more than a batch leaves DuckDB; the batch's own connection would be refused it."""
    with closing(Store.open(path)) as store, store.sparing():
        with pytest.raises(duckdb.OutOfMemoryException), store._cursor() as cursor:
            cursor.execute(LARGE).fetchall()

        assert store.query(LARGE)["n"].tolist() == [13_000_000]


def test_a_limit_that_was_refused_is_set_after_the_writers_next_group(path: Path):
    """Who holds more when a query ends, as a checkpoint may, must not go on without a limit."""
    with closing(Store.open(path)) as store, store._cursor() as cursor, store.sparing():
        with store._memory.ample():
            held = cursor.execute(LARGE)
        refused = store._memory._is_low
        held.close()

        write(store, result("next"))

        with store._cursor() as other:
            assert other.execute(LIMIT).fetchall() == [("91.5 MiB",)]
    assert not refused


def test_who_asks_until_the_store_is_closed_holds_nobody_up(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    """What was asked for ends while the store is being closed: neither waits for the other."""
    store = Store.open(path)
    squeeze = store._memory.squeeze
    is_asking, may_end = threading.Event(), threading.Event()

    def ask() -> None:
        with store._memory.ample():
            is_asking.set()
            may_end.wait()

    asking = threading.Thread(target=ask, daemon=True)

    def end_first(connection: duckdb.DuckDBPyConnection) -> None:
        may_end.set()
        asking.join(60)
        squeeze(connection)

    monkeypatch.setattr(store._memory, "squeeze", end_first)
    asking.start()
    is_asking.wait()
    store.close()

    assert not asking.is_alive()


def test_what_arrow_holds_unused_is_given_back_after_a_group_and_before_the_end(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    """It keeps megabytes for each thread; the checkpoint at the end is the batch's most."""
    pool, given_back = pa.default_memory_pool(), []

    class Pool:
        @staticmethod
        def release_unused() -> None:
            given_back.append(threading.current_thread().name)
            pool.release_unused()

    monkeypatch.setattr(pa, "default_memory_pool", Pool)
    with closing(Store.open(path)) as store:
        with store.sparing():
            write(store, *(result(str(n), [parcel(str(n))]) for n in range(GROUP_ITEMS)))
        assert (set(given_back[:-1]), given_back.pop()) == ({"propkit-writer"}, "MainThread")

    assert given_back[-1] == "MainThread"


def test_what_arrow_holds_unused_is_given_back_again_and_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Once a second at most, as long as the batch writes: else it grows by each thread that read."""
    now, given_back = [0.0], []
    pool = SimpleNamespace(release_unused=lambda: given_back.append(now[0]))
    with closing(Store.open(path)) as store, store.sparing(), store._cursor() as cursor:
        monkeypatch.setattr(pa, "default_memory_pool", lambda: pool)
        monkeypatch.setattr(memory, "time", SimpleNamespace(monotonic=lambda: now[0]))
        for now[0] in (10.0, 10.5, 10.9, 11.0, 11.5, 12.25, 13.0, 13.25):
            store._memory.squeeze(cursor)
        monkeypatch.undo()

    assert given_back == [10.0, 11.0, 12.25, 13.25]


def test_a_batch_merges_row_groups_only_where_it_replaces_rows(path: Path):
    """Merging takes most of a checkpoint's memory and time; what was only added needs none."""
    merging = "SELECT current_setting('max_vacuum_tasks') AS now"

    with closing(Store.open(path)) as store, store._cursor() as cursor:

        def seen_after(*owners: str) -> int:
            for owner in owners:
                write(store, result("1", records=[parcel("1", owner)]))
            store.rows("SELECT 1")
            ((seen,),) = cursor.execute(merging).fetchall()
            return int(seen)

        seen = [seen_after()]
        with store.sparing():
            seen += [seen_after(), seen_after("A"), seen_after("B"), seen_after()]
        seen.append(seen_after())
        with store.sparing():
            seen.append(seen_after())

    assert seen == [100, 0, 0, 100, 100, 100, 0]


def test_the_row_groups_of_small_batches_are_merged(path: Path):
    """Each opening leaves one; to read a thousand of a row each would take long."""
    for number in range(4):
        with closing(Store.open(path)) as store, store.sparing():
            write(store, result(f"{number}", records=[parcel(f"{number}")]))

    with duckdb.connect(path, read_only=True) as connection:
        groups = connection.execute(
            "SELECT count(DISTINCT row_group_id), (SELECT count(*) FROM parcels)"
            " FROM pragma_storage_info('parcels')"
        ).fetchall()

    assert groups == [(1, 4)]


@pytest.mark.parametrize(("large", "merged"), [(5000, "1"), (0, "0")])
def test_closing_is_done_in_little_memory(
    path: Path, monkeypatch: pytest.MonkeyPatch, large: int, merged: str
):
    """It is a checkpoint too; what a large batch has left is not merged on the way out."""
    monkeypatch.setattr(database, "_LARGE_BATCH", large)
    store = Store.open(path)
    connection, seen = store._connection, []

    class Watched:
        cursor, execute = connection.cursor, connection.execute

        @staticmethod
        def close() -> None:
            for setting in ("memory_limit", memory.MERGING):
                seen.extend(connection.execute(f"SELECT current_setting('{setting}')").fetchall())
            connection.close()

    monkeypatch.setattr(store, "_connection", Watched)

    store.close()

    assert [str(value) for (value,) in seen] == ["91.5 MiB", merged]


def test_a_checkpoint_of_many_answers_needs_little_memory(
    path: Path, monkeypatch: pytest.MonkeyPatch
):
    """It writes the last row group of each table anew, which holds all of these bodies.

    What was read of them stays no longer than until the batch's next results.
    """
    monkeypatch.setattr(memory, "KEPT_MEMORY", "8MB")
    held = "SELECT sum(memory_usage_bytes) // 1_000_000 FROM duckdb_memory()"
    bodies = [random.Random(number).randbytes(2**20) for number in range(24)]
    with closing(Store.open(path)) as store:
        write(store, *(result(str(n), pages=[page(body)]) for n, body in enumerate(bodies)))
        with store._cursor() as cursor:
            cursor.execute("CHECKPOINT")
        write(store, result("last", pages=[page(b"last")]))

        with store._cursor() as cursor:
            cursor.execute("SET memory_limit = '12MB'")
            cursor.execute("CHECKPOINT")
            cursor.execute("RESET memory_limit")

            with store.sparing():
                assert len(store.rows("SELECT max(body) FROM payload_blocks")) == 1
                ((before,),) = cursor.execute(held).fetchall()
                write(store, result("after"))
                ((after,),) = cursor.execute(held).fetchall()

        assert store.rows("SELECT count(*) AS n FROM payload_blocks WHERE part = 0") == [{"n": 25}]
        assert before > 20
        assert after <= 8


def test_what_does_not_fit_goes_to_a_folder_beside_the_store(path: Path):
    """Not to where the process stands, and this user's alone; also where nobody may read files."""
    large = (
        "SELECT count(*) AS n FROM (SELECT DISTINCT i, repeat('x', 40) || i AS s"
        " FROM range(400_000) AS t(i))"
    )
    with closing(Store.open(path)) as store:
        store.limit_files("nobody")
        with store._cursor() as cursor:
            ((folder,),) = cursor.execute("SELECT current_setting('temp_directory')").fetchall()
            cursor.execute("SET memory_limit = '32MB'")
            assert cursor.execute(large).fetchall() == [(400_000,)]
            cursor.execute("RESET memory_limit")
        mode = stat.S_IMODE(path.with_name(f".{path.name}.tmp").stat().st_mode)

    assert folder == str(path.with_name(f".{path.name}.tmp"))
    assert mode == 0o700
    assert [place.name for place in path.parent.iterdir()] == [path.name]
