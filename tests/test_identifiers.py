"""Identifiers: what is certain is taken, what is not is said, and nothing is lost."""

from __future__ import annotations

import copy
import datetime as dt
import pickle
import subprocess
import sys
import zipfile
from decimal import Decimal
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from propkit.errors import IdentifierError, PropkitError
from propkit.identifier_lists import Identifiers, read_identifiers
from propkit.identifiers import Apn, Identifier, parse_identifier

# ---------------------------------------------------------------- one APN


def test_an_apn_has_four_parts_and_two_forms():
    """The parts, the stored form and the form for people."""
    apn = Apn("132-38-011a")

    assert (apn.book, apn.map, apn.parcel, apn.split) == ("132", "38", "011", "A")
    assert (apn.canonical, apn.display) == ("13238011A", "132-38-011A")
    assert (str(apn), repr(apn)) == ("13238011A", "Apn('132-38-011A')")


def test_a_canonical_text_is_not_kept_twice():
    """A batch keeps each of 100,000 for as long as it runs; other spellings need a text of their own."""
    raw = "13238011A"

    apns = [parse_identifier(text).apn for text in (raw, raw.lower(), "132-38-011A")]

    assert apns == [Apn("13238011A")] * 3
    assert [apn is not None and apn.canonical is raw for apn in apns] == [True, False, False]


def test_an_apn_is_a_value():
    """Equal, ordered, hashable, frozen, and the same after pickling and copying."""
    apn = Apn("13238011")

    assert Apn(apn) == apn == Apn(13238011.0) == pickle.loads(pickle.dumps(apn))  # noqa: S301
    assert copy.deepcopy(apn) == apn
    assert len({apn, Apn("132 38 011")}) == 1
    assert sorted([Apn("13238012"), Apn("13238011B"), apn]) == [
        apn,
        Apn("13238011B"),
        Apn("13238012"),
    ]
    with pytest.raises(AttributeError):
        apn.canonical = "13338011"  # type: ignore[misc]
    with pytest.raises((AttributeError, TypeError)):  # which one differs between Pythons
        apn.book = "133"  # type: ignore[misc]


@pytest.mark.parametrize("raw", ["132-38-11", 1323801, "1.3238E+07", "no", None, True, ""])
def test_an_apn_is_made_of_certain_identifiers_only(raw):
    """The error names the value and what was expected."""
    with pytest.raises(IdentifierError) as caught:
        Apn(raw)

    assert isinstance(caught.value, PropkitError | ValueError)
    assert repr(raw) in str(caught.value)
    assert "expected 8 digits as book-map-parcel" in str(caught.value)


CERTAIN = [
    ("13238011", "13238011", None),
    ("13238011a", "13238011A", None),
    ("132-38-011A", "13238011A", None),
    ("132.38.011", "13238011", None),
    ("132 38 011 A", "13238011A", None),
    ("132-38-011-A", "13238011A", None),
    ("132-38-011-ab", "13238011AB", None),
    ("132 - 38 - 011", "13238011", None),
    ("132/38/011", "13238011", None),
    (" 132-38011\n", "13238011", None),
    ("13238011E", "13238011E", None),
    ("01323801", "01323801", None),
    ("13238000", "13238000", None),
    (13238011, "13238011", None),
    (np.int64(13238011), "13238011", None),
    (Decimal(13238011), "13238011", None),
    (13238011.0, "13238011", "decimal tail removed"),
    (np.float64(13238011), "13238011", "decimal tail removed"),
    (np.float32(13238011), "13238011", "decimal tail removed"),
    ("13238011.0", "13238011", "decimal tail removed"),
    ("13238011.00", "13238011", "decimal tail removed"),
    ("13238011,00", "13238011", "decimal tail removed"),
    ("1.3238011E7", "13238011", "scientific notation expanded"),
    ("1.3238011e+07", "13238011", "scientific notation expanded"),
    ("1,3238011E+07", "13238011", "scientific notation expanded"),
    ("1.32380110E+07", "13238011", "scientific notation expanded"),
    ("'13238011", "13238011", "leading apostrophe removed"),
    ("13238011'", "13238011", "trailing apostrophe removed"),
    ("13238011`", "13238011", "trailing apostrophe removed"),
    ('"132-38-011A"', "13238011A", "quotes removed"),
    ('="13238011"', "13238011", "formula quotes removed"),
    ("APN: 132-38-011A", "13238011A", "label removed"),
    ("Parcel No. 132-38-011", "13238011", "label removed"),
    ("assessor's parcel number 13238011", "13238011", "label removed"),
    ("#13238011", "13238011", "label removed"),
    ("132-38-011,", "13238011", "trailing punctuation removed"),
    ("13,238,011", "13238011", "thousands separators removed"),
    ("13.238.011", "13238011", "thousands separators removed"),
    ("13'238'011", "13238011", "thousands separators removed"),
    ("13,238,011.00", "13238011", "thousands separators removed, decimal tail removed"),
    ("132\u201338\u2212011", "13238011", "unusual characters normalised"),
    ("132\u00ad38\u2011011", "13238011", "unusual characters normalised"),
    ("\ufeff132\u00a038\u200b\u202f011", "13238011", "unusual characters normalised"),
    (
        "\uff11\uff13\uff12\uff0d\uff13\uff18\uff0d\uff10\uff11\uff11\uff21",
        "13238011A",
        "unusual characters normalised",
    ),
    (
        "\u201913238011",
        "13238011",
        "unusual characters normalised, leading apostrophe removed",
    ),
]


