"""Starting a worker when a kit asks for one, and coming to it as a guest."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from propkit.errors import RequestError, StoreError
from propkit.settings import Settings
from propkit.sharing.handing import is_being_handed_over
from propkit.sharing.joining import attach, is_held_here
from propkit.sharing.place import Place
from propkit.time_limits import Patience
from propkit.worker.handing import dump_settings, log_path

if TYPE_CHECKING:
    from propkit.sharing.guest import GuestPlace

_START_SECONDS = 30.0
_LOOK_SECONDS = 0.05


def join_worker(path: Path, settings: Settings) -> Place:
    """Attach to the process that owns the store; start a worker where none does.

    The worker goes on when this process ends, and ends by itself when it is idle for
    ``worker.idle_seconds``.

    Raises
    ------
    RequestError
        This process has the store open itself.
    StoreError
        The worker does not start (its log is named), or the file cannot be used.
    """
    from propkit.sharing.shared import SharedPlace

    join = worker_joiner(path, settings)
    return SharedPlace(join(), join)


def worker_joiner(path: Path, settings: Settings) -> Callable[[], GuestPlace]:
    """Return what attaches to the store's owner, and starts a worker where there is none."""

    def join() -> GuestPlace:
        if is_held_here(path):
            raise RequestError(f"this process has {path} open itself: close that kit first")
        worker: subprocess.Popen[bytes] | None = None
        patience = Patience()
        while (place := attach(path)) is None:
            if worker is None and not is_being_handed_over(path):
                worker = _start(path, settings)
            if worker is not None and (code := worker.poll()) is not None:
                if code != 0:
                    raise StoreError(f"the worker has ended: {_last_line(path)}")
                worker = None  # it was idle before this process came to it: the machine stood still
            if patience.look() > _START_SECONDS:
                if worker is not None:
                    worker.terminate()  # nobody is to find the file taken by it later on
                raise StoreError(
                    f"the worker does not get hold of {path} within {_START_SECONDS:.0f} s: "
                    f"{_last_line(path)}"
                )
            time.sleep(_LOOK_SECONDS)
        return place

    return join


def _start(path: Path, settings: Settings) -> subprocess.Popen[bytes]:
    """Start a worker that outlives this process; it gets the settings by its input."""
    command = [sys.executable, "-m", "propkit.cli", "worker", "--db", str(path), "--settings-stdin"]
    command += ["--until-idle", str(settings.worker.idle_seconds)]
    worker = subprocess.Popen(  # noqa: S603 -- our own program
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **_on_its_own(),
    )
    # Whenever it ends, somebody asks for how: else it would stay a zombie as long as this process.
    threading.Thread(target=worker.wait, name="propkit-worker-end", daemon=True).start()
    if worker.stdin is not None:
        # A worker that has ended already reads nothing; who waits for it finds it ended.
        with suppress(BrokenPipeError), worker.stdin as settings_input:
            settings_input.write(dump_settings(settings).encode())
    return worker


def _on_its_own() -> dict[str, Any]:
    """Return what starts a process that the end of this one's terminal does not end."""
    if sys.platform == "win32":
        # With a console of its own, which nobody sees: who closes one ends all that share it.
        return {"creationflags": subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True}


def _last_line(path: Path) -> str:
    try:
        lines = log_path(path).read_text("utf-8", "replace").split("\n")
    except OSError:
        can_write = os.access(path.parent, os.W_OK)
        return "it left no log" if can_write else f"{path.parent} cannot be written"
    return next((line for line in reversed(lines) if line.strip()), "its log is empty")
