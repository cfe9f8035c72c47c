"""Starts the server's process and speaks with it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.benchmarks.server import HostSpec

ROOT = Path(__file__).parents[2]


class Serving:
    """A server that runs: where its hosts are, and what they have seen."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        ready = self._read()
        self.base_urls: list[str] = [f"http://127.0.0.1:{port}" for port in ready["ports"]]
        self.keys: list[str] = ready["keys"]

    def reset(self) -> dict[str, Any]:
        """Forget what was seen, and return that nothing was."""
        return self._call("reset")

    def stats(self) -> dict[str, Any]:
        """Return what each host has seen, and the CPU seconds of the process."""
        return self._call("stats")

    def _call(self, command: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise OSError("the benchmark's server has ended; what it said stands above")
        found: dict[str, Any] = json.loads(line)
        return found


@contextmanager
def serving(
    folder: Path, count: int, hosts: Sequence[HostSpec], serves: str = "parcels"
) -> Iterator[Serving]:
    """Serve so many parcels, or leads, on every host for as long as the block lasts."""
    spec = folder / "server.json"
    said = {"serves": serves, "count": count, "hosts": [asdict(host) for host in hosts]}
    spec.write_text(json.dumps(said))
    with subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.server", str(spec)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Serving(process)
        finally:
            if process.stdin is not None:
                process.stdin.close()  # it ends with its stdin
            process.wait(timeout=30)
