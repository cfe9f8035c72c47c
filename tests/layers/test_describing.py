"""Proposing a map of fields: sure where names and values agree, silent where they do not."""

from __future__ import annotations

from typing import Any

from propkit.layers.describing import SURE, propose
from propkit.layers.facts import LayerField


def proposed(
    fields: dict[str, str], rows: list[dict[str, Any]], aliases: dict[str, str] | None = None
) -> dict[str, tuple[str, bool]]:
    told = [
        LayerField(name=name, kind=kind, alias=(aliases or {}).get(name, name))
        for name, kind in fields.items()
    ]
    best, _ = propose(told, rows)
    return {one.column: (one.field.names[0], one.is_sure) for one in best}


def rows_of(count: int, **values: Any) -> list[dict[str, Any]]:
    return [
        {name: value(n) if callable(value) else value for name, value in values.items()}
        for n in range(count)
    ]


def test_names_that_counties_use_with_values_that_fit_are_sure() -> None:
    rows = rows_of(20, PARCEL_ID=lambda n: f"01-{n}", OWNER_NAME="SMITH", SITEADDRESS="1 OAK ST",
                   ACRES=0.5, SITE_ZIP="85003")  # fmt: skip
    kinds = dict.fromkeys(("PARCEL_ID", "OWNER_NAME", "SITEADDRESS", "SITE_ZIP"), "text")

    assert proposed({**kinds, "ACRES": "number"}, rows) == {
        "apn": ("PARCEL_ID", True),
        "owner_name": ("OWNER_NAME", True),
        "situs_address": ("SITEADDRESS", True),
        "situs_zip": ("SITE_ZIP", True),
        "lot_size_sqft": ("ACRES", True),
    }


def test_a_key_that_does_not_tell_rows_apart_is_not_sure() -> None:
    rows = rows_of(20, APN="101")

    assert proposed({"APN": "text"}, rows) == {}


def test_a_name_that_may_mean_something_else_is_shown_and_not_mapped() -> None:
    rows = rows_of(20, ADDRESS="1 OAK ST", CITY="MESA", ZIP="85201")

    found = proposed(dict.fromkeys(("ADDRESS", "CITY", "ZIP"), "text"), rows)

    assert found == {
        "situs_address": ("ADDRESS", False),
        "situs_city": ("CITY", False),
        "mailing_zip": ("ZIP", False),
    }


def test_values_of_another_kind_speak_against_the_name() -> None:
    rows = rows_of(20, OWNER_NAME=lambda n: n, LATITUDE=681234.5)

    found = proposed({"OWNER_NAME": "text", "LATITUDE": "number"}, rows)

    assert found == {}


def test_an_empty_sample_is_not_sure_and_an_alias_counts() -> None:
    fields = {"F1": "text", "SUBNAME": "text"}

    assert proposed(
        fields, rows_of(20, F1=lambda n: f"p{n}", SUBNAME=None), {"F1": "Parcel ID"}
    ) == {
        "apn": ("F1", True),
        "subdivision": ("SUBNAME", False),
    }


def test_confidence_is_a_share() -> None:
    best, others = propose(
        [LayerField(name="APN", kind="text"), LayerField(name="PIN", kind="text")],
        rows_of(20, APN=lambda n: f"1{n}", PIN=lambda n: f"2{n}"),
    )

    assert [one.confidence for one in (*best, *others)] == [1.0, 1.0]
    assert [(one.column, one.is_sure) for one in others] == [("apn", True)]
    assert 0 < SURE < 1
