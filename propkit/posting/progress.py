"""How a run tells of itself: a percentage and a line after each row."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from propkit.posting.attempts import describe
from propkit.posting.report import RowResult

log = logging.getLogger(__name__)

_MOST_BEFORE_END: Final = 99.9

ProgressCallback = Callable[[float, str], object]
"""Told the percentage, 0 to 100, and a line, after each row and at the end."""

RowCallback = Callable[[RowResult], object]
"""Told what came of a row, when it has ended."""


class Progress:
    """Calls a person's functions; what they raise is kept in ``error`` and ends nothing."""

    def __init__(
        self, progress_cb: ProgressCallback | None = None, row_cb: RowCallback | None = None
    ) -> None:
        self.total = 0
        self.error = ""
        self._ended = 0
        self._progress_cb = progress_cb
        self._row_cb = row_cb

    def row_ended(self, result: RowResult) -> None:
        """Tell of a row: ``[45.5%] Processing record 5/11: BT005``; never 100 % before the end."""
        self._ended += 1
        percentage = min(100 * self._ended / max(self.total, 1), _MOST_BEFORE_END)
        where = f"{self._ended}/{self.total}: {result.row_key}"
        self._call(self._row_cb, result)
        self._call(self._progress_cb, percentage, f"[{percentage:.1f}%] Processing record {where}")

    def end(self, message: str) -> None:
        """Tell of the end of the whole run."""
        self._call(self._progress_cb, 100.0, f"[100.0%] {message}")

    def _call(self, function: Callable[..., object] | None, *arguments: object) -> None:
        if function is None:
            return
        try:
            function(*arguments)
        except Exception as error:  # noqa: BLE001 -- a person's own function may raise anything
            self.error = f"telling of progress failed: {describe(error)}"
            log.warning("%s", self.error)
