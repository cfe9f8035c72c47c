"""Progress bars for a notebook: a line for the batch, a bar for each source.

Colour never stands alone: each bar has a word and its numbers beside it. Only what changed is
sent to the browser, and the rows are made once, so that nothing flickers.
"""

from __future__ import annotations

import logging
import sys
from html import escape
from typing import Any

import ipywidgets as widgets
from IPython.display import display

from propkit.progress import Progress, SourceProgress, describe
from propkit.runtime.progress_line import ProgressLine

log = logging.getLogger(__name__)

_FIXED = {"flex": "0 0 auto", "overflow": "hidden"}


class ProgressBars:
    """Shows a batch in the cell that collects; call :meth:`show` from the cell's thread.

    When a bar fails, the cell says so and a line of text takes over; the collection goes on.
    """

    def __init__(self) -> None:
        self.text = widgets.HTML("<b>Collecting …</b>", layout=widgets.Layout(width="auto"))
        self.rows = widgets.VBox([])
        self.notes = widgets.VBox([])
        self.box = _Box([self.text, self.rows, self.notes], layout={"max_width": "900px"})
        self.box.add_class("propkit-progress")
        self._sources: dict[str, _SourceRow] = {}
        self._is_shown = False
        self._instead: ProgressLine | None = None

    def show(self, progress: Progress) -> None:
        """Show an event."""
        if self._instead is not None:
            self._instead.show(progress)
            return
        try:
            self._show(progress)
        except Exception as error:
            log.exception("the progress bars failed")
            sys.stderr.write(f"propkit: the progress bars failed ({error!r}); in words:\n")
            self._instead = ProgressLine(sys.stderr)
            self._instead.show(progress)

    def end(self, progress: Progress | None) -> None:
        """Show the last event; None when there was none."""
        if progress is not None:
            self.show(progress)
        if self._instead is not None:
            self._instead.end(progress)

    def _show(self, progress: Progress) -> None:
        if not self._is_shown:
            self._is_shown = True
            display(self.box)  # type: ignore[no-untyped-call]
        self.text.value = f"<b>{escape(describe(progress), quote=False)}</b>"
        for source in progress.sources:
            if source.source not in self._sources:
                self._sources[source.source] = _SourceRow(source.source)
                self.rows.children = [row.box for row in self._sources.values()]
            self._sources[source.source].show(source, is_over=progress.state != "running")
        stops = [f"! {source.stopped}" for source in progress.sources if source.stopped]
        notes = [escape(stop, quote=False) for stop in stops]
        if notes != [note.value for note in self.notes.children]:
            self.notes.children = [widgets.HTML(note) for note in notes]


class _SourceRow:
    """One source: its name, a bar, a word for how it is, and the numbers."""

    def __init__(self, name: str) -> None:
        self.name = widgets.Label(name.replace("_", " "), layout={"width": "9rem", **_FIXED})
        self.bar = widgets.IntProgress(layout={"flex": "1 1 10rem", "min_width": "6rem"})
        self.word = widgets.Label(layout={"width": "5rem", "margin": "2px 2px 2px 12px", **_FIXED})
        # A basis of its own keeps the bar from moving when a number grows; where it is narrow the
        # numbers go below the bar, in as many lines as they take.
        self.numbers = widgets.HTML(layout={"width": "auto", "flex": "1 1 14rem"})
        parts = [self.name, self.bar, self.word, self.numbers]
        self.box = widgets.HBox(parts, layout={"flex_flow": "row wrap"})
        self.box.add_class("propkit-progress-source")

    def show(self, source: SourceProgress, *, is_over: bool) -> None:
        word, colour = _judge(source, is_over=is_over)
        with self.bar.hold_sync():  # one message; never a bar beyond its end
            self.bar.max = max(1, source.total)
            # A source that had nothing to do is at its end as well.
            self.bar.value = source.ended if source.total else int(is_over)
            self.bar.bar_style = colour
            self.bar.tooltip = f"{source.source}: {word}, {source.ended} of {source.total}"
        self.word.value = word
        self.numbers.value = _numbers(source)


class _Box(widgets.VBox):  # type: ignore[misc]
    """A box that says in words what it is where widgets cannot be drawn (GitHub, papermill)."""

    def _repr_mimebundle_(self, **options: Any) -> Any:
        bundle = super()._repr_mimebundle_(**options)
        bundle["text/plain"] = "Progress bars of a propkit batch; the report holds the outcome."
        return bundle


def _judge(source: SourceProgress, *, is_over: bool) -> tuple[str, str]:
    """Return the word and the colour of a source: one of ipywidgets' bar styles."""
    if source.stopped:
        return "stopped", "danger"
    if not is_over:
        # Answers of other sources may still bring work, so that nothing is complete yet.
        if source.rest:
            return "left alone", "warning"
        is_busy = source.ended < source.total
        return ("collecting" if is_busy else "all so far"), ("warning" if source.failed else "info")
    if source.ended < source.total:
        return "unfinished", "warning"
    if source.failed:
        return "failures", "danger" if source.failed == source.total else "warning"
    if source.replaced:
        return "second way", "warning"
    return "finished", "success"


def _numbers(source: SourceProgress) -> str:
    parts = [f"{source.ended} of {source.total}"]
    if source.failed:
        parts.append(f"{source.failed} failed")
    if source.replaced:
        parts.append(f"{source.replaced} to a second way")
    if source.cancelled:
        parts.append(f"{source.cancelled} cancelled")
    parts.append(f"{source.requests} request{'' if source.requests == 1 else 's'}")
    if source.refused:
        parts.append(f"{source.refused} refused")
    if source.doubt:
        parts.append(source.doubt)
    if source.rest:
        parts.append(source.rest)
    return ", ".join(parts)
