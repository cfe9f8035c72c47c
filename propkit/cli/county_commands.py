"""The commands about counties: importing a catalogue, listing what can be collected."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from propkit.cli._common import DONE, FAILED
from propkit.errors import RequestError


def add_county_commands(commands: Any) -> None:
    """Add ``propkit counties``."""
    counties = commands.add_parser(
        "counties", help="import a catalogue of counties' map layers, or list what is known"
    )
    counties.add_argument(
        "words",
        nargs="+",
        metavar="import PATH|URL … or list [STATE]",
        help="import a folder, .zip, .tar.gz or address of OpenAddresses sources; list a state",
    )
    counties.set_defaults(command=_counties)


def _counties(options: argparse.Namespace) -> int:
    word, *rest = options.words
    if word == "import" and len(rest) == 1:
        return _import(rest[0])
    if word == "list" and len(rest) <= 1:
        return _list(rest[0] if rest else None)
    raise RequestError(
        "expected propkit counties import PATH_OR_URL, or propkit counties list [STATE]"
    )


def _import(origin: str) -> int:
    from propkit.areas.importing import import_counties
    from propkit.settings import Settings

    found = import_counties(origin, Settings.load())
    print(found)
    return DONE if found.ready else FAILED


def _list(state: str | None) -> int:
    from propkit.areas.listing import list_counties
    from propkit.settings import Settings

    if state is not None and len(state) != 2:
        raise RequestError(f"a state is two letters, such as AZ, not {state!r}")
    frame = list_counties(Settings.load().counties, state)
    for row in frame.itertuples():
        said = "ready" if row.status == "ready" else f"unsupported: {row.reason}"
        print(f"{row.source:<40} {row.coverage:<30} {said}")
    if frame.empty:
        print(f"propkit: no layer of {state} is known", file=sys.stderr)
        return FAILED
    return DONE
