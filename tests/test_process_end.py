"""What a batch comes to when its process ends under it: nothing fails, the rest waits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

import propkit as pk
from tests.guests.notebooks import DEADLINE_SECONDS, settings_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from propkit.demo_county import County

ROOT = Path(__file__).parent.parent


@contextmanager
def ending(
    path: Path, county: County, *apns: str, book: Path | str = ""
) -> Iterator[subprocess.Popen[str]]:
    """Start a process and wait until its main thread is over."""
    settings = json.dumps(settings_of(county))
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.ending_run", str(path), settings, str(book), *apns],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ending\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_what_a_process_cannot_do_at_its_end_is_no_failure(county: County, tmp_path: Path):
    """A kernel restarted under a batch has stored every parcel as failed, and the batch as over."""
    path, apns = tmp_path / "test.duckdb", county.apns(5)
    with ending(path, county, *apns) as process:
        assert process.wait(DEADLINE_SECONDS) == 0

    with pk.open(path, settings=pk.Settings.load(**settings_of(county))) as kit:
        batch = kit.batch("last")
        assert batch.state == "interrupted"
        assert batch.report.totals == {"waiting": 5}
        assert batch.resume().wait().state == "completed"
        assert batch.report.failures == ()


def test_a_batch_that_ends_with_its_process_has_its_workbook(county: County, tmp_path: Path):
    """No thread is to be had any more to write it in."""
    path, book = tmp_path / "test.duckdb", tmp_path / "collected.xlsx"
    with ending(path, county, *county.apns(2), book=book) as process:
        assert process.wait(DEADLINE_SECONDS) == 0

    with pk.open(path, settings=pk.Settings.load(**settings_of(county))) as kit:
        head, log = kit.batch("last").head, kit.batch("last").log()
    assert (head.state, head.error) == ("completed", None)
    assert "exported" in set(log["event"])
    assert len(pd.read_excel(book, sheet_name="parcels", engine="openpyxl")) == 2


def test_a_guest_goes_on_with_what_its_owner_began_at_its_end(county: County, tmp_path: Path):
    """The batch is never called failed: the guest waits for the next owner, which is itself."""
    path, apns = tmp_path / "test.duckdb", county.apns(5)
    with (
        ending(path, county) as process,
        pk.open(path, settings=pk.Settings.load(**settings_of(county))) as kit,
    ):
        report = kit.start(apns).wait(timeout=DEADLINE_SECONDS)

        assert (report.state, report.failures) == ("completed", ())
        assert process.wait(DEADLINE_SECONDS) == 0
        assert sorted(kit.frame("parcels").reset_index()["apn"]) == sorted(
            row["apn"] for row in county.truth(apns)["parcels"]
        )
