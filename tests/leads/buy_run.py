"""A purchase to be killed: settles, then buys leads, or goes on with it.

Run as ``python buy_run.py STORE ORDER``, where ORDER is JSON: ``settings`` for the kit,
``criteria``, ``page_size`` and ``caps``; with ``hold_after`` the writer stops before it writes the
page after so many. It says on lines of JSON what settling found, when the batch runs, when the
writer has stopped, and how it ended; then it waits for its standard input to close. The parent
kills it in between.
"""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

import propkit as pk
from propkit.runtime import work
from propkit.sources import configure_sources
from propkit.store import Store, writer
from propkit.traffic import Traffic


def main(path: str, order: dict[str, Any]) -> None:
    """Buy what is left; the batch is made at the first run."""
    if "hold_after" in order:
        hold_writer(order["hold_after"])
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


def hold_writer(pages: int) -> None:
    """Let the writer write so many pages, and stop for ever before the next."""
    write, written = writer.write_results, 0
    # Nothing else, nor the clock, has the page written before the next one is asked for.
    writer.GROUP_SECONDS = work._HEARTBEAT_SECONDS = 3600.0
    Traffic.save = lambda _: None

    def write_or_stop(connection: Any, results: Any, stored: Any) -> None:
        nonlocal written
        written += sum(result.settlement is not None for result in results)
        if written > pages:
            say(held=True)
            threading.Event().wait()
        write(connection, results, stored)

    writer.write_results = write_or_stop


def say(**line: object) -> None:
    """Write a line to the parent."""
    print(json.dumps(line), flush=True)  # noqa: T201 -- the parent reads it


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
