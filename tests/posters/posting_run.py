"""A run to be killed: posts what a listing sheet has left, and ends.

Run as ``python posting_run.py SHEET SETTINGS``, SETTINGS being JSON. The parent kills it in between.
"""

from __future__ import annotations

import json
import sys

import propkit as pk

if __name__ == "__main__":
    given = json.loads(sys.argv[2])
    report = pk.run_batch(sys.argv[1], poster="kijiji", settings=pk.Settings.load(**given))
    print(report.message, flush=True)  # noqa: T201 -- for the person who reads a failure
