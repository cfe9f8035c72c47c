"""Read parcel identifiers as people have them: any list, frame or file, any spelling.

An identifier becomes an `Apn` only when it is certain which parcel was meant. What a spreadsheet
may have changed beyond recovery is reported as invalid, with a suggestion where there is one: a
wrong parcel costs more than a question.
"""

from __future__ import annotations

import numbers
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any, Literal

from propkit.errors import IdentifierError

Confidence = Literal["certain", "likely"]

_EXPECTED = "expected 8 digits as book-map-parcel and at most 2 letters, such as 132-38-011A"


@dataclass(frozen=True, slots=True, order=True, init=False, repr=False)
class Apn:
    """Name one parcel of Maricopa County by book, map, parcel and split letter.

    ``Apn("132-38-011a")`` accepts whatever `parse_identifier` is certain about and raises
    `IdentifierError` for the rest. Apns sort as the county's books do.
    """

    # Book, map and parcel have a fixed width, so that this one text sorts as the four parts do.
    canonical: str
    """The stored form, without dashes: ``13238011A``."""

    def __init__(self, identifier: object) -> None:
        """Take one identifier in any spelling that leaves no doubt."""
        found = parse_identifier(identifier)
        if found.apn is None or not found.is_valid:
            shown = repr(identifier)
            shown = shown if len(shown) <= 80 else f"{shown[:77]}..."
            hint = "" if found.reason and _EXPECTED in found.reason else f" ({_EXPECTED})"
            raise IdentifierError(f"{shown} is not taken as an APN: {found.reason}{hint}")
        object.__setattr__(self, "canonical", found.apn.canonical)

    @property
    def book(self) -> str:
        """Return the three digits of the map book."""
        return self.canonical[:3]

    @property
    def map(self) -> str:
        """Return the two digits of the map within its book."""
        return self.canonical[3:5]

    @property
    def parcel(self) -> str:
        """Return the three digits of the parcel within its map."""
        return self.canonical[5:8]

    @property
    def split(self) -> str:
        """Return the letters of a split parcel, or an empty text."""
        return self.canonical[8:]

    @property
    def display(self) -> str:
        """Return the form for people, with dashes: ``132-38-011A``."""
        return f"{self.book}-{self.map}-{self.parcel}{self.split}"

    def __str__(self) -> str:
        """Return the canonical form."""
        return self.canonical

    def __repr__(self) -> str:
        """Return the call that makes this APN."""
        return f"Apn({self.display!r})"


@dataclass(frozen=True, slots=True)
class Identifier:
    """Hold one identifier as it was given, and what was made of it.

    Attributes
    ----------
    raw
        The value as given.
    apn
        What it means; with confidence "likely" a suggestion only, not to be collected.
    confidence
        "certain", "likely", or None when there is not even a suggestion.
    repair
        What was undone beyond separators and case, or None.
    reason
        Why it is invalid, or None.
    """

    raw: object
    apn: Apn | None = None
    confidence: Confidence | None = None
    repair: str | None = None
    reason: str | None = None

    @property
    def is_valid(self) -> bool:
        """Tell whether it is certain which parcel was meant."""
        return self.confidence == "certain"


def parse_identifier(raw: object) -> Identifier:
    """Read one identifier: text, a number, a pandas or numpy scalar, or nothing at all.

    Never raises: what is no APN, or is not certain to be the one it looks like, comes back with
    `Identifier.reason`.
    """
    if type(raw) is str and (plain := _PLAIN.fullmatch(raw)):  # nearly all of a long list
        canonical = "".join(plain.groups()).upper()
        # Not kept twice: of 100,000 a list, and a batch for as long as it runs, has 6 MB of them.
        return _certain(raw, raw if raw == canonical else canonical, ())
    if isinstance(raw, Identifier):
        return raw
    if isinstance(raw, Apn):
        return Identifier(raw, raw, "certain")
    if is_blank(raw):
        return Identifier(raw, reason="is blank")
    if isinstance(raw, str):
        return _parse_text(raw, raw)
    if isinstance(raw, bool):
        return Identifier(raw, reason=f"is of type bool; {_EXPECTED}")
    if isinstance(raw, Decimal) and "E" in str(raw):  # as in 1.3238E+7: digits may be lost
        return _parse_text(raw, str(raw))
    if isinstance(raw, Decimal | numbers.Real):
        return _parse_number(raw, raw)
    kind = type(raw).__name__
    if isinstance(raw, date | time | timedelta) or kind.startswith(("datetime", "timedelta")):
        return Identifier(raw, reason=f"is a date or time; {_EXPECTED}")
    return Identifier(raw, reason=f"is of type {kind}; {_EXPECTED}")


