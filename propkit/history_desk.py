"""What a kit tells of the history of values: a part of :class:`propkit.Kit`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from propkit.errors import RequestError
from propkit.explaining import explain_value
from propkit.identifiers import Apn, parse_identifier
from propkit.kinds import HOME_COUNTY
from propkit.records import RECORD_TYPES
from propkit.sharing.place import Place
from propkit.sources import Sources
from propkit.store import Reading
from propkit.store.history import find_moment, read_changes

if TYPE_CHECKING:
    import pandas as pd


class HistoryKit(Protocol):
    """What the history of values needs of a kit."""

    sources: Sources

    @property
    def store(self) -> Reading:
        """The store."""
        ...

    @property
    def _place(self) -> Place: ...


class HistoryDesk:
    """The methods of a kit that tell what has changed, and why a value is what it is."""

    def changes(
        self: HistoryKit,
        since: object = "last batch",
        *,
        apn: str | Apn | None = None,
        table: str | None = None,
        county: str | None = None,
    ) -> pd.DataFrame:
        """Return what has changed in the records, value by value, the newest last.

        Parameters
        ----------
        since
            ``"last batch"`` (since the last batch that collects records was made), the id or
            number of a batch, a moment (``"2026-11-22"``, a date, a datetime; without a zone it
            is UTC), or None: everything.
        apn, table, county
            Of this parcel, this table, this county only.

        Returns
        -------
        DataFrame
            A range index and :data:`propkit.store.history.CHANGES`: apn, table, row (what tells
            apart the rows of one parcel, such as a tax year), column, old, new (both text; absent
            is NA), source, changed_at (UTC, when the answer came), county, batch_id (of what was
            changed or removed), kind.
            ``kind`` is ``changed``, ``removed`` (the row went: a source lists it no more) or
            ``added`` (it came about a parcel that was known before). What is collected for the
            first time is no change.

        Raises
        ------
        RequestError
            There is no such batch, moment or table.
        """
        if table is not None and table not in RECORD_TYPES:
            raise RequestError(f"no table {table!r}; expected one of {', '.join(RECORD_TYPES)}")
        self._place.flush()
        return read_changes(
            self.store,
            find_moment(self.store, since),
            apn=None if apn is None else _canonical(apn),
            county=county,
            tables=tuple(RECORD_TYPES) if table is None else (table,),
        )

    def explain(
        self: HistoryKit,
        apn: str | Apn,
        column: str,
        *,
        table: str | None = None,
        county: str = HOME_COUNTY,
    ) -> pd.DataFrame:
        """Say where a value comes from, what it was before, and what other sources say of it.

        Parameters
        ----------
        column
            Such as ``"owner_name"``; in each table that has it, unless ``table`` is given.

        Returns
        -------
        DataFrame
            A range index and :data:`propkit.explaining.EXPLANATION`, one row a statement: what
            stands now, what other sources' kept answers say, read now, and what stood before.
            ``said_at`` is when the answer came that said so last, with its addresses (``urls``),
            its bodies (``sha256s``), the batch that asked, and the version of the parser that
            has read it.

        Raises
        ------
        RequestError
            No table has such a column.
        """
        self._place.flush()
        return explain_value(
            self.store, self.sources, _canonical(apn), column, county=county, table=table
        )


def _canonical(apn: str | Apn) -> str:
    if isinstance(apn, Apn):
        return apn.canonical
    if not isinstance(apn, str):
        raise RequestError(f"an APN is a text, not {apn!r}")
    found = parse_identifier(apn)
    return found.apn.canonical if found.apn is not None and found.is_valid else apn
