"""A writer that runs into trouble: stores items until it cannot, and says which are durable.

Run as ``python trouble_writer.py STORE BYTES``: no file may become longer than so many bytes; 0 is
no limit. It prints each acknowledged key, then ``refused`` with the error, or ``closed``; with
``wait`` as a third argument it waits for a line on its input after the first acknowledgement.
"""

from __future__ import annotations

import random
import resource
import signal
import sys

from propkit.errors import StoreError
from propkit.store import Store, writer
from tests.store.made import page, parcel, payments, result

ITEMS = 400
FLUSHED_EVERY = 5


def main(path: str, most_bytes: int, *, waits: bool) -> None:
    """Store items with bodies that cannot be compressed, flush and tell."""
    writer.GROUP_ITEMS = 3
    store = Store.open(path)
    if most_bytes:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # else the limit kills, unlike a full disk
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    noise = random.Random(1)
    try:
        for number in range(ITEMS):
            key = f"p{number:04}"
            records = [parcel(key, "SMITH"), *payments(key, 2025, 1, 2)]
            pages = [page(b"\xff" + noise.randbytes(20_000))]
            store.writer.put(result(key, records, pages=pages))
            if number % FLUSHED_EVERY == FLUSHED_EVERY - 1:
                store.writer.flush().result(timeout=60)
                print(key, flush=True)  # noqa: T201 -- the parent reads it
                if waits and number < FLUSHED_EVERY:
                    sys.stdin.readline()
    except StoreError as error:
        print(f"refused {error}", flush=True)  # noqa: T201 -- as above
    store.close()
    print("closed", flush=True)  # noqa: T201 -- as above


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), waits="wait" in sys.argv)
