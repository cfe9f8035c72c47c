"""What the store has of parcels that are asked first, to see whether a source still gives it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields

from propkit.records import RECORD_TYPES
from propkit.store.database import Store


def filled_columns(
    store: Store, tables: Iterable[str], apns: Sequence[str]
) -> dict[str, dict[str, set[str]]]:
    """Return, by APN and table, the columns in which a stored row of the parcel has a value."""
    found: dict[str, dict[str, set[str]]] = {}
    if not apns:
        return found
    for table in tables:
        kind = RECORD_TYPES.get(table)
        names = [f.name for f in fields(kind) if f.name not in kind.noted] if kind else []
        if "apn" not in names:
            continue
        columns = ", ".join(names)
        for row in store.rows(
            f"SELECT {columns} FROM {table} WHERE apn IN (SELECT unnest($1))", [list(apns)]
        ):
            filled = found.setdefault(row["apn"], {}).setdefault(table, set())
            filled.update(name for name in names if row[name] not in (None, "", []))
    return found


def last_pages(store: Store, source: str, keys: Sequence[str]) -> dict[str, set[str]]:
    """Return, by key, the names of the pages of a source's last answer."""
    if not keys:
        return {}
    rows = store.rows(
        "SELECT key, list(DISTINCT page) AS pages FROM ("
        "  FROM fetches WHERE source = $1 AND key IN (SELECT unnest($2))"
        "  QUALIFY batch_id = arg_max(batch_id, fetched_at) OVER (PARTITION BY key))"
        " GROUP BY key",
        [source, list(keys)],
    )
    return {row["key"]: set(row["pages"]) for row in rows}
