"""The table of parcels as Python sees it: what is kept, what is sent, what is refused."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from propkit.errors import RequestError
from propkit.widgets import status_grid as room
from propkit.widgets.status_grid import Column, StatusGrid

COLUMNS = [
    Column(name="apn", label="APN"),
    Column(name="status", label="Status", kind="status"),
    Column(name="owner", label="Owner", is_shown=False),
]
ROWS = [["12345678", "none", "SMITH"], ["12345679", "none", "JONES"]]


class _Sent(StatusGrid):
    """A grid whose messages are kept in place of being sent."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.sent: list[Any] = []
        self.arrived = threading.Event()
        super().__init__(*args, **options)

    def send(self, content: Any, buffers: Any = None) -> None:
        self.sent.append(content)
        self.arrived.set()


def test_only_what_changed_is_sent_and_the_rows_hold_it_too() -> None:
    grid = _Sent(COLUMNS, ROWS)

    grid.update({1: {"status": "complete", "owner": "JONES"}})

    assert grid.arrived.wait(60)
    assert grid.sent == [{"type": "rows", "number": 1, "rows": [[1, [[1, "complete"]]]]}]
    assert grid.rows == [["12345678", "none", "SMITH"], ["12345679", "complete", "JONES"]]
    assert grid.messages == 1


def test_what_is_already_so_is_not_sent() -> None:
    grid = _Sent(COLUMNS, ROWS)

    grid.update({0: {"status": "none"}})

    assert not grid._is_flushing
    assert grid.sent == []


def test_changes_of_a_quarter_second_go_together(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[threading.Timer] = []

    def start(timer: threading.Timer) -> None:
        started.append(timer)

    monkeypatch.setattr(threading.Timer, "start", start)
    monkeypatch.setattr(room, "time", SimpleNamespace(monotonic=lambda: 10.0))
    grid = _Sent(COLUMNS, ROWS)

    for status in ("queued", "active", "complete"):
        grid.update({0: {"status": status}})
    grid.update({1: {"status": "failed"}})
    grid._flush()

    assert len(started) == 1
    assert grid.sent == [
        {"type": "rows", "number": 1, "rows": [[0, [[1, "complete"]]], [1, [[1, "failed"]]]]},
    ]
    grid.update({1: {"status": "complete"}})
    assert [timer.interval for timer in started] == [0.0, room.FLUSH_SECONDS]


def test_a_page_that_has_not_heard_all_is_given_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is sent before a page has drawn the table is heard by nobody."""
    grid = _Sent(COLUMNS, ROWS)
    given: list[Any] = []
    monkeypatch.setattr(grid, "send_state", lambda key: given.append(grid.get_state(key)))
    grid.update({1: {"status": "complete"}})
    assert grid.arrived.wait(60)

    for number in (1, 0):
        grid._take(grid, {"type": "heard", "number": number}, [])

    rows = [["12345678", "none", "SMITH"], ["12345679", "complete", "JONES"]]
    assert given == [{"rows": {"messages": 1, "rows": rows}}]


@pytest.mark.parametrize("change", [{2: {"status": "none"}}, {0: {"colour": "red"}}])
def test_an_unknown_row_or_column_is_refused(change: dict[int, dict[str, str]]) -> None:
    grid = _Sent(COLUMNS, ROWS)

    with pytest.raises(RequestError, match="no such row or column"):
        grid.update({**change, 1: {"status": "failed"}})

    assert grid.rows == ROWS


def test_the_grid_is_made_of_copies() -> None:
    grid = _Sent(COLUMNS, ROWS)

    grid.update({0: {"owner": "NOBODY"}})

    assert ROWS[0][2] == "SMITH"
    assert grid.value(0, "owner") == "NOBODY"


def test_other_rows_forget_what_was_chosen() -> None:
    grid = _Sent(COLUMNS, ROWS)
    grid.selection, grid.filter, grid.visible = [1], "jones", [1]

    grid.replace([["12345670", "none", "ADAMS"]])

    assert (grid.selection, grid.filter, grid.visible) == ([], "", None)
    assert grid.shown_rows() == [0]


def test_the_rows_that_a_filter_leaves_are_known() -> None:
    grid = _Sent(COLUMNS, ROWS)

    grid.visible = [1]

    assert grid.shown_rows() == [1]


def test_a_double_click_opens_a_row_that_is_there() -> None:
    opened: list[int] = []
    grid = StatusGrid(COLUMNS, ROWS, on_open=opened.append)

    for row in (1, 2, -1, "1", None):
        grid._take(grid, {"type": "open", "row": row}, [])
    grid._take(grid, {"type": "other", "row": 0}, [])

    assert opened == [1]


def test_without_a_browser_the_grid_says_what_it_is() -> None:
    data, _ = StatusGrid(COLUMNS, ROWS)._repr_mimebundle_()

    assert data["text/plain"] == "A table of 2 parcels; it lives in a notebook only."