@pytest.mark.parametrize(
    ("raw", "canonical", "repair"), CERTAIN, ids=[repr(row[0]) for row in CERTAIN]
)
def test_what_is_certain_is_taken_and_the_repair_is_named(raw, canonical, repair):
    """One row per spelling that leaves no doubt."""
    found = parse_identifier(raw)

    assert found == Identifier(raw, Apn(canonical), "certain", repair, None)
    assert found.is_valid


LOST_ZERO = (
    "looks like 132-38-011 with a lost leading zero; write it in full, with dashes, to use it"
)

LIKELY = [
    ("1323801", "013-23-801", "leading zero restored", "with a lost leading zero"),
    (1323801, "013-23-801", "leading zero restored", "with a lost leading zero"),
    ("1323801A", "013-23-801A", "leading zero restored", "with a lost leading zero"),
    (
        1323801.0,
        "013-23-801",
        "decimal tail removed, leading zero restored",
        "with a lost leading zero",
    ),
    (
        "1.323801E+06",
        "013-23-801",
        "scientific notation expanded, leading zero restored",
        "with a lost leading zero",
    ),
    (
        "1,323,801",
        "013-23-801",
        "thousands separators removed, leading zero restored",
        "with a lost leading zero",
    ),
    ("132-38-11", "132-38-011", "leading zero restored", "with a lost leading zero"),
    ("32-38-011", "032-38-011", "leading zero restored", "with a lost leading zero"),
    ("132-8-1A", "132-08-001A", "leading zeros restored", "with lost leading zeros"),
    ("32-38011", "032-38-011", "leading zero restored", "with a lost leading zero"),
    ("13238-11", "132-38-011", "leading zero restored", "with a lost leading zero"),
    ("1323-8011", "132-38-011", "separators moved", "with its separators elsewhere"),
    ("13238.011", "132-38-011", None, "unless its dot is a decimal point"),
    ("132-38-011 AZ", "132-38-011AZ", None, "if 'AZ' belongs to it"),
    ("13238011.O", "132-38-011O", None, "if 'O' belongs to it"),
    ("132-38-O11", "132-38-011", "letters O and I read as digits", "with letters for digits"),
    ("1323801O", "132-38-010", "letters O and I read as digits", "with letters for digits"),
    ("132-38-011 (vacant)", "132-38-011", "other text removed", "inside other text"),
    # Excel shows 13238011 as 1.3238E+07; read as a number that is 13238000.
    (
        13238000.0,
        "132-38-000",
        "decimal tail removed",
        "but may have been rounded by a spreadsheet",
    ),
    (13238000, "132-38-000", None, "but may have been rounded by a spreadsheet"),
]


@pytest.mark.parametrize(
    ("raw", "display", "repair", "why"), LIKELY, ids=[repr(row[0]) for row in LIKELY]
)
def test_what_is_only_likely_is_invalid_with_a_suggestion(raw, display, repair, why):
    """One row per spelling that a person has to confirm."""
    found = parse_identifier(raw)

    reason = f"looks like {display} {why}; write it in full, with dashes, to use it"
    assert found == Identifier(raw, Apn(display), "likely", repair, reason)
    assert not found.is_valid


