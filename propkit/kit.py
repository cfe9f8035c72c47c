"""The kit: what a notebook holds. Thin; each method hands over to the room that does it."""

from __future__ import annotations

import html
import os
import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakValueDictionary

from propkit.areas import AreasDesk
from propkit.county_desk import CountyDesk
from propkit.errors import RequestError
from propkit.evidence_desk import EvidenceDesk
from propkit.frames import table_frame
from propkit.given import check_callable, check_query, choose_listener
from propkit.history_desk import HistoryDesk
from propkit.identifiers import Apn
from propkit.kinds import HOME_COUNTY
from propkit.leads import LeadsDesk
from propkit.notebook import describe_kit, is_notebook, notebook_bars, watch_batch
from propkit.notices import Notify, follow_end, make_hook_listeners
from propkit.plan import Plan
from propkit.planning import plan_parcels
from propkit.progress import Listener
from propkit.runtime import background
from propkit.runtime.batch import Batch
from propkit.runtime.options import Caps, check_workbook
from propkit.runtime.report import BatchReport
from propkit.settings import Settings
from propkit.sharing.here import HerePlace
from propkit.sharing.place import Place, Ties, make_order
from propkit.show_desk import ShowDesk
from propkit.sources import Sources
from propkit.store import Reading, Store
from propkit.store.batches import read_head, unfinished_ids
from propkit.store_desk import StoreDesk
from propkit.worker_desk import WorkerDesk

if TYPE_CHECKING:
    import pandas as pd

    from propkit.demo_county import County


