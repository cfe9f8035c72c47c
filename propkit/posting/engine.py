"""The run over a listing sheet: look first, then post, then look again for what is in doubt.

What may be published already is looked for one row after another, and never while another listing
is being sent: its page could be taken for the one in doubt.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, Final, Literal

from propkit.errors import PersonNeededError
from propkit.posters import Posted, Poster
from propkit.posting.attempts import LastClick, Patience, describe, post_once, unsettled_seconds
from propkit.posting.ledger import Ledger, Saver, sheet_values
from propkit.posting.listings import is_same_listing
from propkit.posting.meanwhile import Meanwhile
from propkit.posting.places import Places
from propkit.posting.preparing import Job, Prepared
from propkit.posting.progress import Progress
from propkit.posting.report import Outcome, PostingReport, RowResult, make_report
from propkit.posting.statuses import error_text
from propkit.sections import PostingSettings
from propkit.store.postings import Posting, end_run

log = logging.getLogger(__name__)

_FOUND: Final = "found on the account's own page"
_ABSENT: Final = "not published: not on the account's own page"


class Engine:
    """One run. ``run`` is awaited once; ``stop`` ends it early, with everything kept."""

    def __init__(
        self,
        prepared: Prepared,
        poster: Poster,
        settings: PostingSettings,
        progress: Progress,
        *,
        workers: int,
        is_dry_run: bool,
    ) -> None:
        self._prepared = prepared
        self._poster = poster
        self._settings = settings
        self._progress = progress
        self._is_dry_run = is_dry_run
        self._workers = min(workers, poster.limits.workers)
        self._places = Places(poster.pace, settings, self._workers)
        self._patience = Patience(settings)
        self._ledger = Ledger(prepared.store)
        todo = [job for job in prepared.jobs if job.decision.action != "skip"]
        progress.total = len(todo)
        self._saver = Saver(
            prepared.file,
            self._ledger,
            every_rows=round(len(todo) * settings.save_share),
            seconds=settings.save_seconds,
        )
        self._results: dict[str, RowResult] = {}
        self._in_doubt: list[tuple[Job, Posting, bool]] = []
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._meanwhile = Meanwhile()
        self._sent: set[str] = set()  # may be published, and has not come to its end
        self._spared: set[str] = set()  # of these those whose answer is awaited
        self._state = "completed"
        self._stopped_by = ""

    async def run(self) -> PostingReport:
        """Do what was decided, and say what came of it.

        Raises
        ------
        StoreError
            The ledger cannot be written; the sheet has what was known until then.
        PropkitError
            The poster cannot be opened: no browser, a wrong setting.
        """
        started = time.monotonic()
        todo = [job for job in self._prepared.jobs if not await self._put_aside(job)]
        try:
            if todo and not self._is_stopping:
                await self._work(todo)
        finally:
            try:
                await self._meanwhile.settle()
            finally:
                await self._saver.save_all()
        for job in self._prepared.jobs:
            if job.key not in self._results:
                self._results[job.key] = self._left_result(job)
        store = self._prepared.store
        if store is not None and self._state == "completed":
            await asyncio.wrap_future(end_run(store, self._prepared.run_id))
        report = make_report(
            [self._results[job.key] for job in self._prepared.jobs],
            sheet=self._prepared.sheet,
            state=self._state,
            stopped_by=self._stopped_by,
            trouble=self._saver.trouble,
            notes=Counter(note for job in self._prepared.jobs for note in job.notes),
            callback_error=self._progress.error,
            is_dry_run=self._is_dry_run,
            seconds=time.monotonic() - started,
            run_id=self._prepared.run_id,
        )
        if self._state == "completed":
            self._progress.end(report.message)
        return report

    def stop(self, grace_seconds: float | None = None) -> None:
        """End the run: nothing more is sent; what is sent already has a while to come to its end."""
        self._end_early("interrupted", "")
        grace = self._settings.grace_seconds if grace_seconds is None else grace_seconds
        asyncio.get_running_loop().call_later(grace, self._cancel, True)  # noqa: FBT003

    @property
    def _is_stopping(self) -> bool:
        return self._state != "completed"

    def _end_early(self, state: str, why: str) -> None:
        if not self._is_stopping:
            self._state, self._stopped_by = state, why
        self._cancel()

    def _cancel(self, with_sent: bool = False) -> None:  # noqa: FBT001, FBT002
        for key, task in self._tasks.items():
            is_own = task is asyncio.current_task()  # it ends by itself
            if not is_own and (with_sent or key not in self._spared):
                task.cancel()

    # ------------------------------------------------------------ rows that need no poster

    async def _put_aside(self, job: Job) -> bool:
        """Settle what needs no poster; return whether the row is done with."""
        decision, key = job.decision, job.key
        if job.untold is not None:
            self._tell(job, job.untold)
        if decision.word is not None and decision.posting is not None:
            await self._hear(job, decision.posting)
        if decision.action == "skip":
            if decision.proof is not None and job.status.posted_on is None:
                self._tell(job, decision.proof)
            reason = "posted, a person says" if decision.word == "posted" else decision.reason
            self._results[key] = self._result(job, "skipped", job.status.text, reason=reason)
        elif decision.action == "look" and self._is_dry_run:
            reason = "may be posted already; a run looks for it"
            self._results[key] = self._result(job, "skipped", job.status.text, reason=reason)
        elif job.checked.faults and decision.action == "post":
            error = "; ".join(job.checked.faults)
            values = {"posting_status": error_text(error), "error": error}
            if not self._is_dry_run:
                self._saver.take(key, values, None)
            self._results[key] = self._result(job, "failed", values["posting_status"], error=error)
        else:
            return False
        if decision.action != "skip":
            self._progress.row_ended(self._results[key])
        return True

    async def _hear(self, job: Job, posting: Posting) -> None:
        """Take a person's word about a posting that nobody could tell of."""
        if job.decision.word == "posted":
            day = job.status.posted_on
            posted_at = posting.sent_at if day is None else None
            confirmed = await self._ledger.confirm(
                posting, Posted(url=job.status.url or None, posted_at=posted_at), "person"
            )
            if day is not None:
                await self._ledger.write(replace(confirmed, posted_on=day, is_told=True))
        else:
            await self._ledger.end(posting, "failed", "a person says: not posted", "person")

    # ------------------------------------------------------------ rows that need one

    async def _work(self, todo: list[Job]) -> None:
        async with self._poster:
            await self._guarded("", self._login())
            wanted = deque(job for job in todo if job.decision.action == "post")
            for job in todo:
                if job.decision.action == "look" and not self._is_stopping:
                    await self._guarded(job.key, self._look_first(job, wanted))
            await self._post_all(wanted)
            while self._in_doubt and not self._is_stopping:
                self._in_doubt.sort(key=lambda one: one[1].sent_at or one[1].intent_at)
                job, posting, is_from_before = self._in_doubt.pop(0)
                await self._guarded(job.key, self._look_last(job, posting, is_from_before))

    async def _guarded(self, key: str, work: Coroutine[Any, Any, None]) -> None:
        """Do a piece of work that :meth:`stop` may cancel; then it is left."""
        if self._is_stopping:
            work.close()
            return
        task = self._tasks[key] = asyncio.create_task(work)
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait({task})
            raise
        finally:
            del self._tasks[key]
        if not (task.cancelled() and self._is_stopping):
            task.result()

    async def _login(self) -> None:
        error = await self._patience.ask(self._poster.login)
        if isinstance(error, Exception):
            self._end_early("stopped", f"not logged in: {describe(error)}")

    async def _post_all(self, wanted: deque[Job]) -> None:
        async def work() -> None:
            while wanted and not self._is_stopping:
                job = wanted.popleft()
                await self._guarded(job.key, self._post(job))

        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(self._workers):
                    workers.create_task(work())
            await self._meanwhile.settle()
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _post(self, job: Job) -> None:
        posting = Posting(
            run_id=self._prepared.run_id,
            poster=self._poster.name,
            sheet=self._prepared.sheet,
            row_key=job.key,
            content_sha256=job.checked.content_sha256,
            title=job.checked.listing.title,
            attempt=job.decision.attempts,
        )
        for tried in range(1, self._settings.retry_attempts + 1):
            posting = replace(posting, attempt=posting.attempt + 1)
            self._meanwhile.begin(self._ledger.write(posting))
            async with self._places.place():
                click = LastClick(
                    posting,
                    self._ledger,
                    is_dry_run=self._is_dry_run,
                    settle=self._meanwhile.settle,
                    may_send=lambda: not self._is_stopping,
                    on_sent=self._note_sent,
                )
                listing, seconds = job.checked.listing, self._settings.row_timeout
                ended = await post_once(self._poster, listing, click, seconds)
            if ended.kind != "retry" or self._is_stopping:
                break
            log.info("%s: attempt %s failed: %s", job.key, tried, ended.error)
            if tried < self._settings.retry_attempts:
                await self._patience.back_off(tried)
        posting = ended.posting
        if ended.kind == "ready":
            await self._end_row(job, posting, "ready")
        elif ended.posted is not None:
            self._meanwhile.begin(self._end_posted(job, posting, ended.posted))
        elif ended.kind == "doubt" or (ended.kind == "person" and posting.sent_at is not None):
            posting = await self._ledger.end(posting, "unknown", ended.error)
            self._spared.discard(job.key)
            if ended.kind == "doubt" and self._workers == 1 and not self._is_stopping:
                await self._look_last(job, posting, is_from_before=False)
            else:
                self._in_doubt.append((job, posting, False))
        elif ended.kind != "retry" or not self._is_stopping:
            posting = await self._ledger.end(posting, "failed", ended.error)
            await self._end_row(job, posting, "failed")
        if ended.stops_with:
            self._end_early("stopped", ended.stops_with)

    async def _end_posted(self, job: Job, posting: Posting, posted: Posted) -> None:
        posting = await self._ledger.confirm(posting, posted, "poster")
        await self._end_row(job, posting, "posted")

    def _note_sent(self, posting: Posting) -> None:
        self._sent.add(posting.row_key)
        self._spared.add(posting.row_key)

    # ------------------------------------------------------------ looking

    async def _look(
        self, job: Job, posting: Posting
    ) -> tuple[Literal["found", "absent", "unknown"], Posting]:
        """Look for what may be published; return what the ledger now has of it."""
        listing = replace(job.checked.listing, title=posting.title)
        if not is_same_listing(posting.content_sha256, job.checked.content_sha256):
            listing = replace(listing, price=None)  # nobody knows what it was
        await self._meanwhile.settle()
        known = self._ledger.known_urls(self._poster.name)
        found = await self._patience.ask(lambda: self._poster.find(listing, known))
        if isinstance(found, Posted):
            return "found", await self._ledger.confirm(posting, found, "find")
        if found is None:
            return "absent", posting
        error = posting.error or "the run ended after the last click"
        if (unseen := describe(found)) not in error:
            error = f"{error}; {unseen}"
        if isinstance(found, PersonNeededError):
            self._end_early("stopped", f"a person is needed: {describe(found)}")
        return "unknown", await self._ledger.end(posting, "unknown", error)

    async def _look_first(self, job: Job, wanted: deque[Job]) -> None:
        """Look for what an earlier run may have published."""
        posting = job.decision.posting
        if posting is None:
            return
        said, posting = await self._look(job, posting)
        if said == "absent" and unsettled_seconds(posting, self._poster.limits) > 0:
            self._in_doubt.append((job, posting, True))
        elif said == "absent":
            await self._end_absent(job, posting, wanted)
        else:
            await self._end_row(job, posting, "posted" if said == "found" else "unknown")

    async def _look_last(self, job: Job, posting: Posting, is_from_before: bool) -> None:  # noqa: FBT001
        """Look again when nothing is being sent any more, and late enough."""
        said, posting = await self._look(job, posting)
        wait = unsettled_seconds(posting, self._poster.limits)
        if said == "absent" and wait > 0:
            await asyncio.sleep(wait)
            said, posting = await self._look(job, posting)
        if said == "absent":
            again: deque[Job] = deque()
            await self._end_absent(job, posting, again if is_from_before else None)
            if again:
                await self._post(job)
            return
        await self._end_row(job, posting, "posted" if said == "found" else "unknown")

    async def _end_absent(self, job: Job, posting: Posting, wanted: deque[Job] | None) -> None:
        """Settle what is certainly not published; post it if it is from an earlier run."""
        why = f" ({posting.error})" if posting.error else ""
        posting = await self._ledger.end(posting, "failed", f"{_ABSENT}{why}", "find")
        if wanted is not None and job.decision.is_wanted and not job.checked.faults:
            wanted.append(job)
        else:
            await self._end_row(job, posting, "failed")

    # ------------------------------------------------------------ the end of a row

    def _tell(self, job: Job, posting: Posting) -> dict[str, Any]:
        values = sheet_values(posting, job.decision.proof, self._poster.site)
        self._saver.take(job.key, values, posting.posting_id)
        return values

    async def _end_row(self, job: Job, posting: Posting, outcome: Outcome) -> None:
        if outcome == "ready":
            result = self._result(job, outcome, job.status.text, reason="all but the last click")
        else:
            values = self._tell(job, posting)
            is_posted = outcome == "posted"
            result = replace(
                self._result(
                    job,
                    outcome,
                    values["posting_status"],
                    error=posting.error or "",
                    reason=_FOUND if is_posted and posting.settled_by == "find" else "",
                ),
                url=posting.url,
                posted_at=posting.posted_at if is_posted else None,
                attempt=posting.attempt,
            )
        self._results[job.key] = result
        self._sent.discard(job.key)
        self._spared.discard(job.key)
        self._progress.row_ended(result)
        await self._saver.row_ended()

    def _left_result(self, job: Job) -> RowResult:
        """Return what is to be said of a row that the end of the run left."""
        if job.key not in self._sent:
            return self._result(job, "not_reached", job.status.text)
        # The sheet is told nothing: the next run looks by itself.
        error = "may be posted: the run ended after the last click; the next one looks for it"
        return self._result(job, "unknown", job.status.text, error=error)

    def _result(
        self, job: Job, outcome: Outcome, status: str, *, error: str = "", reason: str = ""
    ) -> RowResult:
        proof = job.decision.proof
        return RowResult(
            row_key=job.key,
            row=job.row.label,
            outcome=outcome,
            status=status,
            url=proof.url if proof else job.status.url or None,
            posted_at=proof.posted_at if proof else None,
            attempt=job.decision.attempts,
            error=error,
            reason="; ".join(filter(None, (reason, *job.notes))),
        )