INVALID = [
    ("1.3238E+07", "shows only 5 of 8 digits in scientific notation and may be rounded"),
    (Decimal("1.3238E+7"), "shows only 5 of 8 digits in scientific notation"),
    ("1e7", "shows only 1 of 8 digits"),
    ("1.32380115E7", "is no whole number"),
    ("13238011E7", "is an unusual scientific notation"),
    ("132.38", "is a number with decimals"),
    (13238011.5, "is no whole number"),
    (Decimal("13238.011"), "is no whole number"),
    (float("inf"), "is no whole number"),
    (1e300, "is a too large number"),
    (-13238011, "is a negative number"),
    ("-13238011", "is a negative number"),
    (np.float32(30478387), "is a 32-bit float"),
    ("132-38-0110", "has 9 digits"),
    (132380110, "has 9 digits"),
    ("480-555-1234", "has 10 digits"),
    ("5", "has 1 digit;"),
    ("132-38-011, 132-38-012", "holds 2 APNs; give each its own cell"),
    ("13238011\n13238012B 13238013", "holds 3 APNs"),
    ("2024-01-05", "reads as a date"),
    ("1/5/2024 0:00", "reads as a date"),
    ("10-12-2023", "reads as a date"),
    ("12-05-24", "reads as a date"),
    (dt.date(2024, 1, 5), "is a date or time"),
    (np.datetime64("2024-01-05"), "is a date or time"),
    ("#N/A", "is an error shown by Excel"),
    ("########", "is an error shown by Excel"),
    ("nan", "stands for no value"),
    ("None", "stands for no value"),
    ("132-38-011ABC", "is no APN"),
    ("123 Main St", "is no APN"),
    ("132-38-11.0", "is no APN"),
    # str.upper() makes SS of a sharp s, and \d takes Arabic digits: neither is an APN.
    ("13238011\u00df", "holds the character '\u00df'"),
    ("132-38-01\u00b9", "holds the character '\u00b9'"),
    ("132-38-011\u2026", "holds the character '\u2026'"),
    ("\u0661\u0663\u0662\u0663\u0668\u0660\u0661\u0661", "holds the character '\u0661'"),
    (True, "is of type bool"),
    (np.bool_(True), "is of type bool"),
    (b"13238011", "is of type bytes"),
    (1j, "is of type complex"),
    (None, "is blank"),
    (pd.NA, "is blank"),
    (pd.NaT, "is blank"),
    (Decimal("NaN"), "is blank"),
    (" \u200b\u00a0", "is blank"),
]


@pytest.mark.parametrize(("raw", "reason"), INVALID, ids=[repr(row[0]) for row in INVALID])
def test_what_is_no_apn_says_why(raw, reason):
    """One row per thing that a list of parcels holds besides parcels."""
    found = parse_identifier(raw)

    assert (found.apn, found.confidence, found.repair) == (None, None, None)
    assert (found.reason or "").startswith(reason)


# ---------------------------------------------------------------- properties

digits = st.text("0123456789", min_size=8, max_size=8)
splits = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", max_size=2)
apns = st.builds(lambda number, split: Apn(number + split), digits, splits)
dashes = st.sampled_from(
    ["-", "", " ", ".", "\u2010", "\u2013", "\u2212", "\u00a0", " - ", "\u00ad"]
)
around = st.sampled_from(
    ["{}", " {} ", "'{}", "{}'", '"{}"', "APN {}", "apn: {}", '="{}"', "\ufeff{}"]
)


@given(apn=apns, first=dashes, second=dashes, wrapping=around, lower=st.booleans())
def test_every_apn_round_trips_in_every_spelling(apn, first, second, wrapping, lower):
    """Separators, wrappings and case change nothing, unless a lone dot looks like a decimal."""
    text = wrapping.format(f"{apn.book}{first}{apn.map}{second}{apn.parcel}{apn.split}")
    text = text.lower() if lower else text

    found = parse_identifier(text)

    is_decimal = not apn.split and sorted([first, second]) == ["", "."]
    assert found.apn == apn
    assert found.confidence == ("likely" if is_decimal else "certain")


@given(apn=apns)
def test_every_apn_round_trips_through_its_own_forms(apn):
    """The canonical and the display form, the value itself and its repr."""
    assert Apn(apn.canonical) == Apn(apn.display) == Apn(apn) == apn
    assert eval(repr(apn)) == apn  # noqa: S307


