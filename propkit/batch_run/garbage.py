"""Python's search for cycles of dead objects, made rarer while a batch runs.

An item leaves some forty objects behind, which go by themselves once it is stored. To look through
all of them at every 700, as is usual, takes an eighth of the collector's time, and finds nothing.
"""

from __future__ import annotations

import gc
import threading

NEW_OBJECTS = 10_000
"""So many more objects than were let go, and the youngest are looked through."""


class RareSearches:
    """A context in which cycles are looked for more rarely, in the whole process.

    It may be entered by several threads; the last to leave restores what was set. Whoever has set
    a rarer search, or none, keeps it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._uses = 0
        self._before = self._set = (0, 0, 0)

    def __enter__(self) -> None:
        with self._lock:
            self._uses += 1
            if self._uses > 1:
                return
            self._before = self._set = gc.get_threshold()
            if 0 < self._before[0] < NEW_OBJECTS:
                self._set = (NEW_OBJECTS, *self._before[1:])
                gc.set_threshold(*self._set)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._uses -= 1
            if not self._uses and gc.get_threshold() == self._set:
                gc.set_threshold(*self._before)


RARE_SEARCHES = RareSearches()
