"""What all panels share: a thread of their own, errors that are shown, a sign of life."""

from __future__ import annotations

import logging
import queue
import threading
from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import ipywidgets

from propkit.errors import PropkitError
from propkit.widgets.faces import Block, Face, box, button, make_view, row, text
from propkit.widgets.panel_kit import PanelKit

log = logging.getLogger(__name__)

BEAT_SECONDS: Final = 2.0
_LAST_SECONDS: Final = 2.0
"""How long a kit that is closed waits for a panel, which may wait for a slow county."""

Pressed = tuple[str, Mapping[str, Any], Mapping[str, Any]]
"""What was pressed: action, arguments, form."""


class _PanelMeta(type(ipywidgets.VBox), ABCMeta):  # type: ignore[misc]
    """A widget's class that cannot be made before all that it has to do is said."""


class Panel(ipywidgets.VBox, metaclass=_PanelMeta):  # type: ignore[misc]
    """A panel that is rebuilt from the store, four times a second at most.

    What a person presses is done in the panel's thread, so that the kernel stays free; what goes
    wrong with it is shown in the panel. It ends with the kit, or with :meth:`close`.
    """

    def __init__(self, name: str, label: str, *, kit: PanelKit, seconds: float) -> None:
        self.kit = kit
        self.label = label
        self.error: str | None = None
        self._seconds = seconds
        self._actions: queue.SimpleQueue[Pressed | threading.Event | None] = queue.SimpleQueue()
        self._is_ended = threading.Event()
        self.face = Face(lambda *pressed: self._actions.put(pressed), name)
        self.faces = [self.face]
        """All that tells that the kernel lives, and ends with the panel."""
        super().__init__([self.face])
        self._name = name

    def begin(self) -> None:
        """Show the panel as it is and start to follow what happens."""
        self.turn(None)
        self.kit.panels.add(self)
        for work, name in ((self._live, self._name), (self._beat, f"{self._name}-beat")):
            threading.Thread(target=work, name=f"propkit-{name}", daemon=True).start()

    def close(self) -> None:
        """Follow no longer; what runs goes on. The kernel forgets all that the panel was made of."""
        self.kit.panels.discard(self)
        self._is_ended.set()
        self._actions.put(None)
        for part in _parts(self):
            part.close()
        super().close()

    def look_last(self) -> None:
        """Show all that has happened until now: afterwards the kit is closed. Not for ever."""
        is_shown = threading.Event()
        self._actions.put(is_shown)
        is_shown.wait(_LAST_SECONDS)

    def look_anew(self) -> None:
        """Have the next :meth:`follow` look at everything, however short ago it last did."""

    @abstractmethod
    def act(self, action: str, args: Mapping[str, Any], form: Mapping[str, Any]) -> None:
        """Do what was pressed."""

    @abstractmethod
    def follow(self) -> None:
        """Look what has happened."""

    @abstractmethod
    def blocks(self) -> list[Block]:
        """Return what is to be seen now."""

    def turn(self, pressed: Pressed | None) -> None:
        """Do what was pressed (action, arguments, form), look, and show what is to be seen."""
        try:
            if pressed is not None:
                self.error = None
                if pressed[0] != "forget_error":
                    self.act(*pressed)
            self.follow()
            blocks = self.blocks()
        except Exception as error:
            if self.kit.is_closed:
                return  # it was closed meanwhile: that is what the next turn says
            said = _explain(error)
            if said != self.error and not isinstance(error, PropkitError):
                log.exception("a panel failed")
            self.error = said
            blocks = [block for block in self.face.view["blocks"] if block.get("key") != "error"]
        shown = [*blocks, *self._error_blocks()]
        self.face.show(make_view(shown, label=self.label))

    def do_apart(self, do: Callable[[], object], on_failure: Callable[[], object]) -> None:
        """Do in a thread what takes a while, so that the panel lives on; a failure is shown."""

        def work() -> None:
            try:
                do()
            except Exception as error:  # noqa: BLE001 -- shown in the panel
                on_failure()
                self.error = _explain(error)

        threading.Thread(target=work, name=f"propkit-{self._name}-apart", daemon=True).start()

    def _live(self) -> None:
        while not self._is_ended.is_set():
            try:
                pressed = self._actions.get(timeout=self._seconds)
            except queue.Empty:
                pressed = None
            if self._is_ended.is_set():
                return
            if self.kit.is_closed:
                self._show_end()
                return
            if isinstance(pressed, threading.Event):
                self.look_anew()
                self.turn(None)
                pressed.set()
            else:
                self.turn(pressed)

    def _beat(self) -> None:
        """Tell the page that the kernel lives, also while the panel waits for a slow county."""
        while not self._is_ended.wait(BEAT_SECONDS) and not self.kit.is_closed:
            for face in self.faces:
                face.beat()

    def _error_blocks(self) -> list[Block]:
        if self.error is None:
            return []
        words = text(self.error, tone="red", css="propkit-error")
        shut = button("Close", "forget_error")
        return [
            box("Something went wrong", words, row(shut), tone="red", key="error", role="alert")
        ]

    def _show_end(self) -> None:
        said = text("The kit is closed: this is how it was.", look="faint")
        self.face.show(make_view([*self.face.view["blocks"], said], label=self.label))
        for face in self.faces:
            face.show({**face.view, "is_over": True})

    def _repr_mimebundle_(self, **options: Any) -> Any:
        data = super()._repr_mimebundle_(**options)
        data["text/plain"] = f"{self.label}: it lives in a notebook with a browser only."
        return data


def _explain(error: Exception) -> str:
    """Return what a person is told of an error: propkit's own say what happened in words."""
    return str(error) if isinstance(error, PropkitError) else f"{type(error).__name__}: {error}"


def _parts(widget: ipywidgets.DOMWidget) -> Iterator[ipywidgets.Widget]:
    """Give what a widget is made of: to close it closes nothing else."""
    yield widget.layout
    for child in getattr(widget, "children", ()):
        yield child
        yield from _parts(child)
