"""``run_batch`` and ``post_listings``: a run in a thread and a loop of its own.

Never on a notebook's loop: it would stall while another cell computes, and a blocking call would
stall the notebook.
"""

from __future__ import annotations

import asyncio
import concurrent.futures.thread  # noqa: F401 -- it registers its own end when imported
import contextvars
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Final

from propkit.loops import new_loop
from propkit.notices import make_hooks, tell
from propkit.posters import FunctionPoster, find_poster
from propkit.posting.engine import Engine
from propkit.posting.preparing import Order, prepared
from propkit.posting.progress import Progress, ProgressCallback, RowCallback
from propkit.posting.report import PostingNotice, PostingReport
from propkit.settings import Settings

log = logging.getLogger(__name__)

_SLICE_SECONDS: Final = 0.2
_END_SECONDS: Final = 1.0  # a function of a person may hang: nobody waits longer for that
_EXIT_SECONDS: Final = 10.0  # to save and to close, once nothing is waited for that was sent


def run_batch(  # noqa: PLR0917 -- the order that notebooks know
    df_or_path: Any,
    mode: str = "new",
    poster: Any = None,
    images_dir: str | os.PathLike[str] | None = None,
    progress_cb: ProgressCallback | None = None,
    file_path: str | os.PathLike[str] | None = None,
    *,
    repost: bool = False,
    dry_run: bool = False,
    workers: int | None = None,
    columns: Mapping[str, str | int] | None = None,
    sheet: str | None = None,
    name: str | None = None,
    store: Any = None,
    faulty: str | None = None,
    row_cb: RowCallback | None = None,
    settings: Settings | None = None,
) -> PostingReport:
    """Post each row of a listing sheet, or do something else for each; wait, return the report.

    No row is posted twice: the ledger says before the last click that it is about to be made, and
    what may be published is looked for on the account's own page before anything else. Interrupt
    (Ctrl+C, the stop button) ends the run with everything kept and returns the report; the same
    call goes on with what is left.

    Parameters
    ----------
    df_or_path
        The sheet: a DataFrame with any index, or the path of an .xlsx, .xlsm, .csv, .tsv or .txt
        file, which gets the statuses written into it.
    mode
        ``"new"``: rows whose status is blank, "pending", "failed", or begins with "Error";
        ``"all"``: every row. Rows with a proof of posting are left out in both.
    poster
        The name of a poster, a :class:`propkit.posters.Poster`, or a function that is called with
        each row as a dict (:class:`propkit.posters.FunctionPoster` says what it may return).
    images_dir
        The folder of the images; nothing outside it is used. None: the sheet's folder.
    progress_cb
        Called with a percentage and a line after each row, in the thread of the run.
    file_path
        The file of a DataFrame: its rows with the same keys get the statuses.
    repost
        Post rows with a proof again, too; interrupted, the same call goes on with what is left.
    dry_run
        Do everything but the last click; nothing is written anywhere.
    workers
        Most listings at once, where the poster allows it; None is the setting (1).
    columns
        By field the sheet's column, e.g. ``{"row_key": "truck_id", "title": "Heading"}``, or for a
        sheet without header its place from 1 on. Fields: row_key, title, description, price, tags,
        images, posting_status, posted_url, posted_at, attempt, error. None is the setting.
    sheet
        A workbook's sheet; None is the first visible one with the needed columns.
    name
        What the sheet is called in the ledger; None is the file's name. A DataFrame without file
        should have one: else its rows are known again by their key and content only.
    store
        The ledger: a kit, or a store's path. None is the setting, else ``postings.duckdb`` in the
        sheet's folder (of a DataFrame without file: in this one).
    faulty
        ``"stop"``: rows that cannot be posted as they are stop all, before anything is opened;
        ``"skip"``: they get an error, the others are posted. None is the setting (stop).
    row_cb
        Called with a :class:`RowResult` when a row has ended, in the thread of the run.
    settings
        None reads ``propkit.toml`` and the ``PROPKIT_…`` variables.

    Returns
    -------
    PostingReport
        Also a mapping: success, total_records, successful_posts, failed_posts, skipped_records,
        results, message.

    Raises
    ------
    SheetError
        The sheet cannot be posted as it is; the message names every fault, nothing was touched.
    RequestError, SettingsError
        An option or a setting is wrong.
    StoreError
        The ledger cannot be opened or written.
    """
    order = Order(
        source=df_or_path,
        mode=mode,
        images_dir=images_dir,
        file_path=file_path,
        repost=repost,
        dry_run=dry_run,
        workers=workers,
        columns=columns,
        sheet=sheet,
        name=name,
        store=store,
        faulty=faulty,
    )
    run = _Run(order, poster, Progress(progress_cb, row_cb), settings)
    run.start()
    while True:
        try:
            while not run.wait(_SLICE_SECONDS):
                pass
            return run.result()
        except KeyboardInterrupt:
            run.stop()