def _sheet_number(text: str) -> float | None:
    """Return what a spreadsheet makes of a typed cell, None when it stays text."""
    plain = text.strip().lstrip("'").replace(",", "")
    return float(plain) if plain.isascii() and plain.replace(".", "", 1).isdigit() else None


MANGLINGS = {
    "zeros stripped": lambda text, _: text.lstrip("0"),
    "part zeros stripped": lambda text, _: "-".join(
        part.lstrip("0") for part in (text[:3], text[3:5], text[5:])
    ),
    "number": lambda text, _: text if (n := _sheet_number(text)) is None else str(n),
    "scientific": lambda text, n: (
        text if (number := _sheet_number(text)) is None else f"{number:.{n}E}"
    ),
    "general": lambda text, n: (
        text if (number := _sheet_number(text)) is None else f"{number:.{n + 1}G}"
    ),
    "thousands": lambda text, n: (
        text if (number := _sheet_number(text)) is None else f"{number:,.{n % 3}f}"
    ),
    "european": lambda text, _: text.translate(str.maketrans(",.", ".,")),
    "cut": lambda text, n: text[: n + 1],
    "pushed": lambda text, n: text + "0" * (n % 3),
    "apostrophe": lambda text, _: f"'{text}",
    "letter O": lambda text, _: text.replace("0", "O"),
    "letter I": lambda text, _: text.replace("1", "l"),
    "dash moved": lambda text, n: text[:n] + "-" + text[n:],
    "sharp s": lambda text, _: f"{text}\u00df",
    "superscript": lambda text, _: f"{text[:-1]}\u00b2",
    "second": lambda text, _: f"{text}, {text}",
    "lowered": lambda text, _: text.lower(),
}
steps = st.tuples(st.sampled_from(sorted(MANGLINGS)), st.integers(0, 9))


@given(number=digits, split=splits, mangling=st.lists(steps, min_size=1, max_size=3))
def test_no_mangling_is_repaired_wrongly_at_certain(number, split, mangling):
    """Whatever spreadsheets do one after another, certain means the parcel that was meant."""
    text = number + split
    for name, n in mangling:
        before, text = text, MANGLINGS[name](text, n)
        # These can give another well-spelt APN, which no reader could tell: an end cut off, and a
        # digit added besides one that is lost.
        if text != before and (name == "cut" or (name == "pushed" and len(mangling) > 1)):
            return

    found = parse_identifier(text)

    if found.is_valid:
        assert str(found.apn) == number + split


@given(number=st.integers(0, 99_999_999), figures=st.integers(1, 5))
def test_a_number_rounded_for_display_is_never_certain(number, figures):
    """Read back from scientific display as text or as a number, it is not taken."""
    shown = f"{number:.{figures - 1}E}"

    assert not parse_identifier(shown).is_valid
    assert not parse_identifier(float(shown)).is_valid
    assert not parse_identifier(int(float(shown))).is_valid


@given(number=st.integers(0, 99_999_999))
def test_32_bit_floats_are_never_certain_and_wrong(number):
    """Above 16,777,216 a 32-bit float names several parcels."""
    found = parse_identifier(np.float32(number))

    assert not found.is_valid or str(found.apn) == str(number)


@given(
    raw=st.one_of(
        st.text(),
        st.text("0123456789-. ,'\"EeAO/#()", max_size=16),
        st.floats(),
        st.integers(),
        st.decimals(allow_nan=True),
        st.fractions(),
        st.complex_numbers(),
        st.binary(),
        st.dates(),
    )
)
def test_parsing_never_raises(raw):
    """Each result is valid, or says why not."""
    found = parse_identifier(raw)

    assert found.is_valid == (found.reason is None)
    assert found.is_valid <= (found.apn is not None)


# ---------------------------------------------------------------- lists


def test_a_list_keeps_its_order_and_says_what_became_of_each():
    """Valid once in first order, duplicates and invalid ones by entry, blanks counted."""
    raws = ["132-38-012", "13238011.0", None, "1323801", 13238012, "", "132-38-011"]

    found = read_identifiers(raws)

    assert found.valid == (Apn("13238012"), Apn("13238011"))
    assert [one.raw for one in found.duplicates] == [13238012, "132-38-011"]
    assert [one.raw for one in found.invalid] == ["1323801"]
    assert (found.blank_count, found.column, found.origin) == (2, None, "list")
    assert [one.raw for one in found.entries] == [raw for raw in raws if raw]


