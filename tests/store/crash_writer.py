"""A writer to be killed: stores a batch's items and says which are acknowledged.

Run as ``python crash_writer.py STORE ITEMS MOST``; the parent kills it in mid-run. However late
that is, it has not stored more than ``MOST`` items.
"""

from __future__ import annotations

import sys

from propkit.items import Item
from propkit.store import Store, writer
from propkit.store.batches import read_items
from tests.store.made import ASSESSOR, RECORDER, batch_of, page, parcel, payments, result

ACKNOWLEDGED_EVERY = 10


def main(path: str, count: int, most: int) -> None:
    """Store ``most`` of the items that wait; the batch is made at the first run."""
    writer.GROUP_ITEMS = 7  # groups end between the acknowledgements
    store = Store.open(path)
    if not store.rows("SELECT batch_id FROM batch_heads"):
        batch_of(store, *[f"p{number:04}" for number in range(count)])
    batch = store.rows("SELECT batch_id FROM batch_heads")[0]["batch_id"]
    waiting = [item.key for item in read_items(store, batch) if item.state.value == "waiting"]
    parcels = [key for key in waiting if key.startswith("p")]
    for number, key in enumerate(parcels[:most], start=1):
        deed = Item(source=RECORDER, key=f"d{key}", apn=key, sequence=count + number)
        store.writer.put(
            result(
                key,
                [parcel(key, "SMITH"), *payments(key, 2025, 1, 2)],
                batch_id=batch,
                source=ASSESSOR,
                pages=[page(f'{{"apn": "{key}"}}'.encode()), page(b"same for all", name="extra")],
                follow_ups=[deed],
            )
        )
        if number % ACKNOWLEDGED_EVERY == 0:
            store.writer.flush().result()
            print(key, flush=True)  # noqa: T201 -- the parent reads it
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
