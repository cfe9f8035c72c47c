"""How a kit is made: over the real sources, or over a demo county of its own."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from propkit.errors import RequestError
from propkit.kit import Kit
from propkit.settings import Settings
from propkit.sharing.here import HerePlace
from propkit.sharing.joining import join_place
from propkit.sources import configure_sources
from propkit.worker import join_worker

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
    worker: bool = False,
) -> Kit:
    """Open a store over the real sources, made when the file does not exist.

    The first process that opens it owns the file; in any other the same kit works through it.

    Parameters
    ----------
    path
        The DuckDB file.
    settings
        None reads ``propkit.toml`` and the ``PROPKIT_…`` variables.
    auto_resume
        Go on with unfinished batches that nobody runs; None is the setting (no).
    worker
        Let a process of its own run the batches: they outlive this one. It is started where none
        owns the store, and ends by itself when it is idle.

    Raises
    ------
    StoreError
        The file is no DuckDB database, is held by another program, or cannot be written.
    SettingsError
        A setting is wrong.
    """
    chosen = Settings.load() if settings is None else settings
    sources = configure_sources(chosen)
    full = _full(path)
    place = join_worker(full, chosen) if worker else join_place(full, chosen, sources)
    kit = Kit(place, chosen, sources)
    if chosen.store.keep is not None and isinstance(place, HerePlace):
        kit.prune(chosen.store.keep, apply=True)
    if chosen.collect.auto_resume if auto_resume is None else auto_resume:
        _resume_unfinished(kit)
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
    from propkit.demo_county import start_county
    from propkit.posters import forget_login

    given = Settings.load()
    with ExitStack() as ends:
        if path is None:
            path = (
                Path(ends.enter_context(TemporaryDirectory(prefix="propkit-demo-"))) / "demo.duckdb"
            )
        county = start_county(parcels=parcels, seed=seed, limits=DEMO_LIMITS)
        ends.callback(county.stop)
        sources = {}
        for name, given_source in county.settings().items():
            limit = DEMO_LIMITS[name.split("_")[1]]
            paces = {key: limit[key] for key in ("requests_per_second", "max_in_flight")}
            sources[name] = {**given_source, **paces}
        for name, given_leads in county.leads_settings().items():
            sources[name] = {**given_leads, "requests_per_second": 50}
        for name, given_layer in county.layers_settings().items():
            sources[name] = {**given_layer, "requests_per_second": 50}
        posters = {
            name: {**given_poster, "pace_seconds": 0, "settle_seconds": 1}
            for name, given_poster in county.poster_settings().items()
        }
        for name, given_poster in county.poster_settings().items():
            site, account = given_poster["base_url"], given_poster["account"]
            ends.callback(forget_login, name, site, account)  # its address is never used again
        settings = Settings.load(
            sources=sources,
            posters=posters,
            posting=given.posting,
            collect=given.collect,
            store=given.store,
            browsing=given.browsing,
            browser=given.browser,
            notify=given.notify,
        )
        configs = configure_sources(settings)
        kit = Kit(join_place(_full(path), settings, configs), settings, configs, county)
        kit.at_close(ends.pop_all().close)
        return kit


def _resume_unfinished(kit: Kit) -> None:
    """Go on with what nobody runs; a worker, or another kit, may be quicker with some of it."""
    for batch_id in kit.unfinished:
        try:
            kit.batch(batch_id).resume()
        except RequestError:
            if batch_id in kit.unfinished:
                raise


def _full(path: str | os.PathLike[str]) -> Path:
    return Path(path).expanduser().resolve()
