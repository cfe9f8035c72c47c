"""The items of batches, which of them count, and the views that count them.

A failed item in whose place a second way was asked is replaced: it stays as it ended, ``failed``
with its class, and names the second way's source in ``replaced_by``. It does not count: the second
way's item does, so that each parcel at each office counts once, by its best way. That is decided
here: what counts items reads the view ``counted_items``, or tells by ``replaced_by`` which do not.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

_TIME = pa.timestamp("us", tz="UTC")

JOB_STATE: Final = """CASE state WHEN 'running' THEN 'PROCESSING' WHEN 'completed' THEN 'COMPLETED'
    WHEN 'cancelled' THEN 'CANCELLED' WHEN 'pending' THEN 'PENDING'
    WHEN 'interrupted' THEN 'PENDING' ELSE 'FAILED' END"""
"""The state of a batch as a job. It stands in a view, too: who changes it makes the view anew."""

OUTCOME: Final = """CASE WHEN replaced_by IS NOT NULL THEN 'replaced'
    WHEN state = 'done' AND len(missing) > 0 THEN 'partial' ELSE state END"""
"""How an item stands in a count by source: ``replaced`` and ``partial`` besides the states."""

ITEM_VIEWS: Final = f"""
    CREATE VIEW counted_items AS FROM items WHERE replaced_by IS NULL;
    CREATE OR REPLACE VIEW batches AS
        SELECT b.batch_id, b.number, b.kind, b.state, b.criteria, b.created_by, b.error,
            count(i.state) FILTER (WHERE i.replaced_by IS NULL) AS total,
            count(*) FILTER (WHERE i.state = 'waiting') AS waiting,
            count(*) FILTER (WHERE i.state = 'done') AS done,
            count(*) FILTER (WHERE i.state = 'done' AND len(i.missing) > 0) AS partial,
            count(*) FILTER (WHERE i.state = 'not_found') AS not_found,
            count(*) FILTER (WHERE i.state = 'failed' AND i.replaced_by IS NULL) AS failed,
            count(*) FILTER (WHERE i.state = 'cancelled') AS cancelled,
            count(*) FILTER (WHERE i.state = 'skipped') AS skipped,
            b.created_at, b.started_at, b.completed_at, count(i.replaced_by) AS replaced
        FROM batch_heads b LEFT JOIN items i USING (batch_id)
        GROUP BY ALL;
    CREATE OR REPLACE VIEW batch_jobs AS
        SELECT b.batch_id AS id, b.number, b.kind,
            {JOB_STATE.replace("state", "b.state", 1)} AS state, b.criteria,
            count(i.state) AS total,
            count(*) FILTER (WHERE i.state NOT IN ('waiting', 'running')) AS processed,
            count(*) FILTER (WHERE i.state IN ('done', 'not_found', 'skipped'))
                AS success_count,
            count(*) FILTER (WHERE i.state = 'failed') AS error_count,
            b.error AS error_details, b.created_by, b.created_at, b.updated_at, b.started_at,
            b.completed_at
        FROM batch_heads b LEFT JOIN counted_items i USING (batch_id)
        GROUP BY ALL;
"""

SECOND_WAYS: Final = f"""
    ALTER TABLE items ADD COLUMN replaced_by VARCHAR;
    WITH ways AS (
        SELECT batch_id, way.key AS first, unnest(way.value) AS second FROM (
            SELECT batch_id, unnest(map_entries(
                CAST(criteria -> 'fallbacks' AS MAP(VARCHAR, VARCHAR[])))) AS way
            FROM batch_heads WHERE json_type(criteria, '$.fallbacks') = 'OBJECT'))
    UPDATE items SET replaced_by = ways.second FROM ways, items AS other
    WHERE items.state = 'failed' AND items.batch_id = ways.batch_id AND items.source = ways.first
        AND other.batch_id = items.batch_id AND other.source = ways.second
        AND other.key = items.key;
    {ITEM_VIEWS}
"""

ITEMS: Final = pa.schema(
    [
        ("batch_id", pa.string()),
        ("source", pa.string()),
        ("key", pa.string()),
        ("apn", pa.string()),
        ("priority", pa.int32()),
        ("sequence", pa.int32()),
        ("state", pa.string()),
        ("attempts", pa.int32()),
        ("failure_class", pa.string()),
        ("error", pa.string()),
        ("started_at", _TIME),
        ("ended_at", _TIME),
        ("missing", pa.list_(pa.string())),
        ("replaced_by", pa.string()),
    ]
)
