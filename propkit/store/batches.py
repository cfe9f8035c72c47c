"""Batches and their items in the store: made, read, moved."""

from __future__ import annotations

import getpass
import json
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any

import duckdb
import pyarrow as pa

from propkit.errors import RequestError
from propkit.items import Item, State
from propkit.store.database import Store
from propkit.store.item_tables import OUTCOME
from propkit.store.reading import Reading
from propkit.store.replacing import make_table
from propkit.store.results import feed_tables, make_items, make_rows
from propkit.store.schema import LEDGER_SCHEMAS

_BATCH_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{4,16}")
_ITEM_COLUMNS = tuple(field.name for field in fields(Item))

UNFINISHED = ("pending", "running", "paused", "interrupted")
"""Batch states in which items may still wait to be collected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """One line of a batch's log: no bodies, no secrets. ``logged_at`` is aware UTC."""

    event: str
    message: str
    level: str = "info"
    source: str | None = None
    key: str | None = None
    seconds: float | None = None
    logged_at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchHead:
    """What is known of a batch besides its items. Times are aware UTC.

    States: ``pending`` (it waits for its turn), ``running``, ``completed``, ``cancelled``,
    ``paused`` (a source was stopped, its items wait), ``interrupted`` (the process died),
    ``failed`` (the store could not be written). ``heartbeat_at`` is the last sign of life of the
    process that runs it.
    """

    batch_id: str
    number: int
    kind: str
    state: str
    criteria: dict[str, Any]
    created_by: str | None
    error: str | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    updated_at: datetime
    heartbeat_at: datetime | None


def new_batch_id() -> str:
    """Return an id that no other batch has: the time, and what tells batches of one second apart."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"


def read_batch_id(value: object) -> str:
    """Return what may be a batch's id; anything else is a RequestError."""
    if not isinstance(value, str) or not _BATCH_ID.fullmatch(value):
        raise RequestError("the request names no batch")
    return value


def create_batch(
    store: Store,
    items: Sequence[Item],
    *,
    kind: str,
    criteria: Mapping[str, Any],
    batch_id: str | None = None,
    created_by: str | None = None,
    state: str = "running",
    given: Mapping[str, str] | None = None,
) -> BatchHead:
    """Store a new batch with its items and return its head; it is this user's, unless told.

    ``given`` has, by APN, what a person wrote otherwise than the APN is stored.

    Raises
    ------
    RequestError
        There is a batch of this id already.
    """
    now = datetime.now(UTC)
    batch_id = batch_id or new_batch_id()
    # Made here: who writes next does not wait for it.
    tables = [
        {"batch_logs": make_rows("batch_logs", [_log_row(batch_id, now, "created", "batch made")])},
        *({"items": some} for some in make_items(batch_id, items)),
    ]
    if given:
        written = [(batch_id, apn, identifier) for apn, identifier in given.items()]
        tables[0]["batch_identifiers"] = make_table(LEDGER_SCHEMAS["batch_identifiers"], written)
    if len(tables) > 1:
        tables[:2] = [tables[0] | tables[1]]
    criteria_text = json.dumps(dict(criteria))
    started_at = now if state == "running" else None
    head = BatchHead(
        batch_id=batch_id,
        number=0,
        kind=kind,
        state=state,
        criteria=json.loads(criteria_text),
        created_by=created_by or _user(),
        error=None,
        created_at=now,
        started_at=started_at,
        completed_at=None,
        updated_at=now,
        heartbeat_at=started_at,
    )

    def work(connection: duckdb.DuckDBPyConnection) -> int:
        made = connection.execute(
            "INSERT INTO batch_heads BY NAME SELECT ? AS batch_id,"
            " coalesce(max(number), 0) + 1 AS number, ? AS kind, ? AS state, ? AS criteria,"
            " ? AS created_by, ? AS created_at, ? AS started_at, ? AS updated_at,"
            " ? AS heartbeat_at FROM batch_heads"
            " HAVING NOT coalesce(bool_or(batch_id = ?), false) RETURNING number",
            [
                *(batch_id, kind, state, criteria_text),
                *(head.created_by, now, started_at, now, started_at, batch_id),
            ],
        ).fetchall()
        if not made:
            raise RequestError(f"there is a batch {batch_id!r} already")
        for some in tables:
            feed_tables(connection, store.writer.stored, some)
        return int(made[0][0])

    number = store.writer.submit(work).result()
    # Freed by the thread that took them, and given back at once: it takes nothing of Arrow's again
    # that would do so, and a batch of 100,000 items would begin 17 MB larger.
    tables.clear()
    pa.default_memory_pool().release_unused()
    return replace(head, number=number)


