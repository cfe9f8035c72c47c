"""The panel for posting: a sheet, what is wrong with it, one button, rows that live.

A run goes on in a thread of its own and ends early with everything kept: the ledger and the sheet
hold the truth, and the panel looks at them again.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import ipywidgets

from propkit.errors import RequestError
from propkit.posters import Poster, find_poster
from propkit.posting import PostingReport, RowResult, post_listings
from propkit.posting.preparing import Job, Order, prepared
from propkit.widgets import post_views as views
from propkit.widgets.faces import Block
from propkit.widgets.panel import Panel
from propkit.widgets.panel_kit import PanelKit
from propkit.widgets.post_views import COLUMNS, POSTING_STATUSES
from propkit.widgets.status_grid import StatusGrid

_SECONDS: Final = 0.25
_MOST_PICTURES: Final = 20
_PICTURE_WIDTH: Final = 640


class PostPanel(Panel):
    """A listing sheet with the button that posts it.

    Parameters
    ----------
    sheet
        The path of an .xlsx or .csv file; empty: a person writes it into the panel.
    poster
        As for :func:`propkit.run_batch`.
    images_dir
        The folder of the images; None: the sheet's.
    """

    def __init__(
        self,
        kit: PanelKit,
        sheet: str | os.PathLike[str] = "",
        *,
        poster: Any = "kijiji",
        images_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        self.choices = views.Choices(sheet=os.fspath(sheet))
        self.report: PostingReport | None = None
        """Of the last run that came to its end."""
        self.said = ""
        self._named, self._images_dir = poster, images_dir
        self._poster: Poster | None = None
        self._jobs: list[Job] = []
        self._rows: dict[str, int] = {}
        self._results: dict[str, RowResult] = {}
        self._told, self._line, self._end = "", "", ""
        self._run: _Run | None = None
        self._is_cancelling = self._is_asking = self._is_evidence_open = False
        super().__init__("post", "propkit: post listings", kit=kit, seconds=_SECONDS)
        self.grid = StatusGrid(COLUMNS, label="Listings", statuses=POSTING_STATUSES)
        self.pictures = ipywidgets.VBox()
        self.children = [self.face, self.grid, self.pictures]
        if self.choices.sheet:
            self._look()
        self.begin()

    def act(self, action: str, _: Mapping[str, Any], form: Mapping[str, Any]) -> None:
        """Do what was pressed.

        Raises
        ------
        RequestError
            There is no such action, or a run is under way.
        SheetError
            The sheet cannot be posted as it is.
        """
        actions: dict[str, Callable[[], object]] = {
            "look": self._look,
            "start": self._start,
            "cancel": self._cancel,
            "close": self._shut,
            "evidence": self._show_evidence,
        }
        if action not in actions:
            raise RequestError(f"no action {action!r}")
        if action == "start" and self._run is not None:
            return  # the second press of a double click
        if action in ("look", "start"):
            if self._run is not None:
                raise RequestError("a run is under way; cancel it first")
            self.choices = views.Choices.read(form, self.choices)
        actions[action]()

    def follow(self) -> None:
        """Bring the rows up to date, and notice a run's end."""
        run = self._run
        for result in list(self._results.values()):
            place = self._rows.get(result.row_key)
            if place is None:  # it came into the sheet after the look at it
                continue
            said = result.error or result.reason
            change = {"status": result.outcome, "said": said, "url": result.url or ""}
            self.grid.update({place: change})
        if run is None or not run.ended.is_set():
            return
        self._run, self._is_cancelling, self._told = None, False, ""
        if run.error is not None:
            raise run.error
        self.report = run.report
        if run.report is None:
            self._end = "Cancelled: everything so far is kept, and the same button goes on."
        else:
            self._end = run.report.message
            self._results |= {one.row_key: one for one in run.report.results}
            self.follow()

    def blocks(self) -> list[Block]:
        """Return what is to be seen now."""
        is_active = self._run is not None
        blocks = views.sheet_bar(self.choices, self.said, is_active=is_active)
        if self._is_asking:
            blocks.append(views.preview(self._jobs, self.choices))
        if self._told:
            blocks.append(views.person_needed(self._told))
        if is_active:
            reach = views.Reach(len(self._results), self._wanted())
            blocks.append(views.progress(reach, self._line, is_cancelling=self._is_cancelling))
        elif self._end:
            results, is_open = list(self._results.values()), self._is_evidence_open
            is_cancelled = self.report is None
            blocks.append(
                views.summary(
                    self._end,
                    results,
                    self._evidence(),
                    is_open=is_open,
                    is_cancelled=is_cancelled,
                )
            )
        return blocks

    def _evidence(self) -> dict[str, Path]:
        kept: dict[str, Path] = getattr(self._poster, "evidence", {})
        return dict(kept)

    def _wanted(self) -> int:
        return sum(job.decision.action != "skip" for job in self._jobs)

    def _look(self) -> None:
        """Read the sheet, and show what a run would do and what is wrong."""
        if not self.choices.sheet:
            raise RequestError("name the listing sheet first")
        if self._poster is None:
            self._poster = find_poster(self._named, self.kit.settings)
        order = Order(
            source=Path(self.choices.sheet).expanduser(),
            mode=self.choices.mode,
            images_dir=self._images_dir,
            dry_run=True,
            faulty="skip",
        )
        with prepared(order, self._poster, self.kit.settings) as ready:
            self._jobs = list(ready.jobs)
        self._rows = {job.key: place for place, job in enumerate(self._jobs)}
        self._results, self._end, self._is_evidence_open = {}, "", False
        self.pictures.children = []
        self.grid.replace([views.make_row(job) for job in self._jobs])
        self.said, self._is_asking = f"{len(self._jobs):,} rows", True

    def _start(self) -> None:
        self._look()  # the sheet may have changed since
        self._is_asking = False
        # A poster is for one run: each opens its browser and closes it.
        self._poster = find_poster(self._named, self.kit.settings)
        entry = getattr(self._poster, "entry", None)
        if entry is not None:
            entry.on_person = self._tell
        self._line = "Opening the site"
        self._run = _Run(self._options(), progress_cb=self._note_line, row_cb=self._note_row)

    def _options(self) -> dict[str, Any]:
        return {
            "df_or_path": Path(self.choices.sheet).expanduser(),
            "poster": self._poster,
            "mode": self.choices.mode,
            "images_dir": self._images_dir,
            "dry_run": self.choices.is_dry_run,
            "faulty": "skip",
            "settings": self.kit.settings,
        }

    def _note_line(self, _: float, line: str) -> None:
        self._line, self._told = line, ""

    def _note_row(self, result: RowResult) -> None:
        self._results[result.row_key] = result

    def _tell(self, words: str) -> None:
        self._told = words

    def _cancel(self) -> None:
        if self._run is not None:
            self._is_cancelling = True
            self._run.cancel()

    def _shut(self) -> None:
        self._is_asking = False

    def _show_evidence(self) -> None:
        """Show what the windows showed when listings failed."""
        self._is_evidence_open = True
        failed = views.failed_keys(self._results.values())
        kept = {key: p for key, p in self._evidence().items() if key in failed}
        self.pictures.children = [
            shown
            for key, path in list(kept.items())[:_MOST_PICTURES]
            for shown in (
                ipywidgets.Label(key),
                ipywidgets.Image(value=path.read_bytes(), format="jpeg", width=_PICTURE_WIDTH),
            )
        ]


class _Run:
    """A run in a thread, that can be ended from another."""

    def __init__(self, options: dict[str, Any], **told: Callable[..., None]) -> None:
        self.report: PostingReport | None = None
        self.error: Exception | None = None
        self.ended = threading.Event()
        self._options = {**options, **told}
        self._cancel: Callable[[], object] | None = None
        self._is_cancelled = False
        self._lock = threading.Lock()
        threading.Thread(target=self._main, name="propkit-post-panel", daemon=True).start()

    def cancel(self) -> None:
        """End the run early; what is sent already comes to its end first."""
        with self._lock:
            self._is_cancelled = True
            if self._cancel is not None:
                self._cancel()

    def _main(self) -> None:
        try:
            asyncio.run(self._post())
        except asyncio.CancelledError:
            pass
        except Exception as error:  # noqa: BLE001 -- shown in the panel
            self.error = error
        finally:
            with self._lock:
                self._cancel = None
            self.ended.set()

    async def _post(self) -> None:
        task = asyncio.ensure_future(post_listings(**self._options))
        loop = asyncio.get_running_loop()
        with self._lock:
            self._cancel = lambda: loop.call_soon_threadsafe(task.cancel)
            if self._is_cancelled:
                task.cancel()
        self.report = await task
