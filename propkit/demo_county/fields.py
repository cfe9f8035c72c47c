"""Fields that an answer can be made to lose: JSON keys, and columns or labels of the pages."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiohttp import web

FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "assessor": (
        "PropertyType", "PropertyAddress", "PropertyDescription", "MCR", "SectionTownshipRange",
        "LotSize", "SubdivisionName", "LocalJusidiction", "ElementarySchoolDistrict",
        "HighSchoolDistrict", "TaxAreaCode", "PropertyUseCode", "PEPropUseDesc", "IsRental", "Geo",
        "Owner", "Ownership", "InCareOf", "MailingAddress1", "MailingCity", "MailingState",
        "MailingZip", "MostCurrentDeed", "DeedDate", "DeedType", "SaleDate", "SalePrice",
        "Valuations", "TaxYear", "FullCashValue", "LimitedPropertyValue",
        "LegalClassificationCode", "LegalClassification", "AssessmentRatioPercentage",
        "AssessedFCV", "AssessedLPV", "ValuationSource", "NoticeOfChangeIndc",
        "ResidentialPropertyData", "ConstructionYear", "OriginalConstructionYear", "LivableSpace",
        "Detached_Livable_sqft", "Pool", "ImprovementQualityGrade", "NumberOfCoveredPatios",
        "NumberOfUncoveredPatios", "PatioType", "ExteriorWalls", "RoofType", "BathFixtures",
        "Cooling", "Heating", "NumberOfGarages", "NumberOfCarports", "ParkingType",
        "PhysicalCondition", "AssessorMarket", "AreaNeighborhood",
    ),
    "treasurer": (
        "Tax Year", "Status", "Assessed Tax", "Amount Due", "Note", "Tax Paid", "Total Due",
        "Activity", "Amount", "Paid By", "Date",
    ),
    "recorder": (
        "names", "documentCodes", "recordingDate", "recordingNumber", "pageAmount", "docketBook",
        "pageMap", "restricted",
    ),
}  # fmt: skip
"""By system: JSON keys, at whatever depth; at the treasurer what heads a column or labels an
amount of the tax-due block."""

WAYS: Final = ("absent", "blank")
"""How a field is lost: the key, column or label is gone, or it stands there without a value."""

_ROW: Final = re.compile(r"(<tr\b[^>]*>)(.*?)(</tr>)", re.DOTALL)
_CELL: Final = re.compile(r"(<t[hd]\b[^>]*>)(.*?)(</t[hd]>)", re.DOTALL)
_LABELLED: Final = re.compile(
    r"(<(?:li|td)>(?:\d{4} )?)([A-Z][A-Za-z ]+)(:</(?:li|td)><(?:li|td)>)(.*?)(</(?:li|td)>)"
)


def lose_field(answer: web.Response, field: str, how: str) -> None:
    """Take a field out of a true answer; one that does not have it stays as it is."""
    text = answer.text
    if not text:
        return
    if answer.content_type == "application/json":
        body = _without_key(json.loads(text), field, how)
        answer.text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    elif answer.content_type == "text/html":
        table = re.compile(r"<table\b.*?</table>", re.DOTALL)
        text = table.sub(lambda match: _without_column(match[0], field, how), text)
        answer.text = _LABELLED.sub(_lose_label(field, how), text)


def _without_key(value: Any, field: str, how: str) -> Any:
    if isinstance(value, list):
        return [_without_key(one, field, how) for one in value]
    if not isinstance(value, dict):
        return value
    kept: dict[str, Any] = {}
    for key, one in value.items():
        if key != field:
            kept[key] = _without_key(one, field, how)
        elif how == "blank":
            kept[key] = type(one)() if isinstance(one, str | list | dict) else None
    return kept


def _without_column(table: str, field: str, how: str) -> str:
    heads = re.findall(r"<th>(.*?)</th>", table)
    if field not in heads:
        return table
    place = heads.index(field)

    def lose(row: re.Match[str]) -> str:
        cells = [match[0] for match in _CELL.finditer(row[2])]
        if len(cells) != len(heads):  # a remark over the whole width
            return row[0]
        if how == "absent":
            del cells[place]
        elif "<th>" not in cells[place]:
            cells[place] = _CELL.sub(r"\1\3", cells[place])
        return f"{row[1]}{''.join(cells)}{row[3]}"

    return _ROW.sub(lose, table)


def _lose_label(field: str, how: str) -> Callable[[re.Match[str]], str]:
    def lose(match: re.Match[str]) -> str:
        if match[2] != field:
            return match[0]
        return "" if how == "absent" else f"{match[1]}{match[2]}{match[3]}{match[5]}"

    return lose
