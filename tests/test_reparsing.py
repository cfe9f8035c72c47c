"""Kept answers are read again with the present parser: no request, every difference told first."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

import propkit as pk
from propkit.cli import main
from propkit.errors import LayoutChangedError, RequestError
from propkit.records import Parcel, TaxBill, TaxPayment
from propkit.sources import Parsed
from propkit.sources._config import find_sources
from propkit.store.kept import iter_kept
from tests.collecting import in_order, quick_kit, table_as_truth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from propkit.demo_county import County
    from propkit.sources import Payload

ASSESSOR, TREASURER = "maricopa_assessor", "maricopa_treasurer"
SOURCES = (ASSESSOR, TREASURER, "maricopa_recorder")
COUNT = 12


class Reader:
    """A source whose parser says something else than it did when it was collected."""

    def __init__(self, name: str, change: Callable[[Parsed], Parsed]) -> None:
        self._source = find_sources()[name]
        self._change = change
        self.parser_version = 2

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def parse(self, payload: Payload) -> Parsed:
        """Return the real reading, changed."""
        return self._change(self._source.parse(payload))


def with_parser(kit: pk.Kit, name: str, change: Callable[[Parsed], Parsed]) -> None:
    """Let a kit's source read with a changed parser from now on."""
    assert isinstance(kit.sources, dict)
    kit.sources[name] = replace(kit.sources[name], source=Reader(name, change))


def changed(**values: Any) -> Callable[[Parsed], Parsed]:
    """Return a change of some columns of the parcels."""
    return lambda parsed: replace(
        parsed,
        records=tuple(replace(r, **values) if isinstance(r, Parcel) else r for r in parsed.records),
    )


@pytest.fixture
def kit(county: County, tmp_path: Path) -> Iterator[pk.Kit]:
    """Give a kit with some collected parcels; nothing is asked from then on."""
    with quick_kit(county, tmp_path / "kept.duckdb") as kit:
        kit.collect(county.apns(COUNT), progress=False)
        county.clear_ledger()
        yield kit
        assert county.ledger() == []


def test_the_parser_that_collected_finds_no_difference(kit: pk.Kit) -> None:
    for source in SOURCES:
        frame = kit.reparse(source)

        assert frame.to_dict("records") == []
        assert list(frame.columns) == ["key", "apn", "table", "row", "column", "old", "new"]
        (kept,) = kit.store.rows(
            "SELECT count(DISTINCT key) n FROM fetches WHERE source = $1", [source]
        )
        assert (frame.attrs["keys"], frame.attrs["answers"]) == (kept["n"], kept["n"])
        assert (frame.attrs["unreadable"], frame.attrs["is_applied"]) == ({}, False)


def test_no_more_answers_are_held_than_asked_for_and_each_comes_once(kit: pk.Kit) -> None:
    """However many are taken at once, it is the same answers, each with all of its pages."""
    rows = kit.store.rows(
        "SELECT key, count(*) AS pages FROM fetches WHERE source = $1 GROUP BY key ORDER BY key",
        [TREASURER],
    )

    for at_once in (1, 5, COUNT, 1000):
        groups = list(iter_kept(kit.store, TREASURER, at_once))

        assert all(len(group) <= at_once for group in groups)
        found = [(key, answers) for group in groups for key, answers in group.items()]
        assert [(key, len(answers)) for key, answers in found] == [(row["key"], 1) for row in rows]
        assert [len(answers[0].pages) for _, answers in found] == [row["pages"] for row in rows]


def test_differences_are_told_first_and_stored_when_asked(kit: pk.Kit, county: County) -> None:
    before = {row["apn"]: row["collected_at"] for row in kit.store.rows("FROM parcels")}
    with_parser(kit, ASSESSOR, changed(jurisdiction="TEMPE", lot_size_sqft=5))
    truth = {row["apn"]: row for row in county.truth(county.apns(COUNT))["parcels"]}
    told = sorted(
        (apn, apn, "parcels", "", column, str(row[column]), new)
        for apn, row in truth.items()
        for column, new in (("jurisdiction", "TEMPE"), ("lot_size_sqft", "5"))
        if str(row[column]) != new
    )

    first = kit.reparse(ASSESSOR)
    untouched = kit.store.rows("SELECT count(*) n FROM parcels WHERE jurisdiction = 'TEMPE'")
    second = kit.reparse(ASSESSOR, apply=True)
    third = kit.reparse(ASSESSOR)

    as_collected = sum(row["jurisdiction"] == "TEMPE" for row in truth.values())
    assert sorted(map(tuple, first.to_numpy().tolist())) == told
    assert untouched == [{"n": as_collected}]
    assert second.to_dict("records") == first.to_dict("records")
    assert third.to_dict("records") == []
    rows = kit.store.rows("FROM parcels")
    assert {(r["jurisdiction"], r["lot_size_sqft"]) for r in rows} == {("TEMPE", 5)}
    assert {row["apn"]: row["collected_at"] for row in rows} == before
    assert kit.store.duplicates() == {}
    history = kit.store.rows("FROM reparse_changes ORDER BY key, column_name")
    assert [
        (h["key"], h["apn"], h["table_name"], h["row"], h["column_name"], h["old"], h["new"])
        for h in history
    ] == told
    assert {(h["source"], h["parser_version"]) for h in history} == {(ASSESSOR, 2)}


