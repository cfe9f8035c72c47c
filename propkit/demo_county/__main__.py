"""Run the demo county as a process of its own: `python -m propkit.demo_county --port 8900`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from urllib.request import Request

from propkit.demo_county.county import opener, start_county
from propkit.demo_county.server import run_county


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to end; return 0, or 2 for bad input with one sentence on stderr."""
    parser = argparse.ArgumentParser(prog="propkit county", description=__doc__)
    parser.add_argument("--port", type=int, default=8900, help="0 takes a free port")
    parser.add_argument("--parcels", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--faults", help="a JSON file: fault rules, or an object of switches")
    parser.add_argument("--switches", default="{}", help="switches as a JSON object")
    parser.add_argument("--end-with-stdin", action="store_true", help="end when stdin closes")
    parser.add_argument("--time", action="store_true", help="only say how long a start takes")
    options = parser.parse_args(arguments)
    try:
        if options.time:
            sys.stdout.write(f"{time_start(options.parcels, options.seed)}\n")
            return 0
        run_county(
            port=options.port,
            parcels=options.parcels,
            seed=options.seed,
            faults_file=options.faults,
            switches=json.loads(options.switches),
            end_with_stdin=options.end_with_stdin,
        )
    except (OSError, ValueError) as error:
        sys.stderr.write(f"propkit county: {error}\n")
        return 2
    return 0


def time_start(parcels: int, seed: int) -> str:
    """Start a county of its own and say after how many seconds it had answered a request."""
    started = time.monotonic()
    with start_county(parcels=parcels, seed=seed) as county:
        request = Request(f"{county.base_url('assessor')}/parcel/{county.apns(1)[0]}")  # noqa: S310
        request.add_header("AUTHORIZATION", county.token or "")
        with opener.open(request, timeout=60) as answer:
            status = answer.status
    seconds = time.monotonic() - started
    return f"{parcels:,} parcels: started, answered {status} and ended in {seconds:.2f} s"


if __name__ == "__main__":
    sys.exit(main())
