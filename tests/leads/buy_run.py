"""A purchase to be killed: settles, then buys leads, or goes on with it.

Run as ``python buy_run.py STORE ORDER``, where ORDER is JSON: ``settings`` for the kit,
``criteria``, ``page_size`` and ``caps``. It says on lines of JSON what settling found, when the
batch runs, and how it ended; then it waits for its standard input to close. The parent kills it in
between.
"""

from __future__ import annotations

import json
import sys

import propkit as pk
from propkit.sources import configure_sources
from propkit.store import Store


def main(path: str, order: dict[str, object]) -> None:
    """Buy what is left; the batch is made at the first run."""
    settings = pk.Settings.load(**order["settings"])
    with pk.Kit(Store.open(path), settings, configure_sources(settings)) as kit:
        say(settled=list(kit.settle()["verdict"]))
        if kit.batches().empty:
            batch = kit.leads(
                order["criteria"], purchase=True, page_size=order["page_size"], **order["caps"]
            )
        else:
            batch = kit.batch("last").resume()
        say(running=True)
        batch.wait()
        say(state=batch.state, error=batch.head.error)
        sys.stdin.read()


def say(**line: object) -> None:
    """Write a line to the parent."""
    print(json.dumps(line), flush=True)  # noqa: T201 -- the parent reads it


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
