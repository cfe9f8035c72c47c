"""What a kit does with the county's own systems: a part of :class:`propkit.Kit`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from propkit.errors import RequestError
from propkit.sharing.place import Place
from propkit.sources import SourceConfig

if TYPE_CHECKING:
    import pandas as pd


class CountyKit(Protocol):
    """What dealing with the county's systems needs of a kit."""

    sources: Mapping[str, SourceConfig]

    @property
    def _place(self) -> Place: ...


class CountyDesk:
    """The methods of a kit that deal with the county's own systems."""

    def reparse(self: CountyKit, source: str, *, apply: bool = False) -> pd.DataFrame:
        """Read a source's kept answers again with the present parser, without any request.

        The newest answer of each key is read; an older one where that lacks a table or cannot
        be read. What a later answer has stored stays as it is.

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
            There is no such source.
        StoreError
            The store cannot be written.
        """
        if source not in self.sources:
            raise RequestError(f"no source {source!r}; expected one of {', '.join(self.sources)}")
        self._place.flush()
        return self._place.reparse(self.sources[source].source, apply=apply)
