"""What is installed, set and wrong: the words of ``propkit doctor``."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from platformdirs import user_config_path

from propkit.browser import find_browser, verify_browser
from propkit.errors import BrowserNotFoundError, SettingsError
from propkit.settings import Settings, config_files
from propkit.sources import configure_sources

PACKAGES = ("duckdb", "pandas", "pyarrow", "aiohttp", "jupyterlab", "ipywidgets", "playwright")


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the examination."""

    topic: str
    text: str
    is_wrong: bool = False

    def __str__(self) -> str:
        """Return the line; what is wrong begins with an exclamation mark."""
        return f"{'!' if self.is_wrong else ' '} {self.topic:<29} {self.text}"


def examine() -> list[Finding]:
    """Look at everything that propkit needs; nothing is changed and no county is asked."""
    return [*_versions(), _browser(), *_paths(), *_sources()]


def _versions() -> list[Finding]:
    found = [Finding("python", f"{platform.python_version()} ({sys.executable})")]
    for name in ("propkit", *PACKAGES):
        try:
            found.append(Finding(name, version(name)))
        except PackageNotFoundError:
            found.append(Finding(name, "is not installed: pip install propkit", is_wrong=True))
    return found


def _browser() -> Finding:
    try:
        return Finding("browser", str(verify_browser(find_browser())))
    except BrowserNotFoundError as error:
        return Finding("browser", str(error), is_wrong=True)


def _paths() -> list[Finding]:
    found = []
    for topic, path in (("folder", Path.cwd()), ("home", Path.home())):
        is_writable = os.access(path, os.W_OK)
        text = f"{path} {'can' if is_writable else 'cannot'} be written"
        found.append(Finding(topic, text, is_wrong=not is_writable and topic == "folder"))
    files = ", ".join(map(str, config_files())) or (
        f"none; propkit.toml is looked for here and in {user_config_path('propkit')}"
    )
    return [*found, Finding("settings", files)]


def _sources() -> list[Finding]:
    try:
        configs = configure_sources(Settings.load())
    except SettingsError as error:
        return [Finding("settings", str(error), is_wrong=True)]
    found = []
    for name, config in configs.items():
        text = f"{config.base_url}, {config.requests_per_second:g} requests/s"
        text += " to begin with (learned)" if config.is_pace_learned else ""
        is_paid = bool(config.terms.credits_per_item)  # nobody need have an account there
        if config.lacks_token:
            text += f"; no token: {config.token_hint}"
        found.append(Finding(name, text, is_wrong=config.lacks_token and not is_paid))
    return found
