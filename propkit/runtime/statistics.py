"""Statistics over one batch or all of them: sources, hosts, the store."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from propkit.store import Reading
from propkit.store.statistics import (
    HostPace,
    SlowOperation,
    SourceStatistics,
    StoreStatistics,
    host_paces,
    slow_operations,
    source_statistics,
)

if TYPE_CHECKING:
    import pandas as pd

_MOST_SLOW = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """How well collecting goes. Seconds are seconds, rates are requests a second.

    ``rates`` is the pace kept at each host, known or learned; ``store`` the file, its rows and its
    commits; ``slow`` the operations that took longest; ``paces`` how fast each host answered over
    time.
    """

    sources: tuple[SourceStatistics, ...]
    rates: Mapping[str, float]
    store: StoreStatistics
    slow: tuple[SlowOperation, ...]
    paces: tuple[HostPace, ...] = ()

    def frame(self) -> pd.DataFrame:
        """Return one row a source: index source (text).

        Columns: success_rate (0 to 1), seconds_p50, seconds_p95, items_per_second (float64, NaN
        where nothing ran), requests, refused, bytes, fresh, joined (int64).
        """
        import pandas as pd

        shares = ["success_rate", "seconds_p50", "seconds_p95", "items_per_second"]
        counts = ["requests", "refused", "bytes", "fresh", "joined"]
        rows = [[getattr(one, name) for name in [*shares, *counts]] for one in self.sources]
        index = pd.Index([one.source for one in self.sources], name="source", dtype="string")
        frame = pd.DataFrame(rows, index=index, columns=[*shares, *counts])
        return frame.astype({**dict.fromkeys(shares, "float64"), **dict.fromkeys(counts, "int64")})

    def pace_frame(self) -> pd.DataFrame:
        """Return how fast hosts answered over time: host, at (UTC), per_second, refused."""
        import pandas as pd

        columns = list(HostPace.__dataclass_fields__)
        return pd.DataFrame([asdict(one) for one in self.paces], columns=columns)

    def slow_frame(self) -> pd.DataFrame:
        """Return the slowest operations: batch_id, logged_at, message, source, key, seconds."""
        import pandas as pd

        columns = list(SlowOperation.__dataclass_fields__)
        return pd.DataFrame([asdict(one) for one in self.slow], columns=columns)

    def __str__(self) -> str:
        """Return the figures in a few lines."""
        lines = []
        for one in self.sources:
            ended = "nothing ended" if one.success_rate is None else f"{one.success_rate:.1%} well"
            times = "" if one.seconds_p50 is None else f", {one.seconds_p50:.2f} s an item"
            lines.append(
                f"{one.source}: {ended}{times}, {one.requests} requests, {one.refused} refused, "
                f"{one.fresh + one.joined} items without a request"
            )
        lines += [f"{host}: {rate:.2f} requests/s" for host, rate in sorted(self.rates.items())]
        store = self.store
        size = f"{store.path.name}: {store.file_bytes / 1e6:.1f} MB"
        bodies = f"{store.payload_bytes / 1e6:.1f} MB of answers, before compression"
        lines.append(f"{size}; {bodies}")
        if store.commit_seconds_p50 is not None:
            lines.append(
                f"{store.commits} commits, {store.commit_seconds_p50 * 1000:.0f} ms in the middle, "
                f"{(store.commit_seconds_max or 0) * 1000:.0f} ms at most"
            )
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<pre style='white-space: pre-wrap'>{html.escape(str(self))}</pre>"


def make_statistics(
    store: Reading, batch_id: str | None, rates: Mapping[str, float], figures: StoreStatistics
) -> Statistics:
    """Return the figures of one batch, or of all; ``figures`` are those of the file."""
    return Statistics(
        sources=tuple(source_statistics(store, batch_id)),
        rates=dict(rates),
        store=figures,
        slow=tuple(slow_operations(store, batch_id, _MOST_SLOW)),
        paces=tuple(host_paces(store, batch_id)),
    )
