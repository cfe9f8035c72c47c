"""One posting after another in the ledger, and the statuses that the sheet is to get."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from propkit.errors import SheetError
from propkit.posters import Posted
from propkit.posting.files import SheetFile
from propkit.posting.sheet_xml import Value
from propkit.posting.statuses import error_text, person_text, posted_text
from propkit.store import Reading
from propkit.store.postings import Posting, known_urls, mark_told, write_posting

log = logging.getLogger(__name__)


class Ledger:
    """The ledger of one run; without a store (a dry run) it keeps nothing."""

    def __init__(self, store: Reading | None) -> None:
        self._store = store

    async def write(self, posting: Posting) -> Posting:
        """Write a posting; it is durable when this returns."""
        if self._store is not None:
            # What is written is written, also when the row is cancelled meanwhile.
            await asyncio.shield(asyncio.wrap_future(write_posting(self._store, posting)))
        return posting

    async def confirm(self, posting: Posting, posted: Posted, by: str) -> Posting:
        """Write down that a listing is published."""
        at = posted.posted_at or datetime.now(UTC)
        return await self.write(
            replace(
                posting,
                state="confirmed",
                url=posted.url,
                posted_at=at,
                posted_on=at.astimezone().date(),
                error=None,
                ended_at=datetime.now(UTC),
                settled_by=by,
                is_told=False,
            )
        )

    async def end(self, posting: Posting, state: str, error: str, by: str = "poster") -> Posting:
        """Write down that a listing is not published, or that nobody can tell."""
        settled_by = None if state == "unknown" else by
        return await self.write(
            replace(
                posting,
                state=state,
                error=error,
                ended_at=datetime.now(UTC),
                settled_by=settled_by,
                is_told=False,
            )
        )

    def known_urls(self, poster: str) -> set[str]:
        """Return the addresses of what a poster has published."""
        return set() if self._store is None else known_urls(self._store, poster)

    async def tell(self, posting_ids: list[str]) -> None:
        """Write down that the sheet has these."""
        if self._store is not None and posting_ids:
            await asyncio.wrap_future(mark_told(self._store, posting_ids))


def sheet_values(posting: Posting, proof: Posting | None, site: str) -> dict[str, Value]:
    """Return what the sheet's status columns are to say of a row.

    A row that has a proof keeps it, whatever came of a later attempt.
    """
    values: dict[str, Value] = {"attempt": posting.attempt}
    shown = posting if posting.state == "confirmed" else proof
    if shown is not None and shown.posted_on is not None:
        values["posting_status"] = posted_text(shown.posted_on)
        values["posted_url"] = shown.url or ""
        if shown.posted_at is not None:
            values["posted_at"] = shown.posted_at.isoformat(timespec="seconds")
    elif posting.state == "unknown":
        values["posting_status"] = person_text(site)
    else:
        values["posting_status"] = error_text(posting.error or "")
    values["error"] = "" if posting.state == "confirmed" else posting.error or ""
    return values


class Saver:
    """Saves statuses into the sheet: after a share of the rows, after a while, at the end.

    ``trouble`` says why the sheet has not got all of them; empty when it has.
    """

    def __init__(
        self, file: SheetFile | None, ledger: Ledger, *, every_rows: int, seconds: float
    ) -> None:
        self.trouble = ""
        self._file = file
        self._ledger = ledger
        self._every_rows = max(1, every_rows)
        self._seconds = seconds
        self._saved_at = time.monotonic()
        self._ended = 0
        self._values: dict[str, Mapping[str, Value]] = {}
        self._ids: dict[str, str] = {}
        self._saved: dict[str, Mapping[str, Value]] = {}
        self._lock = asyncio.Lock()

    def take(self, row_key: str, values: Mapping[str, Value], posting_id: str | None) -> None:
        """Take a row's status, to be saved by and by."""
        self._values[row_key] = values
        if posting_id is not None:
            self._ids[row_key] = posting_id

    async def row_ended(self) -> None:
        """Take note of a row's end; save if it is time."""
        self._ended += 1
        is_late = time.monotonic() - self._saved_at >= self._seconds
        if self._ended % self._every_rows == 0 or is_late:
            await self.save()

    async def save_all(self) -> None:
        """Save what is new, and what was saved in this run and is there no more."""
        if self._file is not None and self._saved:
            with suppress(SheetError):  # told of by what comes now
                for key in await asyncio.to_thread(self._file.lost, self._saved):
                    self._values.setdefault(key, self._saved[key])
        await self.save()

    async def save(self) -> None:
        """Save what is new; cancelled, it comes to its end all the same."""
        await asyncio.shield(self._save())

    async def _save(self) -> None:
        async with self._lock:
            values, ids = dict(self._values), dict(self._ids)
            if not values:
                return
            if self._file is not None:
                try:
                    await asyncio.to_thread(self._file.save, values)
                except SheetError as error:
                    self.trouble = (
                        f"the sheet is not up to date: {error}; the results are kept and written"
                        " by the next run"
                    )
                    log.warning("%s", self.trouble)
                    self._saved_at = time.monotonic()
                    return
            await self._ledger.tell(list(ids.values()))
            self.trouble = ""
            self._saved_at = time.monotonic()
            self._saved.update(values)
            for key, saved in values.items():
                if self._values[key] is saved:  # nothing newer came meanwhile
                    del self._values[key]
                    self._ids.pop(key, None)
