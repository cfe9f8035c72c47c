"""Panels without their thread: a test presses, turns, and reads what a person would see."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from propkit.widgets.panel import Panel

if TYPE_CHECKING:
    from propkit.widgets.faces import Block

SECONDS = 60.0
BEGIN = Panel.begin
"""As it is where no test stands in its way: the panel lives in its thread."""


def press(panel: Panel, action: str, **form: Any) -> None:
    """Press a button, with what stands in the form, and look."""
    panel.turn((action, {}, form))


def turn_until(panel: Panel, is_so: Callable[[], object]) -> None:
    """Look again and again until something is so."""
    deadline = time.monotonic() + SECONDS
    panel.turn(None)
    while not is_so():
        assert time.monotonic() < deadline, texts(panel)
        time.sleep(0.05)
        panel.turn(None)


def blocks(panel: Panel) -> Iterator[Block]:
    """Return all blocks of a panel, those inside of others too."""
    yield from _inside(panel.face.view["blocks"])


def _inside(given: list[Block]) -> Iterator[Block]:
    for block in given:
        yield block
        yield from _inside(block.get("blocks", []))


def find(panel: Panel, key: str) -> Block | None:
    """Return the block of a key."""
    return next((block for block in blocks(panel) if block.get("key") == key), None)


def button(panel: Panel, action: str) -> Block | None:
    """Return the button of an action."""
    found = (one for one in blocks(panel) if one["kind"] == "button" and one["action"] == action)
    return next(found, None)


def actions(panel: Panel, key: str) -> list[str]:
    """Return what can be pressed in the block of a key."""
    block = find(panel, key)
    inside = _inside(block["blocks"]) if block else ()
    return [one["action"] for one in inside if one["kind"] == "button"]


def facts(panel: Panel, key: str) -> dict[str, str]:
    """Return the names and values in the block of a key."""
    block = find(panel, key)
    inside = _inside(block["blocks"]) if block else ()
    return {name: value for one in inside if one["kind"] == "facts" for name, value in one["facts"]}


def texts(panel: Panel) -> list[str]:
    """Return all texts and titles of a panel."""
    return [one.get("text") or one.get("title") or "" for one in blocks(panel)]
