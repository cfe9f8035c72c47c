"""A kept answer that a better parser reads again leaves what it would have left when it came."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from propkit.items import State
from propkit.record_block import Emptied
from propkit.records import RECORD_TYPES, Parcel, Record, Residence, Sale, TaxBill
from propkit.reparsing import reparse_and_store, reparse_answers
from propkit.sources import Parsed
from propkit.store import Result, Store
from propkit.store.comparing import DIFFERENCES
from propkit.store.history import read_as_of, read_changes
from tests.store.made import ASSESSOR, batch_of, noon, page, payments, result, write

if TYPE_CHECKING:
    from pathlib import Path

    from propkit.sources import Payload

EXAMPLES = int(os.environ.get("PROPKIT_REPARSE_EXAMPLES", "1"))
KEYS = ["1", "2", "3", "4"]
DAY = date(2020, 3, 1)
IDENTITIES = {table: RECORD_TYPES[table].identity for table in RECORD_TYPES}


@dataclass
class Told:
    """A source whose answers are the numbers of what they mean."""

    meanings: list[Parsed] = field(default_factory=list)
    name: str = ASSESSOR
    provides: tuple[str, ...] = ("parcels", "residences", "sales", "tax_bills", "tax_payments")
    parser_version: int = 2

    def parse(self, payload: Payload) -> Parsed:
        return self.meanings[int(payload.pages[0].body)]


def what_is_so(apn: str, rng: Random) -> Parsed:
    """Return what the office may know of a parcel at some moment."""
    if rng.random() < 0.2:
        return Parsed(is_found=False)
    owner = rng.choice([None, "SMITH", "DOE"])
    records: list[Record] = [Parcel(apn=apn, county="maricopa", owner_name=owner, deed_date=DAY)]
    emptied: list[Emptied] = []
    if rng.random() < 0.5:
        records.append(Residence(apn=apn, roof_type=rng.choice(["Tile", "Slate"])))
    else:
        emptied.append(Emptied("residences", apn))
    if rng.random() < 0.7:  # the same deed, its date or price put right now and then
        days, price = timedelta(days=rng.randint(0, 3)), Decimal(rng.choice([100, 200]))
        number = rng.choice(["20200000001", None])
        records.append(Sale(apn=apn, sold_on=DAY + days, recording_number=number, sale_price=price))
    missing = ("tax_payments",) if rng.random() < 0.3 else ()
    for year in (2024, 2025, 2026):
        records.append(TaxBill(apn=apn, tax_year=year, amount_due=Decimal(rng.randint(0, 1))))
        amounts = [rng.randint(1, 2) for _ in range(rng.randint(0, 2))]
        if missing:
            continue
        records += payments(apn, year, *amounts)
        if not amounts:
            emptied.append(Emptied("tax_payments", apn, year))
    unsaid = {} if owner else {"parcels": frozenset({"owner_name"})}
    return Parsed(records=tuple(records), emptied=tuple(emptied), missing=missing, unsaid=unsaid)


def misread(so: Parsed, apn: str, rng: Random) -> Parsed:
    """Return what a worse parser makes of it: rows and endings lost, changed and made up."""
    if rng.random() < 0.2:
        return Parsed(is_found=False, missing=("tax_bills",) if rng.random() < 0.5 else ())
    records: list[Record] = [TaxBill(apn=apn, tax_year=1990, status="a footnote")]
    for record in so.records:
        if rng.random() < 0.3:
            continue
        wrong: Record = record
        if rng.random() < 0.4:
            if isinstance(record, Parcel):
                wrong = replace(record, deed_date=None, jurisdiction="NOWHERE")
            elif isinstance(record, TaxBill):
                wrong = replace(record, status="Paid", amount_due=None)
            elif isinstance(record, Sale) and record.recording_number:
                wrong = replace(record, sold_on=date(1999, 1, 1), sale_price=Decimal(5))
        records.append(wrong)
    emptied = tuple(each for each in so.emptied if rng.random() < 0.5)
    return replace(
        so, records=tuple(records), emptied=emptied, missing=rng.choice([(), so.missing]),
        is_found=True,
    )  # fmt: skip


def answered(batch_id: str, number: int, key: str, parsed: Parsed, at: datetime) -> Result:
    """Return an answer and what a parser has read in it, as a collector hands it over."""
    ended = result(
        key, parsed.records, batch_id=batch_id, at=at, missing=parsed.missing,
        state=State.DONE if parsed.is_found else State.NOT_FOUND,
        pages=[page(f"{number}".encode(), at=at)],
    )  # fmt: skip
    return replace(ended, unsaid=parsed.unsaid, emptied=parsed.emptied)


def plain(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: [str(value) for value in row.values()])


def everything(store: Store) -> dict[str, list[dict[str, Any]]]:
    return {
        table: plain(store.rows(f"SELECT * EXCLUDE unchanged_since FROM {table}"))
        for table in Told.provides
    }


def stood(store: Store, moment: datetime) -> dict[str, list[dict[str, Any]]]:
    """Return the tables as they stood; when an answer said so last is not always known any more."""
    found = {}
    for table in Told.provides:
        frame = read_as_of(store, table, moment, ", ".join(IDENTITIES[table]))
        frame = frame.drop(columns="collected_at")
        found[table] = plain(frame.astype(object).where(frame.notna(), None).to_dict("records"))
    return found


def fresh(store: Store) -> list[tuple[Any, ...]]:
    found = store.freshness({ASSESSOR: KEYS})[ASSESSOR]
    return sorted(zip(found.keys, found.checked_at, found.is_found, found.missing, strict=True))


def _as_text(value: Any) -> str | None:
    is_moment = isinstance(value, datetime)
    return f"{value:%Y-%m-%d %H:%M:%S}+00" if is_moment else None if value is None else str(value)


def differences(before: dict[str, Any], after: dict[str, Any]) -> set[tuple[Any, ...]]:
    """Return every value that is another one, as a re-parse tells it."""
    found = set()
    for table, identity in IDENTITIES.items():
        if table not in before:
            continue
        rows = [
            {tuple(row[name] for name in identity): row for row in some[table]}
            for some in (before, after)
        ]
        for key in {*rows[0], *rows[1]}:
            old, new = (some.get(key, {}) for some in rows)
            own = [value for name, value in zip(identity, key, strict=True)
                   if name not in {"apn", "county"} and value is not None]  # fmt: skip
            label = " ".join(map(str, own))
            for name in ({*old, *new}) - {"source", "collected_at"}:
                values = [_as_text(v) for v in (old.get(name), new.get(name))]
                if values[0] != values[1]:
                    apn = key[identity.index("apn")]
                    found.add((apn, apn, table, label, name, *values))
    return found


def as_rows(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    """Return a frame's rows in order, absent values as None."""
    rows = frame.astype(object).where(frame.notna(), None).itertuples(index=False, name=None)
    return sorted(rows, key=str)


