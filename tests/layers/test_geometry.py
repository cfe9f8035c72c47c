"""Outlines: WKB from Esri's rings and from GeoJSON, centroids, areas to ask for."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propkit.errors import RequestError
from propkit.layers.geometry import read_area, read_esri, read_geojson, to_geojson

Ring = list[list[float]]


def square(x: float, y: float, side: float) -> Ring:
    """Return a clockwise square, as Esri draws an outer ring."""
    return [
        [x - side, y - side], [x - side, y + side], [x + side, y + side], [x + side, y - side],
        [x - side, y - side],
    ]  # fmt: skip


def read(shape: object) -> tuple[dict[str, Any], tuple[float, float]]:
    wkb, centre = read_esri(shape)
    assert wkb is not None
    assert centre is not None
    return to_geojson(wkb), centre


def test_one_ring_is_a_polygon_drawn_anticlockwise() -> None:
    ring = square(-112.0, 33.5, 0.25)

    shape, centre = read({"rings": [ring]})

    assert shape == {"type": "Polygon", "coordinates": [ring[::-1]]}
    assert centre == pytest.approx((-112.0, 33.5))


def test_a_hole_belongs_to_the_ring_around_it() -> None:
    near, far = square(-112.0, 33.5, 0.25), square(-111.0, 33.5, 0.25)
    hole = square(-111.0, 33.5, 0.125)[::-1]

    shape, centre = read({"rings": [near, hole, far]})

    assert shape["type"] == "MultiPolygon"
    assert shape["coordinates"] == [[near[::-1]], [far[::-1], hole[::-1]]]
    weights = (0.25, 0.25 - 0.0625)
    middle = (-112.0 * weights[0] - 111.0 * weights[1]) / sum(weights)
    assert centre == pytest.approx((middle, 33.5))


def test_a_hole_first_is_still_a_hole() -> None:
    outer, hole = square(0, 0, 4), square(1, 1, 1)[::-1]

    assert read({"rings": [hole, outer]})[0] == {
        "type": "Polygon",
        "coordinates": [outer[::-1], hole[::-1]],
    }


def test_rings_that_are_all_drawn_the_wrong_way_are_parts() -> None:
    rings = [square(0, 0, 1)[::-1], square(5, 5, 1)[::-1]]

    assert read({"rings": rings})[0] == {
        "type": "MultiPolygon",
        "coordinates": [[r] for r in rings],
    }


def test_heights_are_left_out() -> None:
    ring = [[*point, 300.0] for point in square(1, 2, 1)]

    assert read({"rings": [ring]})[0]["coordinates"] == [square(1, 2, 1)[::-1]]


def test_a_point_is_a_point() -> None:
    assert read({"x": -115.1, "y": 36.2}) == (
        {"type": "Point", "coordinates": [-115.1, 36.2]},
        (-115.1, 36.2),
    )


@pytest.mark.parametrize(
    "shape", [None, {}, {"rings": []}, {"rings": [[[0, 0], [1, 1]]]}, {"x": "NaN", "y": "NaN"}, 7]
)
def test_what_has_no_place_is_nothing(shape: object) -> None:
    assert read_esri(shape) == (None, None)


def test_geojson_means_the_same_outline_as_esris_rings() -> None:
    outer, hole = square(1, 1, 1), square(1, 1, 0.5)[::-1]

    from_esri = read_esri({"rings": [outer, hole]})

    for rings in ([outer, hole], [outer[::-1], hole[::-1]]):
        assert read_geojson({"type": "Polygon", "coordinates": rings}) == from_esri
        assert read_geojson({"type": "MultiPolygon", "coordinates": [rings]}) == from_esri
    assert read_geojson({"type": "LineString", "coordinates": [[0, 0]]}) == (None, None)
    assert read_geojson({"type": "Point", "coordinates": [1, 2]})[1] == (1.0, 2.0)


number = st.floats(-180, 180, allow_nan=False).map(lambda value: round(value, 6))


@given(
    st.lists(st.lists(st.tuples(number, number), min_size=3, max_size=9), min_size=1, max_size=5)
)
def test_any_rings_come_back_with_all_their_points(rings: list[list[tuple[float, float]]]) -> None:
    wkb, centre = read_esri({"rings": [[list(point) for point in ring] for ring in rings]})

    assert wkb is not None
    assert centre is not None
    shape = to_geojson(wkb)
    parts = shape["coordinates"] if shape["type"] == "MultiPolygon" else [shape["coordinates"]]
    found = [sorted(map(tuple, ring)) for part in parts for ring in part]
    assert sorted(found) == sorted(sorted(ring) for ring in rings)
    assert struct.unpack_from("<BI", wkb)[0] == 1


def test_areas_are_boxes_or_rings() -> None:
    corners = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0)]
    clockwise = [[0.0, 0.0], [1.0, 1.0], [1.0, 0.0], [0.0, 0.0]]

    class Shape:
        __geo_interface__ = {"type": "Polygon", "coordinates": [corners]}  # noqa: RUF012

    assert read_area() is None
    assert read_area((-113, 33, -112, 34)) == {"xmin": -113, "ymin": 33, "xmax": -112, "ymax": 34}
    for given_ in (corners, Shape(), {"type": "Feature", "geometry": Shape.__geo_interface__}):
        assert read_area(polygon=given_) == {"rings": [clockwise]}


@pytest.mark.parametrize(
    "polygon", [7, "POLYGON", [], [(0, 0)], [(0, 0), (200, 0), (0, 1)], {"type": "Polygon"}]
)
def test_what_is_no_area_is_refused(polygon: object) -> None:
    with pytest.raises(RequestError, match="polygon must be"):
        read_area(polygon=polygon)
