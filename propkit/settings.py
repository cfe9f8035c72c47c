"""Where propkit's settings come from and what they mean.

``propkit.toml`` beside the notebook (or in the user's config folder) is read first;
``PROPKIT_…`` variables with ``__`` for levels override it::

    [sources.maricopa_assessor]
    token = "…"                     # PROPKIT_SOURCES__MARICOPA_ASSESSOR__TOKEN
    requests_per_second = 5

    [collect]
    workers = 3                     # PROPKIT_COLLECT__WORKERS
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

import pydantic_settings
from platformdirs import user_config_path
from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from propkit.errors import SettingsError
from propkit.sections import (
    BrowsingSettings,
    CollectSettings,
    NotifySettings,
    PosterSettings,
    PostingSettings,
    ServerSettings,
    SourceSettings,
    StoreSettings,
    WorkerSettings,
)

CONFIG_NAME = "propkit.toml"


class Settings(BaseSettings):
    """All settings of one kit.

    ``Settings.load()`` reads the files and the environment; ``Settings(...)`` does too, and
    what is given by keyword wins.

    Raises
    ------
    SettingsError
        From ``load``: a file that is no TOML, an unknown name, a value out of range.
    """

    model_config = SettingsConfigDict(
        env_prefix="PROPKIT_", env_nested_delimiter="__", extra="forbid"
    )

    sources: dict[str, SourceSettings] = Field(default_factory=dict)
    posters: dict[str, PosterSettings] = Field(default_factory=dict)
    collect: CollectSettings = Field(default_factory=CollectSettings)
    store: StoreSettings = Field(default_factory=StoreSettings)
    worker: WorkerSettings = Field(default_factory=WorkerSettings)
    server: ServerSettings = Field(default_factory=ServerSettings)
    notify: NotifySettings = Field(default_factory=NotifySettings)
    browsing: BrowsingSettings = Field(default_factory=BrowsingSettings)
    posting: PostingSettings = Field(default_factory=PostingSettings)
    contact: str | None = None
    """A mail address or URL by which a county can reach you; sent with every request."""
    browser: Path | None = None
    """The browser's path (PROPKIT_BROWSER)."""
    counties: Path | None = None
    """The imported catalogue of counties; None: ``counties.json`` in the user's data folder."""
    source_files: tuple[Path, ...] = ()
    """Files that describe further sources, TOML (PROPKIT_SOURCE_FILES, a JSON list)."""

    @classmethod
    def load(cls, **given: Any) -> Settings:
        """Read files, variables and ``given`` (which wins) and name every fault at once."""
        faults = [f"{name}: no such setting" for name in sorted(os.environ) if _is_unknown(name)]
        try:
            settings = cls(**given)
        except ValidationError as error:
            faults += [_describe(fault) for fault in error.errors()]
        except pydantic_settings.SettingsError as error:  # a variable that should be JSON
            faults.append(f"{error}: {error.__cause__}" if error.__cause__ else str(error))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            names = " or ".join(str(path) for path in config_files())
            raise SettingsError(f"{names} is no TOML file: {error}") from None
        if faults:
            raise SettingsError(f"settings are wrong: {'; '.join(faults)}")
        return settings

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Rank what is given over variables over the nearer file over the user's file."""
        files = [TomlConfigSettingsSource(settings_cls, path) for path in config_files()]
        return (init_settings, env_settings, *files)


def config_files() -> list[Path]:
    """List the files that settings are read from, the one that wins first."""
    folders = [Path.cwd(), user_config_path("propkit")]
    return [folder / CONFIG_NAME for folder in folders if (folder / CONFIG_NAME).is_file()]


_WRONG_PLACE = {"extra_forbidden", "model_type", "dict_type"}


def _is_unknown(variable: str) -> bool:
    """Whether a variable looks like a setting with a typing error: PROPKIT_COLLECT_WORKERS."""
    name = variable.upper().removeprefix("PROPKIT_").partition("__")[0].lower()
    known = Settings.model_fields
    return variable.upper().startswith("PROPKIT_") and (
        name not in known and ("__" in variable or name.startswith(tuple(known)))
    )


def _describe(fault: Any) -> str:
    path = ".".join(str(part) for part in fault["loc"])
    variable = "PROPKIT_" + "__".join(str(part).upper() for part in fault["loc"])
    # A token may also stand under a name with a typing error, or in the place of a table.
    is_secret = (
        bool({"token", "password", "smtp_password"} & {*fault["loc"]})
        or fault["type"] in _WRONG_PLACE
    )
    is_secret = is_secret or "@" in str(fault["input"])
    shown = "" if is_secret or isinstance(fault["input"], dict) else f" {fault['input']!r}"
    name = variable if variable in os.environ else path
    return f"{name}{shown}: {fault['msg']}"
