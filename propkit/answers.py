"""What an answer means before anybody reads it: good, to be tried again, or an error."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from yarl import URL

from propkit.errors import (
    BudgetSpentError,
    CollectionCancelledError,
    InvalidAnswerError,
    LayoutChangedError,
    SourceBlockedError,
    SourceError,
    SourceRejectedError,
    SourceUnavailableError,
)
from propkit.pages import Expect, Page, check_page, find_block

# 520 to 524 are Cloudflare's words for a site behind it that does not answer.
RETRIED_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524})
NO_EFFECT = frozenset({400, 401, 402, 403, 404, 405, 409, 413, 415, 422, 429})
"""Answers by which a request was certainly refused: nothing came of it."""
REDIRECTS = frozenset({301, 302, 303, 307, 308})
_FINAL = (
    SourceBlockedError,
    SourceRejectedError,
    LayoutChangedError,
    CollectionCancelledError,
    BudgetSpentError,
)


def read_retry_after(text: str | None, now: datetime) -> float | None:
    """Read a Retry-After header: seconds, or an HTTP date; None when it says neither."""
    text = (text or "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds())


def judge(
    page: Page,
    expect: Expect | None,
    accept: Callable[[Page], bool] | None,
    *,
    is_last: bool,
) -> SourceError | None:
    """Return what is wrong with an answer, or None."""
    status, where = page.status, f"{page.name}: HTTP {page.status}"
    block = find_block(page)
    if block is not None and not (status == 403 and accept is not None and accept(page)):
        return SourceBlockedError(f"{page.name}: the site shows {block}", url=page.url)
    if status == 401:
        return SourceRejectedError(
            f"{where}: the source refuses the token, or wants one", url=page.url
        )
    can_wait = status in RETRIED_STATUSES and not is_last
    if accept is not None and not can_wait and accept(page):
        return None
    if status in {402, 403}:
        return SourceRejectedError(f"{where}: the source refuses the request", url=page.url)
    if status in RETRIED_STATUSES or status >= 500:
        return SourceUnavailableError(where, url=page.url)
    if not 200 <= status < 300:
        return InvalidAnswerError(where, url=page.url)
    if expect is None:
        return None
    try:
        check_page(page, expect)
    except SourceError as error:
        return error
    return None


def explains_refusal(page: Page) -> bool:
    """Whether an answer refuses, and says in JSON what is wrong with the request."""
    is_final = page.status in NO_EFFECT and page.status not in RETRIED_STATUSES
    return is_final and page.body.lstrip().startswith(b"{")


def can_heal(error: SourceError, status: int | None) -> bool:
    """Whether the same request may go better next time."""
    if isinstance(error, _FINAL):
        return False
    return status is None or status in RETRIED_STATUSES or status < 300


def read_redirect(
    start: URL, url: URL, target: str, name: str, *, may_lead_away: bool = False
) -> URL:
    """Return the address that a redirect names, where the token may go too.

    That is the same origin as the start's, or its move to https. With ``may_lead_away`` it is any
    site, and nothing that is meant for the start's alone may be sent there; never from https to
    http.

    Raises
    ------
    InvalidAnswerError
        The target is no address.
    SourceBlockedError
        It lies at another site.
    """
    try:
        place = url.join(URL(target))
        is_start = place.origin() == start.origin()
    except ValueError as error:
        raise InvalidAnswerError(f"{name}: sent to {target!r}", url=str(url)) from error
    is_secured = (start.scheme, place.scheme) == ("http", "https")
    if may_lead_away and place.host and (is_secured or place.scheme == url.scheme):
        return place
    if place.host != start.host or not (is_start or is_secured):
        raise SourceBlockedError(f"{name}: sent to {place.host}", url=str(start))
    return place
