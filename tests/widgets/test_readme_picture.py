"""The README's picture is still true: what stands in it is what the panel says today."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from propkit.items import State
from propkit.progress import Progress, SourceProgress
from propkit.widgets.collect_views import progress_blocks, search_bar
from propkit.widgets.parcel_rows import COLUMNS
from propkit.widgets.reach import Reach
from propkit.widgets.spelling import properties
from propkit.widgets.statuses import STATUSES
from tests.browser.screenshot import CELL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from propkit.widgets.faces import Block

ROOT = Path(__file__).parent.parent.parent
WORDS = (ROOT / ".readme/collect.txt").read_text("utf-8").splitlines()
SEEN = (
    "a search, a batch in the middle with a bar for each office, and a table whose rows turn green"
)
SOURCES = ("maricopa_assessor", "maricopa_recorder", "maricopa_treasurer")


def _words(blocks: list[Block]) -> Iterator[str]:
    """Return what a page shows of blocks, in its order."""
    for block in blocks:
        if block["kind"] == "bar":
            yield from (block["label"], block["word"], block["numbers"])
        elif block["kind"] == "notify":
            yield "Tell me at the end"
        else:
            names = ("title", "text") if block["kind"] == "box" else ("label", "text")
            yield from filter(None, (block.get(name) for name in names))
            yield from (label for _, label in block.get("options", ()))
            yield from _words(block.get("blocks", []))


def _source(name: str) -> SourceProgress:
    """Return how far a source is in the picture."""
    said = WORDS[WORDS.index(name.replace("_", " ").capitalize()) + 2]
    ended, total, requests = map(int, re.findall(r"\d+", said)[:3])
    return SourceProgress(
        source=name, total=total, ended=ended, failed=0, requests=requests, refused=0,
        requests_per_second=0.0,
    )  # fmt: skip


def _without_numbers(words: list[str]) -> list[str]:
    return [re.sub(r"\d[\d.-]*", "0", word) for word in words]


def test_the_picture_says_what_the_panel_says() -> None:
    """Where this fails: python -m tests.browser.screenshot .readme/collect.png, and look at it."""
    sources = tuple(map(_source, SOURCES))
    progress = Progress(
        batch_id="b", state="running", total=sum(one.total for one in sources),
        counts={State.DONE: sum(one.ended for one in sources)}, partial=0, sources=sources,
        elapsed_seconds=6.0, eta_seconds=None, current="34205092",
    )  # fmt: skip
    asked = sources[0].total
    reach = Reach(ended=asked // 5, total=asked)
    blocks = search_bar("", "owner", properties(asked), rows=asked, is_active=True)
    blocks += progress_blocks(progress, reach, progress.batch_id)
    statuses = [f"{STATUSES[name].word} {asked // 2}" for name in ("active", "complete")]
    heads = [column.label for column in COLUMNS if column.is_shown]

    said = [*CELL.splitlines(), *_words(blocks), *statuses, *heads]

    assert _without_numbers(WORDS) == _without_numbers(said)
    assert f"![A notebook: {SEEN}](.readme/collect.png)" in (ROOT / "README.md").read_text("utf-8")
