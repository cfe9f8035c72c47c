"""Outlines: from Esri's rings to WKB and a centroid, from WKB to GeoJSON, and areas to ask for.

Everything is in longitude and latitude (EPSG:4326). Esri draws an outer ring clockwise and a hole
the other way round, in one list; the parts of an outline are told apart by that alone.
"""

from __future__ import annotations

import math
import struct
import sys
from array import array
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Final

from propkit.errors import RequestError

Point = Sequence[float]
Ring = Sequence[Point]
Centre = tuple[float, float]

_POINT: Final = struct.Struct("<BIdd")
_HEAD: Final = struct.Struct("<BII")
_RING: Final = struct.Struct("<BIII")  # a polygon of one ring: its head and the ring's length
_COUNT: Final = struct.Struct("<I")
_IS_BIG: Final = sys.byteorder == "big"


def read_esri(shape: object) -> tuple[bytes | None, Centre | None]:
    """Return an Esri JSON geometry as WKB with its centroid (longitude, latitude).

    A point is a point, rings are a polygon or, where more than one ring is an outer one, a
    multipolygon. What has no place comes back as None.
    """
    if not isinstance(shape, Mapping):
        return None, None
    rings = shape.get("rings")
    if rings is None:
        x, y = shape.get("x"), shape.get("y")
        if isinstance(x, (int, float)) and isinstance(y, (int, float)) and x == x and y == y:  # noqa: PLR0124 -- "NaN" is Esri's empty point
            return _POINT.pack(1, 1, x, y), (float(x), float(y))
        return None, None
    rings = [ring for ring in rings if len(ring) >= 3]
    if not rings:
        return None, None
    if len(rings) == 1:
        ring = rings[0]
        centre, _ = _centre(ring)
        return _RING.pack(1, 3, 1, len(ring)) + _coordinates(ring), centre
    parts = _group(rings)
    return _polygons(parts), _centre_of(rings)


def read_geojson(shape: object) -> tuple[bytes | None, Centre | None]:
    """Return a GeoJSON geometry (a point, polygon or multipolygon) as :func:`read_esri` does."""
    if not isinstance(shape, Mapping):
        return None, None
    kind, held = shape.get("type"), shape.get("coordinates")
    if kind == "Point" and isinstance(held, Sequence) and len(held) >= 2:
        return read_esri({"x": held[0], "y": held[1]})
    if kind == "Polygon":
        held = [held]
    elif kind != "MultiPolygon":
        return None, None
    parts = [
        [_turn(ring, is_clockwise=n == 0) for n, ring in enumerate(part) if len(ring) >= 3]
        for part in held or ()
    ]
    parts = [part for part in parts if part]
    if not parts:
        return None, None
    return _polygons(parts), _centre_of(list(chain.from_iterable(parts)))


def to_geojson(wkb: bytes) -> dict[str, Any]:
    """Return WKB as a GeoJSON geometry (RFC 7946: outer rings anticlockwise)."""
    (kind,) = struct.unpack_from("<I", wkb, 1)
    if kind == 1:
        return {"type": "Point", "coordinates": list(struct.unpack_from("<dd", wkb, 5))}
    if kind == 3:
        rings, _ = _read_polygon(wkb, 0)
        return {"type": "Polygon", "coordinates": rings}
    (count,) = _COUNT.unpack_from(wkb, 5)
    place, parts = 9, []
    for _ in range(count):
        rings, place = _read_polygon(wkb, place)
        parts.append(rings)
    return {"type": "MultiPolygon", "coordinates": parts}


def read_area(bbox: object = None, polygon: object = None) -> dict[str, Any] | None:
    """Return where to look, as Esri JSON: an envelope or rings; None is everywhere.

    Parameters
    ----------
    bbox
        West, south, east, north, in degrees.
    polygon
        A GeoJSON polygon or multipolygon, anything with ``__geo_interface__`` (shapely), or a
        list of (longitude, latitude).

    Raises
    ------
    RequestError
        It is no such area, or both are given.
    """
    if bbox is not None and polygon is not None:
        raise RequestError("an area is a bbox or a polygon, not both")
    if bbox is not None:
        return _read_bbox(bbox)
    if polygon is None:
        return None
    held = getattr(polygon, "__geo_interface__", polygon)
    if isinstance(held, Mapping) and held.get("type") == "Feature":
        held = held.get("geometry")
    try:
        if isinstance(held, Mapping):
            kinds = {"Polygon": [held["coordinates"]], "MultiPolygon": held["coordinates"]}
            parts = kinds[held["type"]]
        else:
            parts = [[list(held)]]  # type: ignore[call-overload]
        rings = [_read_ring(ring, is_outer=n == 0) for part in parts for n, ring in enumerate(part)]
    except (TypeError, ValueError, KeyError, IndexError):
        rings = []
    if not rings:
        raise RequestError(
            "polygon must be a GeoJSON polygon or a list of three or more (longitude, latitude),"
            f" not {polygon!r:.80}"
        )
    return {"rings": rings}


