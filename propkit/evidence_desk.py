"""What a kit shows of failures: a part of :class:`propkit.Kit`, which has it among its methods."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, overload

from propkit.errors import IdentifierError, RequestError
from propkit.identifiers import Apn
from propkit.items import Item
from propkit.store import Reading
from propkit.store.batches import read_head
from propkit.store.evidence import Evidence, read_evidence
from propkit.store.statistics import Failure

if TYPE_CHECKING:
    import pandas as pd

_MOST_SHOWN = 20


class Exhibits(Sequence[Evidence]):
    """What was to be seen when items failed, the newest first; a notebook shows the pictures."""

    def __init__(self, found: Sequence[Evidence]) -> None:
        self._found = tuple(found)

    @overload
    def __getitem__(self, index: int) -> Evidence: ...
    @overload
    def __getitem__(self, index: slice) -> Exhibits: ...
    def __getitem__(self, index: int | slice) -> Evidence | Exhibits:
        """Return one, or some of them."""
        found = self._found[index]
        return found if isinstance(found, Evidence) else Exhibits(found)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._found)

    def __iter__(self) -> Iterator[Evidence]:
        """Go through them."""
        return iter(self._found)

    def frame(self) -> pd.DataFrame:
        """Return one row each: the columns of :class:`Evidence`, with Arrow dtypes."""
        import pandas as pd

        columns = list(Evidence.__dataclass_fields__)
        rows = [[getattr(one, name) for name in columns] for one in self._found]
        frame = pd.DataFrame(rows, columns=columns)
        frame["console"] = ["\n".join(lines) for lines in frame["console"]]
        return frame.convert_dtypes(dtype_backend="pyarrow")

    def save(self, folder: str | Path) -> list[Path]:
        """Write each page (.html) and picture (.jpg) into a folder; return the files' paths."""
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        paths = []
        for number, one in enumerate(self._found, start=1):
            name = f"{number:03d}-{one.source}-{''.join(c for c in one.key if c.isalnum())[:40]}"
            for suffix, content in ((".html", one.html), (".jpg", one.screenshot)):
                if content:
                    paths.append(place / f"{name}{suffix}")
                    paths[-1].write_bytes(content)
        return paths

    def __str__(self) -> str:
        """Return a line or more for each."""
        if not self._found:
            return "No failed item left anything to be seen."
        return "\n".join(_describe(one) for one in self._found)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        parts = []
        for one in self._found[:_MOST_SHOWN]:
            parts.append(f"<pre style='white-space: pre-wrap'>{html.escape(_describe(one))}</pre>")
            if one.screenshot:
                data = base64.b64encode(one.screenshot).decode()
                parts.append(
                    f"<img alt='the page at {html.escape(one.url, quote=True)}'"
                    f" style='max-width: 40em; border: 1px solid' src='data:image/jpeg;base64,{data}'>"
                )
        if len(self._found) > _MOST_SHOWN:
            parts.append(f"<p>… and {len(self._found) - _MOST_SHOWN} more; see .frame()</p>")
        return "".join(parts) or f"<p>{html.escape(str(self))}</p>"


def _describe(one: Evidence) -> str:
    status = "no answer" if one.status is None else f"HTTP {one.status}"
    kept = f"{len(one.html):,} bytes kept" + (", a screenshot" if one.screenshot else "")
    lines = [
        f"{one.source} {one.key} in batch {one.batch_id}: {one.failure_class}: {one.error}",
        f"  {status} at {one.url}, {one.seen_at:%Y-%m-%d %H:%M:%S} UTC; {kept}",
    ]
    return "\n".join([*lines, *(f"  console: {line}" for line in one.console)])


class OfItem(Protocol):
    """What says of which item it is: a row of a frame of items, as pandas gives it."""

    source: str
    key: str


class EvidenceKit(Protocol):
    """What showing evidence needs of a kit."""

    @property
    def store(self) -> Reading:
        """The store."""
        ...


class EvidenceDesk:
    """The method of a kit that shows what was to be seen when items failed."""

    def evidence(
        self: EvidenceKit, what: OfItem | Item | Failure | Apn | str | int = "last"
    ) -> Exhibits:
        """Return what was to be seen when items failed: page, address, console, screenshot.

        Of each failed item the answer or the page is kept, with its address and status; where a
        browser was asked, also a screenshot (of the first 20 failures of a kind in a run) and
        what the page's console complained of.

        Parameters
        ----------
        what
            A batch by its id or number, or ``"last"``; an item, such as ``report.failures`` has,
            or a row of ``report.failures_frame()`` or ``batch.items()``; an APN: in every batch.

        Raises
        ------
        RequestError
            There is no such batch, and it is no APN.
        """
        store = self.store
        if not isinstance(what, str | int | Apn):
            if not (hasattr(what, "source") and hasattr(what, "key")):
                raise RequestError(f"no batch, item or APN: {what!r:.80}")
            where, of = "i.source = $1 AND i.key = $2", [what.source, what.key]
            return Exhibits(read_evidence(store, where, of))
        try:
            apn = what if isinstance(what, Apn) else None
            batch_id = "" if isinstance(what, Apn) else read_head(store, what).batch_id
        except RequestError as error:
            try:
                apn, batch_id = Apn(str(what)), ""
            except IdentifierError:
                raise error from None
        if apn is None:
            return Exhibits(read_evidence(store, "i.batch_id = $1", [batch_id]))
        where = "(i.apn = $1 OR i.key = $1)"
        return Exhibits(read_evidence(store, where, [apn.canonical]))
