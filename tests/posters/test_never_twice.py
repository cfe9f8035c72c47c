"""What kills and cut connections do to a run over a sheet: each row is posted, and none twice.

By default a few rows. The long form takes some twenty minutes (``PROPKIT_POSTING_SEED`` draws other
moments)::

    PROPKIT_POSTING_MISHAPS=50 PROPKIT_POSTING_ROWS=200 pytest tests/posters/test_never_twice.py -s
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openpyxl
import psutil
import pytest

from propkit.demo_county import County
from tests.posters.selling import DEADLINE, TEXT

ROOT = Path(__file__).parents[2]
MISHAPS = int(os.environ.get("PROPKIT_POSTING_MISHAPS", "3"))
ROWS = int(os.environ.get("PROPKIT_POSTING_ROWS", "4"))
SEED = int(os.environ.get("PROPKIT_POSTING_SEED", "20261122"))
KINDS = ("kept, then cut", "cut, then lost", "killed")
HEADERS = (
    "id", "title", "description", "price", "condition", "seller", "location", "posting_status",
)  # fmt: skip
LIFE_SECONDS = 60.0 + 20.0 * ROWS


@dataclass
class Mishaps:
    """What happens to which form that is sent, counted from 1; the killed ones by the delay."""

    cut: list[int] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)
    killed: dict[int, float] = field(default_factory=dict)

    def rules(self) -> list[dict[str, object]]:
        """Return the site's faults: the form is kept and cut, or never read."""
        form = {"system": "classifieds", "path": "^/p-submit-ad", "method": "POST"}
        kinds: list[tuple[dict[str, object], list[int]]] = [
            ({"kind": "drop"}, self.cut),
            ({"kind": "hang", "seconds": 0}, self.lost),
        ]
        return [{**form, **kind, "nth": numbers} for kind, numbers in kinds if numbers]


def draw(seed: int) -> Mishaps:
    """Draw what happens, each kind about as often as the others."""
    rng = random.Random(seed)
    found = Mishaps()
    numbers = rng.sample(range(1, ROWS + 1), MISHAPS)
    for place, number in enumerate(numbers):
        kind = KINDS[place % len(KINDS)]
        if kind == "killed":
            # Before the last click's answer, after it, or in the next row.
            found.killed[number] = rng.uniform(0, 0.6)
        else:
            (found.cut if kind == KINDS[0] else found.lost).append(number)
    return found


def write_sheet(path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(HEADERS)
    for n in range(1, ROWS + 1):
        row = (f"BT{n:03}", f"Bucket truck {n}", TEXT, 9000 + n, "New", "Owner", "Mesa", "pending")
        sheet.append(row)
    book.save(path)


def read_sheet(path: Path) -> list[dict[str, Any]]:
    sheet = openpyxl.load_workbook(path).worksheets[0]
    names, *rows = [[cell.value for cell in row] for row in sheet.iter_rows()]
    return [dict(zip(names, row, strict=True)) for row in rows]


@contextmanager
def run(path: Path, settings: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the child; what is left of it at the end is killed."""
    script = Path(__file__).with_name("posting_run.py")
    with subprocess.Popen(
        [sys.executable, str(script), str(path), settings],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def kill(child: subprocess.Popen[bytes]) -> None:
    """Kill the child, and wait until its browser is gone.

    A form that it still sent, more than the site's second after the last click, would come when the
    next run has looked already.
    """
    browser = psutil.Process(child.pid).children(recursive=True)
    child.kill()
    _, left = psutil.wait_procs(browser, timeout=DEADLINE)
    assert [one for one in left if one.status() != psutil.STATUS_ZOMBIE] == []


def live(child: subprocess.Popen[bytes], counted: Counted, killed: dict[int, float]) -> int | None:
    """Wait for the child's end, or kill it at its moment; return the number of that form.

    A child may be at its end before that moment: then the kill was drawn too late to harm.
    """
    ends_at = time.monotonic() + LIFE_SECONDS
    while time.monotonic() < ends_at:
        has_ended = child.poll() is not None
        assert child.returncode in {None, 0}
        forms = counted.forms()
        number = next((one for one in sorted(killed) if one <= forms), None)
        if number is not None:
            if not has_ended:
                time.sleep(killed[number])  # the moment of the kill, as drawn
                kill(child)
            return number
        if has_ended:
            return None
        time.sleep(0.05)
    raise AssertionError("the run does not end")


class Counted:
    """The county, and the forms that were sent to it so far; each request is read once."""

    def __init__(self, county: County) -> None:
        self._county = county
        self._seen = 0
        self._forms = 0

    def forms(self) -> int:
        """Return how many forms were sent so far."""
        for entry in self._county.ledger("classifieds", since=self._seen):
            self._seen = entry["number"]
            self._forms += entry["path"] == "/p-submit-ad.html"
        return self._forms


@pytest.mark.browser
@pytest.mark.timeout(3600 if ROWS > 20 else 300)
def test_whatever_happens_each_row_is_posted_exactly_once(site: County, tmp_path: Path) -> None:
    mishaps = draw(SEED)
    # A site that would take everything twice: nothing but propkit stands between.
    site.switch(
        classifieds={"form_token": "ignored", "duplicates": "accepted"}, faults=mishaps.rules()
    )
    poster = {**site.poster_settings()["kijiji"], "pace_seconds": 0, "settle_seconds": 1}
    settings = json.dumps(
        {
            "posters": {"kijiji": poster},
            "posting": {"jitter_seconds": 0, "backoff_initial": 0.01, "save_seconds": 1},
        }
    )
    path, counted, left = tmp_path / "trucks.xlsx", Counted(site), dict(mishaps.killed)
    write_sheet(path)

    for _ in range(3 + 2 * MISHAPS):
        with run(path, settings) as child:
            number = live(child, counted, left)
        left.pop(number or 0, None)
        rows = read_sheet(path)  # it opens after every end
        if number is None and all(str(row["posting_status"]).startswith("Posted") for row in rows):
            break

    ads = {ad["title"]: ad for ad in site.postings()}
    counts = Counter(ad["title"] for ad in site.postings())
    assert left == {}
    assert counts == {f"Bucket truck {n}": 1 for n in range(1, ROWS + 1)}
    assert all(re.fullmatch(r"Posted \d{4}-\d\d-\d\d", row["posting_status"]) for row in rows)
    assert [row["posted_url"] for row in rows] == [
        f"{site.url}/classifieds{ads[row['title']]['url']}" for row in rows
    ]
