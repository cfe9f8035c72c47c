"""Runs a scenario: the server, the contenders in turns, and what each run stored and cost."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Collection, Sequence
from dataclasses import asdict
from importlib.metadata import version
from json import loads
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.benchmarks.contenders import NOT_COMPARED
from tests.benchmarks.jobs import IN_FLIGHT, HostJob, Job
from tests.benchmarks.rows import SERVED, read_rows
from tests.benchmarks.scenarios import Entry, Scenario
from tests.benchmarks.server import HostSpec
from tests.benchmarks.serving import ROOT, Serving, serving

Found = dict[str, Any]

_PACKAGES = ("propkit", "aiohttp", "duckdb", "pyarrow")
_PEERS = {
    "crawlee": "crawlee",
    "scrapy": "scrapy",
    "dlt": "dlt",
    "dlt_leads": "dlt",
    "requests_threads": "requests",
    "requests_one_by_one": "requests",
}
"""The package that a contender is about."""
_MOST_SECONDS = 1800.0


def measure(
    name: str,
    scenario: Scenario,
    *,
    rounds: int | None = None,
    scale: float = 1.0,
    only: Collection[str] = (),
) -> Found:
    """Run a scenario and return everything that was measured.

    Raises SystemExit when a contender fails, or does not store the rows that it must.
    """
    entries = [
        entry.scaled(scale) if scale != 1 else entry
        for entry in scenario.entries
        if not only or entry.contender in only
    ]
    runs: dict[Entry, list[Found]] = {entry: [] for entry in entries}
    times = rounds or scenario.rounds
    parcels = max((entry.parcels for entry in entries), default=1)
    with (
        TemporaryDirectory(prefix="propkit-bench-") as folder,
        serving(Path(folder), parcels, scenario.hosts, scenario.serves) as server,
    ):
        for number in range(times):
            # Each round begins with another contender, so that none is always first.
            shift = number % max(len(entries), 1)
            for entry in [*entries[shift:], *entries[:shift]]:
                work = Path(folder) / f"{entry.label}-{number}"
                work.mkdir()
                run = _run(scenario, entry, server, work, sizes={e.shares for e in entries})
                runs[entry].append(run)
                shutil.rmtree(work)
                sys.stderr.write(
                    f"{name}, round {number + 1} of {times}: {entry.label} took"
                    f" {run['seconds']:.2f} s, {run['cpu_seconds']:.2f} s of CPU\n"
                )
    _check_rows(scenario, runs)
    peers = {_PEERS[entry.contender]: None for entry in entries if entry.contender in _PEERS}
    others = [run["others_busy"] for of_entry in runs.values() for run in of_entry]
    return {
        "scenario": name,
        "says": scenario.says,
        "rules": scenario.rules,
        "notes": scenario.notes,
        "may_lose": scenario.may_lose,
        "rounds": times,
        "in_flight": IN_FLIGHT,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "versions": {package: version(package) for package in (*_PACKAGES, *peers)},
        "others_busy": statistics.median(others or [0.0]),
        "others_most": max(others, default=0.0),
        "hosts": [asdict(host) for host in scenario.hosts],
        "entries": [_summarise(entry, of_entry) for entry, of_entry in runs.items()],
    }


def _run(
    scenario: Scenario,
    entry: Entry,
    server: Serving,
    work: Path,
    sizes: Collection[tuple[int, ...]],
) -> Found:
    """Let one contender do its job, and look at what it stored and what the server saw."""
    starts = [sum(entry.shares[:number]) for number in range(len(entry.shares))]
    parts = [
        server.keys[start : start + share]
        for start, share in zip(starts, entry.shares, strict=True)
    ]
    job = Job(
        pace=scenario.pace,
        hosts=[
            HostJob(base_url=url, keys=keys, requests_per_second=host.requests_per_second)
            for url, keys, host in zip(server.base_urls, parts, scenario.hosts, strict=True)
        ],
    )
    job.write(work / "job.json")
    stores = work / "stores"
    stores.mkdir()
    server_before = server.reset()["cpu_seconds"]
    load = _Load()
    _run_contender(entry, work, stores)
    seen = server.stats()
    server_seconds = seen["cpu_seconds"] - server_before
    run: Found = loads((stores / "measured.json").read_text("utf-8"))
    run["server_busy"] = server_seconds / run["seconds"]
    run["others_busy"] = load.others(server_seconds)
    run["requests"] = sum(host["requests"] for host in seen["hosts"])
    run["faults"] = [host["faults"] for host in seen["hosts"]]
    run["hosts"] = [
        _judge_host(spec, keys, host) | {"lost": _lost(scenario, entry, stores, keys)}
        for spec, keys, host in zip(scenario.hosts, parts, seen["hosts"], strict=True)
    ]
    run["lost"] = sum(host["lost"] for host in run["hosts"])
    run["doubled"] = 0
    run["rows"] = {}
    if entry.contender not in NOT_COMPARED:
        asked = [key for keys in parts for key in keys]
        # What the entries have in common: the first keys, as many as the smaller ones ask for.
        for size in sorted({sum(size) for size in sizes}):
            if size <= len(asked):
                rows, _ = read_rows(stores, asked[:size], SERVED[scenario.serves])
                run["rows"][str(size)] = {table: asdict(one) for table, one in rows.items()}
        run["doubled"] = sum(one["doubled"] for one in run["rows"][str(len(asked))].values())
    return run


def _lost(scenario: Scenario, entry: Entry, stores: Path, keys: Sequence[str]) -> int:
    if entry.contender in NOT_COMPARED:
        return 0
    return read_rows(stores, keys, SERVED[scenario.serves])[1]


def _run_contender(entry: Entry, work: Path, stores: Path) -> None:
    command = [sys.executable, "-m", "tests.benchmarks.contenders", entry.contender]
    # Away from the settings and caches of whoever measures.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PROPKIT_")}
    homes = dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "DLT_DATA_DIR"), str(work))
    said = (work / "said.txt").open("w+", encoding="utf-8")
    with said:
        try:
            subprocess.run(
                [*command, str(work / "job.json"), str(stores)],
                cwd=work,
                stdout=said,
                stderr=said,
                check=True,
                timeout=_MOST_SECONDS,
                env={**kept, **homes, "PYTHONPATH": str(ROOT)},
            )
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            said.seek(0)
            raise SystemExit(f"{entry.label}: {error}\n{said.read()[-4000:]}") from None


def _judge_host(spec: HostSpec, keys: Sequence[str], seen: Found) -> Found:
    """Judge one host alone, by what the server saw: times are of the requests' arrival."""
    judged = {"parcels": len(keys), "requests": seen["requests"], "refused": seen["refused"]}
    judged["requests_per_second"] = spec.requests_per_second
    judged["refused_share"] = seen["refused"] / max(seen["requests"], 1)
    if spec.requests_per_second and seen["first_at"] is not None:
        judged["seconds"] = seen["last_at"] - seen["first_at"]
        # The ideal is one request after the other, exactly at the limit; who gives parcels up is
        # judged by those that were answered.
        answered = min(len(keys), seen["requests"] - seen["refused"])
        ideal = max(answered - 1, 1) / spec.requests_per_second
        judged["to_ideal"] = judged["seconds"] / ideal
    return judged


