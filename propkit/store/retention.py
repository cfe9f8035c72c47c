"""Letting go of what is old: bodies that explain no value any more, old ledger rows, old logs and evidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import duckdb
import pandas as pd

from propkit.store.batches import UNFINISHED
from propkit.store.database import Store
from propkit.store.payloads import repack_blocks
from propkit.store.reading import Reading

# The last one written stays too: the values are from there, also when the clock was set back.
_OLD_FETCHES = """
    SELECT rowid FROM fetches QUALIFY fetched_at < $older_than
        AND rank() OVER (PARTITION BY source, key, page ORDER BY fetched_at DESC) > 1
        AND row_number() OVER (PARTITION BY source, key, page ORDER BY rowid DESC) > 1
"""
_OLD = {  # in the order of deletion: what becomes of a payload depends on the fetches
    "payloads": f"""sha256 NOT IN (
        SELECT sha256 FROM fetches WHERE rowid NOT IN ({_OLD_FETCHES}))""",
    "fetches": f"rowid IN ({_OLD_FETCHES})",
    "freshness": """rowid IN (
        SELECT rowid FROM freshness QUALIFY checked_at < $older_than
            AND rank() OVER (PARTITION BY source, key ORDER BY checked_at DESC) > 1)""",
    "batch_logs": f"""logged_at < $older_than AND batch_id NOT IN (
        SELECT batch_id FROM batch_heads WHERE state IN {UNFINISHED})""",
    "evidence": f"""seen_at < $older_than AND batch_id NOT IN (
        SELECT batch_id FROM batch_heads WHERE state IN {UNFINISHED})""",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruning:
    """What pruning frees, or has freed, and what stays.

    ``payload_bytes`` are bytes of bodies as they came; on the disk they are compressed. ``kept``
    has the rows that stay, by table. ``older_than`` is the moment (aware UTC) before which
    things are old.
    """

    older_than: datetime
    payloads: int
    payload_bytes: int
    fetches: int
    freshness: int
    log_rows: int
    evidence: int
    kept: dict[str, int]
    is_done: bool = False

    @property
    def rows(self) -> dict[str, int]:
        """The rows that go, by table."""
        return {
            "payloads": self.payloads,
            "fetches": self.fetches,
            "freshness": self.freshness,
            "batch_logs": self.log_rows,
            "evidence": self.evidence,
        }

    def frame(self) -> pd.DataFrame:
        """Return one row a table: table, freed (rows), kept (rows), freed_bytes (of bodies)."""
        return pd.DataFrame(
            {
                "table": list(self.rows),
                "freed": list(self.rows.values()),
                "kept": [self.kept[table] for table in self.rows],
                "freed_bytes": [self.payload_bytes if t == "payloads" else 0 for t in self.rows],
            }
        )

    def __str__(self) -> str:
        """Return what goes and what stays, in a few lines."""
        verb = "has freed" if self.is_done else "would free"
        lines = [f"Pruning what is older than {self.older_than:%Y-%m-%d %H:%M} UTC {verb}:"]
        for table, count in self.rows.items():
            size = f" ({self.payload_bytes:,} bytes)" if table == "payloads" else ""
            lines.append(f"  {table}: {count:,} rows{size}; {self.kept[table]:,} stay")
        lines.append(
            "  records, their history, batches, items and the newest answer of each key stay"
        )
        return "\n".join(lines)

    __repr__ = __str__


def measure_pruning(store: Reading, older_than: timedelta, now: datetime) -> Pruning:
    """Return what pruning would free of what is older than so long before ``now`` (aware UTC).

    The newest fetch of each source, key and page stays, with its payload, however old it is; so
    do the newest freshness of each key and the logs of unfinished batches.
    """
    return _measure(store.rows, now - older_than)


def prune(store: Store, pruning: Pruning) -> Pruning:
    """Delete in one transaction what is old by a pruning's ``older_than``; return what went.

    What is old is judged anew inside the transaction, so batches may run meanwhile. The file
    gives the room back to what is written next; it does not always become shorter.

    Raises
    ------
    StoreError
        The store cannot be written; nothing is deleted then.
    """

    def work(connection: duckdb.DuckDBPyConnection) -> Pruning:
        def ask(sql: str, params: dict[str, Any]) -> list[dict[str, Any]]:
            rows: list[dict[str, Any]]
            rows = connection.sql(sql, params=params).to_arrow_table().to_pylist()
            return rows

        found = _measure(ask, pruning.older_than)
        for table, old in _OLD.items():
            if found.rows[table]:
                connection.execute(
                    f"DELETE FROM {table} WHERE {old}", {"older_than": pruning.older_than}
                )
        if found.payloads:
            repack_blocks(connection)
            store.writer.stored.payloads.forget_blocks()
        return replace(found, is_done=True)

    done: Pruning = store.writer.submit(work).result()
    with store.checkpointed():
        pass
    return done


def _measure(
    ask: Callable[[str, dict[str, Any]], list[dict[str, Any]]], moment: datetime
) -> Pruning:
    freed: dict[str, int] = {}
    kept: dict[str, int] = {}
    size = 0
    for table, old in _OLD.items():
        size_of = "length" if table == "payloads" else "0"
        (row,) = ask(
            f"SELECT count(*) FILTER (is_old) AS freed, count(*) FILTER (NOT is_old) AS kept,"
            f" coalesce(sum({size_of}) FILTER (is_old), 0)::BIGINT AS size"
            f" FROM (SELECT *, {old} AS is_old FROM {table})",
            {"older_than": moment},
        )
        freed[table], kept[table] = row["freed"], row["kept"]
        size += row["size"]
    return Pruning(
        older_than=moment,
        payloads=freed["payloads"],
        payload_bytes=size,
        fetches=freed["fetches"],
        freshness=freed["freshness"],
        log_rows=freed["batch_logs"],
        evidence=freed["evidence"],
        kept=kept,
    )