def test_rows_come_and_go(kit: pk.Kit) -> None:
    """A scope's row that is read no more goes, one that is new comes; other scopes stay."""
    (year,) = kit.store.rows(
        "SELECT apn, tax_year FROM tax_payments GROUP BY ALL HAVING count(*) > 1 ORDER BY ALL LIMIT 1"
    )
    apn, tax_year = year["apn"], year["tax_year"]
    before = kit.store.rows("FROM tax_payments ORDER BY apn, tax_year, number")
    last = [r for r in before if (r["apn"], r["tax_year"]) == (apn, tax_year)][-1]

    def change(parsed: Parsed) -> Parsed:
        kept = [
            r
            for r in parsed.records
            if not (
                isinstance(r, TaxPayment)
                and (r.apn, r.tax_year, r.number) == (apn, tax_year, last["number"])
            )
        ]
        more = TaxBill(apn=apn, tax_year=1990, assessed_tax=Decimal("1.50"))
        return replace(
            parsed, records=(*kept, more) if any(r.apn == apn for r in kept) else tuple(kept)
        )

    with_parser(kit, TREASURER, change)
    frame = kit.reparse(TREASURER, apply=True)

    row = f"{tax_year} {last['number']}"
    assert sorted(map(tuple, frame.astype(object).where(frame.notna(), None).to_numpy().tolist()),
                  key=str) == sorted(
        [
            (apn, apn, "tax_bills", "1990", "apn", None, apn),
            (apn, apn, "tax_bills", "1990", "tax_year", None, "1990"),
            (apn, apn, "tax_bills", "1990", "assessed_tax", None, "1.50"),
            (apn, apn, "tax_payments", row, "apn", apn, None),
            (apn, apn, "tax_payments", row, "tax_year", str(tax_year), None),
            (apn, apn, "tax_payments", row, "number", str(last["number"]), None),
            (apn, apn, "tax_payments", row, "paid_on", str(last["paid_on"]), None),
            (apn, apn, "tax_payments", row, "amount", str(last["amount"]), None),
        ],
        key=str,
    )  # fmt: skip
    after = kit.store.rows("FROM tax_payments ORDER BY apn, tax_year, number")
    assert after == [r for r in before if r != last]
    assert kit.store.duplicates() == {}


def test_what_is_left_unsaid_stays(kit: pk.Kit) -> None:
    def change(parsed: Parsed) -> Parsed:
        unsaid = {**parsed.unsaid, "parcels": frozenset({"owner_name", "deed_date"})}
        return replace(changed(owner_name=None, deed_date=None)(parsed), unsaid=unsaid)

    with_parser(kit, ASSESSOR, change)

    assert kit.reparse(ASSESSOR).to_dict("records") == []


def test_a_later_answer_is_not_overwritten(kit: pk.Kit) -> None:
    """A re-parse reads what the newest fetch said; what came later from elsewhere stands."""
    apns = sorted(row["apn"] for row in kit.store.rows("FROM parcels"))
    kit.store.writer.submit(  # type: ignore[attr-defined]
        lambda connection: connection.execute(
            "UPDATE parcels SET collected_at = collected_at + INTERVAL 1 HOUR, source = 'other'"
            " WHERE apn = ?",
            [apns[0]],
        )
    ).result()
    with_parser(kit, ASSESSOR, changed(deed_date=date(1901, 2, 3)))

    frame = kit.reparse(ASSESSOR, apply=True)

    assert sorted(frame["key"]) == apns[1:]
    rows = kit.store.rows("SELECT apn FROM parcels WHERE deed_date = DATE '1901-02-03'")
    assert sorted(row["apn"] for row in rows) == apns[1:]


