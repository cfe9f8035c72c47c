"""Re-parsing: how long kept answers take to be read again, compared and stored, without requests.

The answers of as many parcels of the demo county as are asked for: the assessor's one JSON answer,
the treasurer's three pages. They are written into the store as a collector would; only reading
them again is timed, with a parser that says one thing differently of every parcel.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

import propkit as pk
from propkit.demo_county import treasurer_pages
from propkit.demo_county.assessor_shapes import everything
from propkit.demo_county.truth import CountyTruth
from propkit.items import Item, State
from propkit.pages import Page
from propkit.records import Parcel, TaxBill
from propkit.sources import Parsed, Payload, Source, configure_sources
from propkit.store import Result, Store
from tests.benchmarks.jobs import Job

_AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
ASSESSOR, TREASURER = "maricopa_assessor", "maricopa_treasurer"


def reparse_kept(job: Job, folder: Path) -> Callable[[], dict[str, Any]]:
    """Fill a store, then read everything anew: told only, and stored."""
    settings = pk.Settings.load()
    path = folder / "kept.duckdb"
    count = len(job.hosts[0].keys)
    configs = configure_sources(settings)
    store = Store.open(path)
    _fill(store, count, configs[ASSESSOR].source, configs[TREASURER].source)
    store.close()

    def finish() -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, table in ((ASSESSOR, Parcel), (TREASURER, TaxBill)):
            changed = replace(configs[name], source=_Changed(configs[name].source, table))
            with pk.Kit(Store.open(path), settings, {**configs, name: changed}) as kit:
                for what, apply in (("told", False), ("stored", True)):
                    began = time.perf_counter()
                    frame = kit.reparse(name, apply=apply)
                    found[f"{name}_{what}"] = round(time.perf_counter() - began, 2)
                    assert frame.attrs["answers"] == count, frame.attrs
                    assert set(frame["key"]) == {f"{key}" for key in _apns(count)}
                assert len(kit.reparse(name)) == 0
        return found

    return finish


class _Changed:
    """A source whose parser says one thing differently of every parcel."""

    def __init__(self, source: Source, table: type) -> None:
        self._source = source
        self._table = table

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def parse(self, payload: Payload) -> Parsed:
        parsed = self._source.parse(payload)
        column = "jurisdiction" if self._table is Parcel else "status"
        records = [
            replace(r, **{column: "ANEW"}) if isinstance(r, self._table) else r
            for r in parsed.records
        ]
        return replace(parsed, records=tuple(records))


_TRUTHS: dict[int, CountyTruth] = {}


def _truth(count: int) -> CountyTruth:
    if count not in _TRUTHS:
        _TRUTHS[count] = CountyTruth(parcels=2 * count + 100)
    return _TRUTHS[count]


def _apns(count: int) -> list[str]:
    return [parcel.head.apn for parcel in _parcels(count)]


def _parcels(count: int) -> Iterator[Any]:
    truth, given = _truth(count), 0
    for index in range(truth.size):
        parcel = truth.parcel(index)
        if parcel.head.is_in_assessor and parcel.head.is_in_treasurer:
            yield parcel
            given += 1
            if given == count:
                return


def _fill(store: Store, count: int, assessor: Source, treasurer: Source) -> None:
    for parcel in _parcels(count):
        for source, pages in (
            (
                assessor,
                [
                    (
                        "parcel",
                        "application/json",
                        orjson.dumps(everything(parcel, rental_owner="", similar=[])),
                    )
                ],
            ),
            (treasurer, _treasurer_pages(parcel)),
        ):
            apn = parcel.head.apn
            made = tuple(
                Page(
                    name=name,
                    url=f"http://localhost/{name}",
                    fetched_at=_AT,
                    status=200,
                    content_type=kind,
                    body=body,
                )
                for name, kind, body in pages
            )
            parsed = source.parse(Payload(source=source.name, key=apn, apn=apn, pages=made))
            store.writer.put(
                Result(
                    batch_id="bench",
                    item=Item(
                        source=source.name, key=apn, apn=apn, state=State.DONE, attempts=1,
                        ended_at=_AT,
                    ),
                    parser_version=source.parser_version,
                    pages=made,
                    records=parsed.records,
                    unsaid=parsed.unsaid,
                    checked_at=_AT,
                )
            )  # fmt: skip
    store.writer.flush().result()


def _treasurer_pages(parcel: Any) -> list[tuple[str, str, bytes]]:
    layout = treasurer_pages.choose_layout(parcel.head, layout="mixed", year_table="mixed")
    action = "/treasurer/Parcel/Summary.aspx"
    kind = "text/html; charset=utf-8"
    texts = {
        "parcel": treasurer_pages.summary_page(parcel, layout, all_years=False, action=action),
        "years": treasurer_pages.summary_page(parcel, layout, all_years=True, action=action),
        "activities": treasurer_pages.activities_page(parcel, action=action),
    }
    return [(name, kind, text.encode()) for name, text in texts.items()]
