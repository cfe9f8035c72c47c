"""The demo county's map servers and its site of open data, as the real ones answer."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest

from propkit.demo_county.layer_switches import LayerSwitches
from propkit.demo_county.map_where import WhereError, read_where

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from propkit.demo_county import County
    from propkit.demo_county.truth import CountyTruth

WAKE, HAMILTON = "/arcgis/wake_nc/MapServer/0", "/arcgis/hamilton_oh/MapServer/0"


@pytest.fixture(autouse=True)
def _plain_layers(county: County) -> Iterator[None]:
    yield
    county.switch(layers=asdict(LayerSwitches()))


def query(client: httpx.Client, layer: str, **params: Any) -> Any:
    answer = client.get(f"{layer}/query", params={"where": "1=1", "f": "json", **params})
    assert answer.status_code == 200
    return answer.json()


def test_a_layer_describes_itself(client: httpx.Client) -> None:
    said = client.get(WAKE, params={"f": "json"}).json()

    assert said["name"] == "Parcels"
    assert said["maxRecordCount"] == 1000
    assert said["objectIdField"] == "OBJECTID"
    assert said["advancedQueryCapabilities"] == {"supportsPagination": True}
    assert [field["name"] for field in said["fields"]] == [
        "OBJECTID", "PIN_NUM", "OWNER", "SITE_ADDRESS", "CITY", "ADDR1", "Shape",
    ]  # fmt: skip
    assert client.get("/arcgis/nowhere/MapServer/0").status_code == 404


def test_counts_ids_and_rows_agree(client: httpx.Client, truth: CountyTruth) -> None:
    count = query(client, WAKE, returnCountOnly="true")["count"]
    ids = query(client, WAKE, returnIdsOnly="true")["objectIds"]
    first = query(client, WAKE, outFields="*")
    rest = query(client, WAKE, outFields="*", resultOffset="1000", resultRecordCount="1000")

    rows = [*first["features"], *rest["features"]]
    known = sum(head.is_in_assessor for head in truth.heads())
    assert len(ids) == count == len(rows) == known
    assert first["exceededTransferLimit"] is True
    assert "exceededTransferLimit" not in rest
    assert [row["attributes"]["OBJECTID"] for row in rows] == ids


def test_errors_come_with_status_200(client: httpx.Client) -> None:
    for params in ({"where": "NOPE = 1"}, {"where": "OWNER ="}, {"outFields": "NOPE"}):
        assert query(client, WAKE, **params)["error"]["code"] == 400
    refused = query(client, HAMILTON, resultOffset="0", resultRecordCount="5")
    assert refused["error"]["message"] == "Pagination is not supported."


def test_a_silent_cap_sends_less_and_says_nothing(county: County, client: httpx.Client) -> None:
    county.switch(layers={"cap": 7})

    rows = query(client, WAKE, outFields="*")

    assert len(rows["features"]) == 7
    assert "exceededTransferLimit" not in rows
    county.switch(layers={"is_cap_told": True})
    assert query(client, WAKE, outFields="*")["exceededTransferLimit"] is True


def test_a_dataset_pages_in_the_order_of_its_ids(client: httpx.Client, truth: CountyTruth) -> None:
    path = "/socrata/resource/3723-97qp.json"
    params = {"$where": "year = '2025'", "$order": ":id", "$limit": "5", "$offset": "10"}

    rows = client.get(path, params=params).json()
    count = client.get(path, params={"$select": "count(*) AS count"}).json()
    wrong = client.get(path, params={"$where": "colour = 'red'"})

    assert [row[":id"] for row in rows] == sorted(row[":id"] for row in rows)
    known = sum(head.is_in_assessor for head in truth.heads())
    assert count == [{"count": str(known)}]
    assert (wrong.status_code, wrong.json()["code"]) == (400, "query.soql.no-such-column")


@pytest.mark.parametrize(
    ("text", "is_met"),
    [
        ("A = 1", True), ("a = 1 AND B = 'x''y'", True), ("A >= 1 AND A <= 0", False),
        ("(A = 2 OR B LIKE 'x%')", True), ("A IN (1, 2)", True), ("B IN ('z')", False),
        ("C IS NULL", True), ("C IS NOT NULL", False), ("C <> ''", False), ("1=1", True),
    ],
)  # fmt: skip
def test_conditions_are_read_as_sql(text: str, is_met: bool) -> None:
    names = {"a": "A", "b": "B", "c": "C"}

    assert read_where(text, names)({"A": 1, "B": "x'y", "C": None}) is is_met


@pytest.mark.parametrize("text", ["", "A", "A =", "A = 1 B", "D = 1", "A IN (1", "A ~ 1", "A IS 1"])
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(WhereError):
        read_where(text, {"a": "A"})


@pytest.mark.parametrize(
    "changes",
    [{"cap": 0}, {"max_rows": None}, {"paging": "maybe"}, {"is_cap_told": 1}, {"nothing": 1}, 7],
)
def test_switches_that_are_none_are_refused(changes: Any) -> None:
    with pytest.raises(ValueError, match=r"layers|paging|is_cap_told|whole number"):
        LayerSwitches().changed(changes)
