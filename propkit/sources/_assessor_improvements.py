"""Reading what stands on a commercial parcel: the assessor's improvements.

The one-call answer may carry them, else a section of their own does. A house has none: what is to
be said of it stands among its residential details.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from propkit.errors import LayoutChangedError
from propkit.pages import Page
from propkit.record_block import Row, row_maker
from propkit.records import Improvement, column_names
from propkit.sources._base import Payload, read_int
from propkit.sources._layouts import (
    Shape,
    code,
    coded_value,
    find_layout,
    page_fields,
    read_fields,
    text,
    value,
)
from propkit.sources._readers import is_empty, read_apn, read_area

IMPROVEMENTS_KEY: Final = "improvements"
"""The section, and the key of the one-call answer, in lower case."""

_SHAPE: Final = Shape(
    code("improvement_number", "ImprovementNumber"),
    text("description", "ImprovementDescription"),
    value("area_sqft", "ImprovementSquareFootage", read=read_area),
    coded_value("effective_age_years", "EffectiveAge", read=read_int),
    code("quality_rank", "QualityRank"),
    code("model", "Model"),
    code("cci", "CCI"),
)
_ROW: Final = row_maker(Improvement, "apn", *_SHAPE.names)
_NUMBER: Final = column_names(Improvement).index("improvement_number")


def lacks_improvements(pages: Iterable[Page]) -> bool:
    """Whether their section is still to be asked for: no answer carries them or tells of a house.

    What an answer of another kind means is for the reader to say.
    """
    said: dict[str, Any] = {}
    for page in pages:
        if page.name in {"parcel", "residential-details"}:
            answer = page.json()
            if isinstance(answer, dict):
                keys = page_fields(page).layout.key_of
                if IMPROVEMENTS_KEY in keys:
                    return False
                said |= {key: answer[name] for key, name in keys.items()}
    house = said.get("residentialpropertydata")
    if isinstance(house, dict):
        keys = find_layout(tuple(house)).key_of
        said |= {key: house[name] for key, name in keys.items()}
    return IMPROVEMENTS_KEY not in said and said.get("livablespace") in (None, "", "0", 0)


def find_improvements(payload: Payload) -> Any:
    """Return what a payload holds of improvements, from their section or from the one call."""
    section = payload.page(IMPROVEMENTS_KEY)
    if section is not None:
        return section.json()
    whole = payload.page("parcel")
    return None if whole is None else page_fields(whole).get(IMPROVEMENTS_KEY)


def read_improvements(answer: Any, apn: str) -> tuple[tuple[Row, ...], frozenset[str]]:
    """Read the buildings as rows, and name the columns that no key of some of them stands for."""
    if is_empty(answer):
        return (), frozenset()
    if not isinstance(answer, list):
        raise LayoutChangedError(f"improvements: expected a list, got {type(answer).__name__}")
    found: dict[str, Row] = {}
    unsaid = frozenset[str]()
    for row in answer:
        fields = read_fields(row, "improvements")
        improvement = _ROW((apn, *_SHAPE.read(fields)))
        number: str | None = improvement[_NUMBER]
        if number is None:
            names = sorted(fields.layout.key_of)[:8]
            raise LayoutChangedError(f"improvements: a row without a number: {names}")
        if found.setdefault(number, improvement) != improvement:
            raise LayoutChangedError(f"improvements: {number} stands twice")
        named = fields.get("apn")
        if named is not None and read_apn(named) != apn:
            raise LayoutChangedError(f"improvements: {number} is of {named!r}, not of {apn}")
        unsaid |= _SHAPE.columns - _SHAPE.said(fields.layout)
    return tuple(found.values()), unsaid
