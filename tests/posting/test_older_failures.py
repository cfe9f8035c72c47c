"""How older code failed at exactly this, each as a test: it must not happen again."""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

import propkit as pk
from propkit.errors import PostingError, SheetError
from propkit.posting.planning import decide
from propkit.posting.statuses import PostingStatus, SheetStatus, read_status
from tests.posting.sheets import make_trucks, outcomes, posted_today, read_sheet, statuses
from tests.posting.site import FakeSite, SitePoster

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Post = Callable[..., pk.PostingReport]


# ---------------------------------------------------------------- (a) a status that locks a row up


def test_an_error_is_tried_again(post: Post, site: FakeSite) -> None:
    """Older code refused "Error: ..." as an invalid status, for ever, and a blank one too."""
    words = ["Error: System error", "", "pending", "failed", None]
    sheet = make_trucks(5, posting_status=words)

    report = post(sheet)

    assert set(outcomes(report).values()) == {"posted"}
    assert site.counts() == dict.fromkeys(sheet["truck_id"], 1)


def test_a_proof_of_posting_is_never_overwritten(
    post: Post, site: FakeSite, tmp_path: Path
) -> None:
    """Older code turned every "Posted ..." into an error at a second run in mode all."""
    path = tmp_path / "trucks.xlsx"
    words = ["Posted 2026-11-22", "posted", ""]
    make_trucks(3, posting_status=words).to_excel(path, index=False)

    first = post(path, "all")
    second = post(path, "all")

    assert outcomes(first) == {"T001": "skipped", "T002": "skipped", "T003": "posted"}
    assert set(outcomes(second).values()) == {"skipped"}
    assert site.counts() == {"T003": 1}
    assert statuses(path) == {"T001": "Posted 2026-11-22", "T002": "posted", "T003": posted_today()}


def test_a_failed_repost_leaves_the_proof(post: Post, site: FakeSite, tmp_path: Path) -> None:
    path = tmp_path / "trucks.xlsx"
    make_trucks(1).to_excel(path, index=False)
    post(path)

    report = post(path, "all", repost=True, faults={"T001": ["refused"]})

    assert outcomes(report) == {"T001": "failed"}
    row = read_sheet(path).iloc[0]
    assert (row["posting_status"], row["posted_url"]) == (posted_today(), "https://site.example/1")
    assert (row["error"], row["attempt"]) == ("a duplicate", "2")


@pytest.mark.parametrize(
    ("text", "status", "is_new"),
    [
        ("", PostingStatus.PENDING, True),
        (None, PostingStatus.PENDING, True),
        (float("nan"), PostingStatus.PENDING, True),
        (pd.NA, PostingStatus.PENDING, True),
        (" Pending ", PostingStatus.PENDING, True),
        ("not posted", PostingStatus.PENDING, True),
        ("error", PostingStatus.FAILED, True),
        ("Error: no photo", PostingStatus.FAILED, True),
        ("Failed", PostingStatus.FAILED, True),
        ("POSTED 2026-11-22", PostingStatus.POSTED, False),
        ("Posted 22 Nov", PostingStatus.POSTED, False),
        ("sold", None, False),
        ("inactive", None, False),
        ("draft", None, False),
        (5, None, False),
    ],
)
def test_any_status_is_understood(text: object, status: PostingStatus | None, is_new: bool) -> None:
    read = read_status(text)

    assert (read.posting_status, read.is_new) == (status, is_new)


@given(st.text() | st.none() | st.floats() | st.dates() | st.binary())
@settings(max_examples=40)
def test_no_status_is_an_error(text: object) -> None:
    decision = decide(read_status(text), [], mode="new", repost=False, run_id="r")

    assert decision.action == ("post" if read_status(text).is_new else "skip")


def test_the_days_of_proofs_are_read() -> None:
    assert read_status("Posted 2026-11-22").posted_on == date(2026, 11, 22)
    assert read_status("Posted 2026-13-22").posted_on is None
    assert read_status("", "https://x") == SheetStatus(
        posting_status=PostingStatus.POSTED, url="https://x"
    )


# ---------------------------------------------------------------- (b) labels mixed with positions


