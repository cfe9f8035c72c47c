"""What panels need of a kit, so that they need not know it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakSet

from propkit.plan import Plan
from propkit.runtime.batch import Batch
from propkit.runtime.statistics import Statistics
from propkit.settings import Settings
from propkit.sources import SourceConfig
from propkit.store import Reading

if TYPE_CHECKING:
    import pandas as pd

    from propkit.widgets.panel import Panel


class PanelKit(Protocol):
    """A kit as panels see it; the methods are those of :class:`propkit.Kit`."""

    settings: Settings
    sources: Mapping[str, SourceConfig]

    @property
    def panels(self) -> WeakSet[Panel]:
        """The panels of the kit, which each joins when it begins."""
        ...

    @property
    def store(self) -> Reading:
        """The store."""
        ...

    @property
    def is_closed(self) -> bool:
        """Whether it was closed."""
        ...

    @property
    def is_paused(self) -> bool:
        """Whether collecting in the background is stopped."""
        ...

    def search(self, query: str, by: str = "owner") -> pd.DataFrame:
        """Search the roll."""
        ...

    def plan(self, parcels: object, **options: Any) -> Plan:
        """Say what a batch would do."""
        ...

    def start(self, parcels: object, **options: Any) -> Batch:
        """Start a batch."""
        ...

    def batch(self, batch: str | int = "last") -> Batch:
        """Return a batch."""
        ...

    def hand_over(self) -> None:
        """Let a worker process run the batches."""
        ...

    def unpause(self) -> None:
        """Collect in the background again."""
        ...

    def statistics(self, batch: str | int | None = None) -> Statistics:
        """Return figures."""
        ...

    def to_excel(
        self,
        path: str | os.PathLike[str],
        frames: Iterable[str] | Mapping[str, Any] | None = None,
        *,
        tell: Callable[[str], object] | None = None,
    ) -> Path:
        """Write a workbook."""
        ...