# One identifier

_PLAIN = re.compile(r"([0-9]{3})-?([0-9]{2})-?([0-9]{3})([A-Za-z]{0,2})")
_PARTS = re.compile(r"([0-9]+(?:[-./_\s]+[0-9]+)*)(?:([-./_\s]*)([A-Z]{1,2}))?")
_INSIDE = re.compile(r"(?<![0-9])[0-9]{3}[-. ]?[0-9]{2}[-. ]?[0-9]{3}(?:-?[A-Z]{1,2})?(?![0-9A-Z])")
_SCIENTIFIC = re.compile(r"([0-9])(?:[.,]([0-9]+))?E\+?([0-9]{1,3})")
_THOUSANDS = re.compile(r"[1-9][0-9]{0,2}([,.' ])[0-9]{3}(?:\1[0-9]{3})+")
_DECIMALS = re.compile(r"[0-9]+[.,][0-9]+")
_ZERO_DECIMALS = re.compile(r"(?:\.0+|,0{1,2})$")
_DATE = re.compile(
    r"(?:D([-/. ])D\1(?:[0-9]{4}|[0-9]{2})|[12][0-9]{3}([-/. ])D\2D)(?:[T ].*)?".replace(
        "D", "(?:0?[1-9]|[12][0-9]|3[01])"
    )
)
NO_VALUE = {"NAN", "NONE", "NULL", "NIL", "NA", "N/A", "<NA>", "NAT", "-", "--", "?", "TBD"}
_EXCEL_ERROR = re.compile(r"#(?:N/A|REF!|VALUE!|DIV/0!|NAME\?|NULL!|NUM!|SPILL!|CALC!|#+)")
_LABEL = re.compile(
    r"^(?:(?:(?:ASSESSOR'?S? |TAX )?PARCEL|APN|PIN)(?: ?(?:NUMBER|NUM|NO|ID))?[\s.:#=]*|#\s*)"
    r"(?=[0-9])"
)
_WRAPPINGS = (
    (re.compile(r'^="(.*)"$'), r"\1", "formula quotes removed"),
    (re.compile(r"^([\"'`])(.*)\1$"), r"\2", "quotes removed"),
    (re.compile(r"^['`]+"), "", "leading apostrophe removed"),
    (re.compile(r"['`]+$"), "", "trailing apostrophe removed"),
    (_LABEL, "", "label removed"),
    # One mark only: an ellipsis says that something was cut off.
    (re.compile(r"(?<![.,;:])[.,;:]$"), "", "trailing punctuation removed"),
)
_QUOTES = {ord(c): "'" for c in "\u2018\u2019\u201b\u02bc\u2032\u00b4"} | {
    ord(c): '"' for c in "\u201c\u201d\u2033"
}


def is_blank(raw: object) -> bool:
    """Whether a cell holds nothing: empty or white text, None, NaN, NA, NaT."""
    if isinstance(raw, str):
        return not raw.strip() or not _plain_characters(raw).strip()
    if raw is None or type(raw).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(raw, Decimal):
        return raw.is_nan()
    return isinstance(raw, numbers.Real) and bool(raw != raw)  # noqa: PLR0124 - only NaN


def _plain_characters(text: str) -> str:
    """Write dashes, blanks, quotes and full-width forms in ASCII; leave any other character."""
    if text.isascii():
        return text
    return "".join(_plain_character(char) for char in text.translate(_QUOTES))


def _plain_character(char: str) -> str:
    kind, code = unicodedata.category(char), ord(char)
    if kind == "Pd" or char in "\u2212\u00ad":
        return "-"
    if kind in ("Zs", "Zl", "Zp"):
        return " "
    if kind == "Cf" and char not in "\u202d\u202e":  # those two turn digits around
        return ""
    return chr(code - 0xFEE0) if 0xFF01 <= code <= 0xFF5E else char


def _apn(canonical: str) -> Apn:
    apn = object.__new__(Apn)
    object.__setattr__(apn, "canonical", canonical)
    return apn


