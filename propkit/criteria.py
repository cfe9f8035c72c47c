"""The search that selects leads: checked here, by name and value, before the leads API sees it.

Criteria are written as an analyst thinks of them::

    {
        "City": ["MESA", "GILBERT"],
        "AVM": (300_000, None),  # from 300,000 up; a list of such pairs: any of them
        "isSameMailingOrExempt": False,
        "LastTransferRecDate": ("2023-01-01", date(2024, 6, 30)),
        "PropertyType": ["SFR", "CND"],
    }

or as the API has them, ``[{"name": "City", "value": ["MESA"]}]``. All names must fit; of the values
of one name any.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

from propkit.errors import RequestError

_TEXTS: Final = (
    "APN", "AdvancedPropertyType", "Address", "City", "FirstLoanType", "FirstPurpose",
    "FirstRateType", "ForeclosureStage", "LastTransferType", "Owner", "OwnershipType", "RadarID",
    "Subdivision",
)  # fmt: skip
_NUMBERS: Final = (
    "AVM", "AnnualTaxes", "AssessedValue", "AvailableEquity", "Baths", "Beds", "CLTV",
    "DaysOnMarket", "DefaultAmount", "DelinquentAmount", "DelinquentYear", "DistressScore",
    "EquityPercent", "EstimatedTaxRate", "FirstAmount", "FirstRate", "FirstTermInYears",
    "LastTransferValue", "ListingPrice", "LotSize", "LotSizeAcres", "NumberLoans", "SecondAmount",
    "SqFt", "Stories", "TotalLoanBalance", "Units", "YearBuilt",
)  # fmt: skip
_DATES: Final = ("FirstDate", "ForeclosureRecDate", "LastTransferRecDate", "SaleDate")
_FLAGS: Final = (
    "EmailAvailability", "PhoneAvailability", "Pool", "PropertyHasOpenLiens", "hasRecentEviction",
    "inBankruptcyProperty", "inDivorce", "inForeclosure", "inTaxDelinquency", "isAuction",
    "isBankOwned", "isCashBuyer", "isDeceasedProperty", "isFreeAndClear", "isHighEquity",
    "isListedForSale", "isMailVacant", "isNotSameMailingOrExempt", "isPreforeclosure",
    "isSameMailingOrExempt", "isSiteVacant", "isUnderwater",
)  # fmt: skip

_US_DATE: Final = r"\d{1,2}/\d{1,2}/\d{4}"
_API_DATES: Final = re.compile(
    rf"(?:from: (?P<low>{_US_DATE}))?(?(low) (?=to)|)?(?:to: (?P<high>{_US_DATE}))?"
)
_NESTED: Final = "PropertyType"
_PAIR = 2


@dataclass(frozen=True, slots=True)
class Criteria:
    """Checked criteria: ``entries`` as the API takes them, sorted by name."""

    entries: tuple[Mapping[str, Any], ...]

    @property
    def json(self) -> str:
        """The criteria as one line of JSON, the same for the same search."""
        return json.dumps(list(self.entries), separators=(",", ":"), ensure_ascii=False)

    @property
    def id(self) -> str:
        """What names the search: twelve hexadecimal digits, the same for the same search."""
        return hashlib.sha256(self.json.encode()).hexdigest()[:12]

    def __str__(self) -> str:
        """Return the criteria in one line for people."""
        return "; ".join(f"{one['name']} {_shown(one['value'])}" for one in self.entries)


def read_criteria(given: object) -> Criteria:
    """Return criteria as the leads API takes them, checked.

    Parameters
    ----------
    given
        Values by name, a list of entries ``{"name": …, "value": […]}``, or Criteria. A flag is
        True or False; a number, date or text is one value, a list of them, or (numbers, dates) a
        tuple of the least and the most, one of them None where that end is open. A column of a
        frame is a list of its values.

    Raises
    ------
    RequestError
        No criteria, an unknown name (with the nearest known one), or a value that does not fit
        its name; the message says both.
    """
    if isinstance(given, Criteria):
        return given
    pairs = _pairs(given)
    if not pairs:
        raise RequestError("no criteria: at least one is needed, all properties cannot be meant")
    entries: dict[str, list[Any]] = {}
    for name, value in pairs:
        if name in entries:
            raise RequestError(f"the criterion {name!r} is given twice; list its values in one")
        read = _READERS[check_name(name, tuple(_READERS), "criterion")]
        entries[name] = read(name, _plain(value))
    return Criteria(tuple({"name": name, "value": entries[name]} for name in sorted(entries)))


def check_name(name: object, known: Sequence[str], what: str) -> str:
    """Return a known name, or raise RequestError with the nearest ones."""
    if isinstance(name, str) and name in known:
        return name
    from difflib import get_close_matches  # here: most names are known

    folded = {one.lower(): one for one in known}
    near = get_close_matches(str(name).lower(), list(folded), n=1, cutoff=0.6)
    hint = f"did you mean {folded[near[0]]!r}?" if near else f"there are {', '.join(known)}"
    raise RequestError(f"no {what} {name!r}; {hint}")


def _pairs(given: object) -> list[tuple[str, Any]]:
    if isinstance(given, Mapping):
        return list(given.items())
    if not isinstance(given, (list, tuple)):
        raise RequestError(f"criteria are values by name, not {given!r}")
    for entry in given:
        if not isinstance(entry, Mapping) or set(entry) != {"name", "value"}:
            raise RequestError(f"a criterion has a name and a value, not {entry!r}")
    return [(entry["name"], entry["value"]) for entry in given]


def _plain(value: Any) -> Any:
    """Return a value as Python holds it: NumPy's numbers, and a frame's column as a list."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    return [_plain(one) for one in value] if isinstance(value, list) else value


