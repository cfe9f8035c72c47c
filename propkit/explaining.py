"""Where a value comes from: what is stored, what was stored before, what other sources say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from propkit.errors import RequestError
from propkit.kinds import HOME_COUNTY
from propkit.records import RECORD_TYPES, column_names
from propkit.reparsing import read_newest
from propkit.sources import SourceConfig
from propkit.store import Reading
from propkit.store.history import label_row, read_raw_changes, read_values

if TYPE_CHECKING:
    import pandas as pd

NOW: Final = "now"
BEFORE: Final = "before"
OTHER: Final = "another source"


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A value that a source has stated, and the answer that it was read from.

    ``standing`` is ``now``, ``before`` or ``another source``. It stood from ``since`` to ``until``
    (aware UTC) and was answered last at ``said_at``. ``urls`` and ``sha256s`` are of the answer's
    pages, as far as they are known; ``batch_id`` is the batch that asked for them.
    """

    table: str
    row: str
    column: str
    value: str | None
    standing: str
    source: str
    since: datetime | None = None
    until: datetime | None = None
    said_at: datetime | None = None
    parser_version: int | None = None
    urls: tuple[str, ...] = ()
    sha256s: tuple[str, ...] = ()
    batch_id: str | None = None


EXPLANATION: Final = tuple(field.name for field in fields(Statement))
"""The columns of an explanation."""


def explain_value(
    store: Reading,
    sources: Mapping[str, SourceConfig],
    apn: str,
    column: str,
    *,
    county: str = HOME_COUNTY,
    table: str | None = None,
) -> pd.DataFrame:
    """Return what is known of a parcel's value, as :meth:`propkit.Kit.explain` does.

    Raises
    ------
    RequestError
        No table of records has such a column.
    """
    tables = [
        name
        for name, kind in RECORD_TYPES.items()
        if table in (None, name) and column in column_names(kind) and column not in kind.identity
    ]
    if not tables:
        where = "no table" if table is None else f"the table {table!r} does not"
        raise RequestError(f"{where} has a column {column!r} that could be explained")
    statements: list[Statement] = []
    for name in tables:
        stored = list(_read_stored(store, name, apn, column, county))
        answers = _Answers(store, apn, name, stored)
        statements += [answers.add(one) for one in stored]
        told = {one.source for one in stored if one.standing == NOW}
        others = {
            source: config
            for source, config in sources.items()
            if source not in told
            and config.source.county == county
            and name in config.source.provides
        }
        statements += _ask_others(store, others, name, apn, column)
    return _as_frame(statements)


def _as_frame(statements: Sequence[Statement]) -> pd.DataFrame:
    import pandas as pd

    order = {NOW: 0, OTHER: 1, BEFORE: 2}
    ordered = sorted(
        statements,
        key=lambda one: (
            one.table,
            one.row,
            order[one.standing],
            -(one.until.timestamp() if one.until else 0),
            one.source,
        ),
    )
    data = zip(*map(astuple, ordered), strict=True) if ordered else [[] for _ in EXPLANATION]
    frame = pd.DataFrame(dict(zip(EXPLANATION, map(list, data), strict=True)))
    times = dict.fromkeys(("since", "until", "said_at"), "timestamp[us, tz=UTC][pyarrow]")
    texts = ("table", "row", "column", "value", "standing", "source", "batch_id")
    return frame.astype(
        {**times, **dict.fromkeys(texts, "string[pyarrow]"), "parser_version": "int64[pyarrow]"}
    )


def _read_stored(
    store: Reading, table: str, apn: str, column: str, county: str
) -> Iterator[Statement]:
    """Return what a table says of a parcel now, and said before, row by row."""
    now = read_values(store, table, column, apn, county)
    changes = read_raw_changes(store, table, apn, county)
    for key in sorted({*now, *changes}, key=str):
        yield from _go_back(table, column, key, now.get(key), changes.get(key, []))


def _go_back(
    table: str,
    column: str,
    identity: tuple[str | None, ...],
    now: Mapping[str, Any] | None,
    versions: Sequence[Mapping[str, Any]],
) -> Iterator[Statement]:
    """Return what one row says in a column, and each other thing it said, the newest first."""
    told: Statement | None = None
    row = label_row(table, identity)
    if now is not None:
        told = Statement(
            table=table,
            row=row,
            column=column,
            value=now["value"],
            standing=NOW,
            source=now["source"],
            since=now["since"],
            said_at=now["collected_at"],
        )
    for version in versions:
        old: Mapping[str, str | None] = version["old"]
        before = "" if told is None else told.source
        is_another = version["is_removed"] or told is None or {column, "source"} & old.keys()
        if is_another:
            if told is not None:
                yield told
            value = old.get(column)
            if column not in old and told is not None and not version["is_removed"]:
                value = told.value
            told = Statement(
                table=table,
                row=row,
                column=column,
                value=value,
                standing=BEFORE,
                source=old.get("source") or before,
                since=version["old_started_at"],
                until=version["changed_at"],
                said_at=version["old_collected_at"],
            )
        elif told is not None:
            told = replace(told, since=version["old_started_at"])
    if told is not None:
        yield told


class _Answers:
    """The kept answers that a table's rows of one parcel may have been read from."""

    def __init__(
        self, store: Reading, apn: str, table: str, statements: Sequence[Statement]
    ) -> None:
        moments = [one.said_at for one in statements if one.said_at is not None]
        self._found: dict[tuple[str, datetime], list[dict[str, Any]]] = {}
        rows = store.rows(
            "SELECT source, batch_id, key, url, sha256, parser_version, max(fetched_at) OVER"
            " (PARTITION BY source, batch_id, key) AS at FROM fetches WHERE apn = $1 OR key = $1"
            " OR fetched_at IN (SELECT unnest($2)) ORDER BY rowid",
            [apn, moments],
        )
        for row in rows:
            self._found.setdefault((row["source"], row["at"]), []).append(row)
        # A value that was read again has its newer parser there.
        self._reread = {
            row["changed_at"]: row["parser_version"]
            for row in store.rows(
                "SELECT changed_at, parser_version FROM reparse_changes"
                " WHERE apn = $1 AND table_name = $2",
                [apn, table],
            )
        }

    def add(self, one: Statement) -> Statement:
        """Return a statement with its answer; as it is where none is known."""
        pages = self._found.get((one.source, one.said_at)) if one.said_at is not None else None
        if not pages:
            return one
        parser = pages[0]["parser_version"]
        return replace(
            one,
            parser_version=self._reread.get(one.since, parser) if one.since else parser,
            urls=tuple(page["url"] for page in pages),
            sha256s=tuple(page["sha256"] for page in pages),
            batch_id=pages[0]["batch_id"],
        )


def _ask_others(
    store: Reading,
    others: Mapping[str, SourceConfig],
    table: str,
    apn: str,
    column: str,
) -> Iterator[Statement]:
    """Read what other sources have answered about the parcel, from what is kept of it."""
    for name, config in others.items():
        source = config.source
        read = read_newest(store, source, apn)
        if read is None:
            continue
        for record in read.records:
            if record.table != table or getattr(record, "apn", None) != apn:
                continue
            identity = [getattr(record, each) for each in record.identity]
            value = getattr(record, column)
            yield Statement(
                table=table,
                row=label_row(table, [None if each is None else str(each) for each in identity]),
                column=column,
                value=None if value is None else str(value),
                standing=OTHER,
                source=name,
                said_at=read.answer.at,
                parser_version=source.parser_version,
                urls=tuple(page.url for page in read.answer.pages),
                sha256s=read.answer.digests,
                batch_id=None,
            )
