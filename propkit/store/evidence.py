"""What was to be seen when items failed, read back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from propkit.store.reading import Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was to be seen when an item failed.

    ``html`` is the page as the browser had it, else the answer as it came, b"" where none was
    kept; ``screenshot`` a JPEG, None without a browser; ``console`` what the page complained of.
    ``seen_at`` is aware UTC.
    """

    batch_id: str
    source: str
    key: str
    apn: str | None
    failure_class: str | None
    error: str | None
    url: str
    status: int | None
    seen_at: datetime
    console: tuple[str, ...]
    html: bytes
    screenshot: bytes | None


def read_evidence(store: Reading, where: str, params: Sequence[Any]) -> list[Evidence]:
    """Return the evidence of failed items that a condition on ``i`` (items) chooses, newest first."""
    rows = store.rows(
        "SELECT e.*, i.apn, i.failure_class, i.error FROM evidence e"
        " JOIN items i USING (batch_id, source, key)"
        f" WHERE i.state = 'failed' AND {where} ORDER BY e.seen_at DESC, e.source, e.key",
        params,
    )
    bodies = store.bodies({row["sha256"] for row in rows if row["sha256"]})
    return [
        Evidence(
            **{name: value for name, value in row.items() if name not in {"sha256", "console"}},
            html=bodies.get(row["sha256"], b""),
            console=tuple(row["console"] or ()),
        )
        for row in rows
    ]
