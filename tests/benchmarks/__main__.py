"""Measure propkit against other ways of collecting the same parcels into the same tables.

``python -m tests.benchmarks [SCENARIO …]``; without a name every scenario runs. One local server
process answers all contenders, each run is a process of its own, and the contenders take turns.
All must store the same rows. The report (.md) and every single measurement (.json) are kept.
A missed target is shown and is no error; wrong rows and crashes are.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

from tests.benchmarks.contenders import CONTENDERS
from tests.benchmarks.measuring import measure
from tests.benchmarks.scenarios import SCENARIOS
from tests.benchmarks.serving import ROOT
from tests.benchmarks.tables import as_markdown


def main() -> None:
    """Run scenarios, print their tables and keep them."""
    options = _parser().parse_args()
    names = options.scenarios or list(SCENARIOS)
    options.out.mkdir(parents=True, exist_ok=True)
    minutes = sum(SCENARIOS[name].minutes for name in names)
    sys.stderr.write(f"{', '.join(names)}: about {minutes:g} minutes at full size\n")
    for name in names:
        scenario, started = SCENARIOS[name], time.monotonic()
        found = measure(
            name, scenario, rounds=options.rounds, scale=options.scale, only=options.only
        )
        checks = scenario.checks(found)
        text = as_markdown(found, scenario.table(found), checks)
        print(text, flush=True)
        found["took_seconds"] = round(time.monotonic() - started)
        found["checks"] = [asdict(check) | {"is_met": check.is_met} for check in checks]
        (options.out / f"{name}.md").write_text(text, "utf-8")
        (options.out / f"{name}.json").write_text(f"{json.dumps(found, indent=1)}\n", "utf-8")
        # What was measured before stays in the report until it is measured again.
        parts = [options.out / f"{name}.md" for name in SCENARIOS]
        whole = "\n".join(part.read_text("utf-8") for part in parts if part.exists())
        (options.out / "bench.md").write_text(f"# Benchmark\n\n{whole}", "utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "scenarios", nargs="*", choices=list(SCENARIOS), default=None, metavar="SCENARIO",
        help=", ".join(SCENARIOS),
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, help="in place of each scenario's own number")
    parser.add_argument("--scale", type=float, default=1.0, help="0.1: a tenth of the parcels")
    parser.add_argument(
        "--out", type=Path, default=ROOT / ".bench", help="folder for the report (.bench)"
    )
    parser.add_argument(
        "--only",
        type=lambda text: text.split(","),
        default=[],
        help=f"contenders, separated by commas: {', '.join(CONTENDERS)}",
    )
    return parser


if __name__ == "__main__":
    main()
