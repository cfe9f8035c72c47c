"""Finding the sources, and what the settings make of each."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import lru_cache
from importlib.metadata import EntryPoint, EntryPoints, entry_points, version
from pathlib import Path

from yarl import URL

from propkit.errors import SettingsError
from propkit.layers.catalogue import Catalogue
from propkit.layers.layer import Layer, make_layer
from propkit.layers.ready import READY
from propkit.sections import SourceSettings
from propkit.settings import Settings
from propkit.sources._base import Source
from propkit.sources._declared import read_source_file
from propkit.sources.arcgis_parcels import ArcgisParcels
from propkit.sources.file_parcels import FileParcels
from propkit.sources.socrata_parcels import SocrataParcels
from propkit.terms import Terms

LAYER_KINDS: Mapping[str, Callable[[Layer], Source]] = {
    "arcgis": ArcgisParcels,
    "socrata": SocrataParcels,
    "file": FileParcels,
}
"""What asks a layer, by its kind."""

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
            keys_per_item=getattr(source, "keys_per_item", None),
            token_hint="" if source.token_header is None else self.token_hint,
            lacks_token=self.lacks_token,
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
    """Return every source by name: this package's, entry points', described ones; no layers.

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
                and not hasattr(kind, "keys_per_item")  # a map layer, which is asked by its name
            ]
    kinds += [_load(entry) for entry in _find_entries(tuple(sys.path))]
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


@lru_cache(maxsize=4)
def _find_entries(places: tuple[str, ...]) -> EntryPoints:
    """Return what other packages bring, looked for once: it takes as long as opening the store."""
    del places
    return entry_points(group=ENTRY_POINT)


@lru_cache(maxsize=1)
def _own_version() -> str:
    return version("propkit")


def _load(entry: EntryPoint) -> object:
    """Return what another package brings; whatever it raises is told with its name."""
    try:
        found = entry.load()
        return found() if isinstance(found, type) else found
    except Exception as error:
        raise SettingsError(
            f"the source {entry.name!r} ({entry.value}) cannot be loaded: {error!r}"
        ) from error


class Sources(dict[str, SourceConfig]):
    """The sources by name, with their settings applied.

    It lists those that are found, and those that the settings name. Any other map layer that is
    known (:mod:`propkit.layers`) is there as soon as it is asked for by its name: of a thousand
    counties most are never asked.
    """

    def __init__(
        self,
        configs: Mapping[str, SourceConfig],
        find_layer: Callable[[str], Layer | None],
        configure: Callable[[Layer], SourceConfig],
    ) -> None:
        super().__init__(configs)
        self._find_layer = find_layer
        self._configure = configure

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (
            super().__contains__(name) or self._find_layer(name) is not None
        )

    # Gone through as they are now: another thread may ask for a layer meanwhile.

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())

    def keys(self) -> KeysView[str]:  # type: ignore[override]
        return self._now().keys()

    def values(self) -> ValuesView[SourceConfig]:  # type: ignore[override]
        return self._now().values()

    def items(self) -> ItemsView[str, SourceConfig]:  # type: ignore[override]
        return self._now().items()

    def _now(self) -> dict[str, SourceConfig]:
        return dict(list(super().items()))

    def add(self, layer: Layer) -> SourceConfig:
        """Make a layer a source, and return it."""
        config = self[layer.name] = self._configure(layer)
        return config

    def __missing__(self, name: str) -> SourceConfig:
        layer = self._find_layer(name)
        if layer is None:
            raise KeyError(name)
        return self.add(layer)


def configure_sources(settings: Settings) -> Sources:
    """Return every source with its settings applied, in the order in which they are found.

    Raises
    ------
    SettingsError
        The settings name a source that does not exist, or describe a layer that is none.
    """
    found = find_sources(settings.source_files)
    catalogue = Catalogue.at(settings.counties)

    def find_layer(name: str) -> Layer | None:
        given = settings.sources.get(name)
        if given is not None and given.kind is not None:
            return _read_layer(name, given)
        return READY.get(name) or catalogue.layer(name)

    def configure(layer: Layer) -> SourceConfig:
        given = settings.sources.get(layer.name, SourceSettings())
        if given.base_url is not None:  # of a layer the address is all of it
            layer = replace(layer, url=str(given.base_url).rstrip("/"))
            given = given.model_copy(update={"base_url": None})
        return _configure(LAYER_KINDS[layer.kind](layer), given, settings)

    sources = Sources({}, find_layer, configure)
    for name, source in found.items():
        given = _settings_of(source, settings)
        if given.kind is not None:
            raise SettingsError(f"{name} is a source of its own and no layer; leave kind out")
        sources[name] = _configure(source, given, settings)
    for name in settings.sources:
        if name not in sources:
            raise SettingsError(
                f"settings for unknown source {name}; known: {', '.join([*found, *READY])};"
                " a layer of your own needs kind, url, county and fields"
            )
        sources[name]  # a layer that is described wrongly is told of now
    return sources


def _read_layer(name: str, given: SourceSettings) -> Layer:
    if given.url is None or given.county is None:
        raise SettingsError(f"[sources.{name}] needs url and county, since it has a kind")
    return make_layer(
        name,
        given.county,
        str(given.url),
        given.fields,
        kind=given.kind or "",
        file=given.file,
        where=given.where,
        licence=given.licence,
    )


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


def identity_of(settings: Settings) -> str:
    """Return who asks, as counties are told unless the settings say another name."""
    contact = f" (+{settings.contact})" if settings.contact else ""
    return f"propkit/{_own_version()}{contact}"


def _configure(source: Source, given: SourceSettings, settings: Settings) -> SourceConfig:
    base_url = str(given.base_url or source.base_url).rstrip("/")
    url = URL(base_url)
    # Layers of one server share its pace, wherever they lie.
    host = url.origin() if hasattr(source, "layer") else url
    identity = identity_of(settings)
    rate = given.requests_per_second
    headers = {"User-Agent": given.user_agent or identity, **source.headers}
    if given.user_agent is None and any(name.lower() == "user-agent" for name in source.headers):
        # The county's contract fixes the user agent, so the name goes beside it.
        del headers["User-Agent"]
        headers["X-Client"] = identity
    if given.user_agent is not None:
        headers = {k: v for k, v in headers.items() if k != "user-agent"}
    token_header = source.token_header or getattr(source, "optional_token_header", None)
    if given.token is not None and token_header is not None:
        prefix = getattr(source, "token_prefix", "")
        headers[token_header] = f"{prefix}{given.token.get_secret_value()}"
    return SourceConfig(
        source=source,
        base_url=base_url,
        host=_host_of(host),
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
