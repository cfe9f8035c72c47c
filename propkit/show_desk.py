"""What a kit shows in a notebook: a part of :class:`propkit.Kit`, which has its methods."""

from __future__ import annotations

import os
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from propkit.charts import Picture, draw_chart
from propkit.errors import RequestError
from propkit.identifier_lists import read_identifiers
from propkit.maps import draw_map

if TYPE_CHECKING:
    import lonboard
    import pandas as pd

    from propkit.widgets.collect_panel import CollectPanel
    from propkit.widgets.jobs_panel import JobsPanel
    from propkit.widgets.panel import Panel
    from propkit.widgets.panel_kit import PanelKit
    from propkit.widgets.post_panel import PostPanel
    from propkit.widgets.statistics_panel import StatisticsPanel


ENGINES: Final = ("vega", "lonboard")
"""What draws a map."""


class ShowDesk:
    """The methods of a kit that make panels and pictures; widgets are loaded when first used."""

    @cached_property
    def panels(self) -> WeakSet[Panel]:
        """The panels that show what the kit does."""
        return WeakSet()

    def _end_panels(self) -> None:
        """Let panels show what has happened until now, before the kit is closed."""
        while self.panels:  # a kit may be closed twice
            self.panels.pop().look_last()

    def panel(
        self: PanelKit,
        hits: object = None,
        *,
        column: str | None = None,
        sheet: str | None = None,
    ) -> CollectPanel:
        """Return a panel: search, **Collect All Data**, a plan to confirm, bars, a living table.

        Parameters
        ----------
        hits
            Hits of ``kit.search`` or whatever ``kit.plan`` takes. None: the last batch, running
            or ended, also after a restart of the kernel or from another notebook.
        column, sheet
            Where the APNs stand, when it is not plain.
        """
        from propkit.widgets.collect_panel import CollectPanel

        if column is not None or sheet is not None:
            hits = read_identifiers(hits, column=column, sheet=sheet)
        return CollectPanel(self, hits)

    def jobs(self: PanelKit) -> JobsPanel:
        """Return a panel of all batches, also those of workers, other notebooks and REST.

        Each shows its state, its errors and its log, and can be cancelled, resumed, retried or
        deleted there.
        """
        from propkit.widgets.jobs_panel import JobsPanel

        return JobsPanel(self)

    def statistics_panel(self: PanelKit) -> StatisticsPanel:
        """Return a panel of what :meth:`Kit.statistics` says, looked up again as batches run."""
        from propkit.widgets.statistics_panel import StatisticsPanel

        return StatisticsPanel(self)

    def post_panel(
        self: PanelKit,
        sheet: str | os.PathLike[str] = "",
        *,
        poster: Any = "kijiji",
        images_dir: str | os.PathLike[str] | None = None,
    ) -> PostPanel:
        """Return a panel: a listing sheet, what is wrong with it, and the button that posts it.

        Parameters
        ----------
        sheet
            The path of an .xlsx or .csv file; empty: it is written into the panel.
        poster, images_dir
            As for :func:`propkit.run_batch`.
        """
        from propkit.widgets.post_panel import PostPanel

        return PostPanel(self, sheet, poster=poster, images_dir=images_dir)

    def chart(self: PanelKit, kind: str, *, batch: str | int | None = None) -> Picture:
        """Return a chart of what is collected; a saved notebook keeps it.

        Parameters
        ----------
        kind
            ``"values"``, ``"sale_prices"`` (distributions), ``"values_by_year"``,
            ``"sales_by_month"``, ``"delinquency"`` (tax that is due, by year), ``"pace"``
            (items a second by source, while a batch ran) or ``"pace_by_host"`` (requests a second
            of each run; of one batch over its time).
        batch
            The batch of a pace, by id or number; None: the last one, for ``"pace_by_host"`` all.

        Raises
        ------
        RequestError
            There is no such chart or batch, or nothing to draw.
        """
        return draw_chart(self.store, kind, batch)

    def map(
        self: PanelKit,
        frame: pd.DataFrame | None = None,
        *,
        color: str | None = None,
        engine: str = "vega",
    ) -> Picture | lonboard.Map:
        """Return a map of parcels, drawn without a network: no streets, no tiles.

        Parameters
        ----------
        frame
            Rows with ``latitude`` and ``longitude``, or with ``geometry`` (GeoJSON); None: all
            parcels.
        color
            The column that colours them; None: one colour.
        engine
            ``"vega"`` draws 10,000 shapes smoothly, needs no network at all and stays in the
            saved notebook. ``"lonboard"`` (the extra ``propkit[maps]``) draws hundreds of
            thousands on the graphics card; the page loads its decoder from cdn.jsdelivr.net, so
            that nothing is drawn where the browser cannot reach that.

        Raises
        ------
        RequestError
            No row has a place, there is no such column or engine, or lonboard is not installed.
        """
        if engine not in ENGINES:
            raise RequestError(f"no engine {engine!r}; expected one of {', '.join(ENGINES)}")
        parcels = self.store.frame("SELECT * FROM parcels ORDER BY apn") if frame is None else frame
        if engine == "lonboard":
            from propkit.big_maps import draw_big_map

            return draw_big_map(parcels, color)
        return draw_map(parcels, color)
