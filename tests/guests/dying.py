"""Owners that are lost one after the other, without a process for each."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import propkit as pk
from propkit.sharing.guest import OwnerLostError
from propkit.sharing.here import HerePlace
from propkit.sharing.shared import SharedPlace
from propkit.sources import configure_sources
from propkit.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Dying:
    """An owner that is lost at one call; it may have carried it out, unheard."""

    def __init__(self, here: HerePlace, call: str, *, is_done: bool) -> None:
        self.close = lambda: None
        self._here, self._call, self._is_done = here, call, is_done

    def __getattr__(self, name: str) -> Any:
        return self._die if name == self._call else getattr(self._here, name)

    def _die(self, *given: Any, **more: Any) -> None:
        if self._is_done:
            getattr(self._here, self._call)(*given, **more)
        raise OwnerLostError("killed before it answered")


@contextmanager
def dying_kit(path: Path, settings: pk.Settings) -> Iterator[tuple[pk.Kit, Callable[..., None]]]:
    """Open a kit as a guest has it, and what makes three owners die at a call.

    ``lose("start", is_done=True)``: the first of them carries it out, unheard.
    """
    sources = configure_sources(settings)
    here = HerePlace(Store.open(path), sources, settings)
    next_ones: list[Any] = []
    shared = SharedPlace(here, lambda: next_ones.pop(0))

    def lose(call: str, *, is_done: bool) -> None:
        next_ones.extend([*(Dying(here, call, is_done=False) for _ in range(2)), here])
        shared._place = Dying(here, call, is_done=is_done)  # type: ignore[assignment]

    with pk.Kit(shared, settings, sources) as kit:
        yield kit, lose
        shared._place = here  # which is closed with the kit