def of_known_rows(told: pd.DataFrame) -> pd.DataFrame:
    """Return the differences of rows that there were, without the columns that tell them apart."""
    rows = told.set_index(["apn", "table", "row"], drop=False)
    added = rows.index[(rows["column"] == "apn") & rows["old"].isna()]
    is_own = [
        column in IDENTITIES[table]
        for table, column in zip(rows["table"], rows["column"], strict=True)
    ]
    return rows[~rows.index.isin(added) & ~pd.Series(is_own, index=rows.index)]


@pytest.mark.parametrize("seed", range(EXAMPLES))
def test_read_again_it_is_as_if_it_had_been_read_so_at_once(tmp_path: Path, seed: int):
    """Tables, freshness, the history of before, and every difference told; told is what is done."""
    rng = Random(seed)
    source = Told()
    stores = [Store.open(tmp_path / f"{name}.duckdb") for name in ("at-once", "again")]
    try:
        at_once, again = stores
        batch_ids = []
        for step in range(3):
            so = {key: what_is_so(key, rng) for key in KEYS}
            wrong = {key: misread(so[key], key, rng) if step == 2 else so[key] for key in KEYS}
            numbers = range(len(source.meanings), len(source.meanings) + len(KEYS))
            source.meanings += so.values()
            for store, read in ((at_once, so), (again, wrong)):
                batch_ids.append(batch_of(store, *KEYS))
                answers = zip(numbers, read.items(), strict=True)
                write(store, *[
                    answered(batch_ids[-1], number, key, parsed, noon(100 * step + number))
                    for number, (key, parsed) in answers
                ])  # fmt: skip
        before, earlier = everything(again), noon(199)

        told = reparse_answers(again, source)  # type: ignore[arg-type]
        untouched = everything(again)
        done = reparse_and_store(again, source)  # type: ignore[arg-type]

        assert untouched == before
        assert everything(again) == everything(at_once) != before
        assert fresh(again) == fresh(at_once)
        assert stood(again, earlier) == stood(at_once, earlier)
        assert again.duplicates() == {}
        assert as_rows(told) == sorted(differences(before, everything(again)), key=str)
        assert done.equals(told)
        assert len(reparse_answers(again, source)) == 0  # type: ignore[arg-type]
        ended = read_changes(again, noon(-1)).query("kind != 'added' and column != 'source'")
        ours = ended[~ended["batch_id"].isin(batch_ids)]
        assert as_rows(ours[list(DIFFERENCES[1:])]) == as_rows(
            of_known_rows(told)[list(DIFFERENCES[1:])]
        )
    finally:
        for store in stores:
            store.close()
