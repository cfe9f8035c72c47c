"""Criteria are checked by name and value, and mean the same however they are written."""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from propkit.criteria import _DATES, _FLAGS, _NUMBERS, _TEXTS, read_criteria
from propkit.errors import RequestError


@pytest.mark.parametrize(
    ("name", "value", "sent"),
    [
        ("City", "MESA", ["MESA"]),
        ("City", ["TEMPE", "MESA", "TEMPE"], ["MESA", "TEMPE"]),
        ("State", "az", ["AZ"]),
        ("ZipFive", ["85018", 85016], [85016, 85018]),
        ("County", "04013", [4013]),
        ("County", 4013, [4013]),
        ("Pool", True, [1]),
        ("Pool", 0, [0]),
        ("isSameMailingOrExempt", [False], [0]),
        ("Beds", 3, [[3, 3]]),
        ("Beds", [4, 3], [[3, 3], [4, 4]]),
        ("AVM", (300_000, None), [[300000, None]]),
        ("AVM", (None, Decimal("300000.50")), [[None, 300000.5]]),
        ("AVM", [(1, 2), (5, None)], [[1, 2], [5, None]]),
        ("AVM", [[1, 2.0]], [[1, 2]]),
        ("AVM", (np.int64(1), np.float64(2.5)), [[1, 2.5]]),
        ("Beds", np.array([4, 3]), [[3, 3], [4, 4]]),
        ("Pool", np.bool_(True), [1]),
        ("City", pd.Series(["TEMPE", "MESA"], dtype="string[pyarrow]"), ["MESA", "TEMPE"]),
        ("FirstDate", (pd.Timestamp("2024-01-01"), None), ["from: 1/1/2024"]),
        ("LastTransferRecDate", "2024-06-30", ["from: 6/30/2024 to: 6/30/2024"]),
        (
            "LastTransferRecDate",
            (date(2023, 1, 1), "2024-06-30"),
            ["from: 1/1/2023 to: 6/30/2024"],
        ),
        ("FirstDate", (None, datetime(2024, 2, 29, 23)), ["to: 2/29/2024"]),  # noqa: DTZ001
        ("FirstDate", ("2024-01-01", None), ["from: 1/1/2024"]),
        ("FirstDate", "from: 01/02/2023 to: 6/30/2024", ["from: 1/2/2023 to: 6/30/2024"]),
        ("PropertyType", ["sfr", "CND"], [{"name": "PType", "value": ["CND", "SFR"]}]),
        (
            "PropertyType",
            [{"name": "PType", "value": ["SFR"]}],
            [{"name": "PType", "value": ["SFR"]}],
        ),
    ],
)
def test_a_value_is_sent_as_the_api_takes_it(name: str, value: object, sent: list[Any]):
    """Whole numbers for flags, ranges for numbers, its own dates, texts without repetition."""
    found = read_criteria({name: value})

    assert json.loads(found.json) == [{"name": name, "value": sent}]


