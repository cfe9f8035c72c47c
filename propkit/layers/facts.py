"""What a layer says of itself, in one form for every kind of layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerField:
    """A field as the layer describes it; ``kind`` is text, number, date, id, shape or other."""

    name: str
    kind: str
    alias: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerFacts:
    """What the layer's own description says.

    ``page_size`` is the most rows of one answer. ``can_page`` says that it counts offsets; where
    it does not, rows are asked for by ranges of ``object_id``, the field that numbers them.
    """

    title: str
    fields: tuple[LayerField, ...]
    page_size: int
    can_page: bool
    object_id: str | None
    has_shapes: bool
    licence: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The fields' names."""
        return tuple(field.name for field in self.fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The rows of one answer: attributes, shapes beside them, the fields' names.

    ``is_cut`` means that the layer says it has more. ``ids`` number the rows.
    """

    rows: tuple[Row, ...]
    shapes: tuple[object, ...]
    names: tuple[str, ...]
    ids: tuple[str, ...]
    is_cut: bool = False
