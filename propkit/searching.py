"""Searching the roll while the person waits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from propkit.collector import Collector
from propkit.errors import RequestError
from propkit.frames import hits_frame
from propkit.given import check_whole
from propkit.kinds import SEARCHES
from propkit.runtime.thread import CollectorThread
from propkit.sources import SourceConfig

if TYPE_CHECKING:
    import pandas as pd


def search_now(
    place: Callable[[], tuple[Collector, CollectorThread]],
    sources: Mapping[str, SourceConfig],
    query: str,
    by: str,
    limit: int,
) -> pd.DataFrame:
    """Return the hits of a search as a frame; its ``attrs`` say whether these are all.

    Raises
    ------
    RequestError
        Empty query, unknown ``by`` or a limit below 1.
    """
    if by not in SEARCHES:
        raise RequestError(f"cannot search by {by!r}; expected one of {', '.join(SEARCHES)}")
    check_whole("limit", limit)
    if not query.strip():
        raise RequestError(f"nothing to search for: query {query!r}")
    source = next(name for name, config in sources.items() if config.terms.can_search)
    collector, thread = place()
    found = thread.submit(collector.search(source, query.strip(), by, limit)).result()
    frame = hits_frame(found.rows)
    frame.attrs.update(total=found.total, is_complete=found.is_complete)
    return frame
