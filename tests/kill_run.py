"""A run to be killed: collects a batch, or goes on with it, and says how far it is.

Run as ``python kill_run.py STORE ORDER``, where ORDER is JSON: ``sources`` and ``collect`` are
settings, ``apns`` the parcels, ``group_items`` how many items the writer commits at once. It says
on lines of JSON what is stored already, and then how many requests were made and how many items
committed, until the batch is at an end; then it waits for its standard input to close. The parent
kills it in between.
"""

from __future__ import annotations

import json
import sys

import propkit as pk
from propkit.items import ENDED
from propkit.runtime.batch import Batch
from propkit.sources import configure_sources
from propkit.store import Store, writer

LINE_SECONDS = 0.03


def main(path: str, order: dict[str, object]) -> None:
    """Collect what the batch has left; it is made at the first run."""
    if order["group_items"]:
        writer.GROUP_ITEMS = order["group_items"]
    say(requests=0)
    settings = pk.Settings.load(sources=order["sources"], collect=order["collect"])
    configs = configure_sources(settings)
    sources = {n: c for n, c in configs.items() if c.source.transport != "browser"}
    with pk.Kit(Store.open(path), settings, sources) as kit:
        say(stored=stored_items(kit), duplicates=kit.store.duplicates())
        is_new = kit.batches().empty
        batch = kit.start(order["apns"]) if is_new else kit.batch("last").resume()
        follow(kit, batch)
        say(state=batch.state)
        sys.stdin.read()


def stored_items(kit: pk.Kit) -> list[tuple[str, str]]:
    """Return source and key of every item that ended."""
    ended = [state.value for state in ENDED]
    rows = kit.store.rows("SELECT source, key FROM items WHERE list_contains($1, state)", [ended])
    return [(row["source"], row["key"]) for row in rows]


def follow(kit: pk.Kit, batch: Batch) -> None:
    """Say again and again how far the batch is, until it is at an end."""
    while True:
        try:
            batch.wait(timeout=LINE_SECONDS)
        except TimeoutError:
            if batch.progress is not None:
                requests = sum(source.requests for source in batch.progress.sources)
                say(requests=requests, committed=kit.store.writer.items)
        else:
            return


def say(**line: object) -> None:
    """Write a line to the parent."""
    print(json.dumps(line), flush=True)  # noqa: T201 -- the parent reads it


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
