"""Shared by the tests of the store: results as a collector hands them to the writer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from propkit.items import Item, State
from propkit.pages import Page
from propkit.records import Parcel, Record, TaxPayment
from propkit.store import Result, Store, writer
from propkit.store.batches import create_batch

if TYPE_CHECKING:
    from collections.abc import Sequence

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
ASSESSOR, TREASURER, RECORDER = "maricopa_assessor", "maricopa_treasurer", "maricopa_recorder"


def noon(seconds: float = 0) -> datetime:
    """Return a moment so many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


def page(body: bytes, *, name: str = "parcel", at: datetime = NOON) -> Page:
    """Return an answer with this body."""
    return Page(
        name=name,
        url=f"http://localhost/{name}",
        fetched_at=at,
        status=200,
        content_type="application/json",
        body=body,
    )


def parcel(apn: str, owner: str | None = None) -> Parcel:
    """Return a parcel of this owner."""
    return Parcel(apn=apn, county="maricopa", owner_name=owner)


def payments(apn: str, year: int, *amounts: int) -> list[TaxPayment]:
    """Return one payment for each amount of dollars, numbered from 1."""
    return [
        TaxPayment(apn=apn, tax_year=year, number=number, amount=Decimal(amount))
        for number, amount in enumerate(amounts, start=1)
    ]


def result(
    key: str,
    records: Sequence[Record] = (),
    *,
    batch_id: str = "b1",
    source: str = ASSESSOR,
    at: datetime | None = NOON,
    pages: Sequence[Page] = (),
    follow_ups: Sequence[Item] = (),
    **item: Any,
) -> Result:
    """Return what an item of a batch leaves behind; it is done unless a state is given."""
    ended = {"state": State.DONE, "attempts": 1, "ended_at": at, **item}
    return Result(
        batch_id=batch_id,
        item=Item(source=source, key=key, apn=key, **ended),
        parser_version=1,
        pages=pages,
        records=records,
        follow_ups=follow_ups,
        checked_at=at,
    )


def batch_of(store: Store, *keys: str, source: str = ASSESSOR, **item: Any) -> str:
    """Store a batch with one waiting item for each key; return its id."""
    items = [
        Item(source=source, key=key, apn=key, sequence=number, **item)
        for number, key in enumerate(keys)
    ]
    return create_batch(
        store,
        items,
        kind="collect",
        criteria={"sources": [source], "workers": 3},
    ).batch_id


def write(store: Store, *results: Result) -> None:
    """Write results as one group, however slowly they come, and wait until they are committed."""
    before, writer.GROUP_SECONDS = writer.GROUP_SECONDS, 3600.0
    try:
        for each in results:
            store.writer.put(each)
        store.writer.flush().result(timeout=60)
    finally:
        writer.GROUP_SECONDS = before


def bodies(store: Store) -> list[bytes]:
    """Return all bodies of answers that a store has kept, in order."""
    digests = [row["sha256"] for row in store.rows("SELECT sha256 FROM payloads")]
    return sorted(store.bodies(digests).values())
