"""However a process ends that has a browser open, no process of the browser outlives it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browsing.conftest import DEADLINE, left_of, pids_of, running

if TYPE_CHECKING:
    from propkit.demo_county import County

ROOT = Path(__file__).parents[2]


@pytest.mark.browser
@pytest.mark.timeout(300)
@pytest.mark.parametrize("end", ["return", "interrupt", "terminate", "kill"])
def test_no_browser_outlives_its_process(county: County, tmp_path: Path, end: str) -> None:
    """By the script's end, Ctrl+C and a kernel's restart (SIGTERM, for all of them), and SIGKILL.

    Each comes while pages are open that a silent county keeps waiting.
    """
    sources = {
        "maricopa_treasurer": county.settings()["maricopa_treasurer"],
        "maricopa_treasurer_browser": {"requests_per_second": 100},
    }
    command = [sys.executable, str(Path(__file__).with_name("left_run.py")), json.dumps(sources)]
    with subprocess.Popen(
        [*command, str(tmp_path / "a.duckdb"), *county.apns(30)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        (pid,) = json.loads(process.stdout.readline())
        county.switch(faults=[{"kind": "hang", "system": "treasurer", "seconds": 600}])
        tree = pids_of(pid)
        assert len(running(tree)) > 3
        if end == "return":
            process.stdin.write("\n")
            process.stdin.flush()
        elif end == "interrupt":
            os.killpg(process.pid, signal.SIGINT)
        elif end == "terminate":
            os.killpg(process.pid, signal.SIGTERM)
        else:
            process.kill()
        process.wait(DEADLINE)
        errors = process.stderr.read()

    assert left_of(tree) == set(), errors