def read_head(store: Reading, batch: str | int) -> BatchHead:
    """Return a batch by id, by number, or the last one that a person started (``"last"``).

    Raises
    ------
    RequestError
        There is no such batch.
    """
    where, params = "WHERE batch_id = $1", [str(batch)]
    if isinstance(batch, bool) or not isinstance(batch, str | int):
        raise RequestError(f"a batch is named by its id, its number or 'last', not by {batch!r}")
    if batch == "last":
        where, params = "ORDER BY kind = 'enhance', number DESC LIMIT 1", []
    elif isinstance(batch, int) or batch.isdecimal():
        where, params = "WHERE number = TRY_CAST($1 AS INTEGER)", [str(batch)]
    rows = store.rows(f"SELECT * FROM batch_heads {where}", params)
    if not rows:
        raise RequestError(f"no batch {batch!r} in {store.path.name}; see kit.batches()")
    return BatchHead(**{**rows[0], "criteria": json.loads(rows[0]["criteria"])})


def set_state(
    store: Store,
    batch_id: str,
    state: str,
    *,
    error: str | None = None,
    log: str | None = None,
    entries: Sequence[LogEntry] = (),
    before: str | None = None,
    unless: Callable[[], bool] = lambda: False,
) -> None:
    """Write a batch's state and, when it ended, the time; ``entries`` and ``log`` go to its log.

    Nothing is written where the state was not ``before``, or ``unless`` holds: both are looked at
    when it is this change's turn.
    """
    now = datetime.now(UTC)
    ended = None if state in ("pending", "running") else now
    rows = [{"batch_id": batch_id, **asdict(entry)} for entry in entries]
    rows.append(_log_row(batch_id, now, state, log or f"batch {state}"))
    lines = make_rows("batch_logs", rows)

    def work(connection: duckdb.DuckDBPyConnection) -> None:
        if unless():
            return
        changed = connection.execute(
            "UPDATE batch_heads SET state = ?, error = ?, completed_at = ?, updated_at = ?,"
            " started_at = CASE WHEN ? = 'running' THEN coalesce(started_at, ?) ELSE started_at END"
            " WHERE batch_id = ? AND coalesce(state = ?, true) RETURNING batch_id",
            [state, error, ended, now, state, now, batch_id, before],
        ).fetchall()
        if changed:
            feed_tables(connection, store.writer.stored, {"batch_logs": lines})

    store.writer.submit(work, batch_id=batch_id).result()


def beat(store: Store, batch_id: str) -> None:
    """Write that the process which runs a batch is alive."""
    now = datetime.now(UTC)
    store.writer.submit(
        lambda connection: connection.execute(
            "UPDATE batch_heads SET heartbeat_at = ?, updated_at = ? WHERE batch_id = ?",
            [now, now, batch_id],
        ).fetchall(),
        batch_id=batch_id,
    )


def note_asked(store: Store, batch_id: str, identity: tuple[str, str]) -> Future[Any]:
    """Write that an item is about to be asked for; the future is done when that is durable.

    One that was under way when its process was killed waits with an attempt.
    """
    return store.writer.submit(
        lambda connection: connection.execute(
            "UPDATE items SET attempts = greatest(attempts, 1)"
            " WHERE batch_id = ? AND source = ? AND key = ?",
            [batch_id, *identity],
        ).fetchall(),
        batch_id=batch_id,
    )


def delete_batch(store: Store, batch_id: str) -> None:
    """Delete a batch with its items, log and figures; what it collected stays."""

    def work(connection: duckdb.DuckDBPyConnection) -> None:
        for table in (
            *("items", "batch_logs", "runs", "evidence", "batch_identifiers", "batch_heads"),
        ):
            connection.execute(f"DELETE FROM {table} WHERE batch_id = ?", [batch_id])

    store.writer.submit(work).result()


