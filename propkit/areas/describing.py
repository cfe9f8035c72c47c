"""What a layer that is not known yet holds, as a person reads and uses it."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from propkit.errors import RequestError
from propkit.layers.describing import SURE, Proposal, propose
from propkit.layers.facts import LayerField
from propkit.layers.fields import write_field

if TYPE_CHECKING:
    import pandas as pd

FRAME_COLUMNS = ("column", "field", "confidence", "is_mapped", "why", "sample")


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerDescription:
    """What a layer says of itself, and which of its fields may be which columns.

    ``proposals`` has the best field of each column, the surest first, ``others`` what else could
    be meant; ``all_fields`` is every field of the layer.
    """

    url: str
    kind: str
    title: str
    licence: str | None
    page_size: int
    can_page: bool
    all_fields: tuple[str, ...]
    proposals: tuple[Proposal, ...]
    others: tuple[Proposal, ...]

    @property
    def fields(self) -> dict[str, Any]:
        """The map of fields, of the columns that are sure; the rest is for you to add."""
        return {one.column: write_field(one.field) for one in self.proposals if one.is_sure}

    @property
    def doubtful(self) -> tuple[Proposal, ...]:
        """The columns that are not mapped, since their field is not sure."""
        return tuple(one for one in self.proposals if not one.is_sure)

    def frame(self) -> pd.DataFrame:
        """Return one row a proposal, mapped or not: column, field, confidence, why, a sample."""
        import pandas as pd

        rows = [
            (p.column, p.field.names[0], p.confidence, p in self.proposals and p.is_sure, p.why,
             " | ".join(p.sample))
            for p in (*self.proposals, *self.others)
        ]  # fmt: skip
        return pd.DataFrame(rows, columns=list(FRAME_COLUMNS))

    def toml(self, name: str, county: str) -> str:
        """Return the lines for propkit.toml that make the layer a source.

        Parameters
        ----------
        name
            The source's name.
        county
            Lower case, with the state's letters: ``"bexar_tx"``.

        Raises
        ------
        RequestError
            No field is surely the APN: say so yourself, by writing the line.
        """
        if "apn" not in self.fields:
            candidates = [
                p.field.names[0] for p in (*self.doubtful, *self.others) if p.column == "apn"
            ]
            raise RequestError(
                f"which field is the APN is not sure; it may be {', '.join(candidates) or 'any'}:"
                " write the lines yourself, with fields.apn"
            )
        lines = [f"[sources.{name}]", f"kind = {_quote(self.kind)}", f"url = {_quote(self.url)}"]
        lines.append(f"county = {_quote(county)}")
        if self.licence:
            lines.append(f"licence = {_quote(self.licence)}")
        lines += ["", f"[sources.{name}.fields]"]
        lines += [f"{column} = {_value(given)}" for column, given in self.fields.items()]
        lines += [
            f"# not sure: {one.column} = {_value(write_field(one.field))}  ({one.confidence:.0%})"
            for one in self.doubtful
        ]
        return "\n".join(lines) + "\n"

    def __str__(self) -> str:
        """Return the proposals in lines, the doubtful ones marked."""
        lines = [
            f"Layer {self.title!r}, {len(self.all_fields)} fields, {self.page_size} rows a page",
            f"  licence: {self.licence or 'not said'}",
        ]
        for one in self.proposals:
            sign = " " if one.is_sure else "?"
            lines.append(
                f"{sign} {one.column:<18} {one.field.names[0]:<28} {one.confidence:>4.0%}  {one.why}"
            )
        if self.doubtful:
            lines.append(f"  ? below {SURE:.0%}: not mapped unless you say so")
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<pre style='white-space: pre-wrap'>{html.escape(str(self))}</pre>"


def make_description(said: Mapping[str, Any]) -> LayerDescription:
    """Return the description that the place's answer comes to."""
    fields = [LayerField(name=name, kind=kind, alias=alias) for name, kind, alias in said["fields"]]
    best, others = propose(fields, said["rows"])
    return LayerDescription(
        url=said["url"],
        kind=said["kind"],
        title=said["title"],
        licence=said["licence"],
        page_size=said["page_size"],
        can_page=said["can_page"],
        all_fields=tuple(field.name for field in fields),
        proposals=tuple(best),
        others=tuple(others),
    )


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _value(given: Any) -> str:
    if isinstance(given, Mapping):
        inside = ", ".join(f"{name} = {_value(value)}" for name, value in given.items())
        return f"{{ {inside} }}"
    return json.dumps(given, ensure_ascii=False)
