"""Telling a person, by a command of their own, that a batch failed or is stuck."""

from __future__ import annotations

import json
import logging
import subprocess
from collections.abc import Sequence
from dataclasses import asdict

from propkit.store.jobs import Job

log = logging.getLogger(__name__)

_SECONDS = 30.0


def notify(command: Sequence[str], job: Job, event: str) -> None:
    """Run the command with what happened as JSON on its input; none, nothing happens.

    It has 30 seconds; whatever goes wrong with it is logged and no more.
    """
    if not command:
        return
    body = json.dumps({"event": event, "job": asdict(job)}, default=str)
    try:
        subprocess.run(  # noqa: S603 -- the person's own setting
            list(command),
            input=body.encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("worker.notify failed: %s", error)
