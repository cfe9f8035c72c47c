"""Field coverage as learned: how often a source's answers fill each column."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future

from propkit.store.database import Store
from propkit.store.results import replace_rows

Coverage = Mapping[tuple[str, int], Mapping[str, Mapping[str, tuple[int, int]]]]
"""By (source, parser version), table and column: how many answers there were, and how many
filled the column."""


def read_coverage(store: Store) -> dict[tuple[str, int], dict[str, dict[str, tuple[int, int]]]]:
    """Return all coverage in the shape of :data:`Coverage`; empty when nothing was learned."""
    coverage: dict[tuple[str, int], dict[str, dict[str, tuple[int, int]]]] = {}
    for row in store.rows("FROM coverage ORDER BY ALL"):
        tables = coverage.setdefault((row["source"], row["parser_version"]), {})
        columns = tables.setdefault(row["table_name"], {})
        columns[row["column_name"]] = (row["answers"], row["filled"])
    return coverage


def save_coverage(store: Store, coverage: Coverage) -> Future[None]:
    """Hand coverage to the writer; all rows of each (source, parser version) are replaced.

    The future is done once it is durable; nobody needs to wait for it.
    """
    rows = [
        {
            "source": source,
            "table_name": table,
            "column_name": column,
            "parser_version": parser_version,
            "answers": answers,
            "filled": filled,
        }
        for (source, parser_version), tables in coverage.items()
        for table, columns in tables.items()
        for column, (answers, filled) in columns.items()
    ]
    return store.writer.submit(
        lambda connection: replace_rows(connection, "coverage", rows, "source", "parser_version")
    )
