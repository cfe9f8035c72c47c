"""The commands that look at a store, tend it and run its batches."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from propkit.cli._common import (
    DONE,
    FAILED,
    add_store,
    end_politely,
    existing,
    exit_code,
    open_kit,
    tell_left_out,
)
from propkit.errors import RequestError

if TYPE_CHECKING:
    from propkit.kit import Kit


def add_store_commands(commands: Any) -> None:
    """Add the commands that look at a store, tend it and run its batches."""
    export = commands.add_parser("export", help="write the store's tables to a workbook")
    add_store(export)
    export.add_argument("workbook", type=Path, metavar="OUT.xlsx")
    export.add_argument("--frames", help="tables, separated by commas (all)")
    export.set_defaults(command=_export)

    batches = commands.add_parser("batches", help="list batches, or go on with one")
    add_store(batches)
    batches.add_argument("--resume", metavar="ID", help="id or number of a batch, or 'last'")
    batches.add_argument("--stuck", action="store_true", help="list those without a sign of life")
    batches.add_argument("--free", metavar="ID", help="leave a stuck one, to be gone on with")
    batches.set_defaults(command=_batches)

    worker = commands.add_parser("worker", help="own the store and run the batches of notebooks")
    add_store(worker)
    worker.add_argument(
        "--until-idle", type=float, metavar="SECONDS", help="end when nothing is done for so long"
    )
    worker.add_argument("--health", action="store_true", help="say how the queue is, and end")
    worker.add_argument("--settings-stdin", action="store_true", help="read settings from stdin")
    worker.set_defaults(command=_worker)

    statistics = commands.add_parser("statistics", help="say how collecting went, and the sizes")
    add_store(statistics)
    statistics.add_argument("--batch", metavar="ID", help="id or number of a batch, or 'last'")
    statistics.set_defaults(command=_statistics)

    prune = commands.add_parser("prune", help="say what old answers and logs would free")
    add_store(prune)
    prune.add_argument("--older-than", required=True, metavar="AGE", help="90d, 24h, ...")
    prune.add_argument("--yes", action="store_true", help="free it")
    prune.set_defaults(command=_prune)

    reparse = commands.add_parser("reparse", help="read kept answers again with today's parser")
    add_store(reparse)
    reparse.add_argument("source", metavar="SOURCE", help="maricopa_treasurer, ...")
    reparse.add_argument("--yes", action="store_true", help="store what differs")
    reparse.add_argument("--out", type=Path, metavar="CSV", help="write every difference there")
    reparse.set_defaults(command=_reparse)


def _export(options: argparse.Namespace) -> int:
    from propkit.runtime.options import check_workbook

    check_workbook(options.workbook)
    with open_kit(existing(options.db)) as kit:
        named = options.frames
        frames = None if named is None else [name.strip() for name in named.split(",")]
        print(kit.to_excel(options.workbook, frames=frames, tell=tell_left_out))
    return DONE


def _batches(options: argparse.Namespace) -> int:
    end_politely()
    with open_kit(existing(options.db)) as kit:
        if options.free is not None:
            print(f"freed: {kit.batch(options.free).free().id}")
            return DONE
        if options.stuck:
            return _print_stuck(kit)
        if options.resume is None:
            if (found := kit.batches()).empty:
                print("no batch yet")
                return DONE
            columns = ["number", "batch_id", "state", "total", "done", "failed", "waiting"]
            print(found[[*columns, "created_at"]].to_string(index=False))
            return DONE
        report = kit.watch(kit.batch(options.resume).resume())
        print(report)
        return exit_code(report)


def _print_stuck(kit: Kit) -> int:
    from propkit.store.jobs import stuck_jobs

    for job in stuck_jobs(kit.store):
        print(f"{job.id}  {job.processed} of {job.total} items, silent since {job.updated_at}")
    return DONE


def _print_health(path: Path) -> int:
    from propkit.store.jobs import read_health

    with open_kit(existing(path)) as kit:
        health = read_health(kit.store)
        print(kit)
    print(f"jobs: {health.processing_jobs} run, {health.pending_jobs} wait")
    since = f", the oldest since {health.oldest_waiting_at}" if health.oldest_waiting_at else ""
    print(f"items: {health.waiting_items} wait{since}")
    print(f"stuck: {', '.join(health.stuck) or 'none'}")
    print(f"failed within a day: {', '.join(health.failed_today) or 'none'}")
    return DONE if health.is_good else FAILED


def _worker(options: argparse.Namespace) -> int:
    if options.health:
        return _print_health(options.db)
    from propkit.worker.command import run_worker

    if options.until_idle is not None and not options.until_idle >= 0:
        raise RequestError(f"--until-idle must be 0 or more seconds, not {options.until_idle:g}")
    given = sys.stdin.read() if options.settings_stdin else None
    run_worker(options.db, idle_seconds=options.until_idle, given=given)
    return DONE


def _statistics(options: argparse.Namespace) -> int:
    with open_kit(existing(options.db)) as kit:
        print(kit.statistics(options.batch))
    return DONE


def _prune(options: argparse.Namespace) -> int:
    with open_kit(existing(options.db)) as kit:
        print(kit.prune(options.older_than, apply=options.yes))
    return DONE


def _reparse(options: argparse.Namespace) -> int:
    from propkit.reparsing import describe_reparse

    if options.out is not None and not options.out.parent.is_dir():
        folder = options.out.parent
        raise RequestError(f"{folder} is no folder: the differences cannot be written there")
    with open_kit(existing(options.db)) as kit:
        frame = kit.reparse(options.source, apply=options.yes)
    print(describe_reparse(frame))
    if options.out is not None:
        frame.to_csv(options.out, index=False)
        print(options.out)
    return FAILED if frame.attrs["unreadable"] else DONE
