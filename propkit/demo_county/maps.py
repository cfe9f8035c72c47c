"""The map servers: layers of parcels as ArcGIS REST gives them, with its ways of leaving things out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import pairwise
from typing import Any

from aiohttp import web

from propkit.demo_county.answers import as_json
from propkit.demo_county.layer_switches import LayerSwitches
from propkit.demo_county.map_rows import LAYERS, MapLayer, outline
from propkit.demo_county.map_where import WhereError, read_where
from propkit.demo_county.parcel import Parcel
from propkit.demo_county.switches import Switches
from propkit.demo_county.truth import CountyTruth

_LONGEST_QUERY = 2048


class Maps:
    """Answer one request to a layer."""

    def __init__(self, truth: CountyTruth) -> None:
        self._truth = truth
        self._queries = 0
        self._switches: LayerSwitches | None = None
        self._attributes = lru_cache(maxsize=200_000)(self._write)

    async def answer(self, request: web.Request, path: str, switches: Switches) -> web.Response:
        """Return a description, rows, a count, ids, or an error with status 200."""
        if switches.layers is not self._switches:
            self._switches, self._queries = switches.layers, 0
        county, _, rest = path.lstrip("/").partition("/")
        layer = LAYERS.get(county)
        if layer is None or not rest.startswith("MapServer"):
            return web.Response(status=404, text="no such service\n")
        if len(request.query_string) > _LONGEST_QUERY:  # as IIS says it
            return web.Response(status=404, text="404.15 Query String Too Long\n")
        part = rest.removeprefix("MapServer").strip("/")
        if part == "":
            return as_json({"layers": [{"id": 0, "name": layer.title}], "currentVersion": 10.81})
        if part == "0":
            return as_json(_describe(layer, switches.layers))
        if part != "0/query":
            return _error(400, "Invalid URL")
        self._queries += 1
        if self._queries <= switches.layers.first_fail:
            return _error(500, "Error performing query operation")
        query: dict[str, str] = {**request.query}
        if request.method == "POST":
            query |= {name: str(value) for name, value in (await request.post()).items()}
        try:
            return self._query(layer, county, query, switches.layers)
        except (WhereError, ValueError, KeyError, TypeError) as error:
            return _error(400, "Unable to complete operation.", f"'where' is invalid: {error}")

    def _query(
        self, layer: MapLayer, county: str, query: Mapping[str, str], switches: LayerSwitches
    ) -> web.Response:
        found = self._find(layer, county, query)
        if query.get("returnCountOnly") == "true":
            return as_json({"count": len(found)})
        if query.get("returnIdsOnly") == "true":
            ids = [index + 1 for index in found]
            return as_json({"objectIdFieldName": layer.object_id, "objectIds": ids})
        start, count = query.get("resultOffset"), query.get("resultRecordCount")
        can_page = layer.can_page and switches.paging != "refused"
        if (start is not None or count is not None) and not can_page:
            return _error(400, "Pagination is not supported.")
        first = int(start or 0)
        most = switches.max_rows if switches.cap is None else min(switches.max_rows, switches.cap)
        asked = int(count or switches.max_rows)
        rest = found[0 if switches.paging == "ignored" else first :]
        if switches.most_bearable is not None and min(asked, len(rest)) > switches.most_bearable:
            return _error(500, "Error performing query operation")
        if switches.lost_from is not None:
            rest = [index for index in rest if index < switches.lost_from]
        sent = rest[: min(asked, most)]
        is_told = switches.cap is None or switches.is_cap_told
        is_cut = is_told and len(sent) < len(rest)
        return self._rows(layer, county, sent, query, is_cut=is_cut)

    def _find(self, layer: MapLayer, county: str, query: Mapping[str, str]) -> list[int]:
        names = {name.lower(): name for name in (layer.object_id, *layer.fields)}
        where = query["where"]
        test = None if where == "1=1" else read_where(where, names)
        area = _read_area(query)
        found = []
        for index in range(self._truth.size):
            if not self._truth.head(index).is_in_assessor:
                continue
            write = partial(self._attributes, county, index)
            if test is not None and not test(_LateRow(index, layer.object_id, write)):
                continue
            if area is None or _is_in(self._truth.parcel(index), area):
                found.append(index)
        return found

    def _rows(
        self,
        layer: MapLayer,
        county: str,
        indexes: Sequence[int],
        query: Mapping[str, str],
        *,
        is_cut: bool,
    ) -> web.Response:
        known = {layer.object_id: "esriFieldTypeOID", **layer.fields}
        wanted = query.get("outFields", layer.object_id)
        names = list(known) if wanted == "*" else wanted.split(",")
        if unknown := [name for name in names if name not in known]:
            return _error(400, "Failed to execute query.", f"no field {unknown[0]}")
        features = []
        for index in indexes:
            attributes = self._attributes(county, index)
            feature: dict[str, Any] = {"attributes": {name: attributes[name] for name in names}}
            if query.get("returnGeometry", "true") == "true":
                rings = outline(self._truth.parcel(index))
                if rings is not None:
                    feature["geometry"] = {"rings": rings}
            features.append(feature)
        answer: dict[str, Any] = {
            "displayFieldName": "",
            "geometryType": "esriGeometryPolygon",
            "spatialReference": {"wkid": 4326, "latestWkid": 4326},
            "fields": [{"name": name, "type": known[name], "alias": name} for name in names],
            "features": features,
        }
        return as_json({**answer, "exceededTransferLimit": True} if is_cut else answer)

    def _write(self, county: str, index: int) -> dict[str, Any]:
        return LAYERS[county].attributes(self._truth.parcel(index))


@dataclass(frozen=True, slots=True)
class _LateRow:
    """A row by its fields; a parcel is made only where more than its number is asked for."""

    index: int
    object_id: str
    write: Callable[[], Mapping[str, Any]]

    def __getitem__(self, name: str) -> Any:
        return self.index + 1 if name == self.object_id else self.write()[name]


def _describe(layer: MapLayer, switches: LayerSwitches) -> dict[str, Any]:
    fields = {layer.object_id: "esriFieldTypeOID", **layer.fields, "Shape": "esriFieldTypeGeometry"}
    can_page = layer.can_page and switches.paging != "refused"
    return {
        "id": 0,
        "name": layer.title,
        "type": "Feature Layer",
        "geometryType": "esriGeometryPolygon",
        "copyrightText": layer.licence,
        "maxRecordCount": switches.max_rows,
        "objectIdField": layer.object_id,
        "supportedQueryFormats": "JSON, geoJSON, PBF",
        "advancedQueryCapabilities": {"supportsPagination": can_page},
        "fields": [
            {"name": name, "type": kind, "alias": name.rpartition(".")[2].replace("_", " ")}
            for name, kind in fields.items()
        ],
    }


def _read_area(query: Mapping[str, str]) -> Any:
    if "geometry" not in query:
        return None
    shape = json.loads(query["geometry"])
    if query["geometryType"] == "esriGeometryEnvelope":
        return [shape["xmin"], shape["ymin"], shape["xmax"], shape["ymax"]]
    return shape["rings"]


def _is_in(parcel: Parcel, area: Any) -> bool:
    """Whether a parcel's middle lies in an envelope or in rings."""
    x, y = parcel.longitude, parcel.latitude
    if x is None or y is None:
        return False
    if isinstance(area[0], float | int):
        west, south, east, north = area
        return bool(west <= x <= east and south <= y <= north)
    crossings = 0
    for ring in area:
        for (ax, ay), (bx, by) in pairwise(ring):
            if (ay > y) != (by > y) and x < (bx - ax) * (y - ay) / (by - ay) + ax:
                crossings += 1
    return crossings % 2 == 1


def _error(code: int, message: str, *details: str) -> web.Response:
    return as_json({"error": {"code": code, "message": message, "details": list(details)}})