@pytest.mark.parametrize(
    ("given_", "says"),
    [
        ({}, "no criteria: at least one is needed"),
        ([], "no criteria: at least one is needed"),
        ("City", "criteria are values by name, not 'City'"),
        ([("City", "MESA")], r"a criterion has a name and a value, not \('City', 'MESA'\)"),
        ({"Citty": "MESA"}, "no criterion 'Citty'; did you mean 'City'"),
        ({"avm": 1}, "no criterion 'avm'; did you mean 'AVM'"),
        ({"isSameMailing": True}, "no criterion 'isSameMailing'; did you mean 'isSameMailingOrEx"),
        ({"zzz": 1}, "no criterion 'zzz'; there are APN, .*City"),
        ({3: 1}, "no criterion 3; there are"),
        (
            [{"name": "Beds", "value": [3]}, {"name": "Beds", "value": [4]}],
            "the criterion 'Beds' is given twice",
        ),
        ({"City": []}, "City: no value is given"),
        ({"City": " "}, "City: ' ' is no text"),
        ({"City": 5}, "City: 5 is no text"),
        ({"Pool": "yes"}, "Pool: 'yes' is neither True nor False"),
        ({"Pool": [True, False]}, "Pool: .* is neither True nor False"),
        ({"Pool": 2}, "Pool: 2 is neither True nor False"),
        ({"Beds": "3"}, r"Beds: '3' is no number and no range \(least, most\)"),
        ({"Beds": True}, "Beds: True is no number"),
        ({"Beds": None}, "Beds: None is no number"),
        ({"Beds": float("nan")}, "Beds: nan is no number"),
        ({"Beds": (None, None)}, r"Beds: \(None, None\) is open at both ends"),
        ({"Beds": (4, 3)}, r"Beds: \(4, 3\) goes from the greater to the lesser"),
        ({"Beds": (1, 2, 3)}, r"Beds: \(1, 2, 3\) is no number"),
        ({"FirstDate": "30/6/2024"}, "FirstDate: '30/6/2024' is no date and no range"),
        ({"FirstDate": 2024}, "FirstDate: 2024 is no date"),
        ({"FirstDate": "from: 2/30/2024"}, "FirstDate: .* names no day of the calendar"),
        ({"FirstDate": ("2024-02-01", "2024-01-01")}, "goes from the later to the earlier"),
        ({"FirstDate": (None, None)}, "open at both ends"),
        ({"State": "Arizona"}, "State: 'Arizona' is not a state, e.g. 'AZ'"),
        ({"ZipFive": "8501"}, "ZipFive: '8501' is not a ZIP code"),
        ({"County": "maricopa"}, r"County: 'maricopa' is not a FIPS number \(Maricopa.* 4013\)"),
        ({"PropertyType": "single family"}, "PropertyType: 'single family' is not a code"),
        ({"PropertyType": [{"name": "Type", "value": ["SFR"]}]}, "is not of the kind 'PType'"),
    ],
)
def test_what_does_not_fit_is_named(given_: Any, says: str):
    """The message shows the name and the value, and the nearest known name."""
    with pytest.raises(RequestError, match=says):
        read_criteria(given_)


def test_criteria_read_well():
    """One line for people, values in order."""
    found = read_criteria({"City": ["MESA", "TEMPE"], "AVM": (1, None), "PropertyType": "SFR"})

    assert str(found) == "AVM 1 to …; City MESA or TEMPE; PropertyType SFR"


numbers = st.integers(-(10**9), 10**9)
ends = st.tuples(numbers, numbers).map(lambda pair: (min(pair), max(pair)))
ranges = ends | ends.map(lambda pair: (pair[0], None)) | ends.map(lambda pair: (None, pair[1]))
days = st.dates(date(1900, 1, 1), date(2100, 1, 1))
spans = st.tuples(days, days).map(lambda pair: (min(pair), max(pair)))
texts = st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip)


def some(values: Any) -> Any:
    """One value, or a list of them."""
    return values | st.lists(values, min_size=1, max_size=4)


criteria = st.dictionaries(st.sampled_from(_NUMBERS), some(numbers | ranges)).flatmap(
    lambda ranged: st.fixed_dictionaries(
        {
            "flags": st.dictionaries(st.sampled_from(_FLAGS), st.booleans()),
            "dates": st.dictionaries(st.sampled_from(_DATES), some(days | spans)),
            "texts": st.dictionaries(st.sampled_from(_TEXTS), some(texts)),
        }
    ).map(lambda more: {**ranged, **more["flags"], **more["dates"], **more["texts"]})
)


@given(criteria.filter(bool), st.randoms())
def test_the_same_search_has_one_id_however_it_is_written(given_: dict[str, Any], random: Any):
    """What is sent can be read again, and neither order nor repetition makes another search."""
    names = list(given_)
    random.shuffle(names)

    found = read_criteria(given_)
    shuffled = {
        name: [*given_[name], given_[name][0]] if isinstance(given_[name], list) else given_[name]
        for name in names
    }

    assert read_criteria(json.loads(found.json)) == found
    assert read_criteria(shuffled).id == found.id
    assert read_criteria(found) is found
    assert len(found.id) == 12
    assert not any(isinstance(one, bool) for entry in found.entries for one in entry["value"])
