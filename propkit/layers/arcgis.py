"""ArcGIS REST: how a layer is asked, and how its answers are read.

Errors come with status 200 and a body that says so (``propkit.pages`` knows it). A server sends
at most ``maxRecordCount`` rows, sometimes fewer, sometimes without saying that it cut; so what
came is always compared with what was counted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from propkit.errors import LayoutChangedError
from propkit.layers.facts import Answer, LayerFacts, LayerField
from propkit.layers.fields import find_name
from propkit.pages import Page

QUERY: Final = "query"
MOST_ROWS: Final = 2000
"""Rows of one request, where the layer allows more."""
LONGEST_QUERY: Final = 1800
"""Characters that go into an address; many servers refuse 2,048, and what is longer is posted."""
_USUAL_ROWS: Final = 1000
_KINDS: Final = {
    "esriFieldTypeString": "text",
    "esriFieldTypeGUID": "text",
    "esriFieldTypeGlobalID": "text",
    "esriFieldTypeInteger": "number",
    "esriFieldTypeSmallInteger": "number",
    "esriFieldTypeBigInteger": "number",
    "esriFieldTypeDouble": "number",
    "esriFieldTypeSingle": "number",
    "esriFieldTypeDate": "date",
    "esriFieldTypeDateOnly": "date",
    "esriFieldTypeOID": "id",
    "esriFieldTypeGeometry": "shape",
}

Params = dict[str, str]


def read_facts(page: Page) -> LayerFacts:
    """Read a layer's description (``?f=json``).

    Raises
    ------
    LayoutChangedError
        It describes no layer that can be asked for rows: a group, a picture, a service.
    """
    said = page.json()
    fields = said.get("fields") if isinstance(said, dict) else None
    if not isinstance(fields, list) or not fields:
        held = said.get("layers") if isinstance(said, dict) else None
        hint = ""
        if isinstance(held, list):
            names = [
                f"{one.get('id')} {one.get('name')!r}" for one in held if isinstance(one, dict)
            ]
            hint = f"; it is a service whose layers are {', '.join(names):.200}"
        raise LayoutChangedError(f"this is no layer with fields{hint}", url=page.url)
    read = tuple(
        LayerField(
            name=str(one["name"]),
            kind=_KINDS.get(str(one.get("type")), "other"),
            alias=str(one.get("alias") or ""),
        )
        for one in fields
        if isinstance(one, dict) and one.get("name")
    )
    object_id = said.get("objectIdField") or next((f.name for f in read if f.kind == "id"), None)
    most = said.get("maxRecordCount")
    able = said.get("advancedQueryCapabilities")
    can_page = bool(able.get("supportsPagination")) if isinstance(able, dict) else False
    licence = str(said.get("copyrightText") or "").strip()
    return LayerFacts(
        title=str(said.get("name") or ""),
        fields=read,
        page_size=min(most if isinstance(most, int) and most > 0 else _USUAL_ROWS, MOST_ROWS),
        # Without an order that is stable, pages overlap and leave gaps.
        can_page=can_page and object_id is not None,
        object_id=object_id,
        has_shapes=said.get("geometryType") is not None,
        licence=licence or None,
    )


def area_params(where: str | None, area: Mapping[str, Any] | None) -> Params:
    """Return what picks an area's rows."""
    params = {"where": where or "1=1", "f": "json"}
    if area is not None:
        is_box = "xmin" in area
        shape = {**area, "spatialReference": {"wkid": 4326}}
        params |= {
            "geometry": json.dumps(shape, separators=(",", ":")),
            "geometryType": "esriGeometryEnvelope" if is_box else "esriGeometryPolygon",
            "inSR": "4326",
            "spatialRel": "esriSpatialRelIntersects",
        }
    return params


def row_params(params: Params, names: Iterable[str]) -> Params:
    """Return what asks for rows with these fields and their shapes, in degrees."""
    return {
        **params,
        "outFields": ",".join(names),
        "returnGeometry": "true",
        "outSR": "4326",
    }


def page_params(params: Params, order: str, start: int, count: int) -> Params:
    """Return what asks for one page."""
    paged = {"resultOffset": str(start), "resultRecordCount": str(count)}
    return {**params, "orderByFields": order, **paged}


def range_params(params: Params, object_id: str, first: int, last: int) -> Params:
    """Return what asks for the rows whose numbers lie in a range, both ends included."""
    where = params["where"]
    limits = f"{object_id} >= {first} AND {object_id} <= {last}"
    return {**params, "where": limits if where == "1=1" else f"({where}) AND {limits}"}


def keys_where(field: str, keys: Sequence[str], where: str | None, *, is_number: bool) -> str:
    """Return what picks the rows of some parcels."""
    texts = [key if is_number else "'" + key.replace("'", "''") + "'" for key in keys]
    picked = f"{field} IN ({','.join(texts)})"
    return f"({where}) AND {picked}" if where else picked


def read_count(page: Page) -> int:
    """Read how many rows there are."""
    said = page.json()
    count = said.get("count") if isinstance(said, dict) else None
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        raise LayoutChangedError(f"{page.name}: expected a count, got {said!r:.80}", url=page.url)
    return count


def read_ids(page: Page) -> list[int]:
    """Read the numbers of all rows, in order."""
    said = page.json()
    ids = said.get("objectIds", ()) if isinstance(said, dict) else ()
    if not isinstance(said, dict) or "objectIds" not in said:
        raise LayoutChangedError(f"{page.name}: expected ids, got {said!r:.80}", url=page.url)
    if not all(isinstance(one, int) for one in ids or ()):
        raise LayoutChangedError(f"{page.name}: an id is no number", url=page.url)
    return sorted(ids or ())


def count_rows(page: Page) -> tuple[int, bool]:
    """Return how many rows an answer has, and whether it says that there are more.

    Raises
    ------
    LayoutChangedError
        The answer holds no list of rows.
    """
    features = page.features()
    if features is None:
        answer = read_answer(page)
        return len(answer.rows), answer.is_cut
    return len(features), features.said.get("exceededTransferLimit") is True


def read_answer(page: Page, object_id: str | None = None) -> Answer:
    """Read rows.

    Raises
    ------
    LayoutChangedError
        The answer holds no list of rows.
    """
    said = page.json()
    features = said.get("features") if isinstance(said, dict) else None
    if not isinstance(features, list):
        raise LayoutChangedError(f"{page.name}: expected rows, got {said!r:.80}", url=page.url)
    try:
        rows = tuple([feature["attributes"] for feature in features])
    except (KeyError, TypeError):
        raise LayoutChangedError(f"{page.name}: a row has no attributes", url=page.url) from None
    told = said.get("fields")
    if isinstance(told, list):
        names = tuple(str(one.get("name")) for one in told if isinstance(one, dict))
        kinds = {one.get("name"): one.get("type") for one in told if isinstance(one, dict)}
        own = next((name for name in names if kinds[name] == "esriFieldTypeOID"), None)
    else:
        names, own = tuple(rows[0]) if rows else (), None
    number = own or said.get("objectIdFieldName")
    if number is None and object_id is not None:
        number = find_name(object_id, names)
    ids = tuple([str(row.get(number)) for row in rows]) if number else ("",) * len(rows)
    return Answer(
        rows=rows,
        shapes=tuple([feature.get("geometry") for feature in features]),
        names=names,
        ids=ids,
        is_cut=said.get("exceededTransferLimit") is True,
    )
