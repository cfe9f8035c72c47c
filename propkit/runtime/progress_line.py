"""A plain text progress line, for scripts, terminals and notebooks without a browser."""

from __future__ import annotations

import time
from typing import TextIO

from propkit.progress import Progress, describe

_SECONDS_BETWEEN_LINES = 5.0


class ProgressLine:
    """Shows a batch on one line of a terminal, or as a line now and then elsewhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._shown_at = float("-inf")
        self._width = 0

    def show(self, progress: Progress) -> None:
        """Show an event."""
        now = time.monotonic()
        if not self._is_terminal and now - self._shown_at < _SECONDS_BETWEEN_LINES:
            return
        self._shown_at = now
        text = describe(progress)
        start, end = ("\r", "") if self._is_terminal else ("", "\n")
        self._stream.write(f"{start}{text.ljust(self._width)}{end}")
        self._stream.flush()
        self._width = len(text)

    def end(self, progress: Progress | None) -> None:
        """Show the last event and end the line."""
        self._shown_at = float("-inf")
        if progress is not None:
            self.show(progress)
        if self._is_terminal:
            self._stream.write("\n")