def write_log(store: Store, batch_id: str, entries: Sequence[LogEntry]) -> Future[Any]:
    """Append entries to a batch's log; the future is done when they are durable."""
    rows = [{"batch_id": batch_id, **asdict(entry)} for entry in entries]
    lines = make_rows("batch_logs", rows)
    return store.writer.submit(
        lambda connection: feed_tables(connection, store.writer.stored, {"batch_logs": lines}),
        batch_id=batch_id,
    )


def _log_row(batch_id: str, now: datetime, event: str, message: str) -> dict[str, Any]:
    return {"batch_id": batch_id, **asdict(LogEntry(event=event, message=message, logged_at=now))}


def read_items(store: Reading, batch_id: str, where: str = "true") -> list[Item]:
    """Return the items of a batch in their order; ``where`` is a condition over the table."""
    found = store.table(
        f"SELECT {', '.join(_ITEM_COLUMNS)} FROM items WHERE batch_id = $1 AND ({where})"
        " ORDER BY sequence, source, key",
        [batch_id],
    )
    # By column: a dict for each of 100,000 items would be much more than the items are.
    columns = {name: found[name].to_pylist() for name in _ITEM_COLUMNS}
    states = {state.value: state for state in State}
    columns["state"] = [states[state] for state in columns["state"]]
    columns["missing"] = [tuple(missing) for missing in columns["missing"]]
    rows = zip(*columns.values(), strict=True)
    return [Item(**dict(zip(_ITEM_COLUMNS, row, strict=True))) for row in rows]


def count_items(store: Reading, batch_id: str) -> list[tuple[str, str, int]]:
    """Return (source, outcome, items) of a batch, by first appearance of the source.

    The outcome is the state, ``partial`` where tables are missing from what is done, or
    ``replaced``: it failed, and the item of a second way counts in its place.
    """
    found = store.rows(
        f"SELECT source, {OUTCOME} AS outcome, count(*) AS n, min(sequence) AS first"
        " FROM items WHERE batch_id = $1 GROUP BY source, outcome",
        [batch_id],
    )
    # Sorted here: to have DuckDB do it takes it as long again.
    first: dict[str, int] = {}
    for row in found:
        first[row["source"]] = min(first.get(row["source"], row["first"]), row["first"])

    def place(counted: tuple[str, str, int]) -> tuple[int, bool, str, str]:
        source, outcome, _ = counted
        # A second way has the places of the first, which comes before it.
        return first[source], outcome != "replaced", source, outcome

    return sorted([(row["source"], row["outcome"], row["n"]) for row in found], key=place)


def ids_in_state(store: Reading, state: str) -> list[str]:
    """Return the ids of the batches in a state, the oldest first."""
    rows = store.rows("SELECT batch_id FROM batch_heads WHERE state = $1 ORDER BY number", [state])
    return [row["batch_id"] for row in rows]


def pending_ids(store: Reading, ageing_seconds: float, now: datetime | None = None) -> list[str]:
    """Return the ids of the batches that wait for their turn, the most urgent first.

    Of equal ones the older: for each ``ageing_seconds`` that it waits a batch is a rank more urgent.
    """
    rows = store.rows(
        "SELECT batch_id FROM batch_heads LEFT JOIN (SELECT batch_id, min(priority) AS rank"
        " FROM items WHERE state = 'waiting' GROUP BY batch_id) USING (batch_id)"
        " WHERE state = 'pending' ORDER BY coalesce(rank, 0)"
        " - epoch($1::TIMESTAMPTZ - created_at) / $2::DOUBLE, number",
        [now or datetime.now(UTC), ageing_seconds],
    )
    return [row["batch_id"] for row in rows]


def unfinished_ids(store: Reading) -> list[str]:
    """Return the ids of the batches in which items may still wait, the oldest first."""
    rows = store.rows(
        "SELECT batch_id FROM batch_heads WHERE list_contains($1, state) ORDER BY number",
        [list(UNFINISHED)],
    )
    return [row["batch_id"] for row in rows]


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a user name
        return None
