"""A table of parcels in a notebook: 50,000 rows, of which only those that change are sent.

The rows stand in the widget's state, so that a reloaded page and a saved notebook show them. A
change is written into them and sent as a message of its own, all of a quarter second together.
Messages are numbered, since a page hears none before it has drawn the table: it says which was the
last that its rows have, and where that is not the last that was sent, it is given all rows again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

import anywidget
import traitlets

from propkit.errors import RequestError
from propkit.widgets.statuses import STATUSES, Status

FLUSH_SECONDS: Final = 0.25
"""Changes are sent so often at most: four messages a second."""

Kind = Literal["text", "number", "status", "time", "tables"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a grid. ``width`` is in pixels, and its share of what is left over.

    A ``time`` is milliseconds of the epoch, a ``status`` one of
    :data:`propkit.widgets.statuses.STATUSES`; absent is None.
    """

    name: str
    label: str
    kind: Kind = "text"
    width: int = 120
    is_shown: bool = True


class StatusGrid(anywidget.AnyWidget):
    """A table with a status in each row; :meth:`update` may be called from any thread.

    ``selection`` and ``visible`` are row numbers (``visible`` is None where no row is filtered
    out), ``filter`` is the text that is filtered by and ``sort`` a column's name and whether the
    largest comes first.
    """

    # As text: of a file that may change anywidget tells, and so keeps, every widget ever made.
    _esm = Path(__file__).with_name("status_grid.js").read_text("utf-8")
    _css = Path(__file__).with_name("status_grid.css").read_text("utf-8")

    columns: traitlets.List[Any] = traitlets.List().tag(sync=True)
    rows: traitlets.List[Any] = traitlets.List().tag(
        sync=True, to_json=lambda rows, grid: {"messages": grid.messages, "rows": rows}
    )
    statuses: traitlets.Dict[Any, Any] = traitlets.Dict().tag(sync=True)
    filter = traitlets.Unicode().tag(sync=True)
    sort: traitlets.List[Any] = traitlets.List(default_value=["", False]).tag(sync=True)
    selection: traitlets.List[Any] = traitlets.List().tag(sync=True)
    visible: Any = traitlets.List(default_value=None, allow_none=True).tag(sync=True)
    label = traitlets.Unicode().tag(sync=True)
    height = traitlets.Int(420).tag(sync=True)

    def __init__(
        self,
        columns: Sequence[Column],
        rows: Iterable[Sequence[Any]] = (),
        *,
        label: str = "Parcels",
        height: int = 420,
        on_open: Callable[[int], object] | None = None,
        statuses: Mapping[str, Status] = STATUSES,
    ) -> None:
        self._places = {column.name: place for place, column in enumerate(columns)}
        self._lock = threading.Lock()
        self._pending: dict[int, dict[int, Any]] = {}
        self._is_flushing = False
        self._flushed_at = float("-inf")
        self._on_open = on_open
        self.messages = 0
        """How many messages with changes were sent."""
        super().__init__(
            columns=[_shown(column) for column in columns],
            rows=[list(row) for row in rows],
            statuses={
                code: {**asdict(status), "rank": rank}
                for rank, (code, status) in enumerate(statuses.items())
            },
            label=label,
            height=height,
        )
        self.add_class("propkit-status-grid")
        self.on_msg(self._take)

    def replace(self, rows: Iterable[Sequence[Any]]) -> None:
        """Show other rows; what was selected, filtered or waited to be sent is forgotten."""
        new = [list(row) for row in rows]
        with self._lock:
            self._pending.clear()
            with self.hold_sync():
                self.visible = None
                self.selection = []
                self.filter = ""
                self.rows = new

    def update(self, changes: Mapping[int, Mapping[str, Any]]) -> None:
        """Change values by row number and column; only what is new is sent, a little later.

        Raises
        ------
        RequestError
            There is no such row or column; nothing was changed.
        """
        with self._lock:
            unknown = {name for change in changes.values() for name in change} - {*self._places}
            if unknown or any(not 0 <= row < len(self.rows) for row in changes):
                raise RequestError(f"no such row or column: {sorted(unknown) or sorted(changes)}")
            for row, change in changes.items():
                values = self.rows[row]
                for name, value in change.items():
                    place = self._places[name]
                    if values[place] != value:
                        values[place] = value
                        self._pending.setdefault(row, {})[place] = value
            if not self._pending or self._is_flushing:
                return
            self._is_flushing = True
            wait = max(0.0, self._flushed_at + FLUSH_SECONDS - time.monotonic())
        timer = threading.Timer(wait, self._flush)
        timer.daemon = True
        timer.start()

    def value(self, row: int, name: str) -> Any:
        """Return what stands in a row under a column's name."""
        return self.rows[row][self._places[name]]

    def shown_rows(self) -> list[int]:
        """Return the numbers of the rows that the filter leaves, in the order shown."""
        return list(range(len(self.rows))) if self.visible is None else list(self.visible)

    def _flush(self) -> None:
        with self._lock:
            pending, self._pending = self._pending, {}
            self._is_flushing = False
            self._flushed_at = time.monotonic()
            if pending:
                self.messages += 1
                rows = [[row, [*map(list, change.items())]] for row, change in pending.items()]
                self.send({"type": "rows", "number": self.messages, "rows": rows})

    def _take(self, _: object, content: Mapping[str, Any], __: object) -> None:
        if content.get("type") == "heard":
            with self._lock:
                if content.get("number") != self.messages:
                    self.send_state("rows")
            return
        row = content.get("row")
        if content.get("type") != "open" or self._on_open is None or not isinstance(row, int):
            return
        if 0 <= row < len(self.rows):
            self._on_open(row)

    def _repr_mimebundle_(self, **options: Any) -> Any:
        data, metadata = super()._repr_mimebundle_(**options) or ({}, {})
        data["text/plain"] = f"A table of {len(self.rows)} parcels; it lives in a notebook only."
        return data, metadata


def _shown(column: Column) -> dict[str, Any]:
    given = asdict(column)
    return {**given, "shown": given.pop("is_shown")}
