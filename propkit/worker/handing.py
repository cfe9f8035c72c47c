"""What a worker is handed by who starts it: the settings, with their secrets, by its input."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from propkit.durations import NEVER
from propkit.errors import SettingsError
from propkit.settings import Settings


def log_path(store: Path) -> Path:
    """Return where the worker of a store writes its log."""
    return store.with_name(f".{store.name}.worker.log")


def dump_settings(settings: Settings) -> str:
    """Return settings as JSON with their secrets, for another process of this user."""
    return json.dumps(_plain(settings))


def load_settings(text: str) -> Settings:
    """Return the settings that :func:`dump_settings` wrote; they win over files and variables.

    Raises
    ------
    SettingsError
        They are no settings.
    """
    try:
        given = json.loads(text)
    except json.JSONDecodeError as error:
        raise SettingsError(f"the settings are no JSON: {error}") from None
    if not isinstance(given, dict):
        raise SettingsError("the settings are no JSON object")
    return Settings.load(**given)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return {name: _plain(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, timedelta):
        return "never" if value == NEVER else value.total_seconds()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)
