"""How a kit is made: over the real sources, or over a demo county of its own."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from propkit.demo_county import start_county
from propkit.kit import Kit
from propkit.settings import Settings
from propkit.sources import configure_sources
from propkit.store import Store

DEMO_LIMITS = {
    "assessor": {"requests_per_second": 50, "burst": 10, "max_in_flight": 8},
    "treasurer": {"requests_per_second": 60, "burst": 10, "max_in_flight": 8},
    "recorder": {"requests_per_second": 30, "burst": 10, "max_in_flight": 8},
}
"""What the demo county allows when nobody should wait (requests/s by system)."""


def open(  # noqa: A001 -- reads as pk.open
    path: str | os.PathLike[str] = "propkit.duckdb",
    *,
    settings: Settings | None = None,
    auto_resume: bool | None = None,
) -> Kit:
    """Open a store over the real sources, made when the file does not exist.

    Parameters
    ----------
    path
        The DuckDB file.
    settings
        None reads ``propkit.toml`` and the ``PROPKIT_…`` variables.
    auto_resume
        Go on with unfinished batches; None is the setting (no).

    Raises
    ------
    StoreError
        The file is no DuckDB database, is held by another process, or cannot be written.
    SettingsError
        A setting is wrong.
    """
    chosen = Settings.load() if settings is None else settings
    sources = configure_sources(chosen)
    kit = Kit(Store.open(path), chosen, sources)
    if chosen.store.keep is not None:
        kit.prune(chosen.store.keep, apply=True)
    if chosen.collect.auto_resume if auto_resume is None else auto_resume:
        for batch_id in kit.unfinished:
            kit.batch(batch_id).resume()
    return kit


def demo(path: str | os.PathLike[str] | None = None, *, parcels: int = 2000, seed: int = 7) -> Kit:
    """Start the demo county (synthetic people, on loopback) and open a store over it.

    The county's limits are raised so that nobody waits. It ends with the kit.

    Parameters
    ----------
    path
        The DuckDB file; None is a new one in a temporary folder.
    parcels, seed
        The county's size and the seed of everything in it.
    """
    given = Settings.load()
    with ExitStack() as ends:
        if path is None:
            path = (
                Path(ends.enter_context(TemporaryDirectory(prefix="propkit-demo-"))) / "demo.duckdb"
            )
        store = Store.open(path)
        abandon = ends.enter_context(ExitStack())
        abandon.callback(store.close)
        county = start_county(parcels=parcels, seed=seed, limits=DEMO_LIMITS)
        ends.callback(county.stop)
        sources = {
            f"maricopa_{system}": {
                **county.settings()[f"maricopa_{system}"],
                "requests_per_second": limit["requests_per_second"],
                "max_in_flight": limit["max_in_flight"],
            }
            for system, limit in DEMO_LIMITS.items()
        }
        for name, given_leads in county.leads_settings().items():
            sources[name] = {**given_leads, "requests_per_second": 50}
        settings = Settings.load(sources=sources, collect=given.collect)
        kit = Kit(store, settings, configure_sources(settings), county)
        abandon.pop_all()  # the kit closes the store now, and then ends the rest
        kit.at_close(ends.pop_all().close)
        return kit
