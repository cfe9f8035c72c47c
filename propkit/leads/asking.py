"""Asking the leads source while the person waits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from propkit.buying import Buyer
from propkit.collector import Collector
from propkit.errors import SourceRejectedError
from propkit.runtime.thread import CollectorThread
from propkit.sources.propertyradar import PayingAsk
from propkit.usage import Usage

SOURCE: Final = "propertyradar"

Place = Callable[[], tuple[Collector, CollectorThread]]
"""Gives what asks, and the thread it lives in."""

T = TypeVar("T")


def ask_source(place: Place, work: Callable[[Buyer, PayingAsk], Awaitable[T]]) -> T:
    """Do some asking, or buying, in the collector's thread and return what it gives.

    Raises
    ------
    SourceError
        The source does not answer, or refuses; where it is the token, how to set it is said.
    """
    collector, thread = place()

    async def run() -> T:
        async with collector.asking(SOURCE, Usage()) as ask:
            return await work(collector.buyer(SOURCE), ask)

    try:
        return thread.submit(run()).result()
    except SourceRejectedError as error:
        hint = collector.configs[SOURCE].token_hint
        raise SourceRejectedError(f"{error.args[0]}: {hint}", url=error.url) from error