def _certain(raw: object, canonical: str, repairs: Sequence[str]) -> Identifier:
    return Identifier(raw, _apn(canonical), "certain", ", ".join(repairs) or None)


def _likely(raw: object, canonical: str, repairs: Sequence[str], why: str) -> Identifier:
    apn = _apn(canonical)
    reason = f"looks like {apn.display} {why}; write it in full, with dashes, to use it"
    return Identifier(raw, apn, "likely", ", ".join(repairs) or None, reason)


def _parse_text(raw: object, text: str) -> Identifier:
    if plain := _PLAIN.fullmatch(text):  # of a Decimal or a kind of text
        return _certain(raw, "".join(plain.groups()).upper(), ())
    bare = _plain_characters(text).strip()
    if not bare.isascii():  # before upper(), which makes letters of others: \u00df becomes SS
        odd = next(char for char in bare if not char.isascii())
        return Identifier(raw, reason=f"holds the character {odd!r}; {_EXPECTED}")
    bare = bare.upper()
    if bare in NO_VALUE:
        return Identifier(raw, reason=f"stands for no value; {_EXPECTED}")
    if _EXCEL_ERROR.fullmatch(bare):
        return Identifier(raw, reason=f"is an error shown by Excel; {_EXPECTED}")
    bare, repairs = _unwrap(bare)
    if not text.isascii():
        repairs.insert(0, "unusual characters normalised")
    return (
        _parse_number_text(raw, bare, repairs)
        or _parse_parts(raw, bare, repairs)
        or _parse_other(raw, bare, repairs)
    )


def _unwrap(text: str) -> tuple[str, list[str]]:
    """Take off what stands around the digits, and say what it was."""
    repairs: list[str] = []
    for pattern, kept, word in _WRAPPINGS * 2:
        shorter = pattern.sub(kept, text).strip()
        if shorter != text:
            text = shorter
            repairs += [word] if word not in repairs else []
    return text, repairs


def _parse_other(raw: object, text: str, repairs: Sequence[str]) -> Identifier:
    inside = _INSIDE.findall(text)
    if len(inside) > 1:
        return Identifier(raw, reason=f"holds {len(inside)} APNs; give each its own cell")
    if inside:
        canonical = re.sub(r"[-. ]", "", inside[0])
        return _likely(raw, canonical, [*repairs, "other text removed"], "inside other text")
    digits = sum(char.isdigit() for char in text)
    if digits != 8 and re.fullmatch(r"[-./_\s0-9]+[A-Z]{0,2}", text):
        return Identifier(raw, reason=_wrong_length(digits))
    return Identifier(raw, reason=f"is no APN; {_EXPECTED}")


def _wrong_length(digits: int) -> str:
    return f"has {digits} digit{'' if digits == 1 else 's'}; {_EXPECTED}"


def _parse_number(raw: object, number: Any) -> Identifier:
    try:
        value = int(number)
    except (OverflowError, ValueError):
        return Identifier(raw, reason=f"is no whole number; {_EXPECTED}")
    if value != number:
        return Identifier(raw, reason=f"is no whole number; {_EXPECTED}")
    if not 0 <= value < 10**12:
        size = "negative" if value < 0 else "too large"
        return Identifier(raw, reason=f"is a {size} number; {_EXPECTED}")
    if type(raw).__name__ in ("float32", "float16") and value >= 2**24:
        reason = "is a 32-bit float, which blurs neighbouring parcels; read the column as text"
        return Identifier(raw, reason=reason)
    return _parse_whole(raw, str(value), ["decimal tail removed"] if "." in str(raw) else [])


def _parse_whole(raw: object, digits: str, repairs: Sequence[str]) -> Identifier:
    """Read the digits of what was a number on its way here."""
    if len(digits) == 7:
        words = [*repairs, "leading zero restored"]
        return _likely(raw, f"0{digits}", words, "with a lost leading zero")
    if len(digits) != 8:
        return Identifier(raw, reason=_wrong_length(len(digits)))
    if digits.endswith("000"):  # what 1.3238E+07 becomes when a program reads it as a number
        return _likely(raw, digits, repairs, "but may have been rounded by a spreadsheet")
    return _certain(raw, digits, repairs)


