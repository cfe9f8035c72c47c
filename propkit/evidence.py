"""What is kept of an item that failed, so that a person can see what propkit saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from propkit.pages import Page

RENDERED = "as the browser shows it"
"""The name of the page that holds a failed item's HTML as the browser had it."""

MOST_HTML_BYTES = 2 * 2**20
MOST_SCREENSHOT_BYTES = 512 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What was to be seen when an item failed.

    ``screenshot`` is a JPEG of the window, None where no browser was asked or the picture is too
    large; ``console`` what the page complained of, oldest first. ``page`` is the answer or the
    page itself, None where there was no whole one. ``seen_at`` is aware UTC.
    """

    url: str
    seen_at: datetime
    status: int | None = None
    page: Page | None = None
    screenshot: bytes | None = None
    console: tuple[str, ...] = ()


def last_sight(pages: Sequence[Page]) -> Sight | None:
    """Return the last answer that an item got as what is to be seen of it; None without any."""
    if not pages:
        return None
    page = pages[-1]
    return Sight(url=page.url, seen_at=page.fetched_at, status=page.status, page=page)


def without_picture(sight: Sight) -> Sight:
    """Return a sight without what takes the room of many answers."""
    page = None if sight.page is not None and sight.page.name == RENDERED else sight.page
    return replace(sight, page=page, screenshot=None)
