"""The processes of a browser: what memory they hold, and how they are ended for certain."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import psutil


class ProcessTree:
    """A browser's process and all that it has started.

    Parameters
    ----------
    pid
        That of the browser's own process.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._root = psutil.Process(pid)  # remembers its start, so a reused id is no mistake
        self._known: dict[int, psutil.Process] = {pid: self._root}

    @property
    def is_running(self) -> bool:
        """Whether the browser's own process is there and no zombie."""
        with contextlib.suppress(psutil.Error):
            status = self._root.status() if self._root.is_running() else psutil.STATUS_DEAD
            return status not in {psutil.STATUS_DEAD, psutil.STATUS_ZOMBIE}
        return False

    def measure(self) -> int:
        """Return the bytes of memory that the processes hold; what they share counts once."""
        return sum(_resident_bytes(process) for process in self._processes())

    def estimate(self) -> int:
        """Return about the same at a hundredth of the cost: what is shared counts once, at most."""
        own, shared = 0, 0
        for process in self._processes():
            with contextlib.suppress(psutil.Error):
                told = process.memory_info()
                common = min(getattr(told, "shared", 0), told.rss)
                own += told.rss - common
                shared = max(shared, common)
        return own + shared

    def kill(self) -> None:
        """End every process at once."""
        for process in self._processes():
            with contextlib.suppress(psutil.Error):
                process.kill()

    def _processes(self) -> list[psutil.Process]:
        """Return the processes that run; one whose parent has died is still known."""
        with contextlib.suppress(psutil.Error):
            for child in self._root.children(recursive=True):
                self._known.setdefault(child.pid, child)
        self._known = {pid: p for pid, p in self._known.items() if p.is_running()}
        return list(self._known.values())


def _resident_bytes(process: psutil.Process) -> int:
    """Return a process's resident memory, of what it shares with others its part."""
    with contextlib.suppress(psutil.Error, OSError):
        if sys.platform != "linux":
            return int(process.memory_full_info().uss)
        # One file that the kernel sums up: a tenth of the time of reading every mapping.
        text = Path(f"/proc/{process.pid}/smaps_rollup").read_text("ascii")
        for line in text.splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
