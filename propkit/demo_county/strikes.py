"""What a struck request gets to see: the fault's own answer, or the true answer spoilt."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from aiohttp import web

from propkit.demo_county.answers import CAPTCHA_PAGE, as_json, as_page, frame_page
from propkit.demo_county.faults import Rule
from propkit.demo_county.fields import lose_field

Answer = Callable[[], Awaitable[web.Response]]

HANG_SECONDS = 3600.0

_RENAMED = (
    (b"cphMainContent_cphRightColumn_", b"MainContent_body_"),
    (b"parcel-num", b"apn-label"),
    (b"gridviewRow", b"data-row"),
)


class Dropped(Exception):  # noqa: N818
    """The connection is to be closed without an answer."""


async def strike(
    rule: Rule, request: web.Request, answer: Answer, is_over: Callable[[], bool]
) -> web.StreamResponse:
    """Return what a request gets under a fault; raise Dropped to close the connection.

    What hangs or is slow is so until ``is_over``, at the longest.
    """
    if rule.kind in ("hang", "slow"):
        return await _keep_waiting(rule, request, answer, is_over)
    if rule.kind in ("drop", "cut"):
        return await _break_connection(rule, request, answer)
    if rule.kind in _INSTEAD:
        return _INSTEAD[rule.kind](rule)
    true = await answer()
    if rule.kind == "lose_field":
        lose_field(true, rule.field or "", rule.how)
        return true
    body = true.body if isinstance(true.body, bytes) else b""
    if rule.kind == "truncated":
        true.body = body[: len(body) * 3 // 5]
    elif rule.kind == "empty200":
        true.set_status(200)
        true.body = b""
    elif rule.kind == "layout_v2":
        for old, new in _RENAMED:
            body = body.replace(old, new)
        true.body = body
    elif rule.kind == "wrong_charset":
        # The header goes on saying utf-8.
        true.body = body.decode().encode("utf-16")
    return true


async def _break_connection(rule: Rule, request: web.Request, answer: Answer) -> web.StreamResponse:
    true = await answer()
    if rule.kind == "drop":
        raise Dropped
    body = true.body if isinstance(true.body, bytes) else b""
    cut = web.StreamResponse(status=true.status, headers=true.headers)
    cut.content_length = max(len(body), 2)
    await cut.prepare(request)
    await cut.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return cut


async def _keep_waiting(
    rule: Rule, request: web.Request, answer: Answer, is_over: Callable[[], bool]
) -> web.Response:
    is_slow = rule.kind == "slow"
    seconds = (rule.seconds or 1.0) if is_slow else rule.seconds
    clock = asyncio.get_running_loop().time
    ends_at = clock() + (HANG_SECONDS if seconds is None else seconds)
    while (left := ends_at - clock()) > 0 and not is_over():
        if request.transport is None or request.transport.is_closing():
            break
        await asyncio.sleep(min(left, 0.02))
    if is_slow:
        return await answer()
    raise Dropped


def _status(rule: Rule) -> web.Response:
    status = rule.status or 500
    response = as_json({"status": status, "error": "demo county fault"}, status=status)
    if rule.retry_after is not None:
        if rule.retry_after_form == "date":
            # An HTTP date has whole seconds: round up, or the date would come too early.
            wait = timedelta(seconds=rule.retry_after, milliseconds=999)
            when = (datetime.now(UTC) + wait).replace(microsecond=0)
            response.headers["Retry-After"] = format_datetime(when, usegmt=True)
        else:
            response.headers["Retry-After"] = str(int(rule.retry_after))
    return response


def _captcha(rule: Rule) -> web.Response:
    return as_page(CAPTCHA_PAGE, status=rule.status or 200)


_INSTEAD: dict[str, Callable[[Rule], web.Response]] = {
    "status": _status,
    "html200": lambda _: frame_page(),
    "captcha": _captcha,
    "204": lambda _: web.Response(status=204),
    "token_expiry": lambda _: as_json({"message": "Unauthorized"}, status=401),
}
