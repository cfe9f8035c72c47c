"""The kit: what a notebook holds. Thin; each method hands over to the room that does it."""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from propkit.batch_run import Run
from propkit.collector import Collector
from propkit.errors import RequestError
from propkit.excel import write_workbook
from propkit.frames import choose_frames, hits_frame, table_frame
from propkit.identifier_lists import read_identifiers
from propkit.identifiers import Apn
from propkit.items import parse_priority
from propkit.plan import Freshness, Known, Plan, Terms, choose_sources, make_plan, parse_datasets
from propkit.progress import Listener
from propkit.runtime.batch import Batch, BatchReport
from propkit.runtime.parts import OpenParts
from propkit.runtime.progress_line import ProgressLine
from propkit.runtime.thread import CollectorThread
from propkit.settings import Settings, parse_duration
from propkit.sources import SourceConfig
from propkit.store import Store
from propkit.store.batches import UNFINISHED, active_keys, create_batch, read_head

if TYPE_CHECKING:
    import pandas as pd

    from propkit.demo_county import County

SEARCHES = ("apn", "owner", "address", "subdivision")

MaxAge = Any
"""A duration (see :func:`propkit.settings.parse_duration`) or ``"default"``."""


class Kit:
    """A store, the county sources by settings, and everything done with them.

    Made by :func:`propkit.open` or :func:`propkit.demo`; a context manager.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        sources: Mapping[str, SourceConfig],
        county: County | None = None,
    ) -> None:
        self.store = store
        self.settings = settings
        self.sources = sources
        self.county = county
        self._parts = OpenParts(store, _notebook_bars)
        self._finalizer = weakref.finalize(self, self._parts.close)

    def __enter__(self) -> Self:
        """Return the kit; leaving closes it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the kit."""
        self.close()

    def __repr__(self) -> str:
        """Return the store's path, what it holds and which batch is unfinished."""
        if not self._finalizer.alive:
            return f"<Kit {self.store.path.name}: closed>"
        parcels = self.store.rows("SELECT count(*) AS n FROM parcels")[0]["n"]
        where = "demo county" if self.county else ", ".join(self.sources)
        text = f"<Kit {self.store.path.name}: {parcels} parcels; {where}"
        if unfinished := self.unfinished:
            text += f"; unfinished: {', '.join(unfinished)}, go on with kit.batch(…).resume()"
        return text + ">"

    def search(self, query: str | Apn, by: str = "owner", *, limit: int = 1000) -> pd.DataFrame:
        """Search the assessor's roll, now.

        Parameters
        ----------
        query
            An APN (text or :class:`propkit.Apn`), a name, a street or a subdivision, as the county writes it.
        by
            ``"apn"`` (exactly this one), ``"owner"``, ``"address"`` or ``"subdivision"``
            (rows whose field has every word of the query).
        limit
            Most rows; ``frame.attrs["is_complete"]`` says whether the county has more, and
            ``frame.attrs["total"]`` how many it counts.

        Returns
        -------
        DataFrame
            A range index and :data:`propkit.frames.HIT_COLUMNS`, all text.

        Raises
        ------
        RequestError
            Empty query, unknown ``by`` or a limit below 1.
        SourceError
            The county does not answer; see :mod:`propkit.errors`.
        """
        if by not in SEARCHES:
            raise RequestError(f"cannot search by {by!r}; expected one of {', '.join(SEARCHES)}")
        text = str(query).strip()
        if not text or limit < 1:
            raise RequestError(f"nothing to search for: query {query!r}, limit {limit!r}")
        source = next(name for name, c in self.sources.items() if hasattr(c.source, "search"))
        thread = self._running_thread()
        found = thread.submit(thread.collector.search(source, text, by, limit)).result()
        frame = hits_frame(found.rows)
        frame.attrs.update(total=found.total, is_complete=found.is_complete)
        return frame

    def plan(
        self,
        parcels: object,
        *,
        datasets: str | Iterable[str] | None = None,
        mode: str = "auto",
        max_age: MaxAge = "default",
        priority: str = "high",
        column: str | None = None,
        sheet: str | None = None,
    ) -> Plan:
        """Say what a batch would do, without any request.

        Parameters
        ----------
        parcels
            A list, Series or DataFrame with an APN-like column, the path of an .xlsx or .csv
            file, hits of :meth:`search`, or one APN.
        datasets
            Tables to collect; None is all.
        mode
            ``"auto"``, ``"api"`` or ``"browser"``: the ways in that may be used.
        max_age
            What is younger is not asked for again: ``"24h"``, ``"7d"``, seconds, a timedelta,
            0 (always ask) or None (never ask again). ``"default"`` is each source's own.
        priority
            ``"critical"``, ``"high"``, ``"normal"`` or ``"low"``.
        column, sheet
            Where the APNs stand, when it is not plain.

        Raises
        ------
        IdentifierError
            The parcels cannot be read: no such file, column or sheet.
        RequestError
            An unknown dataset, mode, priority or duration.
        """
        identifiers = read_identifiers(parcels, column=column, sheet=sheet)
        wanted = parse_datasets(datasets)
        terms = choose_sources([c.terms for c in self.sources.values()], wanted, mode)
        return make_plan(
            identifiers,
            terms,
            self._known(terms, [apn.canonical for apn in identifiers.valid]),
            datasets=wanted,
            mode=mode,
            max_age=None if max_age == "default" else parse_duration(max_age),
            priority=parse_priority(priority),
            now=datetime.now(UTC),
        )

    def start(
        self,
        parcels: object,
        *,
        workers: int | None = None,
        listener: Listener | None = None,
        **plan_options: Any,
    ) -> Batch:
        """Start a batch and return it at once.

        Parameters
        ----------
        parcels
            A plan, or what :meth:`plan` takes, with its options.
        workers
            Most items in work at once on each host; None is the setting (3).
        listener
            Called with every :class:`propkit.Progress`, from the collector's thread.
        """
        if workers is not None and not (isinstance(workers, int) and workers >= 1):
            raise RequestError(f"workers must be a whole number from 1 up, not {workers!r}")
        if isinstance(parcels, Plan) and plan_options:
            raise RequestError(f"a plan is made already; {', '.join(plan_options)} belong to it")
        plan = parcels if isinstance(parcels, Plan) else self.plan(parcels, **plan_options)
        thread = self._running_thread()
        workers = workers or self.settings.collect.workers
        batch_id = create_batch(
            self.store,
            plan.items,
            kind="collect",
            criteria={
                "origin": plan.origin,
                "datasets": plan.datasets,
                "mode": plan.mode,
                "sources": plan.sources,
                "workers": workers,
                "identifiers": plan.counts,
                "not_usable": {entry.identifier: entry.reason for entry in plan.invalid},
            },
        )
        batch = self._parts.batch(batch_id, thread)
        batch.start(
            Run(
                batch_id=batch_id,
                items=plan.items,
                sources=frozenset(plan.sources),
                workers=workers,
                fresh_keys=plan.fresh_keys,
                listeners=[listener] if listener else [],
            )
        )
        return batch

    def collect(
        self,
        parcels: object,
        *,
        progress: bool | Listener = True,
        workers: int | None = None,
        **plan_options: Any,
    ) -> BatchReport:
        """Collect, show progress, wait, and return the report.

        Interrupt (Ctrl+C, the stop button) cancels: everything fetched is kept and the report
        is returned all the same. In a notebook ``await kit.start(...)`` keeps buttons alive.

        Parameters
        ----------
        parcels, workers, plan_options
            As for :meth:`start`.
        progress
            False for silence; a function to be called with every :class:`propkit.Progress`.

        Raises
        ------
        StoreError
            The store cannot be written.
        """
        listener = progress if callable(progress) else None
        batch = self.start(parcels, workers=workers, listener=listener, **plan_options)
        return self.watch(batch, show=progress is True)

    def watch(self, batch: Batch, *, show: bool = True) -> BatchReport:
        """Show a batch's progress until it ends; Interrupt cancels it and returns the report."""
        display = (_notebook_bars() or ProgressLine(sys.stderr)) if show else None
        try:
            while batch.is_running:
                try:
                    batch.wait(timeout=0.2)
                except TimeoutError:
                    if display and batch.progress:
                        display.show(batch.progress)
            return batch.wait()
        except KeyboardInterrupt:
            return batch.cancel()
        finally:
            if display:
                display.end(batch.progress)

    def frame(self, name: str, *, float_money: bool = False) -> pd.DataFrame:
        """Return a table as a DataFrame; see :mod:`propkit.frames` for columns and dtypes.

        Raises
        ------
        RequestError
            There is no such frame; the message lists them.
        """
        return table_frame(self.store, name, float_money=float_money)

    def sql(
        self, query: str, params: Sequence[Any] | Mapping[str, Any] | None = None
    ) -> pd.DataFrame:
        """Return the answer to one SQL query (DuckDB's dialect) as a DataFrame.

        Raises
        ------
        RequestError
            The SQL is wrong, or would write: the store is written by batches only.
        """
        return self.store.query(query, params)

    def batches(self) -> pd.DataFrame:
        """Return all batches, one row each, with counts by state."""
        return table_frame(self.store, "batches")

    def batch(self, batch: str | int = "last") -> Batch:
        """Return a batch by id, by number, or the last one.

        Raises
        ------
        RequestError
            There is no such batch.
        """
        return self._parts.batch(read_head(self.store, batch).batch_id, self._running_thread())

    def to_excel(
        self, path: str | os.PathLike[str], frames: Iterable[str] | Mapping[str, Any] | None = None
    ) -> Path:
        """Write a workbook, one sheet a table, and return its path.

        Parameters
        ----------
        path
            Ends in .xlsx; an existing file is replaced.
        frames
            Names of frames, or DataFrames by sheet name; None is every record table.

        Raises
        ------
        ExportError, RequestError
            The file cannot be written; there is no such frame.
        """
        chosen = frames if isinstance(frames, Mapping) else choose_frames(self.store, frames)
        return write_workbook(path, chosen)

    def at_close(self, end: Callable[[], object]) -> None:
        """Call ``end`` when the kit is closed, after the store."""
        self._parts.ends.append(end)

    def close(self) -> None:
        """Stop running batches (they can be resumed), commit, let the file go."""
        self._finalizer()

    @property
    def unfinished(self) -> list[str]:
        """The ids of batches with items that still wait, and that do not run here."""
        rows = self.store.rows("SELECT batch_id, state FROM batch_heads ORDER BY number")
        batches = self._parts.batches
        return [
            row["batch_id"]
            for row in rows
            if row["state"] in UNFINISHED
            and not (row["batch_id"] in batches and batches[row["batch_id"]].is_running)
        ]

    def _known(self, terms: Sequence[Terms], apns: Sequence[str]) -> Known:
        keys: dict[str, Mapping[str, str]] = {}
        asked: dict[str, Sequence[str]] = {}
        for term in terms:
            if term.needs is None:
                asked[term.source] = apns
            else:
                keys[term.source] = self.store.parcel_column(term.needs, apns)
                asked[term.source] = list(keys[term.source].values())
        freshness: Mapping[tuple[str, str], Freshness] = self.store.freshness(asked)
        return Known(freshness=freshness, keys=keys, active=active_keys(self.store))

    def _running_thread(self) -> CollectorThread:
        if not self._finalizer.alive:
            raise RequestError(f"the kit of {self.store.path} is closed; open it again")
        store, sources, settings = self.store, self.sources, self.settings.collect
        return self._parts.running_thread(lambda: Collector(store, sources, settings))


def _notebook_bars() -> Any:
    """Return progress bars where a notebook's kernel runs, else None."""
    shell = sys.modules.get("IPython")
    running = shell.get_ipython() if shell else None
    if running is None or not hasattr(running, "kernel"):
        return None
    from propkit.widgets import ProgressBars

    return ProgressBars()
