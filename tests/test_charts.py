"""Charts and maps: what they draw is what was collected."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import altair as alt
import pandas as pd
import pytest
from altair.utils import schemapi

from propkit.charts import CHARTS, MIME
from propkit.errors import RequestError
from propkit.maps import draw_map
from tests.collecting import free_county, quick_kit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import propkit as pk
    from propkit.demo_county.county import County

SQUARE = [[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]


@pytest.fixture(scope="module")
def kit(_county_process: County, tmp_path_factory: pytest.TempPathFactory) -> Iterator[pk.Kit]:
    free_county(_county_process)
    path: Path = tmp_path_factory.mktemp("charts") / "charts.duckdb"
    with quick_kit(_county_process, path) as kit:
        kit.collect(_county_process.apns(40), progress=False)
        yield kit


def _values(spec: Any) -> list[dict[str, Any]]:
    values: list[dict[str, Any]] = spec["data"]["values"]
    return values


@pytest.mark.parametrize("kind", list(CHARTS))
def test_a_chart_is_whole_and_draws_without_a_network(kit: pk.Kit, kind: str) -> None:
    bundle = kit.chart(kind)._repr_mimebundle_()

    spec = bundle[MIME]
    assert sorted(bundle) == [MIME, "text/plain"]
    assert "url" not in json.dumps(spec)
    # Ground and words are the theme's, both or neither: white words on white nobody reads.
    assert ("background" in spec, list(spec["config"])) == (False, ["view"])
    alt.Chart.from_dict({**spec, "$schema": alt.SCHEMA_URL})  # raises where a word is wrong
    assert len(_values(spec)) > 0


def test_words_below_a_distribution_keep_apart_and_parcels_are_whole(kit: pk.Kit) -> None:
    encoding = kit.chart("values").spec["encoding"]

    assert encoding["x"]["axis"] == {
        "format": "$,.0f",
        "labelOverlap": True,
        "labelSeparation": 12,
    }
    assert encoding["y"]["axis"] == {"tickCount": 5}
    chart = kit.chart("sales_by_month").spec
    most = max(row["sales"] for row in _values(chart))
    assert most < 5
    assert chart["encoding"]["y"]["axis"] == {"tickCount": most}


@pytest.mark.parametrize(
    ("kind", "sql"),
    [
        ("values", "SELECT count(DISTINCT apn) FROM valuations WHERE full_cash_value IS NOT NULL"),
        ("sale_prices", "SELECT count(*) FROM sales WHERE sale_price > 0"),
    ],
)
def test_a_distribution_counts_every_one(kit: pk.Kit, kind: str, sql: str) -> None:
    bars = _values(kit.chart(kind).spec)

    assert sum(bar["parcels"] for bar in bars) == kit.sql(sql).iloc[0, 0]
    assert len(bars) <= 30
    assert all(bar["least"] < bar["most"] for bar in bars)


def test_sums_are_those_of_the_tables(kit: pk.Kit) -> None:
    due = kit.sql("SELECT sum(amount_due)::DOUBLE FROM tax_bills WHERE amount_due > 0").iloc[0, 0]
    sales = kit.sql("SELECT count(*) FROM sales WHERE sold_on IS NOT NULL").iloc[0, 0]
    years = kit.sql("SELECT DISTINCT tax_year FROM valuations ORDER BY 1")["tax_year"]

    assert sum(row["amount_due"] for row in _values(kit.chart("delinquency").spec)) == due
    assert sum(row["sales"] for row in _values(kit.chart("sales_by_month").spec)) == sales
    found = _values(kit.chart("values_by_year").spec)
    assert [row["tax_year"] for row in found] == list(years)
    assert all(row["low"] <= row["middle"] <= row["high"] for row in found)


def test_the_pace_is_of_one_batch(kit: pk.Kit) -> None:
    items = kit.batch("last").items()

    picture = kit.chart("pace", batch=1)

    assert repr(picture) == "<Picture: Pace, batch 1>"
    assert {row["source"] for row in _values(picture.spec)} == set(items["source"])


@pytest.mark.parametrize(
    ("kind", "batch", "message"),
    [
        ("pie", None, "no chart 'pie'; expected one of values, sale_prices"),
        ("values", 1, "the chart 'values' is of the whole store"),
        ("pace", 9, "no batch 9"),
    ],
)
def test_what_cannot_be_drawn_is_said(
    kit: pk.Kit, kind: str, batch: int | None, message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        kit.chart(kind, batch=batch)


def test_an_empty_store_has_no_pictures(county: County, tmp_path: Path) -> None:
    with quick_kit(county, tmp_path / "empty.duckdb") as kit:
        with pytest.raises(RequestError, match="nothing to draw: no full cash values is collected"):
            kit.chart("values")
        with pytest.raises(RequestError, match="none of 0 rows has latitude and longitude"):
            kit.map()


def test_a_map_shows_every_parcel_that_has_a_place(kit: pk.Kit) -> None:
    parcels = kit.frame("parcels")
    placed = int((parcels["latitude"].notna() & parcels["longitude"].notna()).sum())

    picture = kit.map(color="situs_city")

    points = _values(picture.spec)
    assert len(points) == placed
    assert picture.title.startswith(f"{placed} parcels")
    assert {point["situs_city"] for point in points} <= {*parcels["situs_city"].dropna(), None}
    assert "url" not in json.dumps(picture.spec)


def test_shapes_are_turned_so_that_they_are_not_the_rest_of_the_world() -> None:
    hole = [[0.2, 0.2], [0.2, 0.8], [0.8, 0.8], [0.8, 0.2], [0.2, 0.2]]
    rows = [
        {"apn": "1", "geometry": {"type": "Polygon", "coordinates": [SQUARE, hole]}, "value": 1},
        {"apn": "2", "geometry": json.dumps({"type": "MultiPolygon", "coordinates": [[SQUARE]]}),
         "value": 2},
        {"apn": "3", "geometry": None, "value": 3},
    ]  # fmt: skip

    picture = draw_map(pd.DataFrame(rows), "value")

    one, two = _values(picture.spec)
    assert one["geometry"]["coordinates"] == [SQUARE[::-1], hole[::-1]]
    assert two["geometry"]["coordinates"] == [[SQUARE[::-1]]]
    assert one["properties"] == {"apn": "1", "value": 1}
    assert picture.title == "2 parcels, 1 more without a place"
    assert picture.spec["encoding"]["color"]["type"] == "quantitative"


def test_rare_words_share_a_colour() -> None:
    cities = [f"CITY {n}" for n in range(20) for _ in range(20 - n)]
    frame = pd.DataFrame({"situs_city": cities, "latitude": 33.4, "longitude": -112.0})

    shown = {row["situs_city"] for row in _values(draw_map(frame, "situs_city").spec)}

    assert shown == {*(f"CITY {n}" for n in range(11)), "other"}


@pytest.mark.parametrize(
    ("columns", "color", "message"),
    [
        (["apn"], None, "the frame has no latitude, longitude"),
        (["latitude", "longitude"], "city", "no column 'city' to colour by"),
    ],
)
def test_a_map_needs_places(columns: list[str], color: str | None, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        draw_map(pd.DataFrame([dict.fromkeys(columns, 1.0)]), color)


def test_the_pace_of_hosts_is_kept_over_batches_and_within_one(kit: pk.Kit) -> None:
    """One figure a host and run; of one batch its answers, step by step."""
    runs = kit.sql("SELECT DISTINCT host, batch_id FROM runs WHERE requests > 0")
    number = int(kit.batches()["number"].iloc[-1])

    paces = kit.statistics().pace_frame()
    whole = _values(kit.chart("pace_by_host").spec)
    one = _values(kit.chart("pace_by_host", batch=number).spec)

    assert set(paces["host"]) == set(runs["host"])
    assert len(paces) == len(whole) == len(runs)
    assert all(row["per_second"] > 0 for row in whole)
    assert {row["host"] for row in one} <= set(runs["host"])
    assert len(one) >= 1


def test_lonboard_draws_shapes_and_points_without_tiles(kit: pk.Kit) -> None:
    """What the browser gets: WKB turned into GeoArrow, a colour for each, no basemap."""
    hole = [[0.2, 0.2], [0.2, 0.8], [0.8, 0.8], [0.8, 0.2], [0.2, 0.2]]
    rows = [
        {"apn": "1", "geometry": {"type": "Polygon", "coordinates": [SQUARE, hole]}, "value": 1},
        {"apn": "2", "geometry": json.dumps({"type": "MultiPolygon", "coordinates": [[SQUARE]]}),
         "value": 3},
        {"apn": "3", "geometry": {"type": "Point", "coordinates": [0, 0]}, "value": 2},
        {"apn": "4", "geometry": None, "value": 2},
    ]  # fmt: skip

    shapes: Any = kit.map(pd.DataFrame(rows), color="value", engine="lonboard")
    points: Any = kit.map(color="situs_city", engine="lonboard")

    (layer,), (dots,) = shapes.layers, points.layers
    assert (shapes.basemap, points.basemap) == (None, None)
    assert layer.table.column_names == ["geometry", "apn", "value"]
    assert layer.table["apn"].to_pylist() == ["1", "2"]
    assert layer.get_fill_color.to_pylist() == [[68, 1, 84, 200], [253, 231, 37, 200]]
    assert len(dots.table) == len(_values(kit.map().spec))
    words = dict(
        zip(dots.table["situs_city"].to_pylist(), dots.get_fill_color.to_pylist(), strict=True)
    )
    assert len({tuple(colour) for colour in words.values()}) == min(len(words), 12)


@pytest.mark.parametrize(
    ("engine", "is_missing", "message"),
    [
        ("maplibre", False, "no engine 'maplibre'; expected one of vega, lonboard"),
        ("lonboard", True, r"needs the extra 'maps': pip install 'propkit\[maps\]'"),
    ],
)
def test_an_engine_that_is_not_there_is_named(
    kit: pk.Kit, monkeypatch: pytest.MonkeyPatch, engine: str, is_missing: bool, message: str
) -> None:
    if is_missing:
        monkeypatch.setitem(sys.modules, "lonboard", None)

    with pytest.raises(RequestError, match=message):
        kit.map(engine=engine)


def test_a_map_of_ten_thousand_polygons_stays_small_and_altair_looks_at_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Altair checks what it is given against its schema: each value, it would take a minute."""
    checked: list[str] = []
    validate = schemapi.validate_jsonschema

    def listen(spec: Any, *args: Any, **options: Any) -> Any:
        checked.append(json.dumps(spec, default=str))
        return validate(spec, *args, **options)

    monkeypatch.setattr(schemapi, "validate_jsonschema", listen)
    rows = [
        {"apn": str(n), "owner_name": f"OWNER {n}", "geometry": {"type": "Polygon", "coordinates": [
            [[n % 100 + x, n // 100 + y] for x, y in [(0, 0), (0, 0.5), (0.5, 0.5), (0, 0)]]
        ]}}
        for n in range(10_000)
    ]  # fmt: skip

    spec = draw_map(pd.DataFrame(rows), "owner_name").spec

    assert len(_values(spec)) == 10_000
    assert len(json.dumps(spec)) < 5_000_000
    assert checked != []
    assert sum(map(len, checked)) < 100_000
