"""Collects an area in a process of its own, which a test kills; says on a line what it does."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import propkit as pk


def say(what: dict[str, Any]) -> None:
    """Say something at once."""
    sys.stdout.write(f"{json.dumps(what)}\n")
    sys.stdout.flush()


def main() -> None:
    """Collect the area, or go on with it, and say how it ended."""
    path, order = Path(sys.argv[1]), json.loads(sys.argv[2])
    with pk.open(path, settings=pk.Settings.load(**order["settings"])) as kit:
        if len(kit.batches()):
            batch = kit.batch("last")
            batch.resume()
        else:
            batch = kit.plan_area(source=order["source"]).start()
        say({"running": batch.id})
        say({"state": batch.wait().state})


if __name__ == "__main__":
    main()
