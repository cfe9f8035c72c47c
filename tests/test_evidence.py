"""What was to be seen of failed items: kept with them, found again, and gone with them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from propkit.errors import RequestError
from propkit.evidence import RENDERED, Sight, last_sight, without_picture
from propkit.evidence_desk import Exhibits
from propkit.identifiers import Apn
from propkit.items import State
from propkit.store import Store
from propkit.store.batches import delete_batch
from propkit.store.evidence import read_evidence
from propkit.store.retention import measure_pruning, prune
from tests.collecting import quick_kit
from tests.store.made import NOON, batch_of, noon, page, result, write
from tests.test_fault_matrix import apns_known_everywhere

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from propkit.demo_county import County
    from propkit.store import Result

FAILED = {"state": State.FAILED, "failure_class": "blocked", "error": "a wall"}
PICTURE = b"\xff\xd8\xff picture"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with_file = Store.open(tmp_path / "a.duckdb")
    yield with_file
    with_file.close()


def failed(batch_id: str, key: str, body: bytes, seconds: float = 0) -> Result:
    seen = page(body, name=RENDERED, at=noon(seconds))
    sight = Sight(
        url=f"http://localhost/{key}",
        seen_at=noon(seconds),
        status=403,
        page=seen,
        screenshot=PICTURE,
        console=("error: one", "error: two"),
    )
    return replace(result(key, pages=[seen], batch_id=batch_id, at=None, **FAILED), sight=sight)


def test_evidence_is_stored_with_its_item_and_the_newest_stands(store: Store) -> None:
    batch = batch_of(store, "1", "2")

    write(store, failed(batch, "1", b"first"))
    write(store, failed(batch, "1", b"second", seconds=5), result("2", batch_id=batch))
    (found,) = read_evidence(store, "true", [])

    assert (found.batch_id, found.key, found.apn) == (batch, "1", "1")
    assert (found.failure_class, found.error) == ("blocked", "a wall")
    assert (found.url, found.status, found.seen_at) == ("http://localhost/1", 403, noon(5))
    assert (found.html, found.screenshot) == (b"second", PICTURE)
    assert found.console == ("error: one", "error: two")


def test_evidence_goes_with_its_batch(store: Store) -> None:
    batch, other = batch_of(store, "1"), batch_of(store, "1")
    write(store, failed(batch, "1", b"first"), failed(other, "1", b"second"))

    delete_batch(store, batch)

    assert store.rows("SELECT batch_id FROM evidence") == [{"batch_id": other}]


def test_old_evidence_is_pruned(store: Store) -> None:
    write(store, failed("b1", "1", b"first"), failed("b2", "1", b"second", seconds=3600))

    pruning = prune(store, measure_pruning(store, timedelta(seconds=60), noon(3600)))

    assert (pruning.evidence, pruning.kept["evidence"]) == (1, 1)
    assert store.rows("SELECT batch_id FROM evidence") == [{"batch_id": "b2"}]


def test_the_last_answer_is_what_was_to_be_seen() -> None:
    pages = [page(b"first"), page(b"last", name="second")]

    sight = last_sight(pages)

    assert sight == Sight(
        url="http://localhost/second", seen_at=NOON, status=200, page=pages[1], screenshot=None
    )
    assert last_sight([]) is None


def test_without_its_picture_a_sight_keeps_address_and_console() -> None:
    seen = page(b"html", name=RENDERED)
    sight = Sight(url="u", seen_at=NOON, page=seen, screenshot=PICTURE, console=("error: one",))

    assert without_picture(sight) == Sight(url="u", seen_at=NOON, console=("error: one",))
    assert without_picture(replace(sight, page=page(b"answer"))).page == page(b"answer")


def test_failures_by_http_show_their_answer(county: County, tmp_path: Path) -> None:
    """By batch, item, APN; in words, as a frame and as files. An item that healed shows nothing."""
    apns = apns_known_everywhere(county, 3)
    county.switch(faults=[{"kind": "layout_v2", "system": "treasurer"}])
    with quick_kit(county, tmp_path / "a.duckdb") as kit:
        report = kit.collect(apns, datasets="tax_bills", progress=False)
        of_batch, of_apn = kit.evidence(), kit.evidence(Apn(apns[1]))
        (row, *_) = report.failures_frame().itertuples()
        of_row = kit.evidence(row)
        series = kit.evidence(kit.batch("last").items().query("state == 'failed'").iloc[0])
        of_item, of_text = kit.evidence(report.failures[0]), kit.evidence(apns[2])
        files = of_batch.save(tmp_path / "seen")
        with pytest.raises(RequestError, match="no batch 'nowhere'"):
            kit.evidence("nowhere")
        with pytest.raises(RequestError, match="no batch, item or APN"):
            kit.evidence(report)
        county.switch(faults=[])
        kit.batch("last").retry().wait()
        after = kit.evidence()

    assert sorted(one.key for one in of_batch) == sorted(apns)
    assert [one.key for one in of_apn] == [apns[1]]
    assert [one.key for one in of_text] == [apns[2]]
    assert list(of_item) == [one for one in of_batch if one.key == report.failures[0].key]
    assert list(of_row) == list(of_item)
    assert len(series) == 1
    assert {one.status for one in of_batch} == {200}
    assert all(one.html and one.screenshot is None for one in of_batch)
    assert list(of_batch.frame()["key"]) == [one.key for one in of_batch]
    assert [path.read_bytes() for path in files] == [one.html for one in of_batch]
    assert of_batch[0].url in str(of_batch)
    assert "layout_changed" in of_batch[:1]._repr_html_()
    assert f"kit.evidence('{report.batch_id}')" in str(report)
    assert list(after) == []
    assert str(after) == str(Exhibits([])) == "No failed item left anything to be seen."
