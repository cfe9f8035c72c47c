"""Collecting an area from real map servers: all of it, in parts, whatever the server does."""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

import pytest

from propkit.errors import LayoutChangedError, RequestError, SourceError
from propkit.layers.fields import COLUMNS
from propkit.layers.ready import READY
from tests.collecting import as_truth

if TYPE_CHECKING:
    from collections.abc import Callable

    OpenKit = Callable[..., Any]

    import propkit as pk
    from propkit.demo_county import County
    from propkit.notices import Notice

LAYERS = (
    "maricopa_parcels",
    "bexar_tx_parcels",
    "miami_dade_fl_parcels",
    "wake_nc_parcels",
    "hamilton_oh_parcels",
    "hennepin_mn_parcels",
    "cook_il_parcels",
)


def truth_of(county: County, source: str) -> dict[str, dict[str, object]]:
    """Return what the table parcels must hold of a layer, by APN."""
    layer = READY[source]
    found = {}
    for row in county.truth(county.apns())["parcels"]:
        apn = str(row["apn"])[:8] if source == "bexar_tx_parcels" else str(row["apn"])
        said = {column: row[column] for column in layer.fields if column != "apn"}
        if layer.kind == "arcgis":  # the middle of the outline
            said |= {"latitude": row["latitude"], "longitude": row["longitude"]}
        absent = dict.fromkeys(column for column in COLUMNS if column not in {*said, "apn"})
        found[apn] = {"apn": apn, "county": layer.county, **absent, **said}
    return found


def stored(kit: pk.Kit, source: str) -> dict[str, dict[str, object]]:
    """Return the parcels of a source as the truth writes them, places to a centimetre."""
    rows = kit.store.rows(
        "SELECT * EXCLUDE (source, collected_at, unchanged_since, not_found_since) FROM parcels"
        " WHERE source = $1",
        [source],
    )
    found = {}
    for row in rows:
        said = {name: as_truth(value) for name, value in row.items()}
        for name in ("latitude", "longitude"):
            if row[name] is not None:
                said[name] = round(row[name], 6)
        found[str(row["apn"])] = said
    return found


def requests(county: County, system: str = "arcgis") -> list[str]:
    """Return the queries for rows that came, without those that count or number."""
    return [
        unquote_plus(entry["query"])
        for entry in county.ledger(system)
        if entry["path"].endswith("/query") and "Only=true" not in entry["query"]
    ]


@pytest.mark.parametrize("source", LAYERS)
def test_every_field_of_a_layer_is_the_countys_truth(
    county: County, open_kit: OpenKit, source: str
) -> None:
    with open_kit() as kit:
        plan = kit.plan_area(source=source)
        report = kit.collect_area(source=source, progress=False)

        truth = truth_of(county, source)
        assert len(truth) > 500
        assert plan.parcels == len(truth)
        assert report.state == "completed"
        assert stored(kit, source) == truth
        assert kit.store.duplicates() == {}


def test_outlines_come_with_the_parcels(county: County, open_kit: OpenKit) -> None:
    with open_kit() as kit:
        kit.collect_area(progress=False)

        shapes = kit.shapes()
        placed = {a for a, row in truth_of(county, "maricopa_parcels").items() if row["latitude"]}
        kinds = [one["geometry"]["type"] for one in shapes["features"]]
        rings = [len(one["geometry"]["coordinates"]) for one in shapes["features"]]
        assert {one["properties"]["apn"] for one in shapes["features"]} == placed
        assert len(kinds) == len(placed)
        assert {"Polygon", "MultiPolygon"} == set(kinds)
        assert {1, 2} == set(rings)
        one = kit.shapes([min(placed)])["features"]
        assert [each["properties"]["apn"] for each in one] == [min(placed)]


