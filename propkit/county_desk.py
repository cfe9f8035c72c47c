"""What a kit does with the county's own systems: a part of :class:`propkit.Kit`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Protocol

from propkit.errors import RequestError
from propkit.frames import deeds_frame, lookup_frame
from propkit.given import check_flag
from propkit.lookups import check_lookup
from propkit.sharing.place import Place
from propkit.sources import Sources
from propkit.store import Reading

if TYPE_CHECKING:
    import pandas as pd


class CountyKit(Protocol):
    """What dealing with the county's systems needs of a kit."""

    sources: Sources

    @property
    def store(self) -> Reading:
        """The store."""
        ...

    @property
    def _place(self) -> Place: ...


class CountyDesk:
    """The methods of a kit that deal with the county's own systems."""

    def look_up(self: CountyKit, what: str, query: str, *, limit: int = 1000) -> pd.DataFrame:
        """Look something up at the assessor, now; nothing is stored.

        Parameters
        ----------
        what
            By a name or words: ``"personal_property"``, ``"mobile_homes"``, ``"rentals"``,
            ``"subdivisions"``. By a number: ``"personal_property_account"`` (``"C-0000370"``, or
            with a year ``"C-0000370-2025"``; C commercial, M multiple, L lessor),
            ``"mobile_home_account"``, ``"mobile_home_of_vin"``, ``"parcels_by_mcr"``,
            ``"parcels_by_section"`` (``"13-01N-04E"``), ``"map_files_by_mcr"``,
            ``"map_files_by_page"`` (book and map, ``"304-77"``). Of one APN: ``"map_files"``,
            ``"rental_registration"``, ``"improvements"``, ``"similar_parcels"``, ``"sketches"``.
        query
            What to look for.
        limit
            Most rows; ``frame.attrs`` has ``total`` and ``is_complete``.

        Returns
        -------
        DataFrame
            A range index and the columns of :data:`propkit.lookups.LOOKUPS`; areas in square
            feet, money in USD.

        Raises
        ------
        RequestError
            There is nothing of that name, or the query cannot be used.
        SourceError
            The office does not answer; see :mod:`propkit.errors`.
        """
        return _look_up(self._place, what, {"query": query}, limit)

    def documents(
        self: CountyKit,
        name: str,
        *,
        since: date | str | None = None,
        until: date | str | None = None,
        code: str | None = None,
        limit: int = 2000,
    ) -> pd.DataFrame:
        """Search the recorder's index by a party's name, now; nothing is stored.

        Parameters
        ----------
        name
            ``"SMITH JOHN"``, ``"DE LA CRUZ, ANA"`` or a business, as the recorder writes it.
        since, until
            The days of recording, the last included; without them all.
        code
            A code of :data:`propkit.document_codes.DOCUMENT_CODES` that the recorder can be asked
            for, by its label or its two letters.
        limit
            Most rows; ``frame.attrs`` has ``total`` and ``is_complete``. More than 501 are asked
            for by parts, which costs more requests.

        Returns
        -------
        DataFrame
            One row a party of a document, by day: recording_number, suffix, recorded_on, name,
            document_code, has_more_codes, document_kind (deed, deed_of_trust, ...),
            docket_book, docket_page. The index knows no APN, so a namesake's are among them.

        Raises
        ------
        RequestError
            The name is empty, the days are none, or the code cannot be asked for.
        InvalidAnswerError
            The recorder has ignored a filter.
        SourceError
            The recorder does not answer; see :mod:`propkit.errors`.
        """
        given = {"name": name, "since": since, "until": until, "code": code}
        texts = {key: str(value) for key, value in given.items() if value is not None}
        return _look_up(self._place, "documents", texts, limit)

    def deeds(self: CountyKit) -> pd.DataFrame:
        """Return stored deeds with their declared prices: :func:`propkit.frames.deeds_frame`."""
        return deeds_frame(self.store)

    def reparse(self: CountyKit, source: str, *, apply: bool = False) -> pd.DataFrame:
        """Read a source's kept answers again with the present parser, without any request.

        The newest answer of each key is read; an older one where that lacks a table or cannot
        be read. What a later answer has stored stays as it is.

        The store becomes what it would be had the answer been read so when it came: rows that are
        not read in it any more, or that it says there are none of, go into the history. Two things
        stay: a value of a column about which the answer now says nothing, and the end of what an
        older answer had said, where a wrong reading had put an end to it.

        Parameters
        ----------
        source
            The name of a source, such as ``"maricopa_treasurer"``.
        apply
            Store what differs. Records keep the time of their answer; each difference goes to the
            table ``reparse_changes``, with the parser's version and the moment.

        Returns
        -------
        DataFrame
            One row a value that differs, a range index: key, apn, table, row (what tells apart
            the rows of one parcel, such as a tax year), column, old, new; all text, absent is NA.
            ``frame.attrs`` has ``answers`` (read), ``keys``, ``parser_version``, ``is_applied``
            and ``unreadable`` (why, by key).

        Raises
        ------
        RequestError
            There is no such source, or ``apply`` is neither True nor False.
        StoreError
            The store cannot be written.
        """
        if source not in self.sources:
            raise RequestError(f"no source {source!r}; expected one of {', '.join(self.sources)}")
        check_flag("apply", apply)
        self._place.flush()
        return self._place.reparse(self.sources[source].source, apply=apply)


def _look_up(place: Place, what: str, given: Mapping[str, str], limit: int) -> pd.DataFrame:
    if limit < 1:
        raise RequestError(f"nothing to look up: limit {limit!r}")
    found = place.look_up(check_lookup(what), given, limit)
    frame = lookup_frame(what, found.rows)
    frame.attrs.update(total=found.total, is_complete=found.is_complete)
    return frame
