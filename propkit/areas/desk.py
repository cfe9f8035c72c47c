"""What a kit does with areas and layers: a part of :class:`propkit.Kit`, which has its methods."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from propkit.areas.describing import LayerDescription, make_description
from propkit.areas.listing import list_counties
from propkit.areas.operations import find_layer_config
from propkit.areas.ordering import AreaPlan, check_size, describe_area, minutes_of
from propkit.errors import RequestError
from propkit.layers.geometry import read_area, to_geojson
from propkit.notices import Notify, make_hook_listeners
from propkit.progress import Listener
from propkit.runtime.batch import Batch
from propkit.runtime.report import BatchReport
from propkit.settings import Settings
from propkit.sources import Sources
from propkit.store import Reading
from propkit.store.batches import new_batch_id

if TYPE_CHECKING:
    import pandas as pd

HOME = "maricopa_parcels"


class AsksAreas(Protocol):
    """The place that holds the store, as far as layers go."""

    def areas(self, name: str, given: Mapping[str, Any], listeners: Iterable[Listener] = ()) -> Any:
        """Have an operation of :mod:`propkit.areas.operations` carried out."""
        ...


class AreasKit(Protocol):
    """What dealing with layers needs of a kit."""

    sources: Sources
    settings: Settings
    _notifiers: list[Notify]

    @property
    def store(self) -> Reading:
        """The store."""
        ...

    @property
    def _place(self) -> AsksAreas: ...

    def _batch(self, batch_id: str) -> Batch: ...

    def watch(self, batch: Batch, *, show: bool = True) -> BatchReport:
        """Show a batch until it ends."""
        ...

    def plan_area(
        self, *, bbox: object, polygon: object, where: str | None, source: str
    ) -> AreaPlan:
        """Count an area."""
        ...


class AreasDesk:
    """The methods of a kit that deal with map layers."""

    def plan_area(
        self: AreasKit,
        *,
        bbox: object = None,
        polygon: object = None,
        where: str | None = None,
        source: str = HOME,
    ) -> AreaPlan:
        """Say how many parcels of a map layer lie in an area, and what collecting them asks for.

        Parameters
        ----------
        bbox
            West, south, east, north, in degrees.
        polygon
            A GeoJSON polygon, anything with ``__geo_interface__`` (shapely), or a list of
            (longitude, latitude).
        where
            What picks parcels, in the layer's own SQL and field names. Without any of the three
            it is the whole layer.
        source
            The layer's source: :meth:`counties` lists them.

        Returns
        -------
        AreaPlan
            With ``parcels``, ``requests``, ``minutes`` and ``licence``; ``start()`` collects.

        Raises
        ------
        RequestError
            There is no such layer, or the area is none.
        SourceError
            The layer does not answer, or lacks a field that it should have.
        """
        if not isinstance(where, str | None):
            raise RequestError(f"where must be a text such as PUC = '0131', not {where!r}")
        shape = read_area(bbox, polygon)
        config, layer_source = find_layer_config(self.sources, source)
        check_size(shape, layer_source.layer.kind)
        asked = {"source": source, "where": where, "shape": shape}
        said = self._place.areas("measure", asked)

        def start(listeners: list[Listener]) -> Batch:
            order = {"source": source, "measured": said, "batch_id": new_batch_id()}
            hooks = make_hook_listeners(self._notifiers, self.settings.notify)
            return self._batch(self._place.areas("start", order, [*listeners, *hooks]))

        return AreaPlan(
            source=source,
            county=config.source.county,
            what=describe_area(shape, where),
            parcels=said["count"],
            requests=len(said["parts"]),
            minutes=minutes_of(len(said["parts"]), config),
            licence=said["licence"],
            planned_at=datetime.now(UTC),
            start_batch=start,
        )

    def collect_area(
        self: AreasKit,
        *,
        bbox: object = None,
        polygon: object = None,
        where: str | None = None,
        source: str = HOME,
        progress: bool | Listener = True,
    ) -> BatchReport:
        """Collect every parcel of a map layer in an area, with its outline; wait for the report.

        The batch is as durable as any other: what was fetched is kept, and after a crash
        ``kit.batch("last").resume()`` goes on with what is missing. What came is compared with
        what the layer counts: a part that does not come whole has failed, and is named.

        Parameters
        ----------
        bbox, polygon, where, source
            As for :meth:`plan_area`.
        progress
            False for silence; a function to be called with every :class:`propkit.Progress`.

        Raises
        ------
        RequestError
            There is no such layer, the area is none, or nothing lies in it.
        SourceError
            The layer does not answer, or lacks a field that it should have.
        """
        plan = self.plan_area(bbox=bbox, polygon=polygon, where=where, source=source)
        batch = plan.start(progress if callable(progress) else None)
        return self.watch(batch, show=progress is True)

    def describe_layer(self: AreasKit, url: str) -> LayerDescription:
        """Look at a layer of any county and propose which of its fields are which columns.

        Nothing is mapped on a guess: what is not sure is shown, and left out of ``fields``.

        Parameters
        ----------
        url
            Of a layer (``…/MapServer/0``, ``…/FeatureServer/0``) or a Socrata dataset
            (``https://site/resource/abcd-1234``).

        Returns
        -------
        LayerDescription
            ``frame()`` shows every proposal, ``fields`` the sure ones, ``toml(name, county)`` the
            lines that make the layer a source.

        Raises
        ------
        RequestError, SettingsError, SourceError
            That is no address, it does not answer, or is no layer.
        """
        return make_description(self._place.areas("describe", {"url": url}))

    def shapes(self: AreasKit, apns: Iterable[str] | None = None) -> dict[str, Any]:
        """Return the outlines of parcels as a GeoJSON FeatureCollection, with what is known of them.

        Parameters
        ----------
        apns
            Which parcels, in their stored form; None is all. WKB of the same outlines is in the
            table ``parcel_shapes``.
        """
        import json

        wanted = None if apns is None else [str(apn) for apn in apns]
        rows = self.store.table(
            "SELECT s.shape, s.object_id, p.* FROM parcel_shapes s JOIN parcels p"
            " USING (county, apn) WHERE $1 IS NULL OR list_contains($1::VARCHAR[], s.apn)"
            " ORDER BY s.county, s.apn, s.object_id",
            [wanted],
        ).to_pylist()
        features = [
            {
                "type": "Feature",
                "geometry": to_geojson(row.pop("shape")),
                "properties": json.loads(json.dumps(row, default=str)),
            }
            for row in rows
        ]
        return {"type": "FeatureCollection", "features": features}

    def counties(self: AreasKit, state: str | None = None) -> pd.DataFrame:
        """Return the map layers of parcels that propkit knows, one row each.

        Parameters
        ----------
        state
            Two letters; None is every state.

        Returns
        -------
        DataFrame
            A range index and the columns source, state, county, coverage, protocol, status
            (``ready`` or ``unsupported``), reason, licence, data and file. A ready one is
            collected by ``kit.collect_area(source=…)``. ``propkit counties import`` adds more.

        Raises
        ------
        RequestError
            It is no state's two letters.
        """
        if state is not None and not (isinstance(state, str) and len(state.strip()) == 2):
            raise RequestError(f"state must be two letters, such as 'AZ', not {state!r}")
        return list_counties(self.settings.counties, None if state is None else state.strip())
