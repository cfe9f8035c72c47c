"""An owner to be killed: has a cluster collect parcels, and says when it has begun.

Run as ``python owner_run.py STORE ORDER``, where ORDER is JSON: ``sources`` are settings, ``apns``
the parcels, ``cluster`` the scheduler's address.
"""

from __future__ import annotations

import json
import sys

import propkit as pk


def main(path: str, order: dict[str, object]) -> None:
    """Collect until killed."""
    settings = pk.Settings.load(sources=order["sources"])
    with pk.open(path, settings=settings) as kit:
        kit.start(order["apns"], datasets=["parcels"], cluster=order["cluster"]).wait()


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
