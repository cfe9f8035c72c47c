"""The event loops that propkit's own threads run: able to start a browser, and apart from Ctrl+C."""

from __future__ import annotations

import asyncio
import sys
from typing import Any


def new_loop() -> asyncio.AbstractEventLoop:
    """Return a loop for a thread of propkit's own."""
    if sys.platform == "win32":
        # Jupyter sets a kind of loop there that cannot start a browser.
        return asyncio.ProactorEventLoop()
    return _ApartLoop()


class _ApartLoop(asyncio.SelectorEventLoop):
    """Starts its processes in a session of their own.

    Ctrl+C in a terminal and a notebook's stop button interrupt every process of the group: a cell
    that is stopped would end the browsers of a batch, whose pages are then lost.
    """

    async def subprocess_exec(self, *args: Any, **options: Any) -> Any:
        return await super().subprocess_exec(*args, **{**options, "start_new_session": True})