def test_an_answer_that_failed_is_read_by_a_better_parser(county: County, tmp_path: Path) -> None:
    """What a changed layout has kept out comes in with the parser that knows it."""
    apns = county.apns(5)
    with quick_kit(county, tmp_path / "late.duckdb") as kit:
        good = kit.sources[TREASURER].source

        def refuse(_: Parsed) -> Parsed:
            raise LayoutChangedError("all new")

        with_parser(kit, TREASURER, refuse)
        report = kit.collect(apns, kind="taxes", progress=False)
        assert report.counts[TREASURER]["failed"] == len(apns)
        county.clear_ledger()
        nothing = kit.store.rows("FROM tax_bills")
        assert set(kit.reparse(TREASURER).attrs["unreadable"].values()) == {"all new"}

        assert isinstance(kit.sources, dict)
        kit.sources[TREASURER] = replace(kit.sources[TREASURER], source=good)
        kit.reparse(TREASURER, apply=True)

        assert nothing == []
        assert table_as_truth(kit, "tax_bills") == sorted(
            county.truth(apns)["tax_bills"], key=lambda row: [str(row[n]) for n in sorted(row)]
        )
        assert kit.plan(apns, kind="taxes").counts == {"fresh": 5}
        assert county.ledger() == []


def test_a_section_that_failed_is_still_missing(county: County, tmp_path: Path) -> None:
    """Pages are put together as when collected: an older answer gives what the newest lacks."""
    apns = county.apns(3)
    with quick_kit(county, tmp_path / "part.duckdb", retry_attempts=1) as kit:
        kit.collect(apns, kind="taxes", progress=False)
        broken = {"system": "treasurer", "path": "Activities", "kind": "status", "status": 503}
        county.switch(faults=[broken])
        kit.collect(apns, kind="taxes", max_age=0, progress=False)
        before = table_as_truth(kit, "tax_payments")

        def change(parsed: Parsed) -> Parsed:
            return replace(
                parsed,
                records=tuple(
                    replace(r, amount=Decimal("7.00")) if isinstance(r, TaxPayment) else r
                    for r in parsed.records
                ),
            )

        with_parser(kit, TREASURER, change)
        frame = kit.reparse(TREASURER, apply=True)

        assert set(frame["table"]) == {"tax_payments"}
        after = [{**row, "amount": "7.00"} for row in before]
        assert table_as_truth(kit, "tax_payments") == in_order(after)


def test_an_unknown_source_is_refused(kit: pk.Kit) -> None:
    with pytest.raises(RequestError, match=r"^no source 'nobody'; expected one of maricopa_ass"):
        kit.reparse("nobody")


def test_the_command_tells_and_writes(
    county: County, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cli.duckdb"
    with quick_kit(county, path) as kit:
        kit.collect(county.apns(3), datasets=["parcels"], progress=False)
        kit.store.writer.submit(  # type: ignore[attr-defined]
            lambda connection: connection.execute("UPDATE parcels SET jurisdiction = 'OLD'")
        ).result()

    code = main(["reparse", "--db", str(path), ASSESSOR, "--out", str(tmp_path / "d.csv")])

    assert code == 0
    assert capsys.readouterr().out.splitlines() == [
        "maricopa_assessor: parser 2 has read 3 kept answers to 3 keys; 3 values would change",
        "  parcels.jurisdiction: 3",
        str(tmp_path / "d.csv"),
    ]
    header, *rows = (tmp_path / "d.csv").read_text("utf-8").splitlines()
    assert header == "key,apn,table,row,column,old,new"
    assert len(rows) == 3


@pytest.mark.parametrize("switches", [{"one_call": False}, {"unknown_parcel": "500"}])
def test_pages_are_put_together_as_when_collected(
    county: County, tmp_path: Path, switches: dict[str, object]
) -> None:
    """Sections, searches and answers without data make the payload that they once made."""
    county.switch(**switches)
    with quick_kit(county, tmp_path / "sections.duckdb") as kit:
        kit.collect([*county.apns(6), "99999999"], datasets=["parcels"], progress=False)
        states = kit.store.rows("SELECT state, count(*) n FROM items GROUP BY ALL ORDER BY ALL")
        # The first answers leave nothing to compare with, so that all is told.
        kit.store.writer.submit(  # type: ignore[attr-defined]
            lambda connection: connection.execute("DELETE FROM parcels; DELETE FROM residences")
        ).result()
        before = table_as_truth(kit, "valuations")

        frame = kit.reparse(ASSESSOR, apply=True)

        assert {row["state"] for row in states} == {"done", "not_found"}
        assert set(frame["table"]) == {"parcels", "residences"}
        assert frame.attrs["unreadable"] == {}
        truth = county.truth(county.apns(6))
        assert table_as_truth(kit, "parcels") == in_order(truth["parcels"])
        assert table_as_truth(kit, "residences") == in_order(truth["residences"])
        assert table_as_truth(kit, "valuations") == before
