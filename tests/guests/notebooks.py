"""Starting other notebooks, and waiting for what they do; shared by the tests of guests."""

from __future__ import annotations

import json
import os
import time
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from tests.collecting import QUICK
from tests.guests.notebook import main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from propkit.demo_county import County

DEADLINE_SECONDS = 60.0

# Each is forked off a process that has imported what they need, which takes a second of a core.
_PROCESSES = get_context("forkserver")
_PROCESSES.set_forkserver_preload(["propkit.kit", "propkit.opening", "pyarrow.flight"])

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
        cells, self._cells = _PROCESSES.Pipe(duplex=False)
        self._said, said = _PROCESSES.Pipe(duplex=False)
        place = (dict(os.environ), str(Path.cwd()))
        self._process = _PROCESSES.Process(
            target=main, args=(cells, said, place, str(path), settings), daemon=True
        )
        self._process.start()
        cells.close()
        said.close()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def run(self, code: str) -> Any:
        """Run a cell and return its value; what it raises is a CellError."""
        self.send(code)
        return self.receive()

    def send(self, code: str) -> None:
        """Begin a cell."""
        self._cells.send(code)

    def receive(self) -> Any:
        """Wait for the end of a cell."""
        try:
            said = json.loads(self._said.recv())
        except EOFError:
            raise CellError("Ended", f"exit code {self.close()}") from None
        if "error" in said:
            raise CellError(said["error"], said["message"])
        return said["value"]

    def kill(self) -> None:
        """End it as a power cut would."""
        self._process.kill()
        self.close()

    def close(self) -> int:
        """Let it close its kit and end; return its exit code."""
        self._cells.close()
        self._process.join(DEADLINE_SECONDS)
        if self._process.exitcode is None:
            raise TimeoutError(f"the notebook {self.pid} does not end")
        self._said.close()
        return self._process.exitcode


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
            except TimeoutError:
                one.kill()


def end_workers(store: Path) -> None:
    """Kill the workers of a store, and wait until they are gone.

    Told to end one gives back what it has in work, and still asks the county of the next test; one
    that waits for the store would own it next.
    """
    for process in psutil.process_iter(["cmdline"]):
        if {"worker", str(store)} <= set(process.info["cmdline"] or ()):
            with suppress(psutil.NoSuchProcess):
                process.kill()
            wait_until(partial(is_gone, process.pid))


def is_gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has waited for yet has."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_until(is_true: Callable[[], bool], seconds: float = DEADLINE_SECONDS) -> None:
    """Look again and again until something holds."""
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, "it did not come to hold in time"
        time.sleep(0.01)