def _values(name: str, value: Any) -> list[Any]:
    values = list(value) if isinstance(value, (list, set, frozenset)) else [value]
    if not values:
        raise RequestError(f"{name}: no value is given")
    return values


def _read_texts(name: str, value: Any) -> list[Any]:
    texts = []
    for one in _values(name, value):
        if not isinstance(one, str) or not one.strip():
            raise RequestError(f"{name}: {one!r} is no text")
        texts.append(one.strip())
    return sorted(set(texts))


def _read_numbers(name: str, value: Any) -> list[Any]:
    """Return ranges: a number is the range from itself to itself."""
    ranges = {_read_range(name, one) for one in _values(name, _as_pairs(value))}
    return [list(one) for one in sorted(ranges, key=lambda r: [(n is None, n or 0) for n in r])]


def _as_pairs(value: Any) -> Any:
    """Return the API's own form, ``[[1, None]]``, with its ranges as tuples."""
    if not isinstance(value, list):
        return value
    return [tuple(one) if isinstance(one, list) else one for one in value]


def _read_range(name: str, one: Any) -> tuple[Any, Any]:
    low, high = one if isinstance(one, tuple) and len(one) == _PAIR else (one, one)
    ends = (_read_number(name, low, one), _read_number(name, high, one))
    if ends == (None, None):
        raise RequestError(f"{name}: {one!r} is open at both ends")
    if None not in ends and ends[0] > ends[1]:
        raise RequestError(f"{name}: {one!r} goes from the greater to the lesser")
    return ends


def _read_number(name: str, end: Any, whole: Any) -> Any:
    if end is None and isinstance(whole, tuple):
        return None
    if isinstance(end, Decimal) and end.is_finite():
        end = int(end) if end == end.to_integral_value() else float(end)
    if isinstance(end, bool) or not isinstance(end, (int, float)) or not math.isfinite(end):
        raise RequestError(f"{name}: {whole!r} is no number and no range (least, most)")
    return int(end) if end == int(end) else end


def _read_flag(name: str, value: Any) -> list[Any]:
    flags = {int(one) for one in _values(name, value) if isinstance(one, int) and one in (0, 1)}
    if len(flags) != 1 or len(_values(name, value)) != 1:
        raise RequestError(f"{name}: {value!r} is neither True nor False")
    return list(flags)


