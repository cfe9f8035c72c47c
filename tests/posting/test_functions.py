"""A function as a poster: ten lines of one's own, with the same guarantees."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

import propkit as pk
from propkit.errors import PostingError, RequestError
from propkit.posters import FunctionPoster, Posted, find_poster, poster_names
from tests.posting.sheets import make_trucks, outcomes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Post = Callable[..., pk.PostingReport]


def test_a_function_gets_the_row_by_the_sheets_own_headers(post: Post) -> None:
    rows: list[dict[str, Any]] = []
    sheet = make_trucks(2, Year=[2011, None], tags=["a, b", ""], posting_status=["", "pending"])

    report = post(sheet, poster=rows.append)

    assert rows == [
        {"truck_id": "T001", "title": "Truck T001", "Year": 2011.0, "tags": "a, b"},
        {"truck_id": "T002", "title": "Truck T002", "Year": None, "tags": None},
    ]
    assert report.success


async def post_later(row: dict[str, Any]) -> str:
    return f"https://x/{row['truck_id']}"


async def post_in_two_steps(row: dict[str, Any], sending: Callable[[], Any]) -> Posted:
    await sending()
    return Posted(url=f"https://x/{row['truck_id']}")


def post_by_hand(row: dict[str, Any], sending: Callable[[], None]) -> str:
    sending()
    return f"https://x/{row['truck_id']}"


@pytest.mark.parametrize("function", [post_later, post_in_two_steps, post_by_hand])
def test_any_function_will_do(post: Post, function: Any) -> None:
    report = post(make_trucks(1), poster=function)

    assert report.results[0].url == "https://x/T001"
    assert find_poster(function, pk.Settings()).name == f"{__name__}.{function.__name__}"


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        (None, "posted"),
        (True, "posted"),
        ("", "posted"),
        (5, "posted"),
        (Posted(), "posted"),
        (False, "failed"),
        (PostingError, "failed"),
        (ValueError, "unknown"),
        (TimeoutError, "unknown"),
        (StopIteration, "unknown"),
    ],
)
def test_what_a_function_says(post: Post, said: Any, outcome: str) -> None:
    """What it raises otherwise leaves open what it has done before."""

    def do(row: dict[str, Any]) -> Any:
        if isinstance(said, type):
            raise said("no JSON")
        return said

    report = post(make_trucks(1), poster=do)

    assert outcomes(report) == {"T001": outcome}


def test_what_a_function_leaves_open_is_never_done_again(post: Post) -> None:
    done: list[str] = []

    def do(row: dict[str, Any]) -> None:
        done.append(row["truck_id"])
        raise ConnectionError

    for mode in ("new", "all"):
        report = post(make_trucks(1), mode, poster=do, name="trucks")

    assert (done, outcomes(report)) == (["T001"], {"T001": "unknown"})
    assert report.results[0].error == (
        f"ConnectionError; {find_poster(do, pk.Settings()).name} cannot look for T001"
    )


def test_before_sending_a_function_is_asked_again(post: Post) -> None:
    asked: list[str] = []

    def do(row: dict[str, Any], sending: Callable[[], None]) -> None:
        asked.append(row["truck_id"])
        if len(asked) < 3:
            raise ConnectionError
        sending()

    assert outcomes(post(make_trucks(1), poster=do)) == {"T001": "posted"}
    assert asked == ["T001"] * 3


def test_a_dry_run_stops_a_function_before_it_sends(post: Post) -> None:
    sent: list[str] = []
    begun: list[str] = []

    def do(row: dict[str, Any], sending: Callable[[], None]) -> None:
        begun.append(row["truck_id"])
        sending()
        sent.append(row["truck_id"])

    in_two = post(make_trucks(1), poster=do, dry_run=True)
    in_one = post(make_trucks(1), poster=sent.append, dry_run=True)

    assert [outcomes(one) for one in (in_two, in_one)] == [{"T001": "ready"}] * 2
    assert (begun, sent) == (["T001"], [])


def test_rows_run_side_by_side_where_a_function_may(post: Post) -> None:
    both = threading.Barrier(2, timeout=60)

    def meet(row: dict[str, Any]) -> None:
        both.wait()

    report = post(make_trucks(4), poster=FunctionPoster(meet, workers=2), workers=2)

    assert report.success


@pytest.mark.parametrize(
    ("poster", "message"),
    [
        ("nowhere", "no poster 'nowhere'; known: "),
        ("gone.py:post", "there is no file gone.py"),
        ("propkit.errors:post", "cannot be loaded"),
        ("no.such.module:post", "cannot be loaded"),
        (7, "poster must be a poster, a function or a name, not 7"),
        (None, "not None"),
        (FunctionPoster, "not <class"),
        (lambda a, b, c: None, "takes 3 values; expected"),
    ],
)
def test_what_is_no_poster_is_said(post: Post, poster: Any, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        pk.run_batch(make_trucks(1), poster=poster)


def test_a_function_is_found_in_its_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("def do(row):\n    return 'https://x'\n", "utf-8")

    poster = find_poster(f"{path}:do", pk.Settings())

    assert (poster.name, poster.limits.required) == ("mine.do", ())
    assert all(not name.startswith("_") for name in poster_names())