@pytest.mark.parametrize(
    ("switches", "is_paged"),
    [
        ({}, True),
        ({"paging": "refused"}, False),
        ({"paging": "ignored"}, False),
    ],
    ids=["by offset", "no offsets", "offsets that are not counted"],
)
def test_an_area_is_paged_as_the_layer_can(
    county: County, open_kit: OpenKit, switches: dict[str, Any], is_paged: bool
) -> None:
    county.switch(layers={"max_rows": 100, **switches})
    with open_kit() as kit:
        report = kit.collect_area(source="wake_nc_parcels", progress=False)

        asked = [query for query in requests(county) if "resultRecordCount=1&" not in f"{query}&"]
        assert report.state == "completed"
        assert stored(kit, "wake_nc_parcels") == truth_of(county, "wake_nc_parcels")
        assert {("resultOffset" in query) for query in asked} == {is_paged}
        assert {"OBJECTID >=" in query for query in asked} == {not is_paged}
        assert len(asked) == 7


def test_the_end_of_an_area_is_told_to_a_function_of_hers(open_kit: OpenKit) -> None:
    told: queue.Queue[Notice] = queue.Queue()
    with open_kit(notify={"after_seconds": 0}) as kit:
        kit.notify(told.put)
        report = kit.collect_area(where="OBJECTID <= 5", progress=False)
        notice = told.get(timeout=60)

    assert (notice.batch_id, notice.title) == (
        report.batch_id,
        "propkit: batch completed, 1 of 1 items",
    )


@pytest.mark.parametrize("source", ["wake_nc_parcels", "hamilton_oh_parcels", "cook_il_parcels"])
@pytest.mark.parametrize("is_told", [True, False])
def test_a_cap_below_what_is_announced_loses_nothing(
    county: County, open_kit: OpenKit, source: str, is_told: bool
) -> None:
    county.switch(layers={"max_rows": 300, "cap": 130, "is_cap_told": is_told})
    with open_kit() as kit:
        report = kit.collect_area(source=source, progress=False)

        assert report.state == "completed"
        assert stored(kit, source) == truth_of(county, source)


@pytest.mark.parametrize("source", ["wake_nc_parcels", "hamilton_oh_parcels"])
def test_rows_that_are_counted_and_never_sent_are_an_error(
    county: County, open_kit: OpenKit, source: str
) -> None:
    county.switch(layers={"max_rows": 200, "lost_from": 450})
    with open_kit() as kit:
        report = kit.collect_area(source=source, progress=False)

        assert report.state == "completed"
        assert not report.is_complete
        assert {one.failure_class for one in report.failures} == {"invalid_answer"}
        assert all("sends none" in str(one.error) for one in report.failures)
        kept = stored(kit, source)
        truth = truth_of(county, source)
        assert kept.items() <= truth.items()
        assert len(kept) >= 390

        county.switch(layers={"lost_from": None})
        again = kit.batch("last")
        again.retry()
        assert again.wait().is_complete
        assert stored(kit, source) == truth


@pytest.mark.parametrize("source", ["wake_nc_parcels", "hamilton_oh_parcels"])
def test_an_error_with_status_200_is_tried_again_and_then_split(
    county: County, open_kit: OpenKit, source: str
) -> None:
    county.switch(layers={"max_rows": 400, "most_bearable": 60, "first_fail": 2})
    with open_kit(retry_attempts=3) as kit:
        report = kit.collect_area(source=source, progress=False)

        assert report.is_complete
        assert stored(kit, source) == truth_of(county, source)


def test_a_service_is_no_layer_and_names_those_that_it_has(
    county: County, open_kit: OpenKit
) -> None:
    url = county.layers_settings()["wake_nc_parcels"]["base_url"].rpartition("/")[0]
    with open_kit() as kit, pytest.raises(LayoutChangedError, match="layers are 0 'Parcels'"):
        kit.describe_layer(url)


def test_what_is_no_address_of_a_layer_is_refused(open_kit: OpenKit) -> None:
    with open_kit() as kit:
        for url in ("", "x", "http://localhost:80", "https://x.example:99999/a/1"):
            with pytest.raises(RequestError, match="is no address of a layer"):
                kit.describe_layer(url)