def test_the_frame_has_one_row_per_identifier():
    """Whole values; the apn of an invalid one is missing, its suggestion is in the reason."""
    frame = read_identifiers(["132-38-011", 13238011.0, "132-38-11"]).frame()

    expected = pd.DataFrame(
        {
            "identifier": ["132-38-011", "13238011.0", "132-38-11"],
            "apn": ["13238011", "13238011", None],
            "status": ["valid", "duplicate", "invalid"],
            "confidence": ["certain", "certain", "likely"],
            "repair": [None, "decimal tail removed", "leading zero restored"],
            "reason": [
                None,
                None,
                LOST_ZERO,
            ],
        },
        dtype="string",
    )
    pd.testing.assert_frame_equal(frame, expected)
    pd.testing.assert_frame_equal(read_identifiers([]).frame(), expected.iloc[:0])


@pytest.mark.parametrize(
    "parcels",
    [
        "132-38-011",
        Apn("132-38-011"),
        13238011,
        ("132-38-011",),
        {"132-38-011"},
        (text for text in ["132-38-011"]),
        np.array([13238011]),
        pd.Index(["132-38-011"]),
        pd.Series([13238011.0, np.nan], name="x"),
        pd.Series([13238011, None], dtype="Int64"),
        pd.Series(["132-38-011"], dtype="category"),
        [Identifier("132-38-011", Apn("132-38-011"), "certain")],
    ],
)
def test_anything_that_holds_parcels_is_read(parcels):
    """One identifier or many, in any container."""
    assert read_identifiers(parcels).valid == (Apn("132-38-011"),)


@pytest.mark.parametrize(
    "parcels", [[], "", (), pd.Series([], dtype="str"), pd.DataFrame(), [None]]
)
def test_an_empty_list_is_no_error(parcels):
    """There are no entries; what to say of that is up to the caller."""
    found = read_identifiers(parcels)

    assert (found.entries, found.valid, found.invalid) == ((), (), ())


def test_identifiers_pass_through():
    """What was read once is not read again."""
    found = read_identifiers(["132-38-011"])

    assert read_identifiers(found) is found


def test_a_set_is_read_in_the_same_order_every_time():
    """A set has no order; its identifiers are sorted."""
    found = read_identifiers({"13238013", "13238011", "13238012"})

    assert found.valid == (Apn("13238011"), Apn("13238012"), Apn("13238013"))


@pytest.mark.parametrize("dtype", ["float32", "Float32", "float[pyarrow]"])
def test_a_column_of_32_bit_floats_is_not_trusted(dtype):
    """Pandas hands such floats out as wide ones; the dtype tells."""
    found = read_identifiers(pd.Series([30478387.0, None], dtype=dtype))

    assert found.valid == ()
    assert [(one.reason or "")[:18] for one in found.entries] == ["is a 32-bit float,"]


@pytest.mark.parametrize(
    ("parcels", "options", "message"),
    [
        (None, {}, "cannot read identifiers from NoneType; expected an APN, a list"),
        ({"apn": ["132-38-011"]}, {}, "cannot read identifiers from dict"),
        (b"13238011", {}, "cannot read identifiers from bytes"),
        (["13238011"], {"column": "APN"}, "column= and sheet= need a table or a file"),
        (pd.DataFrame({"APN": []}), {"sheet": "x"}, "column= and sheet= need a table or a file"),
        (pd.MultiIndex.from_tuples([(1, 2)], names=["a", "b"]), {}, "cannot read a MultiIndex"),
    ],
)
def test_what_holds_no_list_is_refused(parcels, options, message):
    """The error names what was given and what was expected."""
    with pytest.raises(IdentifierError, match=message):
        read_identifiers(parcels, **options)


# ---------------------------------------------------------------- frames


