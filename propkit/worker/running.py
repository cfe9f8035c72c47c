"""The worker's own process: takes the store, runs what waits, ends when it is told or idle."""

from __future__ import annotations

import logging
import os
import time
from contextlib import closing
from pathlib import Path

from propkit.errors import PropkitError, StoreInUseError
from propkit.settings import Settings
from propkit.sharing.here import HerePlace
from propkit.sharing.joining import own_place
from propkit.sources import Sources
from propkit.store.batches import ids_in_state, pending_ids, set_state

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.25
_LEAST_WAIT = 60.0


class Worker:
    """Waits until the store is free, owns it, and runs its batches until :meth:`stop`.

    Parameters
    ----------
    idle_seconds
        End when nothing ran and nobody asked for so long; None: never.
    """

    def __init__(
        self,
        path: Path,
        settings: Settings,
        sources: Sources,
        *,
        idle_seconds: float | None = None,
    ) -> None:
        self._path = path
        self._settings = settings
        self._sources = sources
        self._idle_seconds = idle_seconds
        self._is_stopped = False

    def stop(self) -> None:
        """End soon; called by a signal, which may come at any moment, so that it takes no lock."""
        self._is_stopped = True

    def run(self) -> None:
        """Work; return when stopped or idle. What ran then is left and can be gone on with."""
        place = self._take_store()
        if place is None:
            return
        with closing(place):
            place.most_running = self._settings.worker.batches
            log.info("worker %d owns %s", os.getpid(), self._path)
            self._work(place)
        log.info("worker %d has let %s go", os.getpid(), self._path)

    def _take_store(self) -> HerePlace | None:
        holder = None
        patience = None if self._idle_seconds is None else max(_LEAST_WAIT, self._idle_seconds)
        began = time.monotonic()
        while not self._is_stopped:
            if patience is not None and time.monotonic() - began > patience:
                log.info("worker %d has waited long enough", os.getpid())
                return None
            try:
                return own_place(self._path, self._settings, self._sources)
            except StoreInUseError as held:
                if held.pid != holder:
                    holder = held.pid
                    log.info("worker %d waits: %s", os.getpid(), held)
            time.sleep(_LOOK_SECONDS)
        return None

    def _work(self, place: HerePlace) -> None:
        # What died with the owner before goes on; what a person leaves later on is left alone.
        interrupted = set(ids_in_state(place.store, "interrupted"))
        busy_at = time.monotonic()
        while not self._is_stopped:
            self._start_waiting(place, interrupted)
            now = time.monotonic()
            if place.running_ids() or interrupted:
                busy_at = now
            quiet_since = max(busy_at, place.asked_at)
            if self._idle_seconds is not None and now - quiet_since > self._idle_seconds:
                log.info("worker %d is idle", os.getpid())
                return
            time.sleep(_LOOK_SECONDS)

    def _start_waiting(self, place: HerePlace, interrupted: set[str]) -> None:
        interrupted.intersection_update(ids_in_state(place.store, "interrupted"))
        pending = pending_ids(place.store, self._settings.collect.ageing_seconds)
        found = [(batch_id, "interrupted") for batch_id in sorted(interrupted)]
        for batch_id, state in [*found, *((batch_id, "pending") for batch_id in pending)]:
            if len(place.running_ids()) >= self._settings.worker.batches:
                return
            interrupted.discard(batch_id)
            try:
                place.resume(batch_id, only_if=state)
                log.info("batch %s goes on", batch_id)
            except PropkitError as error:
                # Of what somebody else went on with, cancelled or deleted meanwhile nothing is said.
                if not place.is_running(batch_id):
                    set_state(place.store, batch_id, "failed", error=str(error), before=state)
