"""The sheet's own words for a listing's status: read and written here and nowhere else."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Final

from propkit.posting.cells import text_of

STATUS_COLUMNS: Final = ("posting_status", "posted_url", "posted_at", "attempt", "error")
"""The columns that a run writes, and nothing else of the sheet."""

_STATUS_LENGTH: Final = 100
"""Characters of a status; the column ``error`` has all of the text."""

NOT_POSTED: Final = "not posted"
"""What a person writes in place of a status that asks for one: she looked, it is not there."""

PERSON: Final = "needs a person"


class PostingStatus(StrEnum):
    """Whether a listing is published."""

    PENDING = "pending"
    POSTED = "posted"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetStatus:
    """What the sheet says of one row.

    ``posting_status`` is None for a word that is not about posting (``sold``), kept as ``text``.
    ``is_denied`` says that a person wrote "not posted".
    """

    posting_status: PostingStatus | None = PostingStatus.PENDING
    posted_on: date | None = None
    posting_error: str = ""
    text: str = ""
    url: str = ""
    is_denied: bool = False

    @property
    def is_new(self) -> bool:
        """Whether mode ``new`` takes the row: blank, pending, or an error."""
        return self.posting_status in (PostingStatus.PENDING, PostingStatus.FAILED)


def read_status(status: object, url: object = None) -> SheetStatus:
    """Read a status as people and older programs write it; no text is an error.

    An address in ``posted_url`` is a proof too, where the status is blank.
    """
    text, link = text_of(status), text_of(url)
    folded = text.lower()
    if folded == NOT_POSTED:
        return SheetStatus(text=text, is_denied=True)
    if folded == "posted" or folded.startswith("posted "):
        return SheetStatus(
            posting_status=PostingStatus.POSTED, posted_on=_read_day(text), text=text, url=link
        )
    if folded == "failed" or folded.startswith("error"):
        error = text.partition(":")[2].strip()
        return SheetStatus(posting_status=PostingStatus.FAILED, posting_error=error, text=text)
    if folded in ("", "pending"):
        is_posted = link != ""
        status = PostingStatus.POSTED if is_posted else PostingStatus.PENDING
        return SheetStatus(posting_status=status, text=text, url=link)
    return SheetStatus(posting_status=None, text=text, url=link)


def posted_text(posted_on: date) -> str:
    """Return the status of a published listing: ``Posted 2026-11-22``."""
    return f"Posted {posted_on.isoformat()}"


def error_text(error: str) -> str:
    """Return the status of a listing that was not published, one line, cut."""
    text = f"Error: {' '.join(error.split())}"
    return text if len(text) <= _STATUS_LENGTH else f"{text[: _STATUS_LENGTH - 3]}..."


def person_text(site: str) -> str:
    """Return the status of a listing that only a person can tell of."""
    short = site if len(site) <= 30 else f"{site[:27]}..."
    return f'Error: {PERSON}: look at {short}; write "{NOT_POSTED}" or "Posted YYYY-MM-DD" here'


def _read_day(text: str) -> date | None:
    found = re.search(r"\d{4}-\d\d-\d\d", text)
    try:
        return datetime.fromisoformat(found[0]).date() if found else None
    except ValueError:
        return None
