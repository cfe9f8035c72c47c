"""Maps of parcels that JupyterLab draws without a network: no streets, no tiles."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from propkit.charts import BLUE, Picture, finish_picture, make_chart, plain_rows
from propkit.errors import RequestError

if TYPE_CHECKING:
    import pandas as pd

_MOST_COLOURS: Final = 12
# The ends of a scale are as dark as a dark theme's ground, or nearly as light as paper.
_OUTLINE: Final = "#888888"


def draw_map(frame: pd.DataFrame, color: str | None = None) -> Picture:
    """Draw parcels where they lie, coloured by a column.

    Parameters
    ----------
    frame
        Points by ``latitude`` and ``longitude`` (degrees), or shapes by ``geometry``: GeoJSON, as
        dict or text. Rows without a place are left out, and counted in the title.
    color
        A column; numbers are shades, everything else has a colour each, the rarer ones together.

    Raises
    ------
    RequestError
        There is no such column, or no row has a place.
    """
    shown, has_shapes, placed = choose_rows(frame, color)
    if color is not None:
        fold_rare(placed, color)
    values = _features(placed, shown) if has_shapes else placed
    chart = _shapes(placed, shown, color) if has_shapes else _points(placed, shown, color)
    title = f"{len(placed):,} parcels"
    if len(placed) < len(frame):
        title += f", {len(frame) - len(placed):,} more without a place"
    picture = finish_picture(chart, title)
    # Not through altair, which looks at each value for seconds.
    return Picture(title, {**picture.spec, "data": {"values": values}})


def choose_rows(
    frame: pd.DataFrame, color: str | None
) -> tuple[list[str], bool, list[dict[str, Any]]]:
    """Return the columns that a map tells, whether rows are shapes, and the rows with a place.

    Raises
    ------
    RequestError
        As :func:`draw_map`.
    """
    if color is not None and color not in frame.columns:
        raise RequestError(f"no column {color!r} to colour by; expected one of {[*frame.columns]}")
    named = ["apn", "owner_name", "situs_address", "situs_city", *([color] if color else [])]
    shown = [name for name in dict.fromkeys(named) if name in frame.columns]
    has_shapes = "geometry" in frame.columns
    places = ["geometry"] if has_shapes else ["latitude", "longitude"]
    if missing := [name for name in places if name not in frame.columns]:
        raise RequestError(f"the frame has no {', '.join(missing)}: nothing says where it lies")
    rows = plain_rows(frame[[*dict.fromkeys([*shown, *places])]].to_dict("records"))
    placed = [row for row in rows if all(row[name] is not None for name in places)]
    if not placed:
        raise RequestError(f"none of {len(rows)} rows has {' and '.join(places)}")
    return shown, has_shapes, placed


def _points(rows: Sequence[Mapping[str, Any]], shown: Sequence[str], color: str | None) -> Any:
    import altair as alt

    chart = make_chart([]).mark_circle(size=28, opacity=0.8, stroke=_OUTLINE, strokeWidth=0.4)
    return chart.encode(
        longitude="longitude:Q",
        latitude="latitude:Q",
        color=_color(rows, color),
        tooltip=[alt.Tooltip(field=name, type="nominal") for name in shown],
    ).properties(height=480, projection=alt.Projection(type="mercator"))


def _features(rows: Sequence[Mapping[str, Any]], shown: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {
            "type": "Feature",
            "geometry": _clockwise(row["geometry"]),
            "properties": {name: row[name] for name in shown},
        }
        for row in rows
    ]


def _shapes(rows: Sequence[Mapping[str, Any]], shown: Sequence[str], color: str | None) -> Any:
    import altair as alt

    chart = make_chart([]).mark_geoshape(stroke=_OUTLINE, strokeWidth=0.4)
    return chart.encode(
        color=_color(rows, color, "properties."),
        tooltip=[
            alt.Tooltip(field=f"properties.{name}", type="nominal", title=name) for name in shown
        ],
    ).properties(height=480, projection=alt.Projection(type="mercator"))


def _color(rows: Sequence[Mapping[str, Any]], name: str | None, prefix: str = "") -> Any:
    import altair as alt

    if name is None:
        return alt.value(BLUE)
    field = f"{prefix}{name}"
    is_number = all(isinstance(row[name], int | float) for row in rows if row[name] is not None)
    title = name.replace("_", " ")
    if is_number:
        scale = alt.Scale(scheme="viridis")
        return alt.Color(field=field, type="quantitative", title=title, scale=scale)
    return alt.Color(field=field, type="nominal", title=title, scale=alt.Scale(scheme="tableau20"))


def fold_rare(rows: Sequence[dict[str, Any]], color: str) -> None:
    """Put the rarer words of a column together."""
    counts = Counter(row[color] for row in rows if isinstance(row[color], str))
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    if len(ranked) > _MOST_COLOURS:
        kept = {*ranked[: _MOST_COLOURS - 1]}
        for row in rows:
            row[color] = row[color] if row[color] in kept else "other"


def _clockwise(geometry: Any) -> dict[str, Any]:
    """Return a polygon with its outer ring clockwise: on a globe the other way is all the rest."""
    shape: dict[str, Any] = json.loads(geometry) if isinstance(geometry, str) else dict(geometry)
    parts = shape.get("coordinates")
    if shape.get("type") == "Polygon":
        shape["coordinates"] = _turn(parts)
    elif shape.get("type") == "MultiPolygon" and parts:
        shape["coordinates"] = [_turn(part) for part in parts]
    return shape


def _turn(rings: Any) -> list[Any]:
    turned = []
    for place, ring in enumerate(rings):
        pairs = zip(ring, [*ring[1:], ring[0]], strict=True)
        area = sum((b[0] - a[0]) * (b[1] + a[1]) for a, b in pairs)
        is_clockwise = area > 0
        turned.append(ring if is_clockwise == (place == 0) else ring[::-1])
    return turned
