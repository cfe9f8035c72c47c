"""Kept answers: which pages make up what a source answered about a key.

The pages of one answer stand side by side in ``fetches``: a page of the same name begins the next.
What a reading of them changes is told by :mod:`propkit.store.comparing`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from propkit.pages import Page
from propkit.store.reading import Reading

FAILED_SUFFIX: Final = " (failed)"
"""What the name of a page ends in that failed its item."""

KEYS_AT_ONCE: Final = 2000
_KEPT: Final = (
    "FROM fetches f LEFT JOIN items i USING (batch_id, source, key)"
    " LEFT JOIN batch_heads b USING (batch_id)"
    " WHERE f.source = $1 AND coalesce(b.kind, '') NOT IN (SELECT unnest($2))"
)
_OTHER_KINDS = ("validation", "search")
_READ = ("done", "not_found", "skipped")
_UNREAD = ("layout_changed", "invalid_answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptAnswer:
    """What a source once answered about a key.

    ``pages`` have no bodies yet; ``digests`` are theirs, in their order. ``was_read``: a parser
    has read it then, said so whether there is such a key (None: not known any more), and left out
    the tables ``missing``.
    """

    key: str
    apn: str | None
    pages: tuple[Page, ...]
    digests: tuple[str, ...]
    was_read: bool
    was_found: bool | None
    missing: tuple[str, ...]

    @property
    def at(self) -> datetime:
        """When it came, aware UTC."""
        return max(page.fetched_at for page in self.pages)


def iter_kept(
    store: Reading, source: str, at_once: int = KEYS_AT_ONCE
) -> Iterator[dict[str, list[KeptAnswer]]]:
    """Yield the answers of a source by key, newest first, that a parser may be able to read.

    So many keys are held at once, in their order, however many there are. Left out are answers to
    validations and searches, and those of items that failed for another reason than that they
    could not be read.
    """
    last: str | None = None
    while True:
        keys = store.table(
            f"SELECT DISTINCT f.key {_KEPT} AND ($3::VARCHAR IS NULL OR f.key > $3::VARCHAR)"
            f" ORDER BY f.key LIMIT {int(at_once)}",
            [source, list(_OTHER_KINDS), last],
        )["key"].to_pylist()
        if not keys:
            return
        yield find_answers(store, source, keys)
        last = keys[-1]


def find_answers(store: Reading, source: str, keys: Sequence[str]) -> dict[str, list[KeptAnswer]]:
    """Return the answers to some keys, which are all there are between the first and the last."""
    rows = store.table(
        "SELECT f.key, f.apn, f.page, f.url, f.status, f.content_type, f.fetched_at, f.sha256,"
        f" f.batch_id, i.state, i.failure_class, i.missing {_KEPT}"
        " AND f.key BETWEEN $3 AND $4 ORDER BY f.key, f.rowid",
        [source, list(_OTHER_KINDS), keys[0], keys[-1]],
    ).to_pylist()
    found: dict[str, list[KeptAnswer]] = {}
    group: list[dict[str, Any]] = []
    for row in [*rows, None]:
        if group and (row is None or _begins_another(group, row)):
            # Of several tries in one batch the item's state is that of the last.
            is_last = row is None or (row["key"], row["batch_id"]) != _whose(group)
            if (answer := _make_answer(group, is_last=is_last)) is not None:
                found.setdefault(answer.key, []).insert(0, answer)
            group = []
        if row is not None:
            group.append(row)
    return found


def add_bodies(answer: KeptAnswer, bodies: Mapping[str, bytes]) -> tuple[Page, ...] | None:
    """Return the pages with their bodies; None where one was pruned."""
    if any(digest not in bodies for digest in answer.digests):
        return None
    return tuple(
        replace(page, body=bodies[digest])
        for page, digest in zip(answer.pages, answer.digests, strict=True)
    )


# --- which pages belong together --------------------------------------------------------------


def _whose(group: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    return group[0]["key"], group[0]["batch_id"]


def _begins_another(group: Sequence[Mapping[str, Any]], row: Mapping[str, Any]) -> bool:
    names = {one["page"].removesuffix(FAILED_SUFFIX) for one in group}
    return (row["key"], row["batch_id"]) != _whose(group) or (
        row["page"].removesuffix(FAILED_SUFFIX) in names
    )


def _make_answer(group: Sequence[Mapping[str, Any]], *, is_last: bool) -> KeptAnswer | None:
    first = group[0]
    # The rows of items may be gone, with their batch.
    was_read = is_last and first["state"] in (*_READ, None)
    if not (was_read or (is_last and first["failure_class"] in _UNREAD)):
        return None
    return KeptAnswer(
        key=first["key"],
        apn=first["apn"],
        pages=tuple(
            Page(
                name=row["page"],
                url=row["url"],
                fetched_at=row["fetched_at"],
                status=row["status"],
                content_type=row["content_type"],
                body=b"",
            )
            for row in group
        ),
        digests=tuple(row["sha256"] for row in group),
        was_read=was_read,
        was_found=None if first["state"] is None else first["state"] != "not_found",
        missing=tuple(first["missing"] or ()),
    )
