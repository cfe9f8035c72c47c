"""A run that is to be killed, or interrupted: posts a sheet to the site that is a file.

Run as ``python post_run.py ORDER``, where ORDER is JSON: ``sheet``, ``site``, ``ledger``,
``faults`` by row key, and ``kill``: the name of a step and how often it comes before the process
kills itself there. Steps are those of the poster, and ``fsync`` (of the sheet's new file).
``say`` is a step that it tells of. It prints these and its report as JSON, a line each.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import propkit as pk
from propkit.posters import PosterLimits
from tests.posting.site import FakeSite, SitePoster


def main(order: dict[str, object]) -> None:
    """Post, and be killed where that was ordered."""
    step_to_die, left = order.get("kill") or ("", 0)

    def at(step: str) -> None:
        nonlocal left
        left -= step == step_to_die
        if step == step_to_die and left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        if step == order.get("say"):
            say(step)

    real_fsync = os.fsync

    def fsync(handle: int) -> None:
        at("fsync")
        real_fsync(handle)
        at("after_fsync")

    poster = SitePoster(
        FakeSite(Path(order["site"])),
        faults=order.get("faults"),
        limits=PosterLimits(required=("title",), workers=order.get("workers", 1)),
        at=at,
    )
    os.fsync = fsync if "fsync" in step_to_die else real_fsync
    report = pk.run_batch(
        Path(order["sheet"]),
        poster=poster,
        store=Path(order["ledger"]),
        workers=order.get("workers", 1),
        settings=pk.Settings.load(posting={"backoff_initial": 0, "grace_seconds": 0.2}),
    )
    say(
        {
            "state": report.state,
            "outcomes": {one.row_key: one.outcome for one in report.results},
            "message": report.message,
        }
    )


def say(line: object) -> None:
    """Write a line to the parent."""
    print(json.dumps(line), flush=True)  # noqa: T201 -- the parent reads it


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
