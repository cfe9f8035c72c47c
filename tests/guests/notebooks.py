"""Starting other notebooks, and waiting for what they do; shared by the tests of guests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.collecting import QUICK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from propkit.demo_county import County

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).parent / "notebook.py"
DEADLINE_SECONDS = 60.0

HASTY_CANCEL = "from propkit.batch_run import work; work.CANCEL_SECONDS = 0.05"
"""A cell: wait for nothing that is under way when a batch is cancelled, where the county hangs."""


class CellError(Exception):
    """A cell has failed in the other notebook; ``kind`` is the class of its error."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.message = message


class Notebook:
    """A process with a kit of its own over the store."""

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(SCRIPT), str(path), json.dumps(settings)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    def run(self, code: str) -> Any:
        """Run a cell and return its value; what it raises is a CellError."""
        self.send(code)
        return self.receive()

    def send(self, code: str) -> None:
        """Begin a cell."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(code) + "\n")
        self._process.stdin.flush()

    def receive(self) -> Any:
        """Wait for the end of a cell."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise CellError("Ended", f"exit code {self._process.wait()}")
        said = json.loads(line)
        if "error" in said:
            raise CellError(said["error"], said["message"])
        return said["value"]

    def kill(self) -> None:
        """End it as a power cut would."""
        self._process.kill()
        self.close()

    def close(self) -> int:
        """Let it close its kit and end; return its exit code."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        if not self._process.stdout.closed:
            self._process.stdout.read()
            self._process.stdout.close()
        return self._process.wait(DEADLINE_SECONDS)


def settings_of(county: County, per_second: float = 5000, **others: Any) -> dict[str, Any]:
    """Return settings for a county, as JSON."""
    sources = {
        name: {**values, "requests_per_second": per_second, "max_in_flight": 8}
        for name, values in county.settings().items()
    }
    return {"sources": sources, "collect": dict(QUICK), **others}


@contextmanager
def notebook(path: Path, settings: dict[str, Any]) -> Iterator[Notebook]:
    """Start a notebook and wait until its kit is open."""
    with started(path, settings) as (begun,):
        begun.receive()
        yield begun


@contextmanager
def started(path: Path, settings: dict[str, Any], count: int = 1) -> Iterator[list[Notebook]]:
    """Start notebooks at one instant, without waiting for them."""
    begun = [Notebook(path, settings) for _ in range(count)]
    try:
        yield begun
    finally:
        for one in begun:
            try:
                one.close()
            except (OSError, subprocess.TimeoutExpired):
                one.kill()


def wait_until(is_true: Callable[[], bool], seconds: float = DEADLINE_SECONDS) -> None:
    """Look again and again until something holds."""
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, "it did not come to hold in time"
        time.sleep(0.01)
