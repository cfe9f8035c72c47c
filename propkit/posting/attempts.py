"""One attempt at one listing: what the poster did, told in one of a few words."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeVar

from propkit.errors import (
    DryRunEndedError,
    LayoutChangedError,
    PersonNeededError,
    PostingError,
    PostingRefusedError,
    PostingUnknownError,
    PropkitError,
    StoreError,
)
from propkit.posters import Listing, Posted, Poster, PosterLimits
from propkit.posting.ledger import Ledger
from propkit.sections import PostingSettings
from propkit.store.postings import Posting

T = TypeVar("T")

log = logging.getLogger(__name__)

_MOST_TEXT: Final = 500

Kind = Literal["posted", "retry", "failed", "doubt", "person", "ready"]


@dataclass(frozen=True, slots=True)
class Ended:
    """How an attempt ended, and the posting as the ledger has it.

    ``posted``; ``retry``: certainly not published, may be tried again; ``failed``: certainly not
    published, and not to be tried again; ``doubt``: may be published; ``person``: only a person can
    go on (in doubt where it was sent); ``ready``: a dry run came to the last click. With
    ``is_changed`` the site was not as the poster knows it: no other row would fare better.
    """

    kind: Kind
    posting: Posting
    posted: Posted | None = None
    error: str = ""
    is_changed: bool = False

    @property
    def stops_with(self) -> str:
        """Why no further row may be posted; empty where one may."""
        if self.kind == "person":
            return f"a person is needed: {self.error}"
        return f"the site is not as the poster knows it: {self.error}" if self.is_changed else ""


class LastClick:
    """What a poster awaits right before the last click; ``sent`` is the posting from then on."""

    def __init__(
        self,
        posting: Posting,
        ledger: Ledger,
        *,
        is_dry_run: bool,
        settle: Callable[[], Awaitable[None]],
        may_send: Callable[[], bool],
        on_sent: Callable[[Posting], None],
    ) -> None:
        self.sent: Posting | None = None
        self.posting = posting
        self.ledger = ledger
        self.is_dry_run = is_dry_run
        self._settle = settle
        self._may_send = may_send
        self._on_sent = on_sent

    async def __call__(self) -> None:
        """Write ``sent`` into the ledger."""
        if self.is_dry_run:
            raise DryRunEndedError("a dry run makes no last click")
        await self._settle()  # what is not on disk yet is an error here, and not after the click
        if not self._may_send():
            raise PostingError("interrupted before the last click")
        if self.sent is not None:
            raise PostingUnknownError("the poster was about to make the last click twice")
        # From here on in doubt, also if this is cancelled while it is written.
        self.sent = replace(self.posting, state="sent", sent_at=datetime.now(UTC))
        self._on_sent(self.sent)
        await self.ledger.write(self.sent)


async def post_once(
    poster: Poster, listing: Listing, click: LastClick, timeout_seconds: float
) -> Ended:
    """Let a poster publish a listing; ``sent`` is in the ledger before the last click.

    Raises
    ------
    StoreError
        The ledger cannot be written; the last click was not made, or is in the ledger.
    """
    try:
        async with asyncio.timeout(timeout_seconds):
            posted = await poster.post(listing, click)
    except DryRunEndedError:
        return Ended("ready", click.posting)
    except StoreError:
        raise
    except asyncio.CancelledError:
        if click.sent is not None:
            await click.ledger.end(click.sent, "unknown", "interrupted after the last click")
        raise
    except Exception as error:  # noqa: BLE001 -- a page, a driver or a person's function may raise anything
        kind = judge(error, is_sent=click.sent is not None)
        return Ended(
            kind,
            click.sent or click.posting,
            error=describe(error),
            is_changed=isinstance(error, LayoutChangedError),
        )
    if click.is_dry_run:
        error_text = "the poster published in a dry run without asking"
        return Ended("failed", click.posting, error=error_text)
    if click.sent is None:
        log.error("%s published %s without awaiting sending()", poster.name, listing.row_key)
    return Ended("posted", click.sent or click.posting, posted)


def judge(error: Exception, *, is_sent: bool) -> Kind:
    """Say what an error of a poster means; :mod:`propkit.posters._base` has the table."""
    if isinstance(error, PersonNeededError):
        return "person"
    if isinstance(error, PostingRefusedError):
        return "failed"
    if isinstance(error, PostingError) and not isinstance(error, PostingUnknownError):
        return "failed" if is_sent else "retry"
    return "doubt" if is_sent else "retry"


class Patience:
    """Tries again, after pauses that grow, what publishes nothing."""

    def __init__(self, settings: PostingSettings) -> None:
        self._settings = settings

    async def ask(self, call: Callable[[], Coroutine[Any, Any, T]]) -> T | Exception:
        """Call until it does not fail; return its answer, or the last error."""
        last: Exception = PostingError("not asked")
        for attempt in range(1, self._settings.retry_attempts + 1):
            try:
                async with asyncio.timeout(self._settings.row_timeout):
                    return await call()
            except (PersonNeededError, PostingUnknownError) as error:
                return error
            except Exception as error:  # noqa: BLE001 -- a page or a driver may raise anything
                last = error
                log.info("attempt %s failed: %r", attempt, error)
            if attempt < self._settings.retry_attempts:
                await self.back_off(attempt)
        return last

    async def back_off(self, attempt: int) -> None:
        """Wait after an attempt that failed."""
        longest = self._settings.backoff_initial * 2 ** (attempt - 1)
        await asyncio.sleep(random.uniform(0, min(longest, self._settings.backoff_max)))


def unsettled_seconds(posting: Posting, limits: PosterLimits) -> float:
    """Return for how long a listing may still appear on the account's own page."""
    sent_at = posting.sent_at or posting.intent_at
    return limits.settle_seconds - (datetime.now(UTC) - sent_at).total_seconds()


def describe(error: BaseException) -> str:
    """Return an error as one line for people."""
    name = "" if isinstance(error, PropkitError) else f"{type(error).__name__}: "
    text = " ".join(f"{name}{error}".split()).removesuffix(":")
    return text if len(text) <= _MOST_TEXT else f"{text[: _MOST_TEXT - 3]}..."
