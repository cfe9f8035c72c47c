"""The workbook that a batch may ask for: written when it ends, by itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from propkit.batch_run import Run
from propkit.ending import call_in_thread
from propkit.errors import PropkitError
from propkit.store import Store
from propkit.store.batches import BatchHead, LogEntry, set_state, write_log

Export = Callable[[str], str]
"""Writes a workbook and returns what is not in it, in words; empty where all is."""


async def export_run(run: Run, export: Export) -> None:
    """Write the workbook of a run that has ended, if it has one; what goes wrong is told."""
    path = run.export_to
    if path is None:
        return
    try:
        left_out = await call_in_thread(lambda: export(path))
    except (PropkitError, OSError) as error:
        run.warnings.append(_say_failed(error))
    else:
        run.note("exported", _say_written(path, left_out))


def export_cancelled(store: Store, head: BatchHead, export: Export) -> None:
    """Write the workbook of a batch that was cancelled while it did not run, if it has one."""
    path = head.criteria.get("export_to")
    if path is None:
        return
    try:
        left_out = export(path)
    except (PropkitError, OSError) as error:
        set_state(store, head.batch_id, "cancelled", error=_say_failed(error), before="cancelled")
    else:
        entry = LogEntry(event="exported", message=_say_written(path, left_out))
        write_log(store, head.batch_id, [entry]).result()


def _say_failed(error: Exception) -> str:
    return f"the workbook was not written: {error}"


def _say_written(path: str, left_out: str) -> str:
    return f"workbook {Path(path).name} written" + (f"; {left_out}" if left_out else "")
