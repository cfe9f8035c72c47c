"""When the next listing may be begun: the poster's pace, or the settings', and a pause of chance."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

from propkit.pace import Pace
from propkit.posters import PosterPace
from propkit.sections import PostingSettings


class Places:
    """Gives places to listings, ``workers`` of them at once."""

    def __init__(self, pace: PosterPace, settings: PostingSettings, workers: int) -> None:
        between, jitter = settings.seconds_between, settings.jitter_seconds
        seconds = pace.seconds if between is None else between
        self._jitter_seconds = pace.jitter_seconds if jitter is None else jitter
        self._pace = Pace(1 / seconds, workers) if seconds > 0 else None

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place."""
        async with nullcontext() if self._pace is None else self._pace.place(float("inf")):
            if self._jitter_seconds:
                await asyncio.sleep(random.uniform(0, self._jitter_seconds))
            yield
