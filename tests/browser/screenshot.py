"""The README's picture, made from a real JupyterLab.

``python -m tests.browser.screenshot .readme/collect.png``
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.browser.lab import open_lab

PLAN = """\
import propkit as pk

kit = pk.demo()  # a county on this machine; pk.open() is the real one
messy = ["251-10-485", "30666220.0", "21908569'", "251-10-485", "2123565O"]
plan = kit.plan(messy + kit.county.apns(40))
plan"""
LOOK = """\
columns = ["apn", "owner_name", "situs_address", "situs_city", "deed_date"]
kit.frame("parcels")[columns].head(4)"""
CELLS = [PLAN, "report = kit.collect(plan)\nreport", LOOK]

# Only the cells: no toolbar, no line below the last cell, no cursor.
_STYLE = """
.jp-Notebook-footer, .jp-NotebookPanel-toolbar, .jp-Collapser, .jp-cell-toolbar,
.jp-Toolbar-overlay, .cm-cursorLayer { display: none !important; }
"""


def take_screenshot(path: Path) -> None:
    """Run the notebook and save a picture of its cells."""
    with (
        tempfile.TemporaryDirectory() as folder,
        open_lab(Path(folder), width=1220, height=1500, scale=1.5) as lab,
    ):
        lab.open_notebook("collect.ipynb", CELLS)
        lab.run_all()
        lab.wait_until_run()
        lab.page.add_style_tag(content=_STYLE)
        lab.page.evaluate("document.activeElement.blur()")
        lab.page.wait_for_timeout(500)  # fonts and bars settle
        cells = lab.page.locator(".jp-Notebook .jp-CodeCell")
        boxes = [box for cell in cells.all() if (box := cell.bounding_box())]
        top, bottom = boxes[0]["y"], boxes[-1]["y"] + boxes[-1]["height"]
        lab.page.screenshot(
            path=path,
            clip={"x": boxes[0]["x"], "y": top, "width": boxes[0]["width"], "height": bottom - top},
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=take_screenshot.__doc__)
    parser.add_argument("out", type=Path, metavar="OUT.png")
    take_screenshot(parser.parse_args().out)