def _read_bbox(bbox: object) -> dict[str, Any]:
    try:
        west, south, east, north = (float(value) for value in bbox)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        west = south = east = north = math.nan
    if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
        raise RequestError(
            f"bbox must be west, south, east, north in degrees, west < east, not {bbox!r:.80}"
        )
    return {"xmin": west, "ymin": south, "xmax": east, "ymax": north}


def _read_ring(ring: Any, *, is_outer: bool) -> Ring:
    points = [[float(point[0]), float(point[1])] for point in ring]
    if len(points) >= 3 and points[0] != points[-1]:
        points.append(points[0])
    if len(points) < 4 or not all(-180 <= x <= 180 and -90 <= y <= 90 for x, y in points):
        raise ValueError("no ring")
    return _turn(points, is_clockwise=is_outer)


# --- rings ------------------------------------------------------------------------------------


def _coordinates(ring: Ring) -> bytes:
    if len(ring[0]) != 2:  # heights and measures
        ring = [point[:2] for point in ring]
    numbers = array("d", chain.from_iterable(ring))
    if _IS_BIG:  # pragma: no cover
        numbers.byteswap()
    return numbers.tobytes()


def _centre(ring: Ring) -> tuple[Centre, float]:
    """Return a ring's centroid and its signed area, negative where it goes clockwise."""
    # Seen from its first point, since a parcel is small and its coordinates are not.
    x0, y0 = ring[0][0], ring[0][1]
    area = cx = cy = px = py = 0.0
    for point in ring:
        x, y = point[0] - x0, point[1] - y0
        cross = px * y - x * py
        area += cross
        cx += (px + x) * cross
        cy += (py + y) * cross
        px, py = x, y
    if area == 0.0:
        return (float(x0), float(y0)), 0.0
    return (x0 + cx / (3 * area), y0 + cy / (3 * area)), area / 2


def _turn(ring: Ring, *, is_clockwise: bool) -> Ring:
    return ring if (_centre(ring)[1] < 0) is is_clockwise else ring[::-1]


def _centre_of(rings: Sequence[Ring]) -> Centre:
    found = [_centre(ring) for ring in rings]
    total = sum(area for _, area in found)
    if total == 0.0:
        return found[0][0]
    return (
        sum(x * area for (x, _), area in found) / total,
        sum(y * area for (_, y), area in found) / total,
    )


def _group(rings: Sequence[Ring]) -> list[list[Ring]]:
    """Return the polygons: each an outer ring with its holes."""
    outer = [ring for ring in rings if _centre(ring)[1] < 0]
    holes = [ring for ring in rings if _centre(ring)[1] >= 0]
    if not outer:  # drawn against the rule: every ring stands for itself
        return [[ring] for ring in rings]
    parts: list[list[Ring]] = [[ring] for ring in outer]
    for hole in holes:
        home = next((part for part in parts if _is_inside(hole[0], part[0])), parts[0])
        home.append(hole)
    return parts


def _is_inside(point: Point, ring: Ring) -> bool:
    x, y, is_inside = point[0], point[1], False
    (px, py) = ring[-1][0], ring[-1][1]
    for corner in ring:
        cx, cy = corner[0], corner[1]
        if (cy > y) != (py > y) and x < (px - cx) * (y - cy) / (py - cy) + cx:
            is_inside = not is_inside
        px, py = cx, cy
    return is_inside


def _polygons(parts: Sequence[Sequence[Ring]]) -> bytes:
    written = [
        _HEAD.pack(1, 3, len(part))
        + b"".join(_COUNT.pack(len(ring)) + _coordinates(ring) for ring in part)
        for part in parts
    ]
    if len(written) == 1:
        return written[0]
    return _HEAD.pack(1, 6, len(written)) + b"".join(written)


def _read_polygon(wkb: bytes, place: int) -> tuple[list[list[Point]], int]:
    (count,) = _COUNT.unpack_from(wkb, place + 5)
    place += 9
    rings: list[list[Point]] = []
    for number in range(count):
        (length,) = _COUNT.unpack_from(wkb, place)
        numbers = struct.unpack_from(f"<{2 * length}d", wkb, place + 4)
        place += 4 + 16 * length
        ring = [list(pair) for pair in zip(numbers[::2], numbers[1::2], strict=True)]
        rings.append(list(_turn(ring, is_clockwise=number > 0)))
    return rings, place
