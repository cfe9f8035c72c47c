"""The command line: ``propkit --help`` tells it all.

Exit code 0: everything is done. 1: something failed, is missing or was not usable. 2: the input
is wrong.
"""

from __future__ import annotations

import argparse
import io
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from propkit import __version__
from propkit.cli._common import (
    BAD_INPUT,
    DONE,
    FAILED,
    add_store,
    end_politely,
    exit_code,
    in_shell_words,
    open_kit,
    tell_left_out,
)
from propkit.cli.county_commands import add_county_commands
from propkit.cli.posting_commands import add_posting_command
from propkit.cli.store_commands import add_store_commands
from propkit.errors import IdentifierError, PropkitError, RequestError, SettingsError, SheetError
from propkit.identifier_lists import TABLE_SUFFIXES

if TYPE_CHECKING:
    from propkit.kit import Kit
    from propkit.plan import Plan

_STRICT = ("strict", "surrogateescape")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Called from another program it leaves the handling of signals as it was, unless it was
    interrupted: then the process is to end, and a second Ctrl+C would cut that short.
    """
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    code, is_interrupted = _run(arguments)
    if not is_interrupted:
        for number, handler in handlers.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)
    return code


def _run(arguments: Sequence[str] | None) -> tuple[int, bool]:
    """Run one command; return its exit code, and whether it was interrupted."""
    options = _parser().parse_args(arguments)
    try:
        if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors in _STRICT:
            # A character of a list or a county that a terminal's encoding lacks ends no command.
            sys.stdout.reconfigure(errors="backslashreplace")
        logging.basicConfig(
            level=logging.INFO if options.verbose else logging.CRITICAL,
            format="%(levelname)s %(name)s: %(message)s",
        )
        command: Callable[[argparse.Namespace], int] = options.command
        return command(options), False
    except (IdentifierError, RequestError, SettingsError, SheetError) as error:
        print(f"propkit: {in_shell_words(str(error), options)}", file=sys.stderr)
        return BAD_INPUT, False
    except BrokenPipeError:  # who reads along (head, less) has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED, False
    except (PropkitError, OSError) as error:
        print(f"propkit: {error}", file=sys.stderr)
        return FAILED, False
    except KeyboardInterrupt:
        print("propkit: interrupted", file=sys.stderr)
        return FAILED, True


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

    add_store_commands(commands)
    add_county_commands(commands)
    add_posting_command(commands)

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


def _add_input(parser: argparse.ArgumentParser) -> None:
    add_store(parser)
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
    parser.add_argument("--county", default="maricopa", help="whose sources are asked (maricopa)")
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
        "county": options.county,
        "budget": options.budget,
        "column": options.column,
        "sheet": options.sheet,
    }


def _make_plan(options: argparse.Namespace, kit: Kit) -> Plan:
    given: list[str] = options.parcels
    if len(given) == 1:
        return kit.plan(given[0], **_plan_options(options))
    files = [one for one in given if one.lower().endswith(TABLE_SUFFIXES)]
    if files and options.kind != "search":
        raise RequestError(f"{files[0]!r} is a file: name one file, or APNs, not several of both")
    return kit.plan(given, **_plan_options(options))


@contextmanager
def _kit_to_plan(path: Path, *, is_new: bool) -> Iterator[Kit]:
    """Open the store, or where there is none an empty one apart: what is refused leaves none."""
    import tempfile

    if not is_new:
        with open_kit(path) as kit:
            yield kit
        return
    with tempfile.TemporaryDirectory() as folder, open_kit(Path(folder) / "plan.duckdb") as kit:
        yield kit


def _plan(options: argparse.Namespace) -> int:
    with _kit_to_plan(options.db, is_new=not options.db.exists()) as kit:
        plan = _make_plan(options, kit)
    print(plan)
    return BAD_INPUT if not plan.items and plan.invalid else FAILED if plan.invalid else DONE


def _collect(options: argparse.Namespace) -> int:
    from propkit.runtime.options import check_workbook, run_criteria

    if options.export is not None:
        check_workbook(options.export)
    end_politely()
    is_new = not options.db.exists()
    with _kit_to_plan(options.db, is_new=is_new) as kit:
        if kit.unfinished:
            print(f"unfinished: {', '.join(kit.unfinished)} (propkit batches --resume ID)")
        plan = _make_plan(options, kit)
        asked = {"sources": plan.sources, "fallbacks": plan.fallbacks}
        run_criteria(kit.settings.collect, kit.sources, asked, **_run_options(options))
        print(plan, flush=True)
        if len(plan.invalid) == len(plan.entries):
            what = "usable APN" if plan.entries else "identifier"
            print(f"propkit: no {what} in the input: nothing to collect", file=sys.stderr)
            return BAD_INPUT
        if not is_new:
            return _run_plan(kit, plan, options)
    with open_kit(options.db) as kit:
        return _run_plan(kit, plan, options)


def _run_options(options: argparse.Namespace) -> dict[str, Any]:
    names = ("workers", "strategy", "profile", "batch_size", "max_requests", "stale_ok")
    return {name: getattr(options, name) for name in names}


def _run_plan(kit: Kit, plan: Plan, options: argparse.Namespace) -> int:
    report = kit.watch(kit.start(plan, **_run_options(options)))
    print(report)
    if options.export is not None:
        print(f"workbook: {kit.to_excel(options.export, tell=tell_left_out)}")
    print(f"store: {kit.store.path}")
    return exit_code(report)


def _demo(options: argparse.Namespace) -> int:
    import propkit as pk
    from propkit.kinds import DATASETS

    if options.parcels < 1:
        raise RequestError(f"--parcels must be 1 or more, not {options.parcels}")
    end_politely()
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
        workbook = kit.to_excel(options.out / "demo.xlsx", tell=tell_left_out)
        for name in DATASETS:
            print(f"  {len(kit.frame(name)):>6} {name}")
    print(f"store:    {store.resolve()}")
    print(f"workbook: {workbook.resolve()}")
    return exit_code(report)


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
