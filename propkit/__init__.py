"""propkit: from a messy list of parcels to tables and a workbook.

The flow, and the rooms that hold it::

    identifiers ─▶ plan ─▶ items ─▶ ask a source ─▶ read the answer ─▶ keep ─▶ look
    identifiers.py plan.py items.py pace.py          sources/          store/  frames.py
                                    http_client.py                             excel.py
                                    browsing/                                  charts.py

``collector.py`` and ``batch_run/`` run it, ``traffic.py`` is what all batches of a store share,
``runtime/`` says where, ``sharing/`` lets other processes use the store that this one holds,
``worker/`` is a process that runs batches for notebooks, ``server/`` is the REST API, ``widgets/``
are the panels that a notebook shows, and ``kit.py`` is what it holds. ``asking.py`` is what asking
by HTTP and through a browser share. ``reparsing.py`` reads kept answers again,
``explaining.py`` says where a value comes from, ``lookups.py`` and ``document_codes.py`` what else
the offices can be asked. ``buying.py`` pays for leads within
caps, ``leads/`` counts them first, orders them and settles what got lost. ``layers/`` reads map
layers of any county, ``areas/`` counts and collects what lies in an area of one. ``posting/`` goes
the other way: from a listing sheet through one of ``posters/`` to a site, and the status back::

    import propkit as pk

    kit = pk.demo()                      # or pk.open("maricopa.duckdb")
    report = kit.collect(["132-38-011A", "13238012.0"])
    kit.frame("parcels")
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from propkit.errors import PropkitError
    from propkit.identifiers import Apn
    from propkit.kit import Kit
    from propkit.nested_loops import allow_nested_loops
    from propkit.opening import demo, open  # noqa: A004
    from propkit.plan import Plan
    from propkit.posting import PostingReport, post_listings, run_batch
    from propkit.progress import Progress
    from propkit.runtime.batch import Batch
    from propkit.runtime.report import BatchReport
    from propkit.settings import Settings

__version__ = "0.1.0"

__all__ = [
    "Apn",
    "Batch",
    "BatchReport",
    "Kit",
    "Plan",
    "PostingReport",
    "Progress",
    "PropkitError",
    "Settings",
    "__version__",
    "allow_nested_loops",
    "demo",
    "open",
    "post_listings",
    "run_batch",
]

# A log line from the collector's thread would land in whatever cell runs.
logging.getLogger("propkit").addHandler(logging.NullHandler())

# pandas, duckdb and aiohttp cost seconds to import; each room is loaded when first used.
_ROOMS = {
    "Apn": "propkit.identifiers",
    "Batch": "propkit.runtime.batch",
    "BatchReport": "propkit.runtime.report",
    "Kit": "propkit.kit",
    "Plan": "propkit.plan",
    "PostingReport": "propkit.posting",
    "Progress": "propkit.progress",
    "PropkitError": "propkit.errors",
    "Settings": "propkit.settings",
    "allow_nested_loops": "propkit.nested_loops",
    "demo": "propkit.opening",
    "open": "propkit.opening",
    "post_listings": "propkit.posting",
    "run_batch": "propkit.posting",
}


def __getattr__(name: str) -> object:
    if name not in _ROOMS:
        message = f"module 'propkit' has no attribute {name!r}"
        raise AttributeError(message)
    value = getattr(importlib.import_module(_ROOMS[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
