"""The README's picture, made from a real JupyterLab, and the words that stand in it.

``python -m tests.browser.screenshot .readme/collect.png``

The words go beside it, into ``collect.txt``: a test asks whether the panel still says so.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from tests.browser.lab import open_lab

# The county takes a while, so that the picture is of a batch in the middle.
CELL = """\
import propkit as pk

kit = pk.demo()  # a county on this machine; pk.open() is the real one
kit.panel(kit.search("JUNIPER", by="owner"))"""
SLOW = 'slow = kit.county.switch(faults=[{"kind": "slow", "seconds": 0.3, "system": "treasurer"}])'

# Only the cells: no toolbar, no line below the last cell, no cursor.
_STYLE = """
.jp-Notebook-footer, .jp-NotebookPanel-toolbar, .jp-Collapser, .jp-cell-toolbar,
.jp-Toolbar-overlay, .cm-cursorLayer { display: none !important; }
"""

# In the order in which they stand there; a choice with all that can be chosen.
_WORDS = """cell => [...cell.querySelectorAll(
    '.propkit-face :is(button, label > span, option, h4, .propkit-text, .propkit-bar span),'
    + ' .propkit-chip span:last-child, .propkit-grid-name'
)].map(node => node.textContent).filter(Boolean)"""


def take_screenshot(path: Path) -> None:
    """Run the notebook; save a picture of its panel, in the middle of a batch, and its words."""
    os.environ["PROPKIT_COLLECT__ENHANCE"] = "false"  # all rows begin alike
    with (
        tempfile.TemporaryDirectory() as folder,
        open_lab(Path(folder), width=1220, height=1300, scale=1.5) as lab,
    ):
        page = lab.page
        lab.open_notebook("collect.ipynb", [CELL, SLOW])
        lab.run_to_end(0)
        lab.run_to_end(1)
        page.click(".propkit-do-collect")
        page.click(".propkit-do-confirm")
        page.wait_for_function(
            "document.querySelectorAll('.propkit-pill.propkit-tone-green').length >= 6"
        )
        page.add_style_tag(content=_STYLE)
        page.evaluate("document.activeElement.blur()")
        page.mouse.move(0, 0)
        page.wait_for_timeout(300)  # fonts and bars settle
        cell = page.locator(".jp-Notebook .jp-CodeCell").first
        cell.screenshot(path=path)
        words: list[str] = cell.evaluate(_WORDS)
        path.with_suffix(".txt").write_text("\n".join([*CELL.splitlines(), *words, ""]), "utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=take_screenshot.__doc__)
    parser.add_argument("out", type=Path, metavar="OUT.png")
    take_screenshot(parser.parse_args().out)