def _read_dates(name: str, value: Any) -> list[Any]:
    return sorted({_read_span(name, one) for one in _values(name, value)})


def _read_span(name: str, one: Any) -> str:
    match = _API_DATES.fullmatch(one) if isinstance(one, str) and one else None
    if match is not None:
        ends = [_read_us_date(name, text, one) for text in match.groups()]
    else:
        low, high = one if isinstance(one, tuple) and len(one) == _PAIR else (one, one)
        is_span = isinstance(one, tuple)
        ends = [_read_date(name, end, one, is_span=is_span) for end in (low, high)]
    if ends == [None, None]:
        raise RequestError(f"{name}: {one!r} is open at both ends")
    if ends[0] and ends[1] and ends[0] > ends[1]:
        raise RequestError(f"{name}: {one!r} goes from the later to the earlier")
    marked = zip(("from", "to"), ends, strict=True)
    return " ".join(f"{mark}: {d.month}/{d.day}/{d.year}" for mark, d in marked if d)


def _read_us_date(name: str, text: str | None, whole: Any) -> date | None:
    if text is None:
        return None
    month, day, year = map(int, text.split("/"))
    try:
        return date(year, month, day)
    except ValueError:
        raise RequestError(f"{name}: {whole!r} names no day of the calendar") from None


def _read_date(name: str, end: Any, whole: Any, *, is_span: bool) -> date | None:
    if end is None and is_span:
        return None
    if isinstance(end, date):
        return date(end.year, end.month, end.day)
    try:
        return date.fromisoformat(end)
    except (TypeError, ValueError):
        raise RequestError(
            f"{name}: {whole!r} is no date and no range; expected a date, '2024-06-30', or "
            "(earliest, latest)"
        ) from None


def _read_zips(name: str, value: Any) -> list[Any]:
    return [int(text) for text in _read_codes(name, value, r"\d{5}", "a ZIP code of five digits")]


def _read_counties(name: str, value: Any) -> list[Any]:
    wanted = "a FIPS number (Maricopa County is 4013)"
    return [int(text) for text in _read_codes(name, value, r"\d{4,5}", wanted)]


def _read_states(name: str, value: Any) -> list[Any]:
    return [text.upper() for text in _read_codes(name, value, r"[A-Za-z]{2}", "a state, e.g. 'AZ'")]


def _read_codes(name: str, value: Any, pattern: str, wanted: str) -> list[str]:
    codes = set()
    for one in _values(name, value):
        text = str(one).strip() if isinstance(one, (str, int)) else ""
        if isinstance(one, bool) or re.fullmatch(pattern, text, re.ASCII) is None:
            raise RequestError(f"{name}: {one!r} is not {wanted}")
        codes.add(text.upper())
    return sorted(codes)


def _read_property_types(name: str, value: Any) -> list[Any]:
    """Return the one criterion that is nested: codes of ``PType``."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], Mapping):
        nested = value[0]
        if set(nested) != {"name", "value"} or nested["name"] != "PType":
            raise RequestError(f"{name}: {nested!r} is not of the kind 'PType'")
        value = nested["value"]
    codes = _read_codes(name, value, r"[A-Za-z0-9]{2,4}", "a code, e.g. 'SFR' or 'CND'")
    return [{"name": "PType", "value": codes}]


def _shown(values: Any) -> str:
    if isinstance(values[0], Mapping):
        values = values[0]["value"]
    return " or ".join(
        f"{'…' if v[0] is None else v[0]} to {'…' if v[1] is None else v[1]}"
        if isinstance(v, list)
        else str(v)
        for v in values
    )


_READERS: Final[dict[str, Callable[[str, Any], list[Any]]]] = {
    **dict.fromkeys(_TEXTS, _read_texts),
    **dict.fromkeys(_NUMBERS, _read_numbers),
    **dict.fromkeys(_DATES, _read_dates),
    **dict.fromkeys(_FLAGS, _read_flag),
    "County": _read_counties,
    "State": _read_states,
    "ZipFive": _read_zips,
    _NESTED: _read_property_types,
}
