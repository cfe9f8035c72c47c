"""The worker's process from its start to its end: settings, log, signals."""

from __future__ import annotations

import logging
import os
import signal
from logging.handlers import RotatingFileHandler
from os.path import samestat
from pathlib import Path
from typing import Any

from propkit.errors import RequestError
from propkit.settings import Settings
from propkit.sources import configure_sources
from propkit.worker.handing import load_settings, log_path
from propkit.worker.running import Worker

_LOG_BYTES = 1_000_000
_LOGS_KEPT = 3


def run_worker(db: Path, *, idle_seconds: float | None = None, given: str | None = None) -> None:
    """Own a store and run its batches until SIGTERM or SIGINT, or until idle for so long.

    What is under way then is kept and left; the next worker goes on with it. ``given`` are the
    settings of who started the worker; None reads files and variables. The log stands beside the
    store, in ``.NAME.worker.log``.

    Raises
    ------
    RequestError
        The store's folder does not exist.
    SettingsError, StoreError
        The settings are wrong, or the file is no store.
    """
    path = db.expanduser().resolve()
    if not path.parent.is_dir():
        raise RequestError(f"{path.parent} is no folder: the store cannot be made there")
    if path.is_dir():
        raise RequestError(f"{path} is a folder; expected a file")
    logger = logging.getLogger("propkit")
    logger.setLevel(logging.INFO)
    handler = _OwnLog(log_path(path), maxBytes=_LOG_BYTES, backupCount=_LOGS_KEPT, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger.addHandler(handler)
    try:
        settings = Settings.load() if given is None else load_settings(given)
        worker = Worker(path, settings, configure_sources(settings), idle_seconds=idle_seconds)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: worker.stop())
        worker.run()
    except Exception:
        logger.exception("worker %d ends by an error", os.getpid())
        raise
    finally:
        logger.removeHandler(handler)
        handler.close()


class _OwnLog(RotatingFileHandler):
    """A rotating log whose files are this user's alone to read; several workers may write it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line; to a new file where the log was rotated by another worker, or deleted."""
        if self.stream and not self._is_in_place(self.stream.fileno()):
            self.close()  # the next line opens what stands there now
        super().emit(record)

    def _is_in_place(self, handle: int) -> bool:
        try:
            found = os.stat(self.baseFilename)  # noqa: PTH116
        except OSError as error:
            return not isinstance(error, FileNotFoundError)
        return samestat(os.fstat(handle), found)

    def _open(self) -> Any:
        os.close(os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
        return super()._open()
