"""What the panel says of progress: numbers, words, times; never a percent too many."""

from __future__ import annotations

import pytest

from propkit import errors
from propkit.items import State
from propkit.progress import Progress, SourceProgress
from propkit.runtime.report import BatchReport
from propkit.store.statistics import Failure
from propkit.widgets.collect_views import Choices, progress_blocks
from propkit.widgets.reach import Reach
from propkit.widgets.spelling import spell
from propkit.widgets.summary_view import ADVICE, Extras, summary_block


def _progress(state: str = "running", **source: object) -> Progress:
    given = {"source": "maricopa_treasurer", "total": 40, "ended": 10, "failed": 0}
    numbers = {"requests": 40, "refused": 0, "requests_per_second": 5.0}
    return Progress(
        batch_id="b",
        state=state,
        total=40,
        counts={State.DONE: 10, State.WAITING: 30},
        partial=1,
        sources=(SourceProgress(**{**given, **numbers, **source}),),
        elapsed_seconds=20.0,
        eta_seconds=1.0,
        current="12345678",
    )


def _inside(progress: Progress | None, **options: bool) -> list[dict[str, object]]:
    (box,) = progress_blocks(progress, Reach(ended=10, total=40), "b", **options)
    inside: list[dict[str, object]] = box["blocks"]
    return inside


@pytest.mark.parametrize(
    ("ended", "total", "percent"),
    [(0, 3, 0), (2, 3, 66), (999, 1000, 99), (3, 3, 100), (0, 0, 100)],
)
def test_only_what_is_whole_is_a_hundred_percent(ended: int, total: int, percent: int) -> None:
    assert Reach(ended=ended, total=total).percent == percent


def test_names_of_the_code_are_words() -> None:
    names = ["api_then_browser", "api", "apn", "tax_bills", "unavailable"]

    assert [spell(name) for name in names] == [
        "API then browser",
        "API",
        "APN",
        "Tax bills",
        "Unavailable",
    ]


def test_a_source_that_is_left_alone_has_no_time_to_go() -> None:
    _, total, source, *_ = _inside(_progress(failed=5, refused=20, resting_seconds=24.6))

    assert total["numbers"] == "20 s"
    assert (source["word"], source["tone"]) == ("left alone", "yellow")
    assert source["numbers"] == (
        "10 of 40, 40 requests, 2.0/s, 20 refused, 5 failed, asked again in 25 s"
    )


def test_a_source_whose_answers_are_kept_back_says_what_they_lack() -> None:
    _, _, source, *_ = _inside(
        _progress(kept_back=39, lacking=("sales", "parcels.mcr", "parcels.lot"))
    )

    assert source["numbers"] == (
        "10 of 40, 40 requests, 2.0/s,"
        " 39 kept back until it is clear why they lack sales, parcels.mcr, ..., 1 min 0 s to go"
    )


def test_the_summary_knows_what_can_be_done_about_each_failure() -> None:
    classes = {
        kind.failure_class
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.SourceError)
    }

    assert set(ADVICE) == classes


def _failure(key: str, apn: str) -> Failure:
    given = dict.fromkeys(Failure.__dataclass_fields__)
    return Failure(**given | {"source": "s", "key": key, "apn": apn, "attempts": 1})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "title"),
    [
        ("paused", "Paused after 3 of 9 properties, 2 with failures; the rest can be gone on with"),
        (
            "cancelled",
            "Cancelled after 3 of 9 properties, 2 with failures; everything fetched is kept",
        ),
        ("failed", "The batch failed after 3 of 9 properties, 2 with failures"),
    ],
)
def test_a_batch_that_did_not_come_to_its_end_says_what_failed(state: str, title: str) -> None:
    """All that had ended may have failed: a captcha stops a source with its first parcels."""
    report = BatchReport(
        batch_id="b", kind="comprehensive", state=state, counts={},
        failures=tuple(_failure(key, apn) for key, apn in [("1", "1"), ("2", "2"), ("3", "2")]),
        partial=(), stale=(), over_budget=(), not_usable={}, error=None, started_at=None,
        completed_at=None, sources=(), slow=(),
    )  # fmt: skip

    assert summary_block(report, Reach(ended=3, total=9), Extras())["title"] == title


def test_progress_is_told_in_words_and_bars() -> None:
    said, total, source, counts, buttons = _inside(_progress())

    assert said["text"] == "Collecting 10 of 40 properties (25 %)"
    assert (total["word"], total["numbers"]) == ("25 %", "20 s, about 1 min 0 s to go")
    assert (source["label"], source["word"], source["numbers"]) == (
        "Maricopa treasurer",
        "collecting",
        "10 of 40, 40 requests, 2.0/s, 1 min 0 s to go",
    )
    assert counts["text"] == (
        "9 done · 1 partial · 0 not found · 0 failed · 0 skipped · in work: 123-45-678"
    )
    assert [one["kind"] for one in buttons["blocks"]] == ["button", "notify"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("progress", "is_over", "shown"),
    [
        (_progress(refused=2, failed=1), False, ("collecting", "yellow")),
        (_progress(ended=40), False, ("all so far", "blue")),
        (_progress(stopped="captcha"), False, ("stopped", "red")),
        (_progress("completed", ended=40), True, ("finished", "green")),
        (_progress("completed", ended=40, failed=1), True, ("ended", "yellow")),
        (_progress(replaced=1), False, ("collecting", "yellow")),
        (_progress("completed", ended=40, replaced=1), True, ("ended", "yellow")),
        (_progress("cancelled", ended=40), True, ("finished", "green")),
        (_progress("paused", ended=39), True, ("ended", "yellow")),
        (_progress("paused", ended=39, cancelled=1), True, ("ended", "yellow")),
        (_progress("paused", ended=40, failed=1), True, ("ended", "yellow")),
        (_progress("paused", ended=0, total=0), True, ("ended", "yellow")),
        (_progress("completed", ended=0, total=0), True, ("finished", "green")),
    ],
)
def test_each_source_has_a_word_and_a_colour(
    progress: Progress, is_over: bool, shown: tuple[str, str]
) -> None:
    source = _inside(progress, is_over=is_over)[2]

    assert (source["word"], source["tone"]) == shown


def test_what_goes_a_second_way_is_told_and_counts_once() -> None:
    _, _, source, counts, _ = _inside(_progress(replaced=2))

    assert source["numbers"] == "10 of 40, 40 requests, 2.0/s, 2 to a second way, 1 min 0 s to go"
    assert counts["text"] == (
        "9 done · 1 partial · 0 not found · 0 failed · 0 skipped"
        " · 2 of these by a second way · in work: 123-45-678"
    )


def test_in_the_background_there_are_no_bars_of_sources() -> None:
    kinds = [one["kind"] for one in _inside(_progress(), is_brief=True)]

    assert kinds == ["text", "bar", "text", "row"]


def test_a_batch_that_has_not_told_yet_is_shown() -> None:
    said, total, _ = _inside(None)

    assert said["text"] == "Collecting 10 of 40 properties (25 %)"
    assert total["numbers"] == ""


def test_what_the_form_leaves_out_is_the_default() -> None:
    assert Choices.read({}) == Choices()
    assert Choices.read({"max_age": "never"}).options()["max_age"] is None
    assert Choices().options() == {
        "datasets": None,
        "mode": "auto",
        "max_age": "default",
        "priority": "high",
    }
