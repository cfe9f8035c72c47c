"""What a kit does with what is stored: a part of :class:`propkit.Kit`, which has its methods."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from propkit.durations import NEVER, parse_duration, parse_moment
from propkit.errors import RequestError
from propkit.frames import table_frame
from propkit.given import check_flag, check_path
from propkit.runtime.statistics import Statistics, make_statistics
from propkit.sharing.place import Place
from propkit.store import Reading
from propkit.store.batches import read_head
from propkit.store.quality import Quality, read_quality
from propkit.store.retention import Pruning
from propkit.store.snapshots import check_target, move_draft
from propkit.terms import Terms
from propkit.workbooks import write_store

if TYPE_CHECKING:
    import pandas as pd


class StoreKit(Protocol):
    """What looking at the store needs of a kit."""

    @property
    def store(self) -> Reading:
        """The store."""
        ...

    @property
    def _place(self) -> Place: ...


class StoreDesk:
    """The methods of a kit that read, export and tend the store."""

    def frame(
        self: StoreKit, name: str, *, as_of: object = None, float_money: bool = False
    ) -> pd.DataFrame:
        """Return a table as a DataFrame; see :mod:`propkit.frames` for columns and dtypes.

        Parameters
        ----------
        as_of
            A moment: a datetime, or ``"2026-11-22"``; without a zone it is UTC. The records are
            as they stood then, in the same columns; ``collected_at`` is when an answer said so
            last, and where a later one says the same, when one said so first.
        float_money
            Float64 in place of exact decimals.

        Raises
        ------
        RequestError
            There is no such frame, no history of it, or no such moment.
        """
        moment = None if as_of is None else parse_moment(as_of)
        return table_frame(
            self.store, name, as_of=moment, float_money=float_money, terms=_terms(self._place)
        )

    def sql(
        self: StoreKit, query: str, params: Sequence[Any] | Mapping[str, Any] | None = None
    ) -> pd.DataFrame:
        """Return the answer to one SQL query (DuckDB's dialect) as a DataFrame.

        Raises
        ------
        RequestError
            The SQL is wrong, or would write: the store is written by batches only.
        """
        if not isinstance(query, str):
            raise RequestError(f"a query is a text, not {query!r}")
        if not isinstance(params, Iterable | None) or isinstance(params, str):
            raise RequestError(
                f"params must be a list of values, or values by name, not {params!r}"
            )
        return self.store.query(query, params)

    def to_excel(
        self: StoreKit,
        path: str | os.PathLike[str],
        frames: Iterable[str] | Mapping[str, Any] | None = None,
        *,
        changes: object = None,
        tell: Callable[[str], object] | None = None,
    ) -> Path:
        """Write a workbook, one sheet a table, and return its path.

        Where a parcel that was asked for is not in it, or not in full, the second sheet says so:
        ``not_collected``, which :meth:`frame` gives as well. It has what failed, was not found, is
        partial or still waits, and identifiers that were not usable; of a parcel that was collected
        since, nothing. Your own DataFrames are written as they are.

        Parameters
        ----------
        path
            Ends in .xlsx; an existing file is replaced.
        frames
            Names of frames, or DataFrames by sheet name; None is every record table, with persons
            of leads and layers where there are any.
        changes
            Add a sheet of what has changed since then; what :meth:`changes` takes.
        tell
            Called with a line that counts what is not in it; None: it is written to stderr.

        Raises
        ------
        ExportError, RequestError
            The file cannot be written; there is no such frame.
        """
        book = write_store(path, self.store, _terms(self._place), frames, changes=changes)
        if book.left_out and tell is not None:
            tell(book.left_out)
        elif book.left_out:
            sys.stderr.write(f"{book.left_out}\n")
        return book.path

    def statistics(self: StoreKit, batch: str | int | None = None) -> Statistics:
        """Return success rates, seconds an item, cache hits, paces and store timings.

        ``batch`` is the id or number of one batch, or ``"last"``; None: all of them.
        """
        batch_id = None if batch is None else read_head(self.store, batch).batch_id
        place = self._place
        return make_statistics(self.store, batch_id, place.rates(), place.figures())

    def quality(self: StoreKit) -> Quality:
        """Return how good what is stored is, without asking any office.

        What fills each column, by source; how old it is; which parcels and documents their source
        does not know, or knows no more; which answers were not whole.
        """
        self._place.flush()
        return read_quality(self.store)

    def prune(self: StoreKit, older_than: Any, *, apply: bool = False) -> Pruning:
        """Say what of kept answers and logs would be freed; ``apply=True`` frees it.

        Records and their history, the newest answer of each page, and batches stay. ``older_than`` is a duration,
        e.g. ``"90d"``.
        """
        check_flag("apply", apply)
        if (age := parse_duration(older_than)) == NEVER:
            raise RequestError(f"nothing is older than {older_than!r}; expected e.g. '90d'")
        return self._place.prune(age, apply=apply)

    def snapshot(self: StoreKit, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write a consistent copy for other tools, also while batches run; return its path.

        An existing file is replaced only where ``overwrite`` is set; else it is a RequestError.
        """
        target = check_target(check_path("path", path), self.store.path, overwrite=overwrite)
        return move_draft(self._place.draft_snapshot(), target)


def _terms(place: Place) -> list[Terms]:
    return [source.terms for source in place.sources.values()]