@pytest.mark.parametrize(
    ("columns", "taken"),
    [
        ({"owner": ["A"], "APN": ["132-38-011"]}, "APN"),
        ({"Parcel": ["Lot 4"], "PIN": ["132-38-011"]}, "PIN"),
        ({"APN_DASH": ["132-38-011"], "APN": ["13238011"]}, "APN"),
        ({"Assessor's Parcel Number": ["132-38-011"], "parcel_id": ["13238099"]}, None),
        ({"Maricopa APN": ["132-38-011"], "price": [250000]}, "Maricopa APN"),
        ({"parcel number": [13238011], "deed": [20130183449]}, "parcel number"),
        ({"what": ["132-38-011"], "price": [25000000]}, "what"),
        ({"apn": ["broken"], "other": ["132-38-011"]}, "apn"),
        ({"anything": ["broken"]}, "anything"),
        ({"Parcel": ["broken"], "price": [250000]}, "Parcel"),
        ({7: ["132-38-011"], "owner": ["A"]}, "7"),
    ],
)
def test_the_column_is_found_and_named(columns, taken):
    """By its name first, then by what its cells look like."""
    frame = pd.DataFrame(columns)
    taken = taken or frame.columns[0]

    found = read_identifiers(frame)

    assert (found.column, found.origin) == (taken, f"DataFrame, column {taken!r}")
    label = next(label for label in frame.columns if str(label) == taken)
    assert [one.raw for one in found.entries] == list(frame[label])


def test_the_index_of_a_frame_can_hold_the_apns():
    """A named index level is a column like the others."""
    frame = pd.DataFrame({"owner": ["A"]}, index=pd.Index(["132-38-011"], name="apn"))

    assert read_identifiers(frame).valid == (Apn("132-38-011"),)


def test_a_named_column_is_taken():
    """Exactly as written, or without regard to case and punctuation."""
    frame = pd.DataFrame({"APN": ["132-38-011"], "Old Parcel": ["132-38-012"]})

    assert read_identifiers(frame, column="Old Parcel").valid == (Apn("132-38-012"),)
    assert read_identifiers(frame, column="old_parcel").column == "Old Parcel"


@pytest.mark.parametrize(
    ("frame", "column", "message"),
    [
        (
            pd.DataFrame({"a": ["132-38-011"], "b": ["132-38-012"]}),
            None,
            r"several columns of DataFrame may hold the APNs: \['a', 'b'\]; name one with column=",
        ),
        (
            pd.DataFrame([["132-38-011", "132-38-012"]], columns=["APN", "APN"]),
            None,
            r"several columns of DataFrame may hold the APNs: \['APN', 'APN'\]",
        ),
        (
            pd.DataFrame({"owner": ["A"], "price": [250000]}),
            None,
            r"no column looks like APNs in DataFrame: columns \['owner', 'price'\]",
        ),
        (
            pd.DataFrame({"owner": ["A"], "APN": ["132-38-011"]}),
            "Parcel",
            r"no column 'Parcel' in DataFrame: columns \['owner', 'APN'\]",
        ),
    ],
)
def test_a_doubtful_or_unknown_column_is_an_error(frame, column, message):
    """The error lists the columns and asks for one."""
    with pytest.raises(IdentifierError, match=message):
        read_identifiers(frame, column=column)


# ---------------------------------------------------------------- files


def _write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_a_csv_file_is_read_as_text(tmp_path, delimiter, encoding):
    """Leading zeros stay; delimiter and encoding are found."""
    rows = [["APN", "Owner"], ["01323801", "Pe\u00f1a"], ["132-38-011A", "B"], ["", "C"]]
    text = "".join(delimiter.join(row) + "\r\n" for row in rows)
    path = _write(tmp_path / "parcels.csv", text, encoding)

    found = read_identifiers(path)

    assert found == Identifiers(
        (parse_identifier("01323801"), parse_identifier("132-38-011A")),
        "APN",
        "parcels.csv, column 'APN'",
        1,
    )


@pytest.mark.parametrize(
    ("text", "column", "raws"),
    [
        ("APN\n01323801\n\n132-38-011\n", "APN", ["01323801", "132-38-011"]),
        ("01323801\n132-38-011\n", "column 1", ["01323801", "132-38-011"]),
        ("132380\n132-38-011\n", "column 1", ["132380", "132-38-011"]),
        ("#N/A\n132-38-011\n", "column 1", ["#N/A", "132-38-011"]),
        ("none\n132-38-011\n", "column 1", ["none", "132-38-011"]),
        ("A,01323801\nB,13238011\n", "column 2", ["01323801", "13238011"]),
        ("sep=;\r\nowner;apn\r\nA;01323801\r\n", "apn", ["01323801"]),
        ("List of parcels,,\n,,\nowner,apn,x\nA,01323801,1\n", "apn", ["01323801"]),
        ('apn,owner\n"132-38-011","Smith, J"\n', "apn", ["132-38-011"]),
        ('apn\n"132-38-011, 132-38-012"\n', "apn", ["132-38-011, 132-38-012"]),
        ("apn\n132-38-011, 132-38-012\n", "apn", ["132-38-011, 132-38-012"]),
        ("apn,owner\n132-38-011\n132-38-012,B,more\n", "apn", ["132-38-011", "132-38-012"]),
        ("apn\n", "apn", []),
        ("", None, []),
    ],
)
def test_a_csv_file_may_have_any_shape(tmp_path, text, column, raws):
    """With a header, without, below a title, one column or several; no row is lost."""
    found = read_identifiers(str(_write(tmp_path / "parcels.csv", text)))

    assert (found.column, [one.raw for one in found.entries]) == (column, raws)