async def post_listings(
    df_or_path: Any, *, poster: Any, progress_cb: ProgressCallback | None = None, **options: Any
) -> PostingReport:
    """Do as :func:`run_batch` and keep the notebook's buttons alive meanwhile.

    Cancelled, the run ends as after Interrupt, with everything kept, while the loop goes on; then
    the cancellation does. Cancelled again, it does not wait for what is sent already.

    Parameters
    ----------
    df_or_path, poster, progress_cb, options
        As for :func:`run_batch`.
    """
    row_cb, settings = options.pop("row_cb", None), options.pop("settings", None)
    run = _Run(Order(source=df_or_path, **options), poster, Progress(progress_cb, row_cb), settings)
    run.start()
    cancelled: asyncio.CancelledError | None = None
    while not run.wait(0):
        try:
            await asyncio.sleep(_SLICE_SECONDS)
        except asyncio.CancelledError as error:
            cancelled = error
            run.stop()
        except BaseException:  # nobody waits any more
            run.stop()
            raise
    if cancelled is not None:
        raise cancelled
    return run.result()


class _Run:
    """One run in its thread."""

    def __init__(
        self, order: Order, poster: Any, progress: Progress, settings: Settings | None
    ) -> None:
        self._settings = Settings.load() if settings is None else settings
        self._order = order
        self._poster = find_poster(poster, self._settings)
        self._progress = progress
        self._report: PostingReport | None = None
        self._error: BaseException | None = None
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._stops = 0
        self._stop: Callable[[], None] | None = None

    def start(self) -> None:
        """Begin; what the run's functions print lands in the cell that began it."""
        _runs.add(self)
        context = contextvars.copy_context()
        self._thread = threading.Thread(
            target=context.run, args=(self._main,), name="propkit-posting", daemon=True
        )
        self._thread.start()

    @property
    def grace_seconds(self) -> float:
        """How long what is sent already may take to come to its end."""
        return self._settings.posting.grace_seconds

    def wait(self, seconds: float) -> bool:
        """Wait a while for the end; return whether it has come."""
        return self._ended.wait(seconds)

    def stop(self) -> None:
        """End the run early; asked again, without waiting for what is sent already."""
        with self._lock:
            self._stops += 1
            if self._stop is not None:
                self._stop()

    def result(self) -> PostingReport:
        """Return the report, or raise what ended the run."""
        # A thread that the process's end cuts off leaves what it held to complain of leaks.
        self._thread.join(_END_SECONDS)
        if self._error is not None:
            raise self._error
        assert self._report is not None  # noqa: S101 -- one of the two is set when it has ended
        return self._report

    def _main(self) -> None:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            try:
                self._report = runner.run(self._go())
            except BaseException as error:  # noqa: BLE001 -- it is raised where the run was begun
                self._error = error
            finally:
                with self._lock:
                    self._stop = None
                # Closing the loop waits for threads that hang: nobody else need wait.
                self._ended.set()

    async def _go(self) -> PostingReport:
        poster, posting = self._poster, self._settings.posting
        with prepared(self._order, poster, self._settings) as ready:
            if isinstance(poster, FunctionPoster):
                poster.rows = ready.rows
            engine = Engine(
                ready,
                poster,
                posting,
                self._progress,
                workers=self._order.workers or posting.workers,
                is_dry_run=self._order.dry_run,
            )
            self._let_stop(engine)
            report = await engine.run()
        self._notify(report)
        return report

    def _let_stop(self, engine: Engine) -> None:
        loop = asyncio.get_running_loop()

        def stop() -> None:
            grace = None if self._stops < 2 else 0.0
            loop.call_soon_threadsafe(engine.stop, grace)

        with self._lock:
            self._stop = stop
            if self._stops:
                stop()

    def _notify(self, report: PostingReport) -> None:
        notify = self._settings.notify
        if report.is_dry_run or report.seconds < notify.after_seconds:
            return
        notice = PostingNotice(
            batch_id=report.run_id,
            state=report.state,
            ended=report.successful_posts + report.failed_posts,
            total=report.total_records,
            failed=report.failed_posts,
            seconds=report.seconds,
            message=report.message,
        )
        tell(make_hooks(notify), notice)


_runs: Final[weakref.WeakSet[_Run]] = weakref.WeakSet()


def _stop_all() -> None:
    """End what runs as Interrupt does, while this process, which ends, still has its threads.

    What does not end is left: that it may be published is in the ledger, and the next run looks.
    """
    runs = [run for run in _runs if not run.wait(0)]
    for run in runs:
        run.stop()
    grace = max([run.grace_seconds for run in runs], default=0.0)
    deadline = time.monotonic() + grace + _EXIT_SECONDS
    for run in runs:
        while not run.wait(0) and (left := deadline - time.monotonic()) > 0:
            try:
                run.wait(left)
            except KeyboardInterrupt:
                for one in runs:
                    one.stop()
        if not run.wait(0):
            log.warning("a run of postings does not end and is left; the same call goes on with it")


# Later it is too late: what no thread can be had for would be taken for a failure of the row.
# Called before the end of thread pools, which was registered before it.
threading._register_atexit(_stop_all)  # type: ignore[attr-defined] # noqa: SLF001 -- there is no public one
