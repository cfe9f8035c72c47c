"""Tells whether the process ends: what goes wrong from then on is nobody's failure.

A kernel that is restarted, and every script at its last line, first ends its thread pools; the
collector's thread goes on for as long as others take to end. A name that cannot be looked up
then, or a file that cannot be read apart, says nothing of a county or of a batch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from propkit.errors import ProcessEndsError

T = TypeVar("T")

_PROBE = ThreadPoolExecutor(1, "propkit-probe")


def check_process(error: Exception | None) -> None:
    """Refuse to take ``error`` for a failure while this process ends.

    Raises
    ------
    ProcessEndsError
        The process is ending.
    """
    if _is_ending():
        raise ProcessEndsError("the process ends; the next one can go on with it") from error


async def call_in_thread(function: Callable[[], T]) -> T:
    """Call a function in a thread and return what it gives.

    While this process ends there is none to be had: it is called here, and holds up the loop.
    """
    try:
        work = asyncio.get_running_loop().run_in_executor(None, function)
    except RuntimeError:
        if not _is_ending():
            raise
        return function()
    return await work


def _is_ending() -> bool:
    try:
        _PROBE.submit(int)
    except RuntimeError as error:
        return "shutdown" in str(error)  # and not that there is no thread to be had
    return False