def test_a_text_file_has_one_identifier_per_line(tmp_path):
    """A line with two APNs is reported, not split."""
    text = "132-38-011\n01323801\n\n132-38-012, 132-38-013\n"

    found = read_identifiers(_write(tmp_path / "parcels.txt", text))

    assert found.valid == (Apn("13238011"), Apn("01323801"))
    assert [one.reason for one in found.invalid] == ["holds 2 APNs; give each its own cell"]
    assert found.blank_count == 1


def _write_workbook(path, sheets, hidden: str = ""):
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        sheet.sheet_state = "hidden" if name == hidden else "visible"
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


@pytest.mark.parametrize("suffix", [".xlsx", ".xlsm"])
def test_a_workbook_is_read_with_numbers_and_text(tmp_path, suffix):
    """Text cells keep their zeros; a number cell is the number that it shows."""
    rows = [["owner", "APN"], ["A", 13238011], ["B", "01323801"], ["C", None], ["D", 1323801]]
    path = _write_workbook(tmp_path / f"parcels{suffix}", {"List": rows})

    found = read_identifiers(path)

    assert found == Identifiers(
        tuple(parse_identifier(raw) for raw in [13238011, "01323801", 1323801]),
        "APN",
        f"parcels{suffix}, sheet 'List', column 'APN'",
        1,
    )
    assert found.valid == (Apn("13238011"), Apn("01323801"))


def test_a_value_that_stands_too_far_out_is_told(tmp_path, monkeypatch):
    """Read cell by cell such a sheet would take the process with it; one full of values is read."""
    rows = [["APN"], ["132-38-011"], *[[None] * 16383 + [" "]]]
    path = _write_workbook(tmp_path / "parcels.xlsx", {"List": rows})
    full = _write_workbook(tmp_path / "full.xlsx", {"List": [["APN"], ["132-38-011"]]})

    assert read_identifiers(path).valid == (Apn("132-38-011"),)
    monkeypatch.setattr("propkit.workbook_parts._MOST_CELLS", 1)
    with pytest.raises(IdentifierError, match="the sheet 'List' reaches to XFD3 and has 3 values"):
        read_identifiers(path)
    assert read_identifiers(full).valid == (Apn("132-38-011"),)


def test_the_first_visible_sheet_with_apns_is_taken(tmp_path):
    """Unless another one is named."""
    sheets = {
        "Notes": [["Made by", "Date"], ["me", dt.date(2024, 1, 5)]],
        "Cover": [["Parcels for the board"], ["second draft"]],
        "Old": [["APN"], ["132-38-019"]],
        "List": [[None, None], ["Parcels of 2024", None], ["APN", "x"], ["132-38-011", 1]],
        "More": [["APN"], ["132-38-012"]],
    }
    path = _write_workbook(tmp_path / "parcels.xlsx", sheets, hidden="Old")

    assert read_identifiers(path).origin == "parcels.xlsx, sheet 'List', column 'APN'"
    assert read_identifiers(path).valid == (Apn("132-38-011"),)
    assert read_identifiers(path, sheet="More").valid == (Apn("132-38-012"),)
    assert read_identifiers(path, sheet="Old").valid == (Apn("132-38-019"),)


MANIFEST = (
    '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0">'
    '<manifest:file-entry manifest:full-path="/" '
    'manifest:media-type="application/vnd.oasis.opendocument.spreadsheet"/></manifest:manifest>'
)


