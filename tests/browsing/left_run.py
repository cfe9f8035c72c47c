"""Collects in a browser until it is ended from outside: run by the tests of what is left behind.

``python left_run.py COUNTY_SETTINGS STORE APN…`` prints the browser's process id when its first
item is done. How it is to end is read from its input: "return" (without closing the kit), anything
else is waited for.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

import propkit as pk


def main() -> None:
    sources, store, *apns = sys.argv[1:]
    kit = pk.open(Path(store), settings=pk.Settings.load(sources=json.loads(sources)))
    done = threading.Event()
    kit.start(
        apns,
        datasets="tax_bills",
        mode="browser",
        listener=lambda event: event.ended and done.set(),
    )
    done.wait(60)
    pool = kit._place.collector()[0].browsers
    sys.stdout.write(json.dumps([engine.tree.pid for engine in pool.engines]) + "\n")
    sys.stdout.flush()
    sys.stdin.readline()


main()
