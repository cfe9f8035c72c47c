"""What a kit does where it runs: bars in a notebook, a line of text elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from propkit.runtime.batch import POLL_SECONDS, Batch
from propkit.runtime.progress_line import ProgressLine
from propkit.runtime.report import BatchReport
from propkit.store import Reading

# Set by Jupyter's server, VS Code and Colab for the kernels that they show.
_FRONT_ENDS = frozenset({"JPY_SESSION_NAME", "VSCODE_PID", "VSCODE_CWD", "COLAB_RELEASE_TAG"})


def is_notebook() -> bool:
    """Whether a notebook's kernel runs."""
    shell = sys.modules.get("IPython")
    running = shell.get_ipython() if shell else None
    return running is not None and hasattr(running, "kernel")


def has_browser() -> bool:
    """Whether somebody sees widgets: a notebook that a server or an editor has opened.

    Under papermill, nbclient or in a console nobody does; their kernels lack these variables.
    """
    return is_notebook() and not _FRONT_ENDS.isdisjoint(os.environ)


def notebook_bars() -> Any:
    """Return progress bars where a notebook is seen, a line of text where it is not, else None."""
    if not is_notebook():
        return None
    if not has_browser():
        return ProgressLine(sys.stdout)
    from propkit.widgets import ProgressBars

    return ProgressBars()


def watch_batch(batch: Batch, *, show: bool) -> BatchReport:
    """Show a batch's progress until it ends; Interrupt cancels it and returns the report."""
    display = (notebook_bars() or ProgressLine(sys.stderr)) if show else None
    try:
        while True:
            try:
                return batch.wait(timeout=POLL_SECONDS)
            except TimeoutError:
                if display and (progress := batch.progress):
                    display.show(progress)
    except KeyboardInterrupt:
        return batch.cancel()
    finally:
        if display:
            display.end(batch.progress)


def describe_kit(
    store: Reading, sources: Iterable[str], owner: str, unfinished: Sequence[str]
) -> str:
    """Return what a kit shows of itself: path, parcels, sources, owner, unfinished batches."""
    parcels = store.rows("SELECT count(*) AS n FROM parcels")[0]["n"]
    text = f"<Kit {store.path.name}: {parcels} parcels; {', '.join(sources)}; {owner}"
    if unfinished:
        text += f"; unfinished: {', '.join(unfinished)}, go on with kit.batch(…).resume()"
    return text + ">"
