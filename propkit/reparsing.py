"""Reading kept answers again with the present parser, without the network."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from propkit.errors import LayoutChangedError, SourceError
from propkit.pages import Page
from propkit.sources import Parsed, Payload, Source
from propkit.store import Reading, Store
from propkit.store.batches import new_batch_id
from propkit.store.comparing import DIFFERENCES, Reader, Reread, compare_kept, store_kept
from propkit.store.kept import FAILED_SUFFIX, KeptAnswer, add_bodies, find_answers, iter_kept

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

_AT_ONCE = 400


@dataclass(slots=True)
class _Left:
    """An answer to be read, the older ones of its key, and the tables that are still wanted."""

    answers: Sequence[KeptAnswer]
    tables: frozenset[str] | None = None


def reparse_answers(store: Reading, source: Source) -> pd.DataFrame:
    """Return what the present parser would change, as :func:`propkit.Kit.reparse` does."""

    def compare(read: Sequence[Reread]) -> pd.DataFrame:
        return compare_kept(store, _as_reader(source), read)

    return _reparse(store, source, compare, is_applied=False)


def reparse_and_store(store: Store, source: Source) -> pd.DataFrame:
    """Store what the present parser changes, some hundred answers at once; return it.

    Raises
    ------
    StoreError
        The store cannot be written; what was stored before stays, and the rest is left as it was.
    """
    reparse_id = new_batch_id()

    def write(read: Sequence[Reread]) -> pd.DataFrame:
        return store_kept(store, _as_reader(source), read, reparse_id)

    return _reparse(store, source, write, is_applied=True)


def _as_reader(source: Source) -> Reader:
    return Reader(source.name, source.provides, source.parser_version)


def _reparse(
    store: Reading,
    source: Source,
    write: Callable[[Sequence[Reread]], pd.DataFrame],
    *,
    is_applied: bool,
) -> pd.DataFrame:
    import pandas as pd

    frames: list[pd.DataFrame] = []
    unreadable: dict[str, str] = {}
    keys = count = 0
    for kept in iter_kept(store, source.name):
        left = [_Left(answers) for answers in kept.values()]
        keys += len(left)
        while left:
            older: list[_Left] = []
            for first in range(0, len(left), _AT_ONCE):
                some = left[first : first + _AT_ONCE]
                read = list(_read_answers(store, source, some, older, unreadable))
                count += len(read)
                if read:
                    frames.append(write(read))
            left = older
    empty = pd.DataFrame({name: pd.Series(dtype="string[pyarrow]") for name in DIFFERENCES})
    found = [frame for frame in frames if len(frame)]
    frame = pd.concat(found, ignore_index=True).astype("string[pyarrow]") if found else empty
    order = ["key", "table", "row", "column"]
    frame = frame.sort_values(order, ignore_index=True, kind="stable")
    frame.attrs.update(
        source=source.name,
        parser_version=source.parser_version,
        keys=keys,
        answers=count,
        unreadable=unreadable,
        is_applied=is_applied,
    )
    return frame


def _read_answers(
    store: Reading,
    source: Source,
    some: Sequence[_Left],
    older: list[_Left],
    unreadable: dict[str, str],
) -> Iterator[Reread]:
    """Read answers; what one cannot give is left to the ``older`` ones of its key."""
    bodies = store.bodies({digest for one in some for digest in one.answers[0].digests})
    for one in some:
        answer, rest = one.answers[0], one.answers[1:]
        pages = add_bodies(answer, bodies)
        try:
            if pages is None:  # pruned: only of what is not the newest
                continue
            parsed = _parse(source, answer, pages)
        except SourceError as error:
            unreadable.setdefault(answer.key, str(error))
            if rest:
                older.append(_Left(rest, one.tables))
            continue
        reread = _make_reread(answer, parsed, one.tables)
        missing = {table for table in parsed.missing if reread.is_for(table)}
        if missing and rest:
            older.append(_Left(rest, frozenset(missing)))
        yield reread


def read_newest(store: Reading, source: Source, key: str) -> Reread | None:
    """Return the newest kept answer about a key that can be read; None where there is none."""
    for answer in find_answers(store, source.name, [key]).get(key, []):
        pages = add_bodies(answer, store.bodies(answer.digests))
        if pages is None:
            continue
        try:
            parsed = _parse(source, answer, pages)
        except SourceError:
            continue
        return _make_reread(answer, parsed, None)
    return None


def _make_reread(answer: KeptAnswer, parsed: Parsed, tables: frozenset[str] | None) -> Reread:
    """Return what was read of an answer for some tables (None: for all)."""
    records, emptied = parsed.records, parsed.emptied
    if tables is not None:
        records = [record for record in records if record.table in tables]
        emptied = tuple(empty for empty in emptied if empty.table in tables)
    return Reread(
        answer=answer,
        records=records,
        unsaid=parsed.unsaid,
        is_found=parsed.is_found,
        missing=parsed.missing,
        emptied=emptied,
        answered=parsed.answered,
        tables=tables,
    )


def _parse(source: Source, answer: KeptAnswer, pages: Sequence[Page]) -> Parsed:
    try:
        return source.parse(assemble(source, answer.key, answer.apn, pages))
    except SourceError:
        raise
    except Exception as error:
        log.exception("the parser of %s failed on %s", source.name, answer.key)
        raise LayoutChangedError(f"the parser failed: {error!r}") from error


def assemble(source: Source, key: str, apn: str | None, pages: Sequence[Page]) -> Payload:
    """Put the kept pages of one item together as when it was collected."""
    whole = [page for page in pages if not page.name.endswith(FAILED_SUFFIX)]
    own: Any = getattr(source, "assemble", None)
    if own is not None:
        payload: Payload = own(key, apn, whole)
        return payload
    missing = {
        page.name.removesuffix(FAILED_SUFFIX): f"HTTP {page.status}"
        for page in pages
        if page.name.endswith(FAILED_SUFFIX)
    }
    return Payload(source=source.name, key=key, apn=apn, pages=tuple(whole), missing=missing)


def describe_reparse(frame: pd.DataFrame) -> str:
    """Return what a re-parse found, in a few lines."""
    told: Mapping[Any, Any] = frame.attrs
    verb = "changed" if told["is_applied"] else "would change"
    what = f"{told['answers']:,} kept answers to {told['keys']:,} keys"
    lines = [f"{told['source']}: parser {told['parser_version']} has read {what};"]
    lines[0] += f" {len(frame):,} values {verb}"
    counts = Counter(zip(frame["table"], frame["column"], strict=True))
    lines += [f"  {table}.{column}: {n:,}" for (table, column), n in sorted(counts.items())]
    unreadable: Mapping[str, str] = told["unreadable"]
    lines += [f"  not readable: {key}: {why}" for key, why in list(unreadable.items())[:5]]
    if len(unreadable) > 5:
        lines.append(f"  … and {len(unreadable) - 5:,} more that are not readable")
    return "\n".join(lines)