class Kit(
    StoreDesk, HistoryDesk, LeadsDesk, AreasDesk, CountyDesk, WorkerDesk, EvidenceDesk, ShowDesk
):
    """A store, the county sources by settings, and everything done with them.

    Made by :func:`propkit.open` or :func:`propkit.demo`; a context manager.
    """

    def __init__(
        self,
        store: Store | Place,
        settings: Settings,
        sources: Sources,
        county: County | None = None,
    ) -> None:
        self.settings = settings
        self.sources = sources
        self.county = county
        self._place: Place = (
            HerePlace(store, sources, settings) if isinstance(store, Store) else store
        )
        self._batches = WeakValueDictionary[str, Batch]()  # who holds one has the same each time
        self._is_paused = False
        self._notifiers: list[Notify] = []
        self._finalizer = weakref.finalize(self, self._place.close)
        self._tie()

    def __enter__(self) -> Self:
        """Return the kit; leaving closes it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the kit."""
        self.close()

    def __repr__(self) -> str:
        """Return the store's path, what it holds, who owns it and which batch is unfinished."""
        if self.is_closed:
            return f"<Kit {self.store.path.name}: closed>"
        sources = ["demo county"] if self.county else self._place.sources
        return describe_kit(self.store, sources, self._place.owner, self.unfinished)

    def _repr_html_(self) -> str:
        return f"<pre style='white-space: pre-wrap'>{html.escape(repr(self))}</pre>"

    @property
    def store(self) -> Reading:
        """The store: the file itself, or the process that owns it."""
        return self._place.store

    def search(self, query: str | Apn, by: str = "owner", *, limit: int = 1000) -> pd.DataFrame:
        """Search the assessor's roll, now.

        Parameters
        ----------
        query
            An APN, a name, a street or a subdivision, as the county writes it.
        by
            ``"apn"`` (exactly this one), ``"owner"``, ``"address"`` or ``"subdivision"``
            (rows whose field has every word of the query).
        limit
            Most rows; ``frame.attrs`` says whether these are all (``is_complete``), and the ``total``.

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
        frame = self._place.search(check_query(query), by, limit)
        wants = self.settings.collect.enhance
        if (is_notebook() if wants is None else wants) and not self._is_paused and len(frame):
            self.enhance(frame)
        return frame

    def plan(
        self,
        parcels: object,
        *,
        kind: str = "comprehensive",
        datasets: str | Iterable[str] | None = None,
        mode: str = "auto",
        max_age: Any = "default",
        priority: str | None = None,
        budget: float | None = None,
        by: str | None = None,
        source: str | None = None,
        county: str = HOME_COUNTY,
        column: str | None = None,
        sheet: str | None = None,
    ) -> Plan:
        """Say what a batch would do, without any request.

        Parameters
        ----------
        parcels
            A list, Series or DataFrame with an APN-like column, the path of an .xlsx or .csv
            file, hits of :meth:`search`, or one APN; queries where ``kind="search"``.
        kind
            ``"comprehensive"``, ``"taxes"``, ``"sales_and_documents"``, ``"validation"`` (does
            the county know these APNs?), ``"search"`` or ``"enhance"``.
        datasets
            Tables to collect; None is all.
        mode
            ``"auto"``, ``"api"``, ``"browser"``, ``"api_then_browser"`` or ``"all"``: the ways in.
        max_age
            What is younger is not asked for again: ``"24h"``, ``"7d"``, seconds, a timedelta,
            0 (always ask) or None (never ask again). ``"default"`` is each source's own.
        priority
            ``"critical"``, ``"high"`` (None), ``"normal"`` or ``"low"`` (None of ``"enhance"``).
        budget
            Most credits that paid sources may charge; never overspent.
        by
            What ``kind="search"`` searches by; ``"owner"`` unless given.
        source
            A map layer to be asked in place of everything else, many APNs in one request;
            :meth:`counties` lists them. Outside Maricopa APNs are taken as they are written.
        county
            Whose sources are asked, where further ones were added; without ``datasets`` for all
            that they give.
        column, sheet
            Where the APNs stand, when it is not plain.

        Raises
        ------
        IdentifierError
            The parcels cannot be read: no such file, column or sheet.
        RequestError
            An option has no such value.
        """
        return plan_parcels(
            self.store,
            self._place.sources if source is None else self.sources,
            parcels,
            kind=kind,
            datasets=datasets,
            mode=mode,
            max_age=max_age,
            priority=priority,
            budget=budget,
            by=by,
            source=source,
            county=county,
            column=column,
            sheet=sheet,
            rates=self._place.rates(),
            flush=self._place.flush,
        )

    def start(
        self,
        parcels: object,
        *,
        workers: int | None = None,
        strategy: str | None = None,
        profile: str | None = None,
        batch_size: int | None = None,
        max_requests: Caps = None,
        stale_ok: bool | None = None,
        export_to: str | os.PathLike[str] | None = None,
        listener: Listener | None = None,
        created_by: str | None = None,
        cluster: object = None,
        **plan_options: Any,
    ) -> Batch:
        """Start a batch and return it at once.

        Parameters
        ----------
        parcels
            A plan, or what :meth:`plan` takes, with its options.
        workers
            Most items in work at once on each host; None is the setting (3).
        strategy
            ``"parallel"``, ``"hybrid"`` (one at a time on each host) or ``"sequential"``.
        profile
            ``"conservative"``, ``"balanced"``, ``"fast"`` or ``"auto"``: sets both.
        batch_size
            Most parcels in one run; the others wait for ``batch.resume()``.
        max_requests
            Most requests of a run at each host, or by host or source; then items wait.
        stale_ok
            Keep an older record, and say so, where a source is down.
        export_to
            A workbook that is written when the batch ends.
        listener
            Called with every :class:`propkit.Progress`, from another thread.
        created_by
            Whose batch it is; None: this user's.
        cluster
            A ``distributed.Client``, or a scheduler's address, whose workers ask: tokens go there.

        Raises
        ------
        RequestError
            An option has no such value; nothing was started.
        """
        if isinstance(parcels, Plan) and plan_options:
            raise RequestError(f"a plan is made already; {', '.join(plan_options)} belong to it")
        self._place.check()
        plan = parcels if isinstance(parcels, Plan) else self.plan(parcels, **plan_options)
        options = {
            "workers": workers,
            "strategy": strategy,
            "profile": profile,
            "batch_size": batch_size,
            "max_requests": max_requests,
            "stale_ok": stale_ok,
            "export_to": None if export_to is None else str(check_workbook(export_to)),
        }
        order = make_order(plan, options, created_by=created_by)
        listeners = [] if listener is None else [check_callable("listener", listener)]
        # Mail and webhook are sent by where it runs.
        listeners += make_hook_listeners(self._notifiers, self.settings.notify)
        self._place.start(order, listeners, cluster=cluster)
        return self._batch(order.batch_id)

    def collect(
        self, parcels: object, *, progress: bool | Listener = True, **options: Any
    ) -> BatchReport:
        """Collect, show progress, wait, and return the report.

        Interrupt (Ctrl+C, the stop button) cancels: everything fetched is kept, and reported. In
        a notebook ``await kit.start(...)`` keeps buttons alive.

        Parameters
        ----------
        parcels, options
            As for :meth:`start` and :meth:`plan`.
        progress
            False for silence; a function to be called with every :class:`propkit.Progress`.

        Raises
        ------
        StoreError
            The store cannot be written.
        """
        batch = self.start(parcels, listener=choose_listener(progress), **options)
        return self.watch(batch, show=progress is True)

    def enhance(self, hits: object, *, top: int | None = None) -> Batch | None:
        """Collect the first hits of a search in the background, behind everything else.

        Parameters
        ----------
        hits
            Hits of :meth:`search`, or anything that :meth:`plan` takes.
        top
            How many parcels; None is the setting (20).

        Returns
        -------
        Batch | None
            None when all of them are fresh: then nothing is asked.

        Raises
        ------
        RequestError
            The kit is paused (:meth:`pause`).
        """
        chosen = self.settings.collect.enhance_top if top is None else top
        return background.enhance(self, hits, chosen)

    def pause(self) -> None:
        """Stop collecting in the background (:meth:`enhance`), until :meth:`unpause`."""
        self._is_paused = True
        background.pause(map(self._batch, unfinished_ids(self.store)))

    def unpause(self) -> None:
        """Go on collecting in the background, with what was stopped first."""
        self._is_paused = False
        background.unpause(map(self._batch, unfinished_ids(self.store)))

    def watch(self, batch: Batch, *, show: bool = True) -> BatchReport:
        """Show a batch until it ends; Interrupt cancels it and returns the report."""
        return watch_batch(batch, show=show)

    def batches(self) -> pd.DataFrame:
        """Return all batches, one row each, with counts by state; ``replaced`` count only there."""
        return table_frame(self.store, "batches")

    def batch(self, batch: str | int = "last") -> Batch:
        """Return a batch by id, by number, or the last one.

        Raises
        ------
        RequestError
            There is no such batch.
        """
        return self._batch(read_head(self.store, batch).batch_id)

    def notify(self, hook: Notify) -> None:
        """Call ``hook`` with a :class:`propkit.notices.Notice` when a batch of this kit ends.

        As the settings' e-mail and webhook: for batches that took ``notify.after_seconds`` or
        failed, started here, gone on with or retried, also where a worker runs them. Of one that
        is stuck it hears where this process owns the store.
        """
        self._notifiers.append(check_callable("hook", hook))

    def at_close(self, end: Callable[[], object]) -> None:
        """Call ``end`` when the kit is closed, after the store."""
        self._place.at_close(end)

    def close(self) -> None:
        """Stop running batches (they can be resumed), commit, let the file go."""
        self._end_panels()
        self._finalizer()

    @property
    def is_closed(self) -> bool:
        """Whether the kit was closed."""
        return not self._finalizer.alive

    @property
    def is_paused(self) -> bool:
        """Whether collecting in the background is stopped (:meth:`pause`)."""
        return self._is_paused

    @property
    def unfinished(self) -> list[str]:
        """The ids of batches with items that still wait, and that nobody runs or is to run."""
        return [name for name in unfinished_ids(self.store) if not self._place.will_run(name)]

    def _batch(self, batch_id: str) -> Batch:
        self._place.check()
        batch = self._batches.get(batch_id)
        if batch is None:
            batch = Batch(self._place, batch_id, notebook_bars, self._follow_again)
            self._batches[batch_id] = batch
        return batch

    def _move_to(self, place: Place) -> None:
        """Work in another place from now on; it ends with the kit."""
        before, self._place = self._finalizer, place
        self._finalizer = weakref.finalize(self, place.close)
        before.detach()
        self._tie()
        for batch in filter(None, [held() for held in self._batches.valuerefs()]):
            batch.move_to(place)

    def _tie(self) -> None:
        """Let the place know this kit, without keeping it alive."""
        self._place.tie(Ties(hooks=self._notifiers, hand_over=weakref.WeakMethod(self.hand_over)))

    def _follow_again(self, batch: Batch) -> None:
        follow_end(batch, self._notifiers, self.settings.notify.after_seconds)
