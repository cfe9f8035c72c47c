"""The ledger of postings: written before each step that publishes, completed with what came of it.

A posting is an ``intent``, then ``sent`` (the last click may have been made), then ``confirmed``
(the listing is published), ``failed`` (certainly not) or ``unknown`` (nobody could tell). An
``intent`` whose run has died was never sent: the ledger says ``sent`` before the click. Its key is
the sheet, the row's key and the content's hash. ``is_told`` says whether the sheet has the outcome.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, date, datetime
from typing import Any, Protocol, runtime_checkable

import duckdb

from propkit.errors import RequestError
from propkit.store.database import Store
from propkit.store.reading import Reading
from propkit.store.results import append_rows

OPEN_STATES = ("sent", "unknown")
"""States in which the listing may be published, and is not known to be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Posting:
    """One time that a listing was to be published. Times are aware UTC.

    ``attempt`` counts the row's attempts, over all runs. ``posted_on`` is the day of ``posted_at``
    on this computer. ``settled_by`` is who said what came of it: ``poster``, ``find`` (the account's
    own listings) or ``person``.
    """

    posting_id: str = field(default_factory=lambda: secrets.token_hex(6))
    run_id: str
    poster: str
    sheet: str
    row_key: str
    content_sha256: str
    title: str
    state: str = "intent"
    attempt: int = 1
    url: str | None = None
    posted_at: datetime | None = None
    posted_on: date | None = None
    error: str | None = None
    intent_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    sent_at: datetime | None = None
    ended_at: datetime | None = None
    settled_by: str | None = None
    is_told: bool = False


CHANGES = ("write_posting", "mark_told", "start_run", "end_run")
"""What the ledger is changed by; a guest has it done by the store's owner."""


@runtime_checkable
class HeldElsewhere(Protocol):
    """A store that another process may hold: it has the ledger changed there."""

    def change_postings(self, change: str, given: Mapping[str, Any]) -> Future[Any]:
        """Have one of :data:`CHANGES` made with what is given; done when that is durable."""
        ...


def change_postings(store: Reading, change: str, given: Mapping[str, Any]) -> Future[Any]:
    """Make one of :data:`CHANGES`; the future is done when it is durable.

    Raises
    ------
    RequestError
        There is no such change.
    """
    if isinstance(store, HeldElsewhere):
        return store.change_postings(change, given)
    if not isinstance(store, Store) or change not in CHANGES:
        raise RequestError(f"the ledger of postings knows no change {change!r}")
    make = {
        "write_posting": _write_posting,
        "mark_told": _mark_told,
        "start_run": _start_run,
        "end_run": _end_run,
    }[change]
    return store.writer.submit(lambda connection: make(connection, given))


def write_posting(store: Reading, posting: Posting) -> Future[Any]:
    """Write a posting as it now is; the future is done when that is durable."""
    return change_postings(store, "write_posting", asdict(posting))


def mark_told(store: Reading, posting_ids: Collection[str]) -> Future[Any]:
    """Write down that the sheet has the outcome of these."""
    return change_postings(store, "mark_told", {"posting_ids": list(posting_ids)})


def read_postings(
    store: Reading, poster: str, sheet: str, row_keys: Collection[str]
) -> list[Posting]:
    """Return what was posted of these rows, in any sheet, by attempt; this sheet's wholly.

    Of other sheets only what is published, or may be, is returned: a copy under another name.
    """
    rows = store.rows(
        "SELECT * FROM postings WHERE poster = $1 AND (sheet = $2 OR (list_contains($3, row_key)"
        " AND state IN ('sent', 'unknown', 'confirmed'))) ORDER BY attempt, intent_at",
        [poster, sheet, list(row_keys)],
    )
    return [Posting(**row) for row in rows]


def known_urls(store: Reading, poster: str) -> set[str]:
    """Return the addresses of everything that is known to be published by a poster."""
    rows = store.rows(
        "SELECT DISTINCT url FROM postings"
        " WHERE poster = $1 AND state = 'confirmed' AND url IS NOT NULL",
        [poster],
    )
    return {row["url"] for row in rows}


def find_open_repost(store: Reading, poster: str, sheet: str) -> str | None:
    """Return the id of the sheet's last repost, where that did not come to its end."""
    rows = store.rows(
        "SELECT run_id, ended_at FROM posting_runs WHERE poster = $1 AND sheet = $2"
        " AND is_repost ORDER BY started_at DESC LIMIT 1",
        [poster, sheet],
    )
    return str(rows[0]["run_id"]) if rows and rows[0]["ended_at"] is None else None


def start_run(store: Reading, run_id: str, poster: str, sheet: str, *, is_repost: bool) -> None:
    """Write down that a run begins; one that goes on has begun already."""
    row = {
        "run_id": run_id,
        "poster": poster,
        "sheet": sheet,
        "is_repost": is_repost,
        "started_at": datetime.now(UTC),
        "ended_at": None,
    }
    change_postings(store, "start_run", row).result()


def end_run(store: Reading, run_id: str) -> Future[Any]:
    """Write down that a run came to its end."""
    return change_postings(store, "end_run", {"run_id": run_id, "ended_at": datetime.now(UTC)})


_FORGET = "DELETE FROM postings WHERE posting_id = ?"
_WRITE = (
    f"INSERT INTO postings ({', '.join(one.name for one in fields(Posting))})"
    f" VALUES ({', '.join('?' * len(fields(Posting)))})"
)


def _write_posting(connection: duckdb.DuckDBPyConnection, given: Mapping[str, Any]) -> None:
    row = asdict(Posting(**given))
    connection.execute(_FORGET, [row["posting_id"]]).fetchall()
    connection.execute(_WRITE, list(row.values())).fetchall()


def _mark_told(connection: duckdb.DuckDBPyConnection, given: Mapping[str, Any]) -> None:
    connection.execute(
        "UPDATE postings SET is_told = true WHERE list_contains(?, posting_id)",
        [given["posting_ids"]],
    ).fetchall()


def _start_run(connection: duckdb.DuckDBPyConnection, given: Mapping[str, Any]) -> None:
    asked = "SELECT 1 FROM posting_runs WHERE run_id = ?"
    if not connection.execute(asked, [given["run_id"]]).fetchall():
        append_rows(connection, "posting_runs", [dict(given)])


def _end_run(connection: duckdb.DuckDBPyConnection, given: Mapping[str, Any]) -> None:
    connection.execute(
        "UPDATE posting_runs SET ended_at = ? WHERE run_id = ?",
        [given["ended_at"], given["run_id"]],
    ).fetchall()
