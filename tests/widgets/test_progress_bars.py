"""The progress bars of a cell that collects: a colour and a word for each state."""

from __future__ import annotations

from dataclasses import replace

import ipywidgets
import pytest

from propkit.items import State
from propkit.progress import Progress, SourceProgress, describe
from propkit.widgets import ProgressBars
from propkit.widgets import progress as room


def _event(state: str = "running", **source: object) -> Progress:
    counts = {"source": "maricopa_assessor", "total": 4, "ended": 2, "failed": 0}
    numbers = {"requests": 3, "refused": 0, "requests_per_second": 5.0}
    return Progress(
        batch_id="b",
        state=state,
        total=4,
        counts={State.DONE: 2, State.WAITING: 2},
        partial=0,
        sources=(SourceProgress(**{**counts, **numbers, **source}),),
        elapsed_seconds=1.0,
        eta_seconds=None,
        current=None,
    )


@pytest.mark.parametrize(
    ("event", "shown"),
    [
        (_event(), (2, "info", "collecting", "2 of 4, 3 requests")),
        (_event(requests=1), (2, "info", "collecting", "2 of 4, 1 request")),
        (_event(failed=1), (2, "warning", "collecting", "2 of 4, 1 failed, 3 requests")),
        (_event(refused=2), (2, "info", "collecting", "2 of 4, 3 requests, 2 refused")),
        (_event(ended=4), (4, "info", "all so far", "4 of 4, 3 requests")),
        (
            _event(refused=2, resting_seconds=24.6),
            (2, "warning", "left alone", "2 of 4, 3 requests, 2 refused, asked again in 25 s"),
        ),
        (
            _event(kept_back=1, lacking=("sales",)),
            (
                2,
                "info",
                "collecting",
                "2 of 4, 3 requests, 1 kept back until it is clear why they lack sales",
            ),
        ),
        (_event(ended=4, resting_seconds=9.0), (4, "info", "all so far", "4 of 4, 3 requests")),
        (_event(stopped="captcha"), (2, "danger", "stopped", "2 of 4, 3 requests")),
        (_event("cancelled"), (2, "warning", "unfinished", "2 of 4, 3 requests")),
        (_event("completed", ended=4), (4, "success", "finished", "4 of 4, 3 requests")),
        (
            _event("completed", ended=4, failed=1),
            (4, "warning", "failures", "4 of 4, 1 failed, 3 requests"),
        ),
        (
            _event("completed", ended=4, failed=4),
            (4, "danger", "failures", "4 of 4, 4 failed, 3 requests"),
        ),
        (_event(replaced=1), (2, "info", "collecting", "2 of 4, 1 to a second way, 3 requests")),
        (
            _event("completed", ended=4, replaced=1),
            (4, "warning", "second way", "4 of 4, 1 to a second way, 3 requests"),
        ),
        (
            _event("completed", total=0, ended=0, requests=0),
            (1, "success", "finished", "0 of 0, 0 requests"),
        ),
    ],
)
def test_each_state_has_a_colour_and_a_word(event: Progress, shown: tuple[object, ...]) -> None:
    bars = ProgressBars()

    bars.show(event)

    name, bar, word, numbers = bars.rows.children[0].children
    assert (bar.value, bar.bar_style, word.value, numbers.value) == shown
    assert name.value == "maricopa assessor"


def test_what_is_cancelled_was_not_asked_for() -> None:
    counts = {State.DONE: 1, State.CANCELLED: 3}

    assert describe(replace(_event("cancelled"), counts=counts)) == (
        "Cancelled after 1 of 4 items (25 %): 1 done, 3 cancelled, 1 s"
    )


def test_what_is_said_takes_several_lines_where_it_is_narrow_and_stays_text() -> None:
    """Beside a file browser the numbers and the end of each line were cut."""
    bars = ProgressBars()

    bars.show(_event(stopped="the site says <img src=x> & more"))

    (row,), (note,) = bars.rows.children, bars.notes.children
    assert row.layout.flex_flow == "row wrap"
    lines = [bars.text, note, row.children[3]]
    assert {type(line) for line in lines} == {ipywidgets.HTML}  # a Label has one line
    assert note.value == "! the site says &lt;img src=x&gt; &amp; more"
    assert bars.text.value == (
        "<b>Collecting 2 of 4 items (50 %): 2 done, 1 s | maricopa_assessor stopped</b>"
    )


def test_rows_are_made_once() -> None:
    bars = ProgressBars()
    bars.show(_event())
    rows = bars.rows.children

    bars.end(_event("completed", ended=4))

    assert bars.rows.children == rows


def test_a_line_takes_over_when_the_bars_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no comm")

    monkeypatch.setattr(room, "display", fail)
    bars = ProgressBars()

    bars.show(_event())
    bars.end(_event("completed"))

    said = capsys.readouterr().err
    assert "the progress bars failed (RuntimeError('no comm'))" in said
    assert said.count("2 of 4 items") == 2
