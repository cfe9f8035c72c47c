"""How good what is stored is: what fills the columns, how old it is, what offices do not know."""

from __future__ import annotations

import html
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final

from propkit.records import RECORD_TYPES, Record
from propkit.store.reading import Reading

if TYPE_CHECKING:
    import pandas as pd

_RARE: Final = 0.05
_MOST_NAMED: Final = 8

_LAST: Final = """
    SELECT source, key, max(checked_at) AS checked_at, arg_max(is_found, checked_at) AS is_found,
        arg_max(missing, checked_at) AS missing
    FROM freshness GROUP BY source, key"""
"""What each source has said last of each key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """How good what is stored is; each frame has a range index and Arrow dtypes.

    ``tables``: table, source, rows, oldest and newest (``collected_at``, UTC). ``columns``: table,
    source, column, rows, filled (rows in which it is not absent) and share (0 to 1).
    ``not_found``: what its source said last that it does not know: source, key, checked_at (UTC,
    when it said so), and of a parcel that it once knew not_found_since (UTC), owner_name and
    situs_address as they were last. ``incomplete``: source, key, checked_at and the tables that
    are missing of its last answer.
    """

    tables: pd.DataFrame
    columns: pd.DataFrame
    not_found: pd.DataFrame
    incomplete: pd.DataFrame

    def __str__(self) -> str:
        """Return it in lines: a table and source each, then what is not known or not whole."""
        lines = [self._describe(row) for row in self.tables.itertuples()]
        lost = self.not_found["not_found_since"].notna()
        for source, some in self.not_found.groupby("source", sort=True):
            line = f"{source}: {len(some):,} not found"
            known = int(lost[some.index].sum())
            lines.append(line + (f", {known:,} of them known before" if known else ""))
        for source, some in self.incomplete.groupby("source", sort=True):
            lines.append(f"{source}: {len(some):,} with tables missing")
        return "\n".join(lines) or "Nothing is stored."

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<pre style='white-space: pre-wrap'>{html.escape(str(self))}</pre>"

    def _describe(self, row: object) -> str:
        table, source, rows = (getattr(row, name) for name in ("table", "source", "rows"))
        oldest, newest = (f"{getattr(row, name):%Y-%m-%d}" for name in ("oldest", "newest"))
        when = oldest if oldest == newest else f"{oldest} to {newest}"
        of = self.columns
        of = of[(of["table"] == table) & (of["source"] == source)]
        line = f"{table} of {source}: {rows:,} rows, collected {when}"
        empty = list(of.loc[of["filled"] == 0, "column"])
        rare = list(of.loc[(of["filled"] > 0) & (of["share"] < _RARE), "column"])
        for names, what in ((empty, "always absent"), (rare, f"in less than {_RARE:.0%}")):
            if names:
                more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
                line += f"; {what}: {', '.join(names[:_MOST_NAMED])}{more}"
        return line


def read_quality(store: Reading) -> Quality:
    """Return how good what is stored is, from the store alone."""
    kinds = list(RECORD_TYPES.values())
    return Quality(
        tables=store.frame(
            " UNION ALL ".join(
                f'SELECT {place} AS place, \'{kind.table}\' AS "table", source, count(*) AS "rows",'
                " min(collected_at) AS oldest, max(collected_at) AS newest"
                f" FROM {kind.table} GROUP BY source"
                for place, kind in enumerate(kinds)
            )
            + " ORDER BY place, source"
        ).drop(columns="place"),
        columns=store.frame(
            'SELECT "table", source, "column", "rows", filled, filled / "rows" AS share FROM ('
            + " UNION ALL ".join(_count(place, kind) for place, kind in enumerate(kinds))
            + ") ORDER BY place, source, number"
        ),
        not_found=store.frame(
            "SELECT l.source, l.key, l.checked_at, p.not_found_since, p.owner_name, p.situs_address"
            f" FROM ({_LAST}) l LEFT JOIN parcels p ON p.source = l.source AND p.apn = l.key"
            " WHERE NOT l.is_found ORDER BY l.source, l.key"
        ),
        incomplete=store.frame(
            f"SELECT source, key, checked_at, missing FROM ({_LAST})"
            " WHERE is_found AND len(missing) > 0 ORDER BY source, key"
        ),
    )


def _count(place: int, kind: type[Record]) -> str:
    """Return how to count the rows that fill each column of a table, by source."""
    names, counts = [], []
    for field in fields(kind):
        if field.name in kind.identity or field.name in kind.noted:
            continue
        names.append(f"'{field.name}'")
        is_list = field.default == ()
        column = f'nullif(len("{field.name}"), 0)' if is_list else f'"{field.name}"'
        counts.append(f"count({column})")
    return (
        f'SELECT {place} AS place, \'{kind.table}\' AS "table", source, count(*) AS "rows",'
        f' unnest(range({len(names)})) AS number, unnest([{", ".join(names)}]) AS "column",'
        f" unnest([{', '.join(counts)}]) AS filled FROM {kind.table} GROUP BY source"
    )
