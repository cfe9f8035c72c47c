"""Which poster is meant: a name, an object, or a function of one's own."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from pathlib import Path
from types import ModuleType
from typing import Any

import propkit.posters
from propkit.errors import RequestError
from propkit.posters._base import Poster
from propkit.posters._callables import FunctionPoster
from propkit.settings import Settings


def poster_names() -> list[str]:
    """Return the names of propkit's own posters."""
    found = pkgutil.iter_modules(propkit.posters.__path__)
    return [one.name for one in found if not one.name.startswith("_")]


def find_poster(poster: object, settings: Settings) -> Poster:
    """Return the poster that is meant.

    Parameters
    ----------
    poster
        A :class:`Poster`; a function; the name of a poster (``"kijiji"``); or where a function or
        poster stands: ``"my_posters.py:post"``, ``"package.module:post"``.
    settings
        What the poster is made with.

    Raises
    ------
    RequestError
        There is no such poster, or it is none.
    """
    if isinstance(poster, str):
        poster = _load(poster, settings)
    if isinstance(poster, Poster):
        return poster
    if isinstance(poster, type) or not callable(poster):
        raise RequestError(f"poster must be a poster, a function or a name, not {poster!r}")
    return FunctionPoster(poster)


def _load(name: str, settings: Settings) -> Any:
    if name in poster_names():
        return importlib.import_module(f"propkit.posters.{name}").make_poster(settings)
    place, _, attribute = name.rpartition(":")
    if not place or not attribute:
        known = ", ".join(poster_names()) or "none yet"
        raise RequestError(
            f"no poster {name!r}; known: {known}; a function of your own is named"
            " 'file.py:function' or 'package.module:function'"
        )
    try:
        module = _from_file(place) if place.endswith(".py") else importlib.import_module(place)
        return getattr(module, attribute)
    except (ImportError, OSError, AttributeError, SyntaxError) as error:
        raise RequestError(f"poster {name!r} cannot be loaded: {error}") from error


def _from_file(place: str) -> ModuleType:
    path = Path(place).expanduser()
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise RequestError(f"there is no file {place}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