def test_an_open_document_sheet_is_read(tmp_path):
    """The .ods of LibreOffice, text and number cells."""
    cell = '<table:table-cell office:value-type="{}"{}><text:p>{}</text:p></table:table-cell>'
    cells = [
        cell.format("string", "", "APN"),
        cell.format("string", "", "01323801"),
        cell.format("float", ' office:value="13238011"', "13238011"),
    ]
    names = "".join(
        f' xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
        for name in ("office", "table", "text")
    )
    rows = "".join(f"<table:table-row>{one}</table:table-row>" for one in cells)
    content = (
        f"<office:document-content{names}><office:body><office:spreadsheet>"
        f'<table:table table:name="List">{rows}</table:table>'
        "</office:spreadsheet></office:body></office:document-content>"
    )
    path = tmp_path / "parcels.ods"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("META-INF/manifest.xml", MANIFEST)
        archive.writestr("content.xml", content)

    assert read_identifiers(path).valid == (Apn("01323801"), Apn("13238011"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "parcels.pdf",
            b"%PDF",
            "cannot read .*parcels.pdf'; expected an APN or the path of a .csv",
        ),
        ("parcels", b"132-38-011", "cannot read .*parcels'; expected an APN"),
        ("parcels.csv", b"PK\x03\x04rest", "is no .csv text but a zip archive or a newer Excel"),
        ("parcels.csv", b"<!DOCTYPE html><p>", "is no .csv text but a web page"),
        ("parcels.csv", b"\0\1\2", "is no .csv text but another kind of file"),
        ("parcels.csv", b'apn,x\n"132-38-011,1\n132-38-012,2\n', "cannot read .* as .csv: "),
        ("parcels.xlsx", b"APN\n132-38-011", "is no .xlsx workbook but another kind of file"),
        ("parcels.xlsx", b"\xd0\xcf\x11\xe0rest", "older or a password-protected Excel"),
        ("parcels.xlsx", b"PK\x03\x04rest", "cannot read .*parcels.xlsx' as a workbook"),
        ("parcels.xls", b"<html><table>", "is no .xls workbook but a web page"),
        ("parcels.xls", b"\xd0\xcf\x11\xe0rest", "cannot read .*parcels.xls' as a workbook"),
        ("parcels.xlsx", b"", "is no .xlsx workbook"),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error(tmp_path, name, content, message):
    """The error names the file and what is wrong with it."""
    path = tmp_path / name
    path.write_bytes(content)

    with pytest.raises(IdentifierError, match=message):
        read_identifiers(str(path))


def test_a_missing_file_a_folder_and_a_missing_sheet_are_errors(tmp_path):
    """Each names the path or the sheet, and what there is."""
    book = _write_workbook(tmp_path / "parcels.xlsx", {"List": [["APN"]]})
    text = _write(tmp_path / "parcels.csv", "owner,price\nA,250000\n")
    (tmp_path / "folder.csv").mkdir()

    for parcels, options, message in (
        ("missing.xlsx", {}, "cannot read 'missing.xlsx': No such file or directory"),
        (tmp_path / "missing.csv", {}, r"cannot read .*missing.csv': No such file"),
        (tmp_path / "folder.csv", {}, "cannot read .*folder.csv': Is a directory"),
        (book, {"sheet": "Liste"}, r"no sheet 'Liste' in parcels.xlsx: \['List'\]"),
        (book, {"column": "PIN"}, r"no column 'PIN' in parcels.xlsx, sheet 'List': .*'APN'"),
        (text, {"sheet": "List"}, r"has no sheets; sheet='List' needs a workbook"),
        (text, {}, r"no column looks like APNs in parcels.csv: columns \['owner', 'price'\]"),
    ):
        with pytest.raises(IdentifierError, match=message):
            read_identifiers(parcels, **options)


def test_a_file_named_like_an_apn_does_not_hide_the_apn(tmp_path, monkeypatch):
    """A certain identifier is never taken for a path."""
    monkeypatch.chdir(tmp_path)
    Path("13238011").write_text("")

    assert read_identifiers("13238011").valid == (Apn("13238011"),)


def test_importing_identifiers_loads_no_heavy_package():
    """Only reading pays for pandas and calamine."""
    code = (
        "import sys, propkit.identifier_lists as i; i.read_identifiers(['132-38-011']);"
        "print([m for m in ('pandas', 'numpy', 'python_calamine') if m in sys.modules])"
    )

    shown = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )

    assert shown.stdout == "[]\n"