class _Load:
    """What programs outside the benchmark use of the processor, as shares of one core."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._busy = self._busy_seconds()
        self._own = self._own_seconds()

    def others(self, server_seconds: float) -> float:
        """Return their use since the start; 0 where the system does not tell."""
        own = self._own_seconds() - self._own + server_seconds
        others = self._busy_seconds() - self._busy - own
        return round(max(0.0, others / (time.monotonic() - self._started)), 3)

    def _own_seconds(self) -> float:
        whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        return sum(use.ru_utime + use.ru_stime for use in map(resource.getrusage, whose))

    def _busy_seconds(self) -> float:
        counts = Path("/proc/stat")
        if not counts.exists():
            return 0.0
        user, nice, system, _, _, irq, softirq = map(int, counts.read_text().split()[1:8])
        return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def _check_rows(scenario: Scenario, runs: dict[Entry, list[Found]]) -> None:
    """Stop where rows are wrong: lost or doubled, or not the same as everybody's."""
    seen: dict[str, dict[str, str]] = {}
    for entry, of_entry in runs.items():
        for run in of_entry:
            is_whole = not run["lost"] and not run["doubled"]
            if not is_whole and not scenario.may_lose:
                raise SystemExit(f"{entry.label} lost {run['lost']}, doubled {run['doubled']}")
            if is_whole:
                for size, rows in run["rows"].items():
                    seen.setdefault(size, {}).setdefault(str(rows), entry.label)
    for size, stored in seen.items():
        if len(stored) > 1:
            raise SystemExit(f"the rows about {size} keys differ: {stored}")


def _summarise(entry: Entry, runs: list[Found]) -> Found:
    """Return medians; of losses and refusals the worst round."""
    numbers = {key for key, value in runs[0].items() if isinstance(value, (int, float))}
    hosts = []
    for of_host in zip(*(run["hosts"] for run in runs), strict=True):
        host = dict(of_host[0])
        for key in ("requests", "refused", "refused_share", "lost"):
            host[key] = max(one[key] for one in of_host)
        for key in ("seconds", "to_ideal"):
            if key in host:
                host[key] = statistics.median(one[key] for one in of_host)
        hosts.append(host)
    return {
        "contender": entry.contender,
        "parcels": entry.parcels,
        "median": {key: statistics.median(run[key] for run in runs) for key in sorted(numbers)},
        "worst": {key: max(run[key] for run in runs) for key in ("lost", "doubled")},
        "hosts": hosts,
        "runs": runs,
    }