def test_a_layer_that_refuses_every_query_says_so(county: County, open_kit: OpenKit) -> None:
    county.switch(layers={"first_fail": 10_000})
    with open_kit(retry_attempts=2) as kit, pytest.raises(SourceError, match="error 500"):
        kit.plan_area()


def test_a_box_a_polygon_and_a_condition_pick_the_same_as_the_county(
    county: County, open_kit: OpenKit
) -> None:
    truth = truth_of(county, "maricopa_parcels")
    placed = [row for row in truth.values() if row["latitude"] is not None]
    west = sorted(row["longitude"] for row in placed)[len(placed) // 2] + 0.00005  # type: ignore[operator]
    box = (-113.5, 32.5, west, 34.5)
    corners = [(-113.5, 32.5), (west, 32.5), (west, 34.5), (-113.5, 34.5)]
    city = next(str(row["situs_city"]) for row in placed if row["situs_city"])
    inside = {str(row["apn"]) for row in placed if row["longitude"] < west}  # type: ignore[operator]
    of_city = {apn for apn, row in truth.items() if row["situs_city"] == city}
    with open_kit() as kit:
        counts = [
            kit.plan_area(bbox=box).parcels,
            kit.plan_area(polygon=corners).parcels,
            kit.plan_area(polygon={"type": "Polygon", "coordinates": [corners]}).parcels,
            kit.plan_area(where=f"PHYSICAL_CITY = '{city}'").parcels,
        ]
        assert counts == [len(inside)] * 3 + [len(of_city)]

        kit.collect_area(bbox=box, where=f"PHYSICAL_CITY = '{city}'", progress=False)
        assert set(stored(kit, "maricopa_parcels")) == inside & of_city


@pytest.mark.parametrize("switches", [{}, {"paging": "refused"}], ids=["offsets", "numbers"])
def test_what_is_too_long_for_an_address_is_posted(
    county: County, open_kit: OpenKit, switches: dict[str, Any]
) -> None:
    """Both a polygon of many corners and a long condition pick what they should."""
    county.switch(layers={"max_rows": 100, **switches})
    truth = truth_of(county, "maricopa_parcels")
    placed = [row for row in truth.values() if row["latitude"] is not None]
    west = sorted(row["longitude"] for row in placed)[len(placed) // 2] + 0.00005  # type: ignore[operator]
    steps = [(-113.5 + (west + 113.5) * i / 300, 32.5) for i in range(301)]  # type: ignore[operator]
    inside = {str(row["apn"]) for row in placed if row["longitude"] < west}  # type: ignore[operator]
    some = sorted(inside)[:250]
    where = " OR ".join(f"APN = '{apn}'" for apn in some)
    with open_kit() as kit:
        kit.collect_area(polygon=[*steps, (west, 34.5), (-113.5, 34.5)], progress=False)
        assert set(stored(kit, "maricopa_parcels")) == inside

        assert kit.plan_area(where=where).parcels == len(some)
    queries = [one for one in county.ledger("arcgis") if one["path"].endswith("/query")]
    assert {one["method"] for one in queries} == {"POST"}
    assert {one["headers"]["content-type"] for one in queries} == {
        "application/x-www-form-urlencoded"
    }


def test_an_area_makes_its_parcels_fresh_and_keeps_where_they_are_from(
    county: County, open_kit: OpenKit
) -> None:
    apns = county.apns(5, skip=40)
    with open_kit() as kit:
        kit.collect_area(progress=False)

        plan = kit.plan(apns, source="maricopa_parcels")
        layer = kit.frame("layers").iloc[0]
        assert plan.counts == {"fresh": 5}
        assert len(plan.items) == 0
        assert (layer["source"], layer["county"]) == ("maricopa_parcels", "maricopa")
        assert layer["licence"] == "Demo county: synthetic, free for every use."
        fetches = kit.sql("SELECT source, page, batch_id FROM fetches")
        assert set(fetches["page"]) == {"rows whole"}


def test_a_newer_outline_takes_the_place_of_all_older_ones(
    county: County, open_kit: OpenKit
) -> None:
    with open_kit() as kit:
        kit.collect_area(where="OBJECTID <= 50", progress=False)
        before = kit.frame("parcel_shapes")
        kit.store.writer.submit(
            lambda connection: connection.execute(
                "UPDATE parcel_shapes SET object_id = 'old ' || object_id"
            )
        ).result()

        kit.collect_area(where="OBJECTID <= 50", progress=False)

        columns = ["county", "apn", "object_id", "shape"]
        assert kit.frame("parcel_shapes")[columns].equals(before[columns])


def test_what_a_layer_leaves_unsaid_stays(county: County, open_kit: OpenKit) -> None:
    with open_kit() as kit:
        kit.collect_area(where="OBJECTID <= 20", progress=False)
        kit.store.writer.submit(
            lambda connection: connection.execute(
                "UPDATE parcels SET legal_description = 'as the roll has it', owner_name = 'X'"
            )
        ).result()

        kit.collect_area(where="OBJECTID <= 20", progress=False)

        rows = kit.sql("SELECT DISTINCT legal_description FROM parcels")
        assert rows["legal_description"].tolist() == ["as the roll has it"]
        assert kit.sql("SELECT count(*) AS n FROM parcels WHERE owner_name = 'X'")["n"][0] == 0


def test_a_field_that_is_gone_is_named_before_anything_is_asked(
    county: County, open_kit: OpenKit
) -> None:
    url = county.layers_settings()["wake_nc_parcels"]["base_url"]
    import propkit as pk
    from propkit.sources import configure_sources

    settings = pk.Settings.load(
        sources={"mine": {"kind": "arcgis", "url": url, "county": "x_nc", "fields": {"apn": "PIN"}}}
    )
    with open_kit() as kit:
        kit.sources.update(configure_sources(settings))
        with pytest.raises(LayoutChangedError, match="no field PIN; it has OBJECTID, PIN_NUM"):
            kit.plan_area(source="mine")


def test_a_cancelled_area_keeps_what_came_and_goes_on(county: County, open_kit: OpenKit) -> None:
    county.switch(layers={"max_rows": 20})
    with open_kit(workers=1) as kit:
        batch = kit.plan_area(source="wake_nc_parcels").start()
        batch.cancel()
        kept = len(stored(kit, "wake_nc_parcels"))
        batch.resume()
        report = batch.wait()

        truth = truth_of(county, "wake_nc_parcels")
        assert kept <= len(truth)
        assert report.is_complete
        assert stored(kit, "wake_nc_parcels") == truth


ZIGZAG = [(-112 + i / 1e5, 33 + i % 2 / 10) for i in range(400)]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"bbox": (1, 2)}, "west, south, east, north"),
        ({"bbox": (-112, 34, -113, 33)}, "west < east"),
        ({"bbox": (-113, 33, -112, 34), "polygon": []}, "not both"),
        ({"polygon": [(1, 2), (3, 4)]}, "three or more"),
        ({"polygon": {"type": "LineString", "coordinates": []}}, "GeoJSON polygon"),
        ({"polygon": ZIGZAG, "source": "cook_il_parcels"}, "too many corners"),
        ({"polygon": ZIGZAG * 40}, "too many corners"),
        ({"where": 5}, "where must be a text"),
        ({"source": "nowhere"}, "no layer 'nowhere'"),
        ({"source": "propertyradar"}, "is no map layer"),
    ],
)
def test_an_area_that_is_none_is_refused(
    open_kit: OpenKit, given: dict[str, Any], message: str
) -> None:
    with open_kit() as kit, pytest.raises(RequestError, match=message):
        kit.plan_area(**given)


def test_an_empty_area_is_no_batch(open_kit: OpenKit) -> None:
    with open_kit() as kit:
        with pytest.raises(RequestError, match="nothing to collect"):
            kit.collect_area(bbox=(-80, 20, -79, 21), progress=False)
        assert len(kit.batches()) == 0
