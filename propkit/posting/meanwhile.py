"""What is written while the next row's form is filled in already, and never later than its post."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


class Meanwhile:
    """Works begun and waited for together; one that failed fails whoever waits."""

    def __init__(self) -> None:
        self._works: set[asyncio.Task[None]] = set()

    def begin(self, work: Coroutine[Any, Any, object]) -> None:
        """Begin a work; it goes on also when the row that began it is cancelled."""

        async def do() -> None:
            await work

        self._works.add(asyncio.create_task(do()))

    async def settle(self) -> None:
        """Wait until all that was begun has ended.

        Raises
        ------
        StoreError
            Something could not be written.
        """
        while self._works:
            works = set(self._works)
            await asyncio.wait(works)
            self._works -= works
            for work in works:
                work.result()
