"""The command line: ``propkit --help`` tells it all.

Exit code 0: everything is done. 1: something failed, is missing or was not usable. 2: the input
is wrong.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from propkit import __version__
from propkit.errors import IdentifierError, PropkitError, RequestError, SettingsError, StoreError

if TYPE_CHECKING:
    from propkit.kit import Kit
    from propkit.runtime.report import BatchReport

DONE, FAILED, BAD_INPUT = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO if options.verbose else logging.CRITICAL,
        format="%(levelname)s %(name)s: %(message)s",
    )
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except (IdentifierError, RequestError, SettingsError) as error:
        print(f"propkit: {error}", file=sys.stderr)
        return BAD_INPUT
    except BrokenPipeError:  # who reads along (head, less) has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (PropkitError, OSError) as error:
        print(f"propkit: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("propkit: interrupted", file=sys.stderr)
        return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="propkit", description="From a messy list of parcels to tables and a workbook."
    )
    parser.add_argument("--version", action="version", version=f"propkit {__version__}")
    parser.add_argument("-v", "--verbose", action="store_true", help="tell of pauses and retries")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = commands.add_parser("demo", help="collect parcels of the demo county, no account needed")
    demo.add_argument("--parcels", type=int, default=200, help="how many to collect (200)")
    demo.add_argument("--out", type=Path, default=Path("demo-output"), help="folder for results")
    demo.set_defaults(command=_demo)

    plan = commands.add_parser("plan", help="say what a collection would do, without any request")
    _add_input(plan)
    plan.set_defaults(command=_plan)

    collect = commands.add_parser("collect", help="collect parcels into the store")
    _add_input(collect)
    collect.add_argument("--workers", type=int, help="most items in work at once on each host (3)")
    collect.add_argument("--strategy", help="parallel, hybrid or sequential (parallel)")
    collect.add_argument("--profile", help="conservative, balanced, fast or auto (balanced)")
    collect.add_argument("--batch-size", type=int, help="most parcels in this run")
    collect.add_argument("--max-requests", type=int, help="most requests to each host in this run")
    collect.add_argument(
        "--stale-ok", action="store_true", default=None, help="keep older records of what is down"
    )
    collect.add_argument("--export", type=Path, metavar="XLSX", help="write a workbook at the end")
    collect.set_defaults(command=_collect)

    export = commands.add_parser("export", help="write the store's tables to a workbook")
    _add_store(export)
    export.add_argument("workbook", type=Path, metavar="OUT.xlsx")
    export.add_argument("--frames", help="tables, separated by commas (all)")
    export.set_defaults(command=_export)

    _add_batches(commands)

    statistics = commands.add_parser("statistics", help="say how collecting went, and the sizes")
    _add_store(statistics)
    statistics.add_argument("--batch", metavar="ID", help="id or number of a batch, or 'last'")
    statistics.set_defaults(command=_statistics)

    prune = commands.add_parser("prune", help="say what old answers and logs would free")
    _add_store(prune)
    prune.add_argument("--older-than", required=True, metavar="AGE", help="90d, 24h, ...")
    prune.add_argument("--yes", action="store_true", help="free it")
    prune.set_defaults(command=_prune)

    county = commands.add_parser("county", help="serve the demo county on loopback")
    county.add_argument("--port", type=int, default=8900)
    county.add_argument("--parcels", type=int, default=2000)
    county.add_argument("--seed", type=int, default=7)
    county.add_argument("--faults", type=Path, metavar="FILE", help="JSON list of fault rules")
    county.add_argument("--latency", action="store_true", help="answer as slowly as the real ones")
    county.set_defaults(command=_county)

    doctor = commands.add_parser("doctor", help="say what is installed, set and wrong")
    doctor.set_defaults(command=_doctor)
    return parser


def _add_batches(commands: Any) -> None:
    batches = commands.add_parser("batches", help="list batches, or go on with one")
    _add_store(batches)
    batches.add_argument("--resume", metavar="ID", help="id or number of a batch, or 'last'")
    batches.add_argument("--stuck", action="store_true", help="list those without a sign of life")
    batches.add_argument("--free", metavar="ID", help="leave a stuck one, to be gone on with")
    batches.set_defaults(command=_batches)

    worker = commands.add_parser("worker", help="own the store and run the batches of notebooks")
    _add_store(worker)
    worker.add_argument(
        "--until-idle", type=float, metavar="SECONDS", help="end when nothing is done for so long"
    )
    worker.add_argument("--health", action="store_true", help="say how the queue is, and end")
    worker.add_argument("--settings-stdin", action="store_true", help="read settings from stdin")
    worker.set_defaults(command=_worker)


def _add_store(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--db", type=Path, default=Path("propkit.duckdb"), help="the store (propkit.duckdb)"
    )


def _add_input(parser: argparse.ArgumentParser) -> None:
    _add_store(parser)
    parser.add_argument("parcels", nargs="+", metavar="FILE|APN", help="a .csv/.xlsx file, or APNs")
    parser.add_argument("--column", help="the file's column of APNs")
    parser.add_argument("--sheet", help="the workbook's sheet")
    parser.add_argument("--datasets", help="tables, separated by commas (all)")
    parser.add_argument("--max-age", default="default", help="24h, 7d, 0 (always ask), never")
    parser.add_argument(
        "--mode", default="auto", help="auto, api, browser, api_then_browser or all (auto)"
    )
    parser.add_argument("--priority", help="critical, high, normal or low (high)")
    parser.add_argument(
        "--kind",
        default="comprehensive",
        help="comprehensive, taxes, sales_and_documents, validation or search (comprehensive)",
    )
    parser.add_argument("--by", help="what --kind search searches by (owner)")
    parser.add_argument("--budget", type=float, help="most credits that paid sources may charge")


def _plan_options(options: argparse.Namespace) -> dict[str, Any]:
    datasets = options.datasets
    return {
        "datasets": None if datasets is None else [name.strip() for name in datasets.split(",")],
        "max_age": options.max_age,
        "mode": options.mode,
        "priority": options.priority,
        "kind": options.kind,
        "by": options.by,
        "budget": options.budget,
        "column": options.column,
        "sheet": options.sheet,
    }


def _parcels(options: argparse.Namespace) -> Any:
    given: list[str] = options.parcels
    return given[0] if len(given) == 1 else given


def _plan(options: argparse.Namespace) -> int:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        # A plan leaves nothing behind, not even an empty store.
        path = options.db if options.db.exists() else Path(folder) / "plan.duckdb"
        with _open(path) as kit:
            plan = kit.plan(_parcels(options), **_plan_options(options))
    print(plan)
    return BAD_INPUT if not plan.items and plan.invalid else FAILED if plan.invalid else DONE


def _collect(options: argparse.Namespace) -> int:
    from propkit.runtime.options import check_workbook

    if options.export is not None:
        check_workbook(options.export)
    _end_politely()
    with _open(options.db) as kit:
        if kit.unfinished:
            print(f"unfinished: {', '.join(kit.unfinished)} (propkit batches --resume ID)")
        return _collect_into(kit, options)


def _collect_into(kit: Kit, options: argparse.Namespace) -> int:
    plan = kit.plan(_parcels(options), **_plan_options(options))
    print(plan, flush=True)
    if not plan.entries:
        print("propkit: no identifier in the input: nothing to collect", file=sys.stderr)
        return BAD_INPUT
    if len(plan.invalid) == len(plan.entries):
        print("propkit: no usable APN in the input: nothing to collect", file=sys.stderr)
        return BAD_INPUT
    batch = kit.start(
        plan,
        workers=options.workers,
        strategy=options.strategy,
        profile=options.profile,
        batch_size=options.batch_size,
        max_requests=options.max_requests,
        stale_ok=options.stale_ok,
    )
    report = kit.watch(batch)
    print(report)
    if options.export is not None:
        print(f"workbook: {kit.to_excel(options.export)}")
    print(f"store: {kit.store.path}")
    return _exit_code(report)


def _exit_code(report: BatchReport) -> int:
    return DONE if report.is_complete else FAILED


def _demo(options: argparse.Namespace) -> int:
    import propkit as pk
    from propkit.kinds import DATASETS

    if options.parcels < 1:
        raise RequestError(f"--parcels must be 1 or more, not {options.parcels}")
    _end_politely()
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RequestError(f"--out {options.out} cannot be made: {error.strerror}") from error
    store = options.out / "demo.duckdb"
    print("Starting the demo county (synthetic people, on this machine only) …", flush=True)
    with pk.demo(store, parcels=max(2000, options.parcels)) as kit:
        apns = kit.county.apns(options.parcels) if kit.county else []
        plan = kit.plan(apns, max_age=0)
        print(plan, flush=True)
        report = kit.watch(kit.start(plan))
        print(report)
        workbook = kit.to_excel(options.out / "demo.xlsx")
        for name in DATASETS:
            print(f"  {len(kit.frame(name)):>6} {name}")
    print(f"store:    {store.resolve()}")
    print(f"workbook: {workbook.resolve()}")
    return _exit_code(report)


def _export(options: argparse.Namespace) -> int:
    from propkit.runtime.options import check_workbook

    check_workbook(options.workbook)
    with _open(_existing(options.db)) as kit:
        named = options.frames
        frames = None if named is None else [name.strip() for name in named.split(",")]
        print(kit.to_excel(options.workbook, frames=frames))
    return DONE


def _batches(options: argparse.Namespace) -> int:

    _end_politely()
    with _open(_existing(options.db)) as kit:
        if options.free is not None:
            print(f"freed: {kit.batch(options.free).free().id}")
            return DONE
        if options.stuck:
            return _print_stuck(kit)
        if options.resume is None:
            columns = ["number", "batch_id", "state", "total", "done", "failed", "waiting"]
            print(kit.batches()[[*columns, "created_at"]].to_string(index=False))
            return DONE
        report = kit.watch(kit.batch(options.resume).resume())
        print(report)
        return _exit_code(report)


def _print_stuck(kit: Kit) -> int:
    from propkit.store.jobs import stuck_jobs

    for job in stuck_jobs(kit.store):
        print(f"{job.id}  {job.processed} of {job.total} items, silent since {job.updated_at}")
    return DONE


def _print_health(path: Path) -> int:
    from propkit.store.jobs import read_health

    with _open(_existing(path)) as kit:
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
    from propkit.worker import run_worker

    given = sys.stdin.read() if options.settings_stdin else None
    run_worker(options.db, idle_seconds=options.until_idle, given=given)
    return DONE


def _statistics(options: argparse.Namespace) -> int:
    with _open(_existing(options.db)) as kit:
        print(kit.statistics(options.batch))
    return DONE


def _prune(options: argparse.Namespace) -> int:
    with _open(_existing(options.db)) as kit:
        print(kit.prune(options.older_than, apply=options.yes))
    return DONE


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise RequestError(f"there is no store {path}: name one with --db, or collect first")
    return path


def _county(options: argparse.Namespace) -> int:
    from propkit.demo_county.server import run_county

    try:
        run_county(
            port=options.port,
            parcels=options.parcels,
            seed=options.seed,
            faults_file=options.faults,
            switches={"latency": options.latency},
        )
    except ValueError as error:
        raise RequestError(str(error)) from None
    return DONE


def _doctor(options: argparse.Namespace) -> int:  # noqa: ARG001
    from propkit.doctor import examine

    findings = examine()
    for finding in findings:
        print(finding)
    wrong = [finding for finding in findings if finding.is_wrong]
    print("All is well." if not wrong else f"{len(wrong)} to mend, marked with '!'.")
    return FAILED if wrong else DONE


def _end_politely() -> None:
    """Treat a polite end (SIGTERM) like Ctrl+C: what was fetched is kept."""
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    # The end takes a few seconds at most; cut short, it could leave the store half closed.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def _open(path: Path) -> Kit:
    """Open a store; a file that cannot be one is bad input."""
    import propkit as pk

    try:
        return pk.open(path)
    except StoreError as error:
        raise RequestError(str(error)) from error


if __name__ == "__main__":
    if os.environ.get("PYTHONUNBUFFERED") is None:
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    sys.exit(main())
