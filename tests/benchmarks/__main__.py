"""Measure propkit against other ways of collecting the same parcels into the same tables.

``python -m tests.benchmarks [SCENARIO] [--parcels N] [--rounds N] [--out FOLDER]``

One demo county without limits serves all. Each run is a process of its own, the contenders take
turns, and all must store the same rows. With ``--out`` the table (.md) and every single
measurement (.json) are kept.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from propkit.demo_county.county import start_county

ROOT = Path(__file__).parents[2]
SYSTEMS = ("assessor", "treasurer", "recorder")
IN_FLIGHT = 16

SCENARIOS = {
    "parcels": ["propkit", "aiohttp_by_hand", "requests_threads", "requests_one_by_one"],
}
CAPACITY = "county_capacity"
PACKAGES = ("propkit", "aiohttp", "requests", "duckdb", "pyarrow")


def measure(scenario: str, parcels: int, rounds: int) -> dict[str, Any]:
    """Run a scenario and return everything that was measured."""
    contenders = SCENARIOS[scenario]
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in [CAPACITY, *contenders]}
    with (
        tempfile.TemporaryDirectory() as folder,
        start_county(parcels=max(2000, parcels), limits=dict.fromkeys(SYSTEMS)) as county,
    ):
        job = Path(folder) / "job.json"
        apns = county.apns(parcels)
        base_url, token = county.base_url("assessor"), county.token
        job.write_text(
            json.dumps({"base_url": base_url, "token": token, "apns": apns, "in_flight": IN_FLIGHT})
        )
        for number in range(rounds):
            # Each round begins with another contender, so that none is always first.
            shift = number % len(contenders)
            for name in [CAPACITY, *contenders[shift:], *contenders[:shift]]:
                store = Path(folder) / f"{name}-{number}.duckdb"
                runs[name].append(_run(name, job, store))
                store.unlink(missing_ok=True)
                sys.stderr.write(f"round {number + 1}, {name}: {runs[name][-1]}\n")
                county.clear_ledger()
    rows = {json.dumps(run["rows"]) for name in contenders for run in runs[name]}
    if len(rows) != 1:
        raise SystemExit(f"the contenders did not store the same rows: {sorted(rows)}")
    return {
        "scenario": scenario,
        "parcels": parcels,
        "in_flight": IN_FLIGHT,
        "rows": json.loads(rows.pop()),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "versions": {name: version(name) for name in PACKAGES},
        "runs": runs,
    }


def _run(contender: str, job: Path, store: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.contenders", contender, str(job), str(store)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "HOME": str(job.parent), "XDG_CONFIG_HOME": str(job.parent)},
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def as_markdown(found: dict[str, Any]) -> str:
    """Return the medians, and each contender's ratio to propkit, as a Markdown table."""
    names = ", ".join(f"{name} {text}" for name, text in found["versions"].items())
    rows = ", ".join(f"{count} {table}" for table, count in found["rows"].items())
    medians = {
        name: {
            column: statistics.median(run[column] for run in runs)
            for column in ("seconds", "cpu_seconds", "peak_mb")
        }
        for name, runs in found["runs"].items()
    }
    capacity = found["parcels"] / medians.pop(CAPACITY)["seconds"]
    rounds = len(found["runs"][CAPACITY])
    scenario = (
        f"Scenario `{found['scenario']}`: {found['parcels']} parcels ({rows}) from one demo county"
        f" on the same machine, {found['in_flight']} requests in flight (requests: 5 threads, or"
        f" one by one), medians of {rounds} alternating rounds."
    )
    note = (
        "propkit stores more than these rows: every answer's body, when it was asked and how, the"
        " freshness ledger and the items of the batch; the others store the rows alone. The county"
        " answers at once: over a network the clients that ask one by one fall far behind."
    )
    lines = [
        scenario,
        "",
        f"Python {found['python']}, {found['cores']} cores; {names}.",
        f"The county alone answers {capacity:.0f} parcels/s to a client that reads nothing.",
        "",
        "| contender | parcels/s | to propkit | CPU seconds | to propkit | peak MB |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    own = medians["propkit"]
    for name, median in medians.items():
        lines.append(
            f"| {name} | {found['parcels'] / median['seconds']:.0f}"
            f" | {own['seconds'] / median['seconds']:.2f} × | {median['cpu_seconds']:.2f}"
            f" | {median['cpu_seconds'] / own['cpu_seconds']:.2f} × | {median['peak_mb']:.0f} |"
        )
    lines += ["", note]
    return "\n".join(lines)


def main() -> None:
    """Run one scenario and print its table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("scenario", nargs="?", default="parcels", choices=list(SCENARIOS))
    parser.add_argument("--parcels", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="folder for the table (.md) and the runs (.json)")
    options = parser.parse_args()
    found = measure(options.scenario, options.parcels, options.rounds)
    table = as_markdown(found)
    print(table)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / f"{options.scenario}.md").write_text(f"{table}\n", "utf-8")
        text = json.dumps(found, indent=1)
        (options.out / f"{options.scenario}.json").write_text(f"{text}\n", "utf-8")


if __name__ == "__main__":
    main()
