"""The history as a kit tells it: what has changed, why a value is what it is, tables of before."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

import propkit as pk
from propkit.errors import RequestError
from propkit.explaining import EXPLANATION
from propkit.records import Parcel
from propkit.sharing.joining import attach
from propkit.sources import Parsed
from propkit.sources._config import find_sources
from propkit.store.history import CHANGES, find_moment, read_as_of, read_changes
from tests.collecting import quick_kit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from propkit.demo_county import County
    from propkit.sources import Payload

ASSESSOR = "maricopa_assessor"
COUNT = 3


class LaterReader:
    """The assessor's source, after all parcels were sold to one owner."""

    parser_version = 7

    def __init__(self) -> None:
        self._source = find_sources()[ASSESSOR]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def parse(self, payload: Payload) -> Parsed:
        """Return what was read, with the new owner."""
        parsed = self._source.parse(payload)
        records = [
            replace(r, owner_name="NEW OWNER") if isinstance(r, Parcel) else r
            for r in parsed.records
        ]
        return replace(parsed, records=tuple(records))


@pytest.fixture
def kit(county: County, tmp_path: Path) -> Iterator[pk.Kit]:
    """Give a kit whose parcels were collected twice, and sold meanwhile."""
    with quick_kit(county, tmp_path / "kept.duckdb") as kit:
        kit.collect(county.apns(COUNT), progress=False)
        assert isinstance(kit.sources, dict)
        kit.sources[ASSESSOR] = replace(kit.sources[ASSESSOR], source=LaterReader())
        kit.collect(county.apns(COUNT), progress=False, max_age=0)
        yield kit


def first_collected(kit: pk.Kit) -> datetime:
    """Return when the second batch was made: all of the first had been collected."""
    made = kit.store.rows("SELECT max(created_at) AS at FROM batch_heads")[0]["at"]
    assert isinstance(made, datetime)
    return made


def test_changes_are_told_by_batch_moment_parcel_and_table(kit: pk.Kit, county: County) -> None:
    first, second = kit.store.rows("SELECT batch_id AS id FROM batch_heads ORDER BY number")
    apns = sorted(county.apns(COUNT))

    frame = kit.changes()

    assert list(frame.columns) == list(CHANGES)
    assert sorted(frame["apn"]) == apns
    assert set(frame["column"]) == {"owner_name"}
    assert set(frame["new"]) == {"NEW OWNER"}
    assert set(frame["batch_id"]) == {second["id"]}
    assert set(frame["kind"]) == {"changed"}
    for since in (None, second["id"], 2, first["id"], "2020-01-01", datetime(2020, 1, 1)):  # noqa: DTZ001
        assert len(kit.changes(since)) == COUNT
    assert len(kit.changes(datetime.now(UTC))) == 0
    assert list(kit.changes(apn=apns[0])["apn"]) == [apns[0]]
    assert len(kit.changes(table="tax_bills")) == 0
    assert len(kit.changes(county="pinal")) == 0
    with pytest.raises(RequestError, match="no table 'parcel'"):
        kit.changes(table="parcel")
    with pytest.raises(RequestError, match="is no moment"):
        kit.changes("yesterday")


def test_a_frame_of_before_is_what_it_was(kit: pk.Kit) -> None:
    moment = first_collected(kit)
    old = dict(zip(kit.changes()["apn"], kit.changes()["old"], strict=True))

    before = kit.frame("parcels", as_of=moment)
    bills = kit.frame("tax_bills", as_of=moment)

    now = kit.frame("parcels")
    assert dict(zip(before["apn"], before["owner_name"], strict=True)) == old
    same = [column for column in now.columns if column not in ("owner_name", "collected_at")]
    assert before[same].equals(now[same])
    assert (before["collected_at"] < moment).all()
    assert bills.drop(columns="collected_at").equals(
        kit.frame("tax_bills").drop(columns="collected_at")
    )
    assert len(kit.frame("parcels", as_of="2020-01-01")) == 0
    with pytest.raises(RequestError, match="no history of 'items'"):
        kit.frame("items", as_of=moment)


def test_a_value_is_explained_by_its_answers(kit: pk.Kit, county: County) -> None:
    apn = county.apns(1)[0]
    old = kit.changes(apn=apn)["old"][0]

    frame = kit.explain(apn, "owner_name")

    assert list(frame.columns) == list(EXPLANATION)
    assert list(frame["standing"]) == ["now", "before"]
    assert list(frame["value"]) == ["NEW OWNER", old]
    assert list(frame["parser_version"]) == [7, find_sources()[ASSESSOR].parser_version]
    assert frame["until"][1] == frame["since"][0] == frame["said_at"][0]
    kept = kit.store.bodies([digest for some in frame["sha256s"] for digest in some])
    assert all(apn in kept[some[0]].decode() for some in frame["sha256s"])
    assert all(county.base_url("assessor") in some[0] for some in frame["urls"])
    with pytest.raises(RequestError, match="no table has a column 'owned'"):
        kit.explain(apn, "owned")


def test_a_value_read_again_names_the_parser_that_read_it(kit: pk.Kit, county: County) -> None:
    apn = county.apns(1)[0]
    owner = kit.explain(apn, "owner_name")["value"][1]
    kit.sources[ASSESSOR] = replace(kit.sources[ASSESSOR], source=find_sources()[ASSESSOR])

    kit.reparse(ASSESSOR, apply=True)
    frame = kit.explain(apn, "owner_name")

    assert list(frame["value"]) == [owner, "NEW OWNER", owner]
    first = find_sources()[ASSESSOR].parser_version
    assert list(frame["parser_version"]) == [first, 7, first]


def test_what_another_source_says_is_told_too(kit: pk.Kit, county: County) -> None:
    """Another source's kept answer is read for it, also where the record came from elsewhere."""
    apn = county.apns(1)[0]
    kit.store.writer.submit(
        lambda c: c.execute("UPDATE tax_bills SET source = 'elsewhere' WHERE apn = ?", [apn])
    ).result(timeout=60)

    frame = kit.explain(apn, "amount_due", table="tax_bills")

    assert {"now", "another source"} <= set(frame["standing"])
    others = frame[frame["standing"] == "another source"]
    now = frame[frame["standing"] == "now"]
    assert set(others["source"]) == {"maricopa_treasurer"}
    assert dict(zip(others["row"], others["value"], strict=True)) == dict(
        zip(now["row"], now["value"], strict=True)
    )


def test_a_guest_may_ask_for_the_history(kit: pk.Kit) -> None:
    moment = first_collected(kit)
    with pk.open(kit.store.path, settings=kit.settings):  # it serves guests
        guest = attach(kit.store.path)
        assert guest is not None

        changes = read_changes(guest.store, find_moment(guest.store, "last batch"))
        before = read_as_of(guest.store, "parcels", moment, "county, apn")
        guest.close()

    assert changes.equals(kit.changes())
    assert before.equals(kit.frame("parcels", as_of=moment))


def test_pruning_leaves_the_history(kit: pk.Kit) -> None:
    before = kit.changes()

    kit.prune(0, apply=True)

    assert kit.changes().equals(before)


def test_a_workbook_has_a_sheet_of_changes(kit: pk.Kit, tmp_path: Path) -> None:
    import pandas as pd

    path = kit.to_excel(tmp_path / "out.xlsx", ["parcels"], changes="last batch")

    sheets = pd.read_excel(path, sheet_name=None, dtype=str, engine="calamine")
    assert list(sheets) == ["parcels", "changes"]
    assert list(sheets["changes"]["new"]) == ["NEW OWNER"] * COUNT
