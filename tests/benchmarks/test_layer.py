"""The arcgis scenario on a few parcels: the demo county's rows, and everybody stores the same."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from propkit.demo_county.map_rows import LAYERS
from propkit.demo_county.truth import CountyTruth
from propkit.layers.ready import READY
from tests.benchmarks import measuring, targets
from tests.benchmarks.layer_pages import LayerPages
from tests.benchmarks.scenarios import SCENARIOS


def test_pages_are_the_demo_countys_rows() -> None:
    pages, truth = LayerPages.make(60), CountyTruth(111, 7)

    query = urlencode({"where": "OBJECTID <= 50", "resultOffset": "40", "resultRecordCount": "30"})
    found = pages.find(f"/MapServer/0/query?{query}")

    assert found is not None
    key, body = found
    rows = json.loads(body)["features"]
    parcel = truth.find(rows[0]["attributes"]["APN"])
    assert key == "40+10"
    assert [row["attributes"]["OBJECTID"] for row in rows] == list(range(41, 51))
    assert [row["attributes"]["APN"] for row in rows] == pages.keys[40:50]
    assert parcel is not None
    said = LAYERS["maricopa"].write(parcel)
    names = READY["maricopa_parcels"].names
    assert rows[0]["attributes"] == {"OBJECTID": 41, **{name: said[name] for name in names}}
    assert pages.find("/MapServer/1") is None


def test_propkit_and_a_client_by_hand_store_the_same_parcels() -> None:
    found = measuring.measure("arcgis", SCENARIOS["arcgis"], rounds=1, scale=0.012)

    rows = [entry["runs"][0]["rows"] for entry in found["entries"]]
    assert rows[0] == rows[1]
    assert rows[0]["1200"]["parcels"]["count"] == 1200
    assert rows[0]["120"] == rows[2]["120"]
    assert "| aiohttp_layer | 1,200 |" in "\n".join(SCENARIOS["arcgis"].table(found))
    assert len(targets.check_area(found)) == 2


def test_areas_are_judged_by_speed_and_flat_memory() -> None:
    def an_entry(contender: str, parcels: int, seconds: float, peak_mb: float) -> dict[str, Any]:
        median = {"seconds": seconds, "peak_mb": peak_mb}
        return {"contender": contender, "parcels": parcels, "median": median}

    entries = [
        an_entry("propkit_area", 1000, 4.0, 130.0),
        an_entry("aiohttp_layer", 1000, 2.0, 100.0),
        an_entry("propkit_area", 100, 1.0, 100.0),
    ]

    checks = targets.check_area({"entries": entries})

    assert [(check.value, check.is_met) for check in checks] == [(0.5, False), (1.3, True)]
