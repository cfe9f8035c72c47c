"""A process that comes to its end while a batch runs, as a kernel does that is restarted.

Run as ``python -m tests.ending_run STORE SETTINGS WORKBOOK [APN ...]``, SETTINGS as JSON. With APNs
it starts a batch whose source is to be asked as soon as the process is ending, which cannot be done
then; with a WORKBOOK ("": none) it has answered by then, so that the batch ends and has this to
write. Without APNs it waits for the batch of a guest. It says "ending" on a line when its main thread is over, and lives on until the
batch does not run any more, as a process does whose threads have something left to do.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import propkit as pk
from propkit.ending import check_process
from propkit.errors import ProcessEndsError
from propkit.sources import configure_sources
from propkit.sources.maricopa_assessor import MaricopaAssessor
from propkit.store import Store

_LOOK_SECONDS = 0.02
_SECONDS = 60.0


def is_ending() -> bool:
    """Return whether the main thread is over."""
    try:
        check_process(None)
    except ProcessEndsError:
        return True
    return False


class LateAssessor(MaricopaAssessor):
    """Needs a thread for every parcel when there is none to be had any more, or only dawdles."""

    def __init__(self, *, needs_thread: bool) -> None:
        super().__init__()
        self.is_asked = threading.Event()
        self._needs_thread = needs_thread

    async def fetch(self, key, apn, ask):
        payload = None if self._needs_thread else await super().fetch(key, apn, ask)
        self.is_asked.set()
        while not is_ending():  # noqa: ASYNC110 -- nothing tells of it
            await asyncio.sleep(_LOOK_SECONDS)
        if payload is None:
            await asyncio.to_thread(str, key)
        return payload


def live_on(kit: pk.Kit) -> None:
    """Wait for the end of the process, and then for the end of its batch."""
    deadline = time.monotonic() + _SECONDS
    while not is_ending():
        time.sleep(_LOOK_SECONDS)
    sys.stdout.write("ending\n")
    sys.stdout.flush()
    while time.monotonic() < deadline:
        if not kit.batches().empty and not kit.batch("last").is_running:
            return
        time.sleep(_LOOK_SECONDS)


def main(path: str, given: str, book: str, *apns: str) -> None:
    """Come to the end while a batch runs."""
    settings = pk.Settings.load(**json.loads(given))
    if not apns:
        kit = pk.open(path, settings=settings)
    else:
        config = configure_sources(settings)["maricopa_assessor"]
        source = LateAssessor(needs_thread=not book)
        sources = {source.name: replace(config, source=source)}
        kit = pk.Kit(Store.open(path), settings, sources)
        kit.start(list(apns), datasets=["parcels"], export_to=book or None)
        source.is_asked.wait()
    ThreadPoolExecutor(1).submit(live_on, kit)


if __name__ == "__main__":
    main(*sys.argv[1:])