@given(
    index=st.lists(st.integers(-3, 5) | st.text(max_size=2) | st.none(), min_size=4, max_size=4),
    order=st.permutations(range(4)),
)
@example(index=[10, 20, 30, 40], order=[0, 1, 2, 3])
@example(index=[3, 2, 1, 0], order=[3, 2, 1, 0])
@settings(
    max_examples=2,
    phases=[Phase.explicit, Phase.generate],  # each example is a whole run
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_any_index_posts_the_right_rows(
    index: list[object], order: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Older code took index labels for positions: the wrong row posted, the wrong one marked."""
    folder = tmp_path_factory.mktemp("any-index")
    site, path = FakeSite(folder / "site.jsonl"), folder / "trucks.xlsx"
    sheet = make_trucks(4, posting_status=["", "Posted 2026-11-22", "pending", "sold"])
    sheet.to_excel(path, index=False)
    shuffled = sheet.iloc[order]
    shuffled.index = pd.Index(index, dtype=object)

    report = pk.run_batch(shuffled, poster=SitePoster(site), file_path=path)

    assert [one.row_key for one in report.results] == [f"T00{place + 1}" for place in order]
    assert [one.row for one in report.results] == [str(label) for label in index]
    assert sorted(site.counts().items()) == [("T001", 1), ("T003", 1)]
    assert statuses(path) == {
        "T001": posted_today(),
        "T002": "Posted 2026-11-22",
        "T003": posted_today(),
        "T004": "sold",
    }


# ---------------------------------------------------------------- (c) progress ahead of the work


def test_progress_is_told_after_each_row(post: Post) -> None:
    """Older code said 100 % with 2 of 3 done."""
    told: list[tuple[float, str, int]] = []
    site_now: list[int] = []

    def hear(percentage: float, message: str) -> None:
        told.append((round(percentage, 1), message, len(site_now)))

    post(make_trucks(11), progress_cb=hear, row_cb=site_now.append)

    assert told[4] == (45.5, "[45.5%] Processing record 5/11: T005", 5)
    assert [percentage for percentage, _, _ in told] == [
        *[9.1, 18.2, 27.3, 36.4, 45.5, 54.5, 63.6, 72.7, 81.8, 90.9],
        *[99.9, 100.0],
    ]
    assert [done for _, _, done in told] == [*range(1, 12), 11]
    assert told[-1][1] == "[100.0%] frame: 11 posted, 0 skipped"


def test_a_callback_that_raises_ends_nothing(post: Post, site: FakeSite) -> None:
    def fail(percentage: float, message: str) -> None:
        raise RuntimeError("no such widget")

    report = post(make_trucks(3), progress_cb=fail)

    assert (report.success, site.counts()) == (True, {"T001": 1, "T002": 1, "T003": 1})
    assert "telling of progress failed: RuntimeError: no such widget" in report.message


# ---------------------------------------------------------------- (d) success with nothing posted


def test_nothing_posted_is_no_success(post: Post) -> None:
    """Older code said success with 0 of 3 posted, and that none was skipped."""
    failing = {key: ["refused"] for key in ("T001", "T002", "T003")}
    sheet = make_trucks(4, posting_status=["", "", "", "sold"])

    report = post(sheet, faults=failing)

    counted = {name: value for name, value in report.items() if name != "results"}
    assert counted == {
        "success": False,
        "total_records": 4,
        "successful_posts": 0,
        "failed_posts": 3,
        "skipped_records": 1,
        "message": "frame: 0 posted, 3 failed, 1 skipped",
    }
    assert list(report) == [*list(counted)[:5], "results", "message"]


def test_nothing_to_do_is_a_success(post: Post) -> None:
    report = post(make_trucks(2, posting_status=["Posted 2026-11-22", "sold"]))

    assert (report.success, report.skipped_records) == (True, 2)
    assert report.message == "frame: nothing to do, 2 skipped"


def test_an_empty_sheet_is_a_success(post: Post) -> None:
    report = post(make_trucks(0))

    assert (report.success, report.total_records) == (True, 0)


# ---------------------------------------------------------------- what else was read in that code


def test_a_field_that_did_not_take_its_value_is_an_error(post: Post, site: FakeSite) -> None:
    """Older code swallowed it and published a listing without title."""
    report = post(make_trucks(1), faults={"T001": ["early"] * 3})

    assert outcomes(report) == {"T001": "failed"}
    assert report.results[0].error == "the form did not take its value"
    assert report.results[0].attempt == 3
    assert site.counts() == {}


def test_a_missing_image_is_no_success(post: Post, site: FakeSite, tmp_path: Path) -> None:
    sheet = make_trucks(1, images=["gone.jpg"])
    poster = SitePoster(site)

    with pytest.raises(SheetError, match=r"row 0 \(T001\): image 'gone.jpg' does not exist"):
        post(sheet, poster=poster, images_dir=tmp_path)

    assert poster.calls == []


def test_no_proof_is_no_success(tmp_path: Path) -> None:
    """A function that says False, or that it failed, has not posted."""

    def refuse(row: dict[str, object]) -> bool:
        if row["truck_id"] == "T001":
            raise PostingError("no")
        return False

    report = pk.run_batch(make_trucks(2), poster=refuse, store=tmp_path / "l.duckdb")

    assert outcomes(report) == {"T001": "failed", "T002": "failed"}


def test_an_ambiguous_failure_does_not_post_twice(post: Post, site: FakeSite) -> None:
    """Older code tried again, and published twice."""
    faults = {"T001": ["dropped", "dropped"], "T002": ["lost"], "T003": ["timeout_late"]}

    first = post(make_trucks(3), faults=faults)
    second = post(make_trucks(3))

    assert outcomes(first) == {"T001": "posted", "T002": "failed", "T003": "posted"}
    assert outcomes(second) == {"T001": "skipped", "T002": "posted", "T003": "skipped"}
    assert site.counts() == {"T001": 1, "T002": 1, "T003": 1}


def test_what_is_reported_is_one_row_for_each(post: Post) -> None:
    frame = post(make_trucks(2), faults={"T002": ["refused"]}).frame()

    assert frame.drop(columns="posted_at").replace({pd.NA: None}).to_dict("list") == {
        "row_key": ["T001", "T002"],
        "row": ["0", "1"],
        "outcome": ["posted", "failed"],
        "status": [posted_today(), "Error: a duplicate"],
        "url": ["https://site.example/1", None],
        "attempt": [1, 1],
        "error": ["", "a duplicate"],
        "reason": ["", ""],
    }
    assert str(frame["posted_at"].dtype) == "timestamp[us, tz=UTC][pyarrow]"
    assert re.fullmatch(posted_today(), frame["status"][0])
