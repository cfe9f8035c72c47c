"""Seeing that a batch failed or is stuck, in whichever process owns the store.

A batch that hangs tells nothing by itself, and one that broke may have no last event: what the
store says of them is looked up now and then, and when a batch has ended.
"""

from __future__ import annotations

import json
import logging
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Final

from propkit.errors import PropkitError
from propkit.notices import Notice, Notify, make_hooks, tell
from propkit.settings import Settings
from propkit.store import Reading
from propkit.store.jobs import Job, find_trouble
from propkit.store.purchases import Purchased, read_purchased

log = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 10.0
_SURE_LOOKS: Final = 1.5
"""A batch is stuck when it is silent for longer than so many looks: a live one beats as often."""
_SINCE: Final = timedelta(hours=1)
"""What ended so long before the last look has been seen: it was stored by then."""
_COMMAND_SECONDS: Final = 30.0


class Watch:
    """Calls ``tell`` with each job that failed or is stuck, once for each end of it.

    Parameters
    ----------
    tell
        Called with the job and ``"failed"`` or ``"stuck"``, in the watch's own thread.
    """

    def __init__(self, store: Reading, tell: Callable[[Job, str], object]) -> None:
        self._store = store
        self._tell = tell
        self._began_at = self._looked_at = datetime.now(UTC)
        self._known: set[tuple[str, str, datetime | None]] = set()
        self._silent: dict[str, float] = {}
        self._has_news = threading.Event()
        self._is_ended = False
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Watch from now on; begun already, nothing happens."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._live, name="propkit-watch", daemon=True)
            self._thread.start()

    def look_soon(self) -> None:
        """Look now: something has ended."""
        self._has_news.set()

    def end(self) -> None:
        """Look for the last time."""
        self._is_ended = True
        self._has_news.set()
        # The garbage collector may let a forgotten kit go in this very thread.
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _live(self) -> None:
        is_last, said = False, ""
        while not is_last:
            self._has_news.wait(_LOOK_SECONDS)
            self._has_news.clear()
            is_last = self._is_ended  # after the news: what came before the end is looked at
            try:
                self._look()
            except Exception as error:
                before, said = said, f"{type(error).__name__}: {error}"
                if said == before:
                    continue  # it may be so at every look, for weeks
                if isinstance(error, PropkitError):
                    log.info("the batches could not be looked at: %s", error)
                else:
                    log.exception("the batches could not be looked at; the watch goes on")
            else:
                said = ""

    def _look(self) -> None:
        looked_at, now = datetime.now(UTC), time.monotonic()
        since = max(self._began_at, self._looked_at - _SINCE)
        found = find_trouble(self._store, since)
        self._looked_at = looked_at
        ended = {("failed", job.id, job.completed_at) for job, event in found if event == "failed"}
        self._known = {known for known in self._known if known[0] == "stuck" or known in ended}
        # When a computer wakes up, or its clock is set, every batch is silent until its next beat.
        self._silent = {
            job.id: self._silent.get(job.id, now) for job, event in found if event == "stuck"
        }
        sure = now - _SURE_LOOKS * _LOOK_SECONDS
        for job, event in found:
            if event == "stuck" and self._silent[job.id] >= sure:
                continue
            known = (event, job.id, job.completed_at)
            if known not in self._known:
                self._known.add(known)
                self._tell(job, event)


def tell_trouble(
    store: Reading, job: Job, event: str, settings: Settings, functions: Sequence[Notify]
) -> None:
    """Tell of a job by mail, webhook and command, as the settings say.

    Where its last event does not say it, the kit's own ``functions`` are called too.
    """
    if job.batch_state == "paused" and "error" not in job.error_details:
        return  # what a limit of the run has left waits for the next one, which is no failure
    log.info("batch %s is %s: %s", job.id, event, job.error_details)
    hooks = make_hooks(settings.notify)
    if settings.worker.notify:
        hooks.append(_command_hook(settings.worker.notify, job, event))
    if event == "stuck" or job.batch_state == "failed":
        hooks += functions
    purchased = read_purchased(store, job.id, job.kind, job.criteria)
    tell(hooks, _make_notice(job, event, purchased))


def _make_notice(job: Job, event: str, purchased: Purchased | None) -> Notice:
    until = job.completed_at or datetime.now(UTC)
    error = job.error_details.get("error")
    return Notice(
        batch_id=job.id,
        event=event,
        state=job.batch_state,
        ended=job.processed,
        total=job.total,
        failed=job.error_count,
        seconds=round((until - (job.started_at or until)).total_seconds(), 3),
        error=None if error is None else str(error),
        leads=purchased.leads if purchased else None,
        leads_expected=purchased.expected if purchased else 0,
        leads_cost=purchased.cost if purchased else None,
    )


def _command_hook(command: Sequence[str], job: Job, event: str) -> Notify:
    """Return a hook that runs a person's own command, with what happened as JSON on its input.

    The command has 30 seconds.
    """
    body = json.dumps({"event": event, "job": asdict(job)}, default=str)

    def run(_: Notice) -> None:
        subprocess.run(  # noqa: S603 -- the person's own setting
            list(command),
            input=body.encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_COMMAND_SECONDS,
            check=True,
        )

    return run
