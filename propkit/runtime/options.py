"""How a batch is run, as asked for: checked once, then kept in the batch's criteria."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from itertools import chain
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from propkit.errors import RequestError
from propkit.given import check_flag, check_path, check_whole
from propkit.profiles import choose_profile, machine
from propkit.sections import MOST_WORKERS, CollectSettings
from propkit.sources import SourceConfig

STRATEGIES = ("parallel", "hybrid", "sequential")

Caps = int | Mapping[str, int] | None
"""Most requests of a run: at each host, or by the name of a host or source; None: no cap."""


def run_criteria(
    settings: CollectSettings,
    configs: Mapping[str, SourceConfig],
    asked: Mapping[str, Any],
    *,
    workers: int | None = None,
    strategy: str | None = None,
    profile: str | None = None,
    batch_size: int | None = None,
    max_requests: Caps = None,
    stale_ok: bool | None = None,
    export_to: str | os.PathLike[str] | None = None,
) -> dict[str, Any]:
    """Return what a batch's criteria say of its runs; what is not given is the setting's.

    ``asked`` are its criteria so far: the ``sources`` that it asks and their ``fallbacks``. Those
    whose robots.txt the settings say not to obey stand in ``robots_ignored``.

    Raises
    ------
    RequestError
        A value that cannot be used; the message names it and what was expected.
    """
    if profile is not None:
        chosen = choose_profile(profile, *machine())
        workers = chosen.workers if workers is None else workers
        strategy = chosen.strategy if strategy is None else strategy
    if strategy is not None and strategy not in STRATEGIES:
        raise RequestError(f"no strategy {strategy!r}; expected one of {', '.join(STRATEGIES)}")
    if stale_ok is not None:
        check_flag("stale_ok", stale_ok)
    names = {*configs, *(config.host for config in configs.values())}
    sources = {*asked["sources"], *chain.from_iterable(asked.get("fallbacks", {}).values())}
    size = settings.batch_size if batch_size is None else batch_size
    return {
        "workers": settings.workers
        if workers is None
        else check_whole("workers", workers, MOST_WORKERS),
        "strategy": settings.strategy if strategy is None else strategy,
        "batch_size": None if size is None else check_whole("batch_size", size),
        "max_requests": _caps(max_requests, names),
        "stale_ok": settings.stale_ok if stale_ok is None else stale_ok,
        "export_to": None if export_to is None else str(check_workbook(export_to)),
        "robots_ignored": find_ignored_robots(configs, sources),
    }


def find_ignored_robots(configs: Mapping[str, SourceConfig], names: Collection[str]) -> list[str]:
    """Return the sources among ``names`` whose robots.txt is not obeyed, as the settings say."""
    return sorted(name for name in names if name in configs and not configs[name].obey_robots)


def check_workbook(path: str | os.PathLike[str]) -> Path:
    """Return a workbook's full path; refuse a bad one before any work is done for it.

    Raises
    ------
    RequestError
        It does not end in .xlsx, or its folder cannot be written.
    """
    place = check_path("export_to", path).absolute()
    if place.suffix.lower() != ".xlsx":
        raise RequestError(f"{place.name!r} is no workbook's name; expected one ending in .xlsx")
    if not place.parent.is_dir():
        folder = Path(path).parent
        raise RequestError(f"{folder} is no folder: the workbook cannot be written there")
    try:
        TemporaryFile(dir=place.parent).close()
    except OSError as error:
        raise RequestError(f"{path} cannot be written: {error.strerror}") from error
    return place


def _caps(given: Caps, names: Collection[str]) -> Any:
    if given is None:
        return None
    if not isinstance(given, Mapping):
        return check_whole("max_requests", given)
    for name, cap in given.items():
        if name not in names:
            known = ", ".join(sorted(names))
            raise RequestError(
                f"max_requests: no host or source {name!r}; expected some of {known}"
            )
        check_whole(f"max_requests[{name!r}]", cap)
    return dict(given)
