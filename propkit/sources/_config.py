"""Finding the sources, and what the settings make of each."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.metadata import EntryPoint, entry_points, version
from pathlib import Path

from yarl import URL

from propkit.errors import SettingsError
from propkit.sections import SourceSettings
from propkit.settings import Settings
from propkit.sources._base import Source
from propkit.sources._declared import read_source_file
from propkit.terms import Terms

ENTRY_POINT = "propkit.sources"
"""The entry point group by which another package brings a source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceConfig:
    """A source with its settings applied. ``host`` names what shares one pace."""

    source: Source
    base_url: str
    host: str
    requests_per_second: float
    seconds_per_item: float
    is_pace_learned: bool
    max_in_flight: int
    max_requests: int | None
    max_age: timedelta
    headers: Mapping[str, str] = field(repr=False)
    obey_robots: bool
    has_token: bool
    page_size: int | None

    @property
    def terms(self) -> Terms:
        """What the plan must know of the source."""
        source = self.source
        return Terms(
            source=source.name,
            host=self.host,
            provides=source.provides,
            needs=source.needs,
            transport=source.transport,
            requests_per_item=source.requests_per_item,
            requests_per_second=self.requests_per_second,
            max_age=self.max_age,
            seconds_per_item=self.seconds_per_item,
            can_search=hasattr(source, "search"),
            can_validate=hasattr(source, "validate"),
            county=source.county,
            credits_per_item=getattr(source, "credits_per_item", 0.0),
        )

    @property
    def lacks_token(self) -> bool:
        """Whether the source wants a token and none is set."""
        return self.source.token_header is not None and not self.has_token

    @property
    def token_hint(self) -> str:
        """How to set the token."""
        name = self.source.name
        return (
            f"set PROPKIT_SOURCES__{name.upper()}__TOKEN, or token under [sources.{name}] in "
            "propkit.toml"
        )


def find_sources(files: Iterable[Path] = ()) -> dict[str, Source]:
    """Return every source by name: the modules of this package, entry points, described ones.

    Raises
    ------
    SettingsError
        Two sources have one name, an entry point cannot be loaded or is no source, or a file
        describes none.
    """
    package = importlib.import_module("propkit.sources")
    names = [module.name for module in pkgutil.iter_modules(package.__path__)]
    kinds: list[object] = []
    for name in names:
        if not name.startswith("_"):
            module = importlib.import_module(f"propkit.sources.{name}")
            kinds += [
                kind
                for kind in vars(module).values()
                if isinstance(kind, type)
                and kind.__module__ == module.__name__
                and hasattr(kind, "parser_version")
            ]
    kinds += [_load(entry) for entry in entry_points(group=ENTRY_POINT)]
    kinds += [read_source_file(path) for path in files]
    found: dict[str, Source] = {}
    for kind in kinds:
        source = kind() if callable(kind) else kind
        if not isinstance(source, Source):
            raise SettingsError(f"{kind!r} is no source: see propkit.sources._base.Source")
        if source.name in found:
            raise SettingsError(f"two sources are named {source.name!r}")
        found[source.name] = source
    return found


def _load(entry: EntryPoint) -> object:
    """Return what another package brings; whatever it raises is told with its name."""
    try:
        found = entry.load()
        return found() if isinstance(found, type) else found
    except Exception as error:
        raise SettingsError(
            f"the source {entry.name!r} ({entry.value}) cannot be loaded: {error!r}"
        ) from error


def configure_sources(settings: Settings) -> dict[str, SourceConfig]:
    """Return every source with its settings applied, in the order in which they are found.

    Raises
    ------
    SettingsError
        The settings name a source that does not exist.
    """
    sources = find_sources(settings.source_files)
    if unknown := sorted(set(settings.sources) - set(sources)):
        raise SettingsError(
            f"settings for unknown source {', '.join(unknown)}; known: {', '.join(sources)}"
        )
    return {
        name: _configure(source, _settings_of(source, settings), settings)
        for name, source in sources.items()
    }


def _settings_of(source: Source, settings: Settings) -> SourceSettings:
    """Return what is set for a source; a second way in has what is set for the first, too.

    Else a system that was moved elsewhere would still be asked at its old place.
    """
    own = settings.sources.get(source.name, SourceSettings())
    first = settings.sources.get(getattr(source, "way_of", None) or "")
    if first is None:
        return own
    values = {name: getattr(first, name) for name in first.model_fields_set}
    values |= {name: getattr(own, name) for name in own.model_fields_set}
    return SourceSettings.model_construct(set(values), **values)


def _configure(source: Source, given: SourceSettings, settings: Settings) -> SourceConfig:
    base_url = str(given.base_url or source.base_url).rstrip("/")
    url = URL(base_url)
    contact = f" (+{settings.contact})" if settings.contact else ""
    identity = f"propkit/{version('propkit')}{contact}"
    rate = given.requests_per_second
    headers = {"User-Agent": given.user_agent or identity, **source.headers}
    if given.user_agent is None and any(name.lower() == "user-agent" for name in source.headers):
        # The county's contract fixes the user agent, so the name goes beside it.
        del headers["User-Agent"]
        headers["X-Client"] = identity
    if given.user_agent is not None:
        headers = {k: v for k, v in headers.items() if k != "user-agent"}
    if given.token is not None and source.token_header is not None:
        prefix = getattr(source, "token_prefix", "")
        headers[source.token_header] = f"{prefix}{given.token.get_secret_value()}"
    return SourceConfig(
        source=source,
        base_url=base_url,
        host=_host_of(url),
        # Who sets a rate of their own has set it; a profile may use less than the known one.
        requests_per_second=rate
        if isinstance(rate, float)
        else source.requests_per_second * settings.collect.pace_share,
        is_pace_learned=rate == "learn",
        # Who sets a rate of their own sets it for everything.
        seconds_per_item=0.0 if rate else source.seconds_per_item,
        max_in_flight=given.max_in_flight or source.max_in_flight,
        max_requests=given.max_requests,
        max_age=source.max_age if given.max_age is None else given.max_age,
        headers=headers,
        obey_robots=given.obey_robots,
        has_token=given.token is not None,
        page_size=given.page_size,
    )


def _host_of(url: URL) -> str:
    """Name what shares one pace: the host, its port unless usual, and the path of the base."""
    port = "" if url.is_default_port() else f":{url.port}"
    return f"{url.host}{port}{url.path.rstrip('/')}"
