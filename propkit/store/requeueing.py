"""Items of a batch that does not run: which of them wait again, and which need not."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import duckdb

from propkit.store.database import Store

_Step = tuple[str, Sequence[Any]]
"""A statement, and what its placeholders stand for."""

_AGAIN = (
    "state = 'waiting', failure_class = NULL, error = NULL, started_at = NULL, ended_at = NULL,"
    " replaced_by = NULL"
)


def requeue_cancelled(store: Store, batch_id: str) -> None:
    """Move a batch's cancelled items to waiting."""
    sql = f"UPDATE items SET {_AGAIN} WHERE batch_id = ? AND state = 'cancelled'"
    _change_items(store, batch_id, (sql, [batch_id]))


def requeue_failed(
    store: Store,
    batch_id: str,
    ways: Mapping[str, Sequence[str]],
    failure_classes: Sequence[str] | None = None,
) -> None:
    """Move a batch's failed items, or those of some failure classes, to waiting.

    What a later way has delivered is not asked for again. Where they failed, or wait, the first
    way is asked again, and what the others came to is forgotten: should the first one fail again,
    they are asked again, too. ``ways`` has the second ways by source.
    """
    is_class = "coalesce(list_contains($2::VARCHAR[], {0}.failure_class), true)"
    requeue = (
        "WITH RECURSIVE turns AS ("
        " SELECT source, key, replaced_by AS way FROM items"
        " WHERE batch_id = $1 AND replaced_by IS NOT NULL"
        " UNION SELECT turns.source, turns.key, items.replaced_by FROM turns JOIN items"
        " ON batch_id = $1 AND items.source = way AND items.key = turns.key"
        " WHERE replaced_by IS NOT NULL),"
        " later AS (SELECT turns.source, turns.key,"
        " bool_or(state IN ('done', 'not_found', 'skipped')) AS is_given,"
        f" bool_or(state = 'failed' AND {is_class.format('items')}) AS is_wanted"
        " FROM turns JOIN items ON batch_id = $1 AND items.source = way AND items.key = turns.key"
        " GROUP BY ALL),"
        " again AS (SELECT source, key FROM items LEFT JOIN later USING (source, key)"
        " WHERE batch_id = $1 AND state = 'failed' AND is_given IS DISTINCT FROM true"
        f" AND ({is_class.format('items')} OR is_wanted))"
        f" UPDATE items SET {_AGAIN} FROM again WHERE items.batch_id = $1"
        " AND items.source = again.source AND items.key = again.key"
    )
    forget = (
        "DELETE FROM items USING (SELECT unnest($2::VARCHAR[][]) AS way) AS ways, items AS first"
        " WHERE items.batch_id = $1 AND items.state IN ('waiting', 'failed', 'cancelled')"
        " AND items.source = way[2] AND first.source = way[1] AND first.state = 'waiting'"
        " AND first.batch_id = items.batch_id AND first.key = items.key"
    )
    # Two first ways may share a second one, which was forgotten for one of them only.
    heal = (
        "UPDATE items SET replaced_by = NULL WHERE batch_id = $1 AND replaced_by IS NOT NULL"
        " AND NOT EXISTS (FROM items AS second WHERE second.batch_id = $1"
        " AND second.source = items.replaced_by AND second.key = items.key)"
    )
    pairs = [[first, second] for first, others in ways.items() for second in others]
    steps: list[_Step] = [(forget, [batch_id, pairs]), (heal, [batch_id])] if pairs else []
    _change_items(store, batch_id, (requeue, [batch_id, failure_classes]), *steps)


def write_repeated(store: Store, batch_id: str, prices: Mapping[str, Decimal]) -> None:
    """Add to a batch's criteria what its waiting items cost when they were asked before.

    ``prices`` are credits by source.
    """

    def work(connection: duckdb.DuckDBPyConnection) -> None:
        asked = connection.execute(
            "UPDATE items SET attempts = 0 WHERE batch_id = ? AND state = 'waiting'"
            " AND attempts > 0 AND list_contains(?::VARCHAR[], source) RETURNING source",
            [batch_id, list(prices)],
        ).fetchall()
        if not asked:
            return
        criteria = "SELECT criteria FROM batch_heads WHERE batch_id = ?"
        head = json.loads(connection.execute(criteria, [batch_id]).fetchall()[0][0])
        cost = sum([prices[source] for (source,) in asked])
        head["credits_repeated"] = str(cost + Decimal(head.get("credits_repeated", 0)))
        connection.execute(
            "UPDATE batch_heads SET criteria = ? WHERE batch_id = ?", [json.dumps(head), batch_id]
        )

    if prices:
        store.writer.submit(work).result()


def skip_collected(
    store: Store,
    batch_id: str,
    *,
    since: datetime,
    rolls: Sequence[str],
    keyed: Mapping[str, str],
    ways: Mapping[str, Sequence[str]],
) -> None:
    """Skip a batch's waiting items that have been collected whole since then.

    ``rolls`` are the sources whose answers lead to others, and ``keyed`` those others, with the
    column of ``parcels`` that holds their key: where one has not been asked since, so is the roll
    again. ``ways`` has, by source, the other ways that give all that is wanted of it.
    """
    unasked = "SELECT apn FROM parcels WHERE false" + "".join(
        f" UNION SELECT apn FROM parcels WHERE {column} NOT IN"
        " (SELECT key FROM freshness WHERE source = ? AND checked_at > ?)"
        for column in keyed.values()
    )
    skip = (
        "UPDATE items SET state = 'skipped', ended_at = now(),"
        " error = 'fresh: collected by another batch meanwhile'"
        " FROM (FROM freshness SELECT source, key, max(checked_at) AS checked_at,"
        " arg_max(missing, checked_at) AS missing GROUP BY ALL) AS newest{0}"
        " WHERE items.batch_id = ? AND items.state = 'waiting'"
        " AND {1} AND newest.key = items.key"
        " AND newest.checked_at > ? AND len(newest.missing) = 0"
        f" AND NOT (list_contains(?::VARCHAR[], items.source) AND items.apn IN ({unasked}))"
    )
    params: list[Any] = [
        batch_id,
        since,
        rolls,
        *[value for source in keyed for value in (source, since)],
    ]
    steps: list[_Step] = [(skip.format("", "newest.source = items.source"), params)]
    if pairs := [[first, second] for first, others in ways.items() for second in others]:
        by_second = "way[1] = items.source AND newest.source = way[2]"
        joined = ", (SELECT unnest(?::VARCHAR[][]) AS way) AS ways"
        steps.append((skip.format(joined, by_second), [pairs, *params]))
    _change_items(store, batch_id, *steps)


def cancel_waiting(store: Store, batch_id: str) -> None:
    """Move a batch's waiting items to cancelled."""
    cancel = (
        "UPDATE items SET state = 'cancelled', failure_class = 'cancelled', ended_at = ?"
        " WHERE batch_id = ? AND state = 'waiting'"
    )
    _change_items(store, batch_id, (cancel, [datetime.now(UTC), batch_id]))


def _change_items(store: Store, batch_id: str, *steps: _Step) -> None:
    """Change items of a batch outside of a run, and say so in its head."""
    now = datetime.now(UTC)

    def work(connection: duckdb.DuckDBPyConnection) -> None:
        for sql, params in steps:
            connection.execute(sql, params)
        connection.execute(
            "UPDATE batch_heads SET updated_at = ? WHERE batch_id = ?", [now, batch_id]
        )

    store.writer.submit(work).result()
