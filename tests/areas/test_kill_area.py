"""Kill -9 in the middle of an area, again and again: it goes on, and nothing is lost or doubled."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.areas.conftest import layers_kit, layers_settings
from tests.areas.test_areas import stored, truth_of

if TYPE_CHECKING:
    from propkit.demo_county import County

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("PROPKIT_KILLS", "2"))
SEED = int(os.environ.get("PROPKIT_KILL_SEED", "20261122"))


@pytest.mark.timeout(120 + 30 * KILLS)
@pytest.mark.parametrize("source", ["wake_nc_parcels", "hamilton_oh_parcels"])
def test_an_area_goes_on_after_kills(county: County, tmp_path: Path, source: str) -> None:
    moments = random.Random(f"{SEED} {source}")
    county.switch(layers={"max_rows": 20})
    path = tmp_path / "a.duckdb"
    order = json.dumps({"settings": layers_settings(county, workers=1), "source": source})
    command = [sys.executable, str(ROOT / "tests/areas/collect_run.py"), str(path), order]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def run(*, is_killed: bool) -> dict[str, str]:
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        ) as child:
            assert child.stdout is not None
            assert json.loads(child.stdout.readline())["running"]
            if is_killed:
                seen = len(county.ledger("arcgis"))
                wanted, deadline = seen + moments.randint(1, 12), time.monotonic() + 2
                while len(county.ledger("arcgis")) < wanted and time.monotonic() < deadline:
                    time.sleep(0.005)
                child.kill()
                return {}
            said: dict[str, str] = json.loads(child.stdout.readline())
            return said

    for _ in range(KILLS):
        run(is_killed=True)
    ended = run(is_killed=False)

    with layers_kit(county, path) as kit:
        assert ended == {"state": "completed"}
        assert stored(kit, source) == truth_of(county, source)
        assert kit.store.duplicates() == {}
        assert len(kit.batches()) == 1
        shapes = kit.sql(
            "SELECT count(*) AS n, count(DISTINCT object_id) AS ids FROM parcel_shapes"
        )
        placed = [row for row in truth_of(county, source).values() if row["latitude"] is not None]
        assert shapes.iloc[0].tolist() == [len(placed), len(placed)]
