"""An opt-in for cells that call ``asyncio.run(...)`` in a notebook. propkit itself never needs it."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Final

# The second one is what newer kernels bring; it keeps the cells that wait.
_PACKAGES: Final = ("nest_asyncio2", "nest_asyncio")


def allow_nested_loops() -> str:
    """Let a notebook's own cells call ``asyncio.run(...)``; return the name of what allows it.

    Collecting needs none of this: it has a thread and a loop of its own, and ``await batch`` works
    in every cell. What it costs: while such a cell runs, buttons of panels do not answer, and with
    the older ``nest_asyncio`` cells that wait behind it may be lost. It cannot be taken back
    without a restart of the kernel.
    """
    name = next(name for name in _PACKAGES if importlib.util.find_spec(name) is not None)
    importlib.import_module(name).apply()
    return name