def _parse_number_text(raw: object, text: str, repairs: Sequence[str]) -> Identifier | None:
    if re.fullmatch(r"\(?-\s*[0-9.,]+(?:E\+?[0-9]+)?\)?", text):
        return Identifier(raw, reason=f"is a negative number; {_EXPECTED}")
    if match := _SCIENTIFIC.fullmatch(text):
        digits, whole = match[1] + (match[2] or ""), int(match[3]) + 1
        if len(digits) < whole:
            return Identifier(
                raw,
                reason=f"shows only {len(digits)} of {whole} digits in scientific notation and may "
                "be rounded; format the column as text and export it again",
            )
        if digits[whole:].strip("0"):
            return Identifier(raw, reason=f"is no whole number; {_EXPECTED}")
        return _parse_whole(raw, digits[:whole], [*repairs, "scientific notation expanded"])
    if re.fullmatch(r"[0-9]+[.,]?[0-9]*E[-+]?[0-9]+", text):
        return Identifier(raw, reason=f"is an unusual scientific notation; {_EXPECTED}")
    whole_text = _ZERO_DECIMALS.sub("", text)
    if match := _THOUSANDS.fullmatch(whole_text):
        words = [*repairs, "thousands separators removed"]
        words += ["decimal tail removed"] if whole_text != text else []
        return _parse_whole(raw, whole_text.replace(match[1], ""), words)
    if _DECIMALS.fullmatch(text) and len(text) == 9 and text.find(".") in (3, 5):
        why = "unless its dot is a decimal point"
        return _likely(raw, text.replace(".", ""), repairs, why)
    if whole_text != text and whole_text.isdigit():
        return _parse_whole(raw, whole_text, [*repairs, "decimal tail removed"])
    if _DECIMALS.fullmatch(text):
        return Identifier(raw, reason=f"is a number with decimals; {_EXPECTED}")
    return None


def _parse_parts(raw: object, text: str, repairs: list[str]) -> Identifier | None:
    """Read digits with separators between them and letters behind them."""
    if _DATE.fullmatch(text):
        return Identifier(raw, reason=f"reads as a date; {_EXPECTED}")
    match = _PARTS.fullmatch(text)
    number, gap, split = match.groups("") if match else ("", "", "")
    parts = re.split(r"[-./_\s]+", number) if number else []
    digits, lengths = "".join(parts), tuple(len(part) for part in parts)
    cuts = {sum(lengths[:i]) for i in range(1, len(parts))}
    # "132-38-011 AZ" may name the state, "13238011.O" may be a decimal tail.
    is_apart = (len(split) == 2 and gap.isspace()) or ("." in gap and "." not in number)
    if len(digits) == 8 and is_apart:
        return _likely(raw, digits + split, repairs, f"if {split!r} belongs to it")
    if len(digits) == 8 and cuts <= {3, 5}:
        return _certain(raw, digits + split, repairs)
    if len(digits) == 8 and len(parts) <= 3:
        words = [*repairs, "separators moved"]
        return _likely(raw, digits + split, words, "with its separators elsewhere")
    respelt = text.translate(str.maketrans("OIL", "011"))
    if respelt != text and (match := _PARTS.fullmatch(respelt)):
        digits = re.sub(r"[^0-9]", "", match[1])
        if len(digits) == 8:
            words = [*repairs, "letters O and I read as digits"]
            return _likely(raw, digits + (match[3] or ""), words, "with letters for digits")
    lost = 8 - len(digits)
    if lost > 0 and _fits(lengths):
        last = 5 if lengths[-1] == 5 else 3
        widths = {1: [8], 2: [8 - last, last], 3: [3, 2, 3]}[len(parts)]
        full = "".join(part.zfill(width) for part, width in zip(parts, widths, strict=True))
        zeros = "leading zero" if lost == 1 else "leading zeros"
        why = f"with a lost {zeros}" if lost == 1 else f"with lost {zeros}"
        return _likely(raw, full + split, [*repairs, f"{zeros} restored"], why)
    return None


def _fits(lengths: tuple[int, ...]) -> bool:
    """Tell whether parts of these lengths can be an APN's that lost leading zeros."""
    if len(lengths) == 3:
        return lengths[0] <= 3 and lengths[1] <= 2 and lengths[2] <= 3
    if len(lengths) == 2:
        return (lengths[0] <= 3 and lengths[1] == 5) or (lengths[0] == 5 and lengths[1] <= 3)
    return lengths == (7,)
