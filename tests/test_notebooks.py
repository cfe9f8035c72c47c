"""The notebooks run from top to bottom in a real kernel, and are kept without outputs."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

from propkit.notebook import _FRONT_ENDS

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(path.name for path in FOLDER.glob("*.ipynb"))

# What a reader could count in each notebook: an expression of its last state, and its value.
FACTS: dict[str, dict[str, object]] = {
    "01_collect.ipynb": {
        "plan.counts": {"due": 47, "duplicate": 1, "invalid": 2},
        "report.state": "completed",
        "report.counts": {
            "maricopa_assessor": {"done": 45, "not_found": 2},
            "maricopa_treasurer": {"done": 47},
            "maricopa_recorder": {"done": 45},
        },
        "sorted(report.not_usable)": ["2123565O", "Parcel #"],
        "report.is_complete": False,
        "[item.failure_class for item in bad_day.failures]": ["unavailable"],
        "mended.totals": {"done": 4},
        "len(panel.grid.rows)": 47,
        "sorted(path.name for path in folder.iterdir())": ["demo.duckdb"],
    },
    "02_explore.ipynb": {
        "report.state": "completed",
        "len(unpaid)": 18,
        "len(by_city)": 14,
        "workbook.is_file()": True,
        "sorted(path.name for path in folder.iterdir())": ["explore.duckdb", "parcels.xlsx"],
    },
    "03_leads.ipynb": {
        "preview.records": 33,
        "report.state": "completed",
        "len(leads)": 33,
        "plan.counts": {"due": 33},
        "checked.totals": {"done": 66},
        "len(to_call)": 33,
        "broken.state": "paused",
        "broken.failure_classes": {"unsettled": 1},
        "list(settled['verdict'])": ["lost"],
        "rest.totals": {"done": 1, "failed": 1},
        "account['records']": 43,
        "sorted(path.name for path in folder.iterdir())": ["leads.duckdb", "leads.xlsx"],
    },
    "05_post_listings.ipynb": {
        "dry.counts()": {"ready": 3},
        "report.counts()": {"posted": 3},
        "again.counts()": {"skipped": 3},
        "found.counts()": {"posted": 1, "skipped": 3},
        "found.results[-1].reason": "found on the account's own page",
        "sorted(listings['title'])": [f"Bucket truck {number}" for number in range(1, 5)],
        "list(listings['images'].map(len))": [1, 1, 1, 0],
        "labels.successful_posts": 3,
    },
}


# The demo county's pace is one that a person can follow.
QUICK_DEMO = """\
from propkit import opening as _opening
for _limit in _opening.DEMO_LIMITS.values():
    _limit["requests_per_second"] = 1000"""


@pytest.fixture
def kernel_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make a kernel of this very interpreter, whatever kernels the machine has."""
    spec = tmp_path / "jupyter/kernels/propkit-test"
    spec.mkdir(parents=True)
    quick = f"--IPKernelApp.exec_lines={QUICK_DEMO}"
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", quick]
    text = {"argv": argv, "display_name": "propkit", "language": "python"}
    (spec / "kernel.json").write_text(json.dumps(text), "utf-8")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    return spec.name


@pytest.fixture
def run(
    kernel_name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> Any:
    """Return a function that runs a notebook in a folder of its own, and evaluates facts."""
    # A browser opens a socket below it, whose path may have 107 characters.
    monkeypatch.setenv("TMPDIR", str(tmp_path_factory.mktemp("t")))
    place = tmp_path / "place"
    place.mkdir()

    def run(notebook: NotebookNode, facts: dict[str, object]) -> tuple[dict[str, object], Path]:
        asked = ", ".join(f"{expression!r}: {expression}" for expression in facts)
        last = nbformat.v4.new_code_cell(f"import json\nprint(json.dumps({{{asked}}}))")
        notebook.cells.append(last)
        client = NotebookClient(
            notebook,
            timeout=250,
            startup_timeout=250,
            iopub_timeout=250,  # what a cell shows may come long after its end
            kernel_name=kernel_name,
            resources={"metadata": {"path": str(place)}},
        )
        client.execute()
        return json.loads(last.outputs[0]["text"]), place

    return run


def _read(name: str) -> NotebookNode:
    notebook = nbformat.read(FOLDER / name, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    return notebook


def _code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_every_notebook_has_facts() -> None:
    assert sorted(FACTS) == NOTEBOOKS


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_kept_without_outputs(name: str) -> None:
    notebook = _read(name)

    kept = [cell.id for cell in _code(notebook) if cell.outputs or cell.execution_count is not None]

    assert kept == []
    assert "widgets" not in notebook.metadata
    assert notebook.metadata.kernelspec.name == "python3"


@pytest.mark.notebook
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_from_top_to_bottom(name: str, run: Any) -> None:
    notebook = _read(name)
    cells = _code(notebook)

    found, place = run(notebook, FACTS[name])

    assert found == FACTS[name]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    said = [out for cell in cells for out in cell.outputs if out.get("name") == "stderr"]
    assert said == []
    assert list(place.iterdir()) == []


AWAITING = """\
import asyncio
import propkit as pk
kit = pk.demo()
ticks = []
async def tick():
    while True:
        ticks.append(1)
        await asyncio.sleep(0.02)
ticking = asyncio.ensure_future(tick())
report = await kit.start(kit.county.apns(40))
ticking.cancel()
kit.close()"""
# While a blocked loop waits, none comes; one may come before and one after.
FREE = {"report.state": "completed", "len(ticks) > 2": True}


@pytest.mark.notebook
def test_a_cell_that_awaits_a_batch_shows_bars_and_leaves_the_kernel_free(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bars stand in the awaiting cell, and another task of the kernel goes on meanwhile."""
    monkeypatch.setenv("JPY_SESSION_NAME", "seen.ipynb")  # as Jupyter's server says it
    awaiting = nbformat.v4.new_code_cell(AWAITING)

    facts, _ = run(nbformat.v4.new_notebook(cells=[awaiting]), FREE)

    assert facts == FREE
    views = [out.data for out in awaiting.outputs if out.output_type == "display_data"]
    assert [view["text/plain"] for view in views] == [
        "Progress bars of a propkit batch; the report holds the outcome."
    ]
    assert all("application/vnd.jupyter.widget-view+json" in view for view in views)


@pytest.mark.notebook
def test_without_a_browser_the_same_cell_prints_plain_progress(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in _FRONT_ENDS:
        monkeypatch.delenv(name, raising=False)
    awaiting = nbformat.v4.new_code_cell(AWAITING)

    facts, _ = run(nbformat.v4.new_notebook(cells=[awaiting]), FREE)

    assert facts == FREE
    assert {(out.output_type, out.name) for out in awaiting.outputs} == {("stream", "stdout")}
    said = "".join(out.text for out in awaiting.outputs)
    assert re.match(r"Collect\w+ \d+ of \d+ items \(", said)
    assert re.search(r"^Collected \d+ of \d+ items \(100 %\)", said, re.MULTILINE)


@pytest.mark.notebook
def test_nested_loops_are_allowed_where_asked_for(run: Any) -> None:
    cells = [
        "import asyncio\nimport propkit as pk\nname = pk.allow_nested_loops()",
        "async def ask():\n    return 7\nseven = asyncio.run(ask())",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(one) for one in cells])

    facts, _ = run(notebook, {"seven": 7, "name.startswith('nest_asyncio')": True})

    assert facts == {"seven": 7, "name.startswith('nest_asyncio')": True}
