"""A map layer's answers, from memory: the demo county's Maricopa layer, rows numbered from 1.

Every row has the fields that propkit's map of Maricopa's layer names, and its outline. Serving a
page of 1000 costs some 2 ms.
"""

from __future__ import annotations

import json
import re
from typing import Any, Self
from urllib.parse import parse_qsl

from propkit.demo_county.map_rows import LAYERS, outline
from propkit.demo_county.truth import CountyTruth
from propkit.layers.ready import READY

PAGE_ROWS = 1000
_LIMIT = re.compile(r"OBJECTID <= (\d+)")


class LayerPages:
    """The layer's description, counts and pages."""

    def __init__(self, rows: list[bytes], keys: list[str], fields: list[dict[str, Any]]) -> None:
        self.keys = keys
        self._rows = rows
        self._fields = fields
        self._head = json.dumps(
            {"geometryType": "esriGeometryPolygon", "fields": fields}, separators=(",", ":")
        ).encode()[:-1]

    @classmethod
    def make(cls, parcels: int, seed: int = 7) -> Self:
        """Ask the demo county for so many parcels."""
        truth = CountyTruth(parcels + parcels // 50 + 50, seed)
        layer, names = LAYERS["maricopa"], READY["maricopa_parcels"].names
        rows: list[bytes] = []
        keys: list[str] = []
        for index in range(truth.size):
            if len(rows) == parcels:
                break
            if not truth.head(index).is_in_assessor:
                continue
            parcel = truth.parcel(index)
            said = layer.write(parcel)
            feature: dict[str, Any] = {
                "attributes": {"OBJECTID": len(rows) + 1, **{name: said[name] for name in names}}
            }
            if (rings := outline(parcel)) is not None:
                feature["geometry"] = {"rings": rings}
            rows.append(json.dumps(feature, separators=(",", ":")).encode())
            keys.append(parcel.head.apn)
        if len(rows) < parcels:
            raise ValueError(f"the demo county knows {len(rows)} of {parcels} parcels")
        kinds = {"OBJECTID": "esriFieldTypeOID", **{name: layer.fields[name] for name in names}}
        fields = [{"name": name, "type": kind, "alias": name} for name, kind in kinds.items()]
        return cls(rows, keys, fields)

    def find(self, path: str) -> tuple[str, bytes] | None:
        """Return which page a path asks for and the answer; None for no such page."""
        place, _, query = path.partition("?")
        given = dict(parse_qsl(query))
        if place == "/MapServer/0":
            return "layer", self._describe()
        if place != "/MapServer/0/query":
            return None
        limit = _LIMIT.search(given.get("where", ""))
        rows = min(int(limit[1]) if limit else len(self._rows), len(self._rows))
        if given.get("returnCountOnly") == "true":
            return "count", json.dumps({"count": rows}).encode()
        start = int(given.get("resultOffset", "0"))
        end = min(start + min(int(given.get("resultRecordCount", "1000")), PAGE_ROWS), rows)
        more = b',"exceededTransferLimit":true' if end < rows else b""
        shown = b",".join(self._rows[start:end])
        return f"{start}+{end - start}", b'%b,"features":[%b]%b}' % (self._head, shown, more)

    def _describe(self) -> bytes:
        said = {
            "name": "Parcels",
            "geometryType": "esriGeometryPolygon",
            "maxRecordCount": PAGE_ROWS,
            "objectIdField": "OBJECTID",
            "advancedQueryCapabilities": {"supportsPagination": True},
            "fields": self._fields,
        }
        return json.dumps(said).encode()
