"""A real Dask cluster on loopback: a scheduler and two workers, each a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.guests.notebooks import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
WORKERS = 2
START_SECONDS = 60.0
_HERE = ("--host", "127.0.0.1", "--no-dashboard")


class Cluster:
    """A scheduler and its workers; those that a test kills are replaced for the next."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / "scheduler.json"
        self._worker_options = ("--nthreads", "1", "--no-nanny", "--local-directory", str(folder))
        self.workers: list[subprocess.Popen[bytes]] = []
        self.scheduler = self._run("scheduler", "--port", "0", "--scheduler-file", str(self._file))
        wait_until(self._is_there, START_SECONDS)
        self.start_workers()

    @property
    def address(self) -> str:
        return str(json.loads(self._file.read_text())["address"])

    def _is_there(self) -> bool:
        return self._file.exists() and self._file.read_text().rstrip().endswith("}")

    def start_workers(self) -> None:
        """Start as many workers as are missing, and wait until all can be asked."""
        from distributed import Client

        self.workers = [one for one in self.workers if one.poll() is None]
        while len(self.workers) < WORKERS:
            self.workers.append(self._run("worker", self.address, *self._worker_options))
        pids = {one.pid for one in self.workers}
        with Client(self.address, set_as_default=False) as client:
            wait_until(
                lambda: set(client.run(os.getpid, on_error="ignore").values()) == pids,
                START_SECONDS,
            )

    def stop(self) -> None:
        """End all of it, and whatever browsers are left of it."""
        for process in [*self.workers, self.scheduler]:
            left = (
                psutil.Process(process.pid).children(recursive=True) if not process.poll() else []
            )
            process.kill()
            process.wait()
            for child in left:
                if child.is_running():
                    child.kill()

    def said(self) -> str:
        """Return all that its processes have written."""
        return "".join(path.read_text("utf-8", "replace") for path in self._folder.glob("*.log"))

    def _run(self, what: str, *options: str) -> subprocess.Popen[bytes]:
        number = len(list(self._folder.glob("*.log")))
        with (self._folder / f"{number}-{what}.log").open("wb") as told:
            return subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.dask_{what}", *options, *_HERE],
                cwd=ROOT,
                stdout=told,
                stderr=subprocess.STDOUT,
            )


@pytest.fixture(scope="session")
def _cluster_processes(
    tmp_path_factory: pytest.TempPathFactory, _clean_environment: None, _loopback_only: None
) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    yield cluster
    cluster.stop()


@pytest.fixture
def cluster(_cluster_processes: Cluster) -> Cluster:
    """Return the cluster of the test session, with all of its workers."""
    if any(one.poll() is not None for one in _cluster_processes.workers):
        _cluster_processes.start_workers()
    return _cluster_processes
