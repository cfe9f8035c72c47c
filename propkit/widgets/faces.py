"""What a panel shows, in blocks: plain values, made by pure functions and drawn by ``face.js``.

A block is a dict with a ``kind``; ``key`` tells blocks apart that come and go. Texts are texts:
nothing of what a county writes is taken as HTML.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import anywidget
import traitlets

Block = dict[str, Any]
Act = Callable[[str, Mapping[str, Any], Mapping[str, Any]], object]
"""Takes what was pressed, with its arguments, and what stands in the form."""

STALE_SECONDS: Final = 6.0
"""A panel that hears nothing from its kernel for so long says so."""

_HERE = Path(__file__).parent


class Face(anywidget.AnyWidget):
    """Draws a view; ``act`` is called with what a person presses, on the kernel's main thread."""

    # As text: of a file that may change anywidget tells, and so keeps, every widget ever made.
    _esm = (_HERE / "face.js").read_text("utf-8")
    _css = "".join((_HERE / name).read_text("utf-8") for name in ("status_grid.css", "face.css"))

    view = traitlets.Dict().tag(sync=True)

    def __init__(self, act: Act, name: str) -> None:
        self._act = act
        super().__init__(view=make_view([], label=name))
        self.add_class(f"propkit-{name}")
        self.on_msg(self._take)

    def show(self, view: Mapping[str, Any]) -> None:
        """Show another view; one that is the same is not sent."""
        if view != self.view:
            self.view = dict(view)

    def beat(self) -> None:
        """Tell the page that the kernel lives."""
        self.send({"type": "beat"})

    def notify(self, title: str, text: str) -> None:
        """Have the browser tell the person, where she allows it."""
        self.send({"type": "notify", "title": title, "text": text})

    def _take(self, _: object, content: Mapping[str, Any], __: object) -> None:
        if content.get("type") != "action" or not isinstance(content.get("action"), str):
            return
        self.send({"type": "answered", "number": content.get("number")})
        args, form = content.get("args"), content.get("form")
        self._act(
            content["action"],
            args if isinstance(args, dict) else {},
            form if isinstance(form, dict) else {},
        )


def make_view(blocks: Iterable[Block], *, label: str, is_over: bool = False) -> dict[str, Any]:
    """Return a view; one that is over offers nothing any more."""
    return {
        "label": label,
        "blocks": list(blocks),
        "is_over": is_over,
        "stale_seconds": STALE_SECONDS,
    }


def row(*blocks: Block, key: str | None = None) -> Block:
    """Return blocks side by side."""
    return _block("row", key, blocks=list(blocks))


def box(
    title: str,
    *blocks: Block,
    tone: str = "grey",
    key: str | None = None,
    role: str | None = None,
    escape: str | None = None,
    css: str = "",
) -> Block:
    """Return blocks in a frame; ``escape`` is the action of the key Escape."""
    given = {"title": title, "tone": tone, "role": role, "escape": escape, "css": css}
    return _block("box", key, **given, blocks=list(blocks))


def details(title: str, *blocks: Block, key: str | None = None) -> Block:
    """Return blocks that are shown when asked for."""
    return _block("details", key, title=title, blocks=list(blocks))


def text(
    words: str, *, tone: str = "plain", look: str = "", css: str = "", is_live: bool = False
) -> Block:
    """Return a text; ``look`` is strong, faint or code; a live one is read aloud."""
    return _block("text", None, text=words, tone=tone, look=look, css=css, is_live=is_live)


def button(
    label: str,
    action: str,
    *,
    look: str = "plain",
    is_disabled: bool = False,
    title: str = "",
    args: Mapping[str, Any] | None = None,
    rest: Mapping[str, str] | None = None,
    label_long: str | None = None,
) -> Block:
    """Return a button: ``look`` is primary, danger or plain.

    ``rest`` is what the page asks Jupyter's server (method, path) where the kernel is busy.
    """
    given = {"label": label, "action": action, "look": look, "is_disabled": is_disabled}
    given |= {"title": title, "args": dict(args or {}), "label_long": label_long}
    given |= {"css": f"propkit-do-{action}", "rest": dict(rest) if rest else None}
    return _block("button", None, **given)


def field(name: str, label: str, value: str, *, action: str, placeholder: str = "") -> Block:
    """Return a line to write in; Enter is the action."""
    given = {"name": name, "label": label, "value": value, "action": action}
    return _block("input", None, **given, placeholder=placeholder, css=f"propkit-{name}")


def select(
    name: str,
    label: str,
    value: str,
    options: Sequence[tuple[str, str]],
    *,
    action: str | None = None,
) -> Block:
    """Return a choice of one; ``options`` are values and labels."""
    choices = [list(option) for option in options]
    return _block(
        "select", None, name=name, label=label, value=value, options=choices, action=action
    )


def check(
    name: str, label: str, *, value: bool, action: str | None = None, title: str = ""
) -> Block:
    """Return a choice of yes or no."""
    return _block("check", None, name=name, label=label, value=value, action=action, title=title)


def bar(
    label: str, *, word: str, tone: str, value: int, most: int, numbers: str = "", css: str = ""
) -> Block:
    """Return a bar with a word beside its colour."""
    given = {"label": label, "word": word, "tone": tone, "value": value, "max": most}
    return _block("bar", None, **given, numbers=numbers, css=css)


def facts(pairs: Iterable[tuple[str, str]]) -> Block:
    """Return names and values, one pair a line."""
    return _block("facts", None, facts=[list(pair) for pair in pairs])


def table(
    label: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    key: str | None = None,
    numbers: Sequence[int] = (),
) -> Block:
    """Return a small table; a cell is a text, a block or several blocks.

    ``numbers`` are the columns, counted from 0, that are read from the right.
    """
    given = {"label": label, "columns": list(columns), "numbers": list(numbers)}
    return _block("table", key, **given, rows=[list(each) for each in rows])


def link(words: str, url: str) -> Block:
    """Return a link that opens in a tab of its own."""
    return _block("link", None, text=words, url=url)


def notify_switch() -> Block:
    """Return the button by which a person lets the browser tell her of ends."""
    return _block("notify", None)


def _block(kind: str, key: str | None, **given: Any) -> Block:
    return {"kind": kind, **({"key": key} if key else {}), **given}
