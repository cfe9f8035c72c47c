"""The journal of paid requests: written before each one, completed with what came of it.

A purchase is ``asked`` until its outcome is known: ``bought``, ``not_bought`` (certainly refused,
or so says the account), or ``lost`` (paid for, but what was bought never arrived). One that stays
``asked`` when nobody waits for it any more is unsettled.

While what a page brought is written, the next may be asked for: so at most two are ``asked`` at a
source, and the older of two was certainly answered, for only then is the newer written down.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from operator import attrgetter
from typing import Any

import duckdb

from propkit.criteria import Criteria, read_criteria
from propkit.errors import RequestError
from propkit.store.database import Store
from propkit.store.reading import Reading
from propkit.store.replacing import make_table
from propkit.store.results import Settlement, feed_tables, replace_rows, settle_purchase
from propkit.store.schema import LEDGER_SCHEMAS

_SCHEMA = LEDGER_SCHEMAS["purchases"]
_get_row = attrgetter(*_SCHEMA.names)

PAID = ("asked", "bought", "lost")
"""States in which a purchase counts as paid: it was, or may have been."""

_IS_LOST = (
    "state = 'lost' AND NOT EXISTS (FROM purchases AS later"
    " WHERE later.batch_id = purchases.batch_id AND later.key = purchases.key"
    " AND later.state IN ('bought', 'lost') AND later.asked_at > purchases.asked_at)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """One paid request. Times are aware UTC, costs USD; ``free_*`` is what is left of the quota.

    ``batch_id`` is None for what was not bought by a batch. ``records`` is how many arrived;
    of what was ``lost``, how many were paid for. ``settled_by`` is who said what came of it, where
    no answer did: ``account`` or ``person``.
    """

    purchase_id: str = field(default_factory=lambda: secrets.token_hex(6))
    batch_id: str | None = None
    source: str
    kind: str
    key: str
    state: str = "asked"
    records_asked: int
    records: int | None = None
    cost_expected: Decimal = Decimal(0)
    cost: Decimal | None = None
    free_before: int | None = None
    free_after: int | None = None
    error: str | None = None
    asked_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    answered_at: datetime | None = None
    settled_by: str | None = None


@dataclass(frozen=True, slots=True)
class Spent:
    """How many records were paid for, or may have been, and what they cost."""

    records: int
    cost: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchased:
    """What a batch has bought until now, of the leads that it was ordered to buy.

    ``leads`` have come, in so many ``pages``; ``expected`` are those there were when it was ordered,
    as far as its cap goes. ``charged`` are the records that the source has charged, to the quota or
    for ``cost`` (USD): more than the leads where a page was lost. Of the
    ``unsettled`` leads it is not known whether they were bought; the ``lost`` ones are paid for and
    have never arrived.
    """

    leads: int
    expected: int
    pages: int
    charged: int
    cost: Decimal
    unsettled: int
    lost: int


def write_intent(store: Store, purchase: Purchase, answered: str | None = None) -> Future[Any]:
    """Write down what is about to be paid for; the future is done when that is durable.

    It goes ahead of results that wait for the writer. ``answered`` is the purchase before, whose
    outcome is among those. The future's result is another purchase at that source, if any, whose
    outcome is not known: then nothing was written.
    """
    row = make_table(_SCHEMA, [_get_row(purchase)])

    def work(connection: duckdb.DuckDBPyConnection) -> str | None:
        asked = connection.execute(
            "SELECT purchase_id FROM purchases WHERE source = ? AND state = 'asked'",
            [purchase.source],
        ).fetchall()
        for (purchase_id,) in asked:
            if purchase_id not in (answered, purchase.purchase_id):
                return str(purchase_id)
        if (purchase.purchase_id,) not in asked:
            feed_tables(connection, store.writer.stored, {"purchases": row})
        return None

    return store.writer.submit(work, is_ahead=True, batch_id=purchase.batch_id)


def write_settlement(store: Store, settlement: Settlement) -> Future[Any]:
    """Write what came of a purchase, alone."""
    return store.writer.submit(lambda connection: settle_purchase(connection, settlement))


def note_error(store: Store, purchase: Purchase, error: str) -> Future[Any]:
    """Write why the outcome of a purchase is not known."""

    def work(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute(
            "UPDATE purchases SET error = ? WHERE purchase_id = ?", [error, purchase.purchase_id]
        ).fetchall()

    return store.writer.submit(work)


def write_persons(
    store: Store, rows: Sequence[dict[str, Any]], settlement: Settlement
) -> Future[Any]:
    """Write persons, and what came of the purchase that brought them, in one transaction.

    Who was unlocked keeps the lead, the numbers and the addresses that are known already.
    """

    def work(connection: duckdb.DuckDBPyConnection) -> None:
        known = {
            key: (radar_id, phones, emails)
            for key, radar_id, phones, emails in connection.execute(
                "SELECT person_key, radar_id, phones, emails FROM lead_persons"
                " WHERE list_contains(?, person_key)",
                [[row["person_key"] for row in rows]],
            ).fetchall()
        }
        merged = []
        for row in rows:
            radar_id, phones, emails = known.get(row["person_key"], ("", [], []))
            merged.append(
                {
                    **row,
                    "radar_id": row["radar_id"] or radar_id,
                    "phones": row["phones"] or phones,
                    "emails": row["emails"] or emails,
                }
            )
        replace_rows(connection, "lead_persons", merged, "person_key")
        settle_purchase(connection, settlement)

    return store.writer.submit(work)


def read_purchases(store: Store, where: str = "true", params: Sequence[Any] = ()) -> list[Purchase]:
    """Return purchases, the oldest first; ``where`` is a condition over the table."""
    rows = store.rows(
        f"SELECT * FROM purchases WHERE {where} ORDER BY asked_at, purchase_id", list(params)
    )
    return [Purchase(**row) for row in rows]


def unsettled(store: Store, source: str) -> list[Purchase]:
    """Return the purchases at a source whose outcome is not known."""
    return read_purchases(store, "source = $1 AND state = 'asked'", [source])


def lost_pages(store: Store, source: str) -> list[Purchase]:
    """Return the pages that were paid for and never arrived, also not later."""
    return read_purchases(store, f"source = $1 AND kind = 'leads' AND {_IS_LOST}", [source])


def read_purchased(
    store: Reading, batch_id: str, kind: str, criteria: Mapping[str, Any]
) -> Purchased | None:
    """Return what a batch has bought of the order in its criteria; None of one that buys no leads."""
    if kind != "leads":
        return None
    order = criteria["order"]
    (row,) = store.rows(
        "SELECT coalesce(sum(records) FILTER (state = 'bought'), 0)::BIGINT AS leads,"
        " count(*) FILTER (state = 'bought' AND records > 0) AS pages,"
        " coalesce(sum(coalesce(records, records_asked)) FILTER (state IN ('bought', 'lost')), 0)"
        "::BIGINT AS charged,"
        " coalesce(sum(coalesce(cost, cost_expected)) FILTER (state IN ('bought', 'lost')), 0)"
        "::DECIMAL(14, 2) AS cost,"
        " coalesce(sum(records_asked) FILTER (state = 'asked'), 0)::BIGINT AS unsettled,"
        f" coalesce(sum(coalesce(records, records_asked)) FILTER ({_IS_LOST}), 0)::BIGINT AS lost"
        " FROM purchases WHERE batch_id = $1 AND kind = 'leads'",
        [batch_id],
    )
    return Purchased(expected=min(order["total"], order["max_records"]), **row)


def spent(store: Store, batch_id: str, since: datetime | None = None) -> Spent:
    """Return what a batch has paid for, or may have, since then."""
    row = store.rows(
        "SELECT coalesce(sum(coalesce(records, records_asked)), 0)::BIGINT AS records,"
        " coalesce(sum(coalesce(cost, cost_expected)), 0)::DECIMAL(14, 2) AS cost FROM purchases"
        " WHERE batch_id = $1 AND list_contains($2, state)"
        " AND coalesce(asked_at >= $3::TIMESTAMPTZ, true)",
        [batch_id, list(PAID), since],
    )[0]
    return Spent(records=row["records"], cost=row["cost"])


def keep_criteria(store: Store, criteria: Criteria) -> Future[None]:
    """Keep criteria under their id; the future is done when that is durable."""
    row = {"criteria_id": criteria.id, "criteria": criteria.json, "created_at": datetime.now(UTC)}
    return store.writer.submit(
        lambda connection: replace_rows(connection, "lead_criteria", [row], "criteria_id")
    )


def find_criteria(store: Store, criteria_id: str) -> Criteria:
    """Return criteria by id; RequestError where the store has none of it."""
    rows = store.rows("SELECT criteria FROM lead_criteria WHERE criteria_id = $1", [criteria_id])
    if not rows:
        raise RequestError(f"no criteria {criteria_id!r} in {store.path.name}")
    return read_criteria(json.loads(rows[0]["criteria"]))
