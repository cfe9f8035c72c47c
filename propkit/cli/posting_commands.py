"""The command that posts a listing sheet."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from propkit.cli._common import DONE, FAILED, end_politely


def add_posting_command(commands: Any) -> None:
    """Add ``propkit post``."""
    post = commands.add_parser("post", help="post a listing sheet's rows, and write their status")
    post.add_argument("sheet", type=Path, metavar="SHEET", help="an .xlsx, .xlsm or .csv file")
    post.add_argument(
        "--poster", required=True, help="kijiji, ... or a function: file.py:name, module:name"
    )
    post.add_argument("--mode", default="new", help="new (blank, pending, errors) or all (new)")
    post.add_argument("--images", type=Path, metavar="DIR", help="the images' folder (the sheet's)")
    post.add_argument("--dry-run", action="store_true", help="do everything but the last click")
    post.add_argument("--repost", action="store_true", help="post again what is posted, too")
    post.add_argument("--workers", type=int, help="most listings at once, where the site allows it")
    post.add_argument("--tab", metavar="NAME", help="the workbook's sheet")
    post.add_argument(
        "--db", type=Path, help="the store of the ledger (postings.duckdb beside the sheet)"
    )
    post.add_argument(
        "--skip-faulty",
        action="store_const",
        const="skip",
        help="leave out rows that cannot be posted as they are, in place of posting nothing",
    )
    post.set_defaults(command=_post)


def _post(options: argparse.Namespace) -> int:
    import propkit as pk

    end_politely()
    report = pk.run_batch(
        options.sheet,
        options.mode,
        options.poster,
        images_dir=options.images,
        progress_cb=lambda _, message: print(message, flush=True),
        repost=options.repost,
        dry_run=options.dry_run,
        workers=options.workers,
        sheet=options.tab,
        store=options.db,
        faulty=options.skip_faulty,
    )
    if report.state != "completed":
        print(report)
    for result in report.results:
        if result.error:
            print(f"  {result.row_key}: {result.outcome}: {result.error}", file=sys.stderr)
    return DONE if report.success else FAILED
