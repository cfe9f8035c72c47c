"""What people give to propkit's functions: checked at the edge, refused by name and value."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from propkit.errors import RequestError
from propkit.identifiers import Apn


def check_whole(name: str, value: object, most: int | None = None) -> int:
    """Return a whole number from 1 up, or up to ``most``.

    Raises
    ------
    RequestError
        It is none.
    """
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not is_whole or not 1 <= value <= (value if most is None else most):  # type: ignore[operator]
        reach = "up" if most is None else f"to {most}"
        raise RequestError(f"{name} must be a whole number from 1 {reach}, not {value!r}")
    return int(value)  # type: ignore[call-overload, no-any-return]


def check_path(name: str, value: object) -> Path:
    """Return a path, with a home folder filled in.

    Raises
    ------
    RequestError
        It is none.
    """
    given: Any = value
    if not isinstance(os.fspath(given) if isinstance(given, os.PathLike) else given, str):
        raise RequestError(f"{name} must be a text or a Path, not {value!r}")
    return Path(given).expanduser()


def check_callable(name: str, value: Any) -> Any:
    """Return a function.

    Raises
    ------
    RequestError
        It cannot be called.
    """
    if not callable(value):
        raise RequestError(f"{name} must be a function, not {value!r}")
    return value


def choose_listener(progress: Any) -> Any:
    """Return what is to hear of progress, None where that is only to be shown, or not even that.

    Raises
    ------
    RequestError
        It is neither True nor False, nor a function.
    """
    if isinstance(progress, bool):
        return None
    return check_callable("progress, where it is not True or False,", progress)


def check_query(value: object) -> str:
    """Return what is searched for as text; an APN may be given as such, or as a number.

    Raises
    ------
    RequestError
        It is none of these.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | Apn):
        raise RequestError(f"query must be a text or an APN, not {value!r}")
    return str(value)


def check_flag(name: str, value: object) -> None:
    """Refuse what is neither True nor False.

    Raises
    ------
    RequestError
        It is another value, which would count as one of them.
    """
    if not isinstance(value, bool):
        raise RequestError(f"{name} must be True or False, not {value!r}")
