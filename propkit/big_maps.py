"""Maps of more parcels than Vega draws smoothly: by lonboard, on the graphics card.

An extra, and never chosen by itself: the page that draws loads lonboard's decoder from
cdn.jsdelivr.net. No tiles and no streets are loaded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from propkit.errors import RequestError
from propkit.layers.geometry import read_geojson
from propkit.maps import choose_rows, fold_rare

if TYPE_CHECKING:
    import lonboard
    import pandas as pd

_BLUE: Final = (23, 105, 209)
_NONE: Final = (160, 160, 160)
_OPACITY: Final = 200
# Viridis, which maps.py uses too, at five places.
_SHADES: Final = np.array(
    [(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)], dtype=float
)
_WORDS: Final = (
    (78, 121, 167), (242, 142, 43), (89, 161, 79), (225, 87, 89), (118, 183, 178), (237, 201, 72),
    (176, 122, 161), (255, 157, 167), (156, 117, 95), (186, 176, 172), (31, 119, 180), (90, 90, 90),
)  # fmt: skip
_HEIGHT: Final = 480


def draw_big_map(frame: pd.DataFrame, color: str | None = None) -> lonboard.Map:
    """Draw parcels as :func:`propkit.maps.draw_map` does, hundreds of thousands of them.

    Raises
    ------
    RequestError
        lonboard is not installed, there is no such column, or no row has a place.
    """
    try:
        import lonboard
    except ImportError:
        raise RequestError(
            "a map by lonboard needs the extra 'maps': pip install 'propkit[maps]'"
        ) from None
    shown, has_shapes, rows = choose_rows(frame, color)
    shapes = [_wkb(row, has_shapes=has_shapes) for row in rows]
    drawn = [(row, shape) for row, shape in zip(rows, shapes, strict=True) if shape is not None]
    if not drawn:
        raise RequestError(f"none of {len(rows)} rows has a polygon or a point")
    placed = [row for row, _ in drawn]
    colors = _colors(placed, color)
    table = _table([shape for _, shape in drawn], placed, shown)
    layer: Any
    if has_shapes:
        layer = lonboard.SolidPolygonLayer(table, get_fill_color=colors)
    else:
        layer = lonboard.ScatterplotLayer(
            table, get_fill_color=colors, get_radius=4, radius_units="pixels"
        )
    options: Any = {"basemap": None, "show_tooltip": True, "height": _HEIGHT}
    return lonboard.Map(layer, **options)


def _wkb(row: Mapping[str, Any], *, has_shapes: bool) -> bytes | None:
    if not has_shapes:
        place = [row["longitude"], row["latitude"]]
        return read_geojson({"type": "Point", "coordinates": place})[0]
    shape = row["geometry"]
    found = json.loads(shape) if isinstance(shape, str) else shape
    is_area = isinstance(found, Mapping) and found.get("type") in ("Polygon", "MultiPolygon")
    return read_geojson(found)[0] if is_area else None


def _table(shapes: Sequence[bytes], rows: Sequence[Mapping[str, Any]], shown: Sequence[str]) -> Any:
    import pyarrow as pa

    said = {
        "ARROW:extension:name": "geoarrow.wkb",
        "ARROW:extension:metadata": '{"crs": "OGC:CRS84"}',
    }
    columns: dict[str, Any] = {"geometry": pa.array(shapes, pa.binary())}
    fields = [pa.field("geometry", pa.binary(), metadata=said)]
    for name in shown:
        values = [row[name] for row in rows]
        if not all(value is None or isinstance(value, int | float) for value in values):
            values = [None if value is None else str(value) for value in values]
        columns[name] = pa.array(values)
        fields.append(pa.field(name, columns[name].type))
    return pa.table(columns, schema=pa.schema(fields))


def _colors(rows: Sequence[dict[str, Any]], color: str | None) -> Any:
    if color is None:
        return [*_BLUE, _OPACITY]
    values = [row[color] for row in rows]
    known = [value for value in values if value is not None]
    drawn = np.empty((len(rows), 4), dtype=np.uint8)
    drawn[:] = (*_NONE, _OPACITY)
    has = np.array([value is not None for value in values])
    if known and all(isinstance(value, int | float) for value in known):
        numbers = np.array(known, dtype=float)
        spread = float(np.ptp(numbers)) or 1.0
        shares = (numbers - numbers.min()) / spread * (len(_SHADES) - 1)
        for channel in range(3):
            steps = np.arange(len(_SHADES))
            drawn[has, channel] = np.interp(shares, steps, _SHADES[:, channel]).round()
    elif known:
        fold_rare(rows, color)
        words = [str(row[color]) for row in rows if row[color] is not None]
        places = {word: place for place, word in enumerate(sorted(set(words)))}
        drawn[has, :3] = [_WORDS[places[word] % len(_WORDS)] for word in words]
    return drawn
