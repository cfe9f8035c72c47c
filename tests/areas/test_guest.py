"""A guest of the store counts and collects areas as the owner does, by the owner's hands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import propkit as pk
from tests.areas.conftest import layers_settings
from tests.areas.test_areas import stored, truth_of
from tests.guests.dying import dying_kit

if TYPE_CHECKING:
    from propkit.demo_county import County

ROOT = Path(__file__).parents[2]


def test_a_guest_collects_an_area_of_a_layer_that_was_not_asked_before(
    county: County, tmp_path: Path
) -> None:
    path, source = tmp_path / "a.duckdb", "hennepin_mn_parcels"
    settings = layers_settings(county)
    order = json.dumps({"settings": settings, "source": source})

    with pk.open(path, settings=pk.Settings.load(**settings)) as kit:
        done = subprocess.run(
            [sys.executable, str(ROOT / "tests/areas/collect_run.py"), str(path), order],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            timeout=90,
        )

        assert json.loads(done.stdout.splitlines()[-1]) == {"state": "completed"}
        assert stored(kit, source) == truth_of(county, source)
        assert kit.batch("last").id == json.loads(done.stdout.splitlines()[0])["running"]


def test_an_area_is_collected_in_one_batch_though_one_owner_after_the_other_is_lost(
    county: County, tmp_path: Path
) -> None:
    """The first of them has stored it, unheard: its id tells."""
    settings = pk.Settings.load(**layers_settings(county))
    with dying_kit(tmp_path / "a.duckdb", settings) as (kit, lose):
        plan = kit.plan_area(source="hennepin_mn_parcels")
        lose("areas", is_done=True)

        batch = plan.start()

        assert batch.wait().state == "completed"
        assert kit.batches()["batch_id"].tolist() == [batch.id]
