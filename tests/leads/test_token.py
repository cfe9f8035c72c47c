"""The leads token is sent to the source and to nobody else: every byte written is searched."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from propkit.errors import SourceError
from propkit.leads import LeadPreview
from tests.leads.selling import CAPS, CRITERIA, WAIT, leads_kit

if TYPE_CHECKING:
    from pathlib import Path

    from propkit.demo_county import County

TOKEN = "Zq7-planted-token-91f3"


def test_the_token_is_in_nothing_that_is_written_or_shown(
    county: County,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
):
    """Store, workbook, logs, errors, reports, previews and settings, in good and bad runs."""
    caplog.set_level(logging.DEBUG)
    fault = {"system": "propertyradar", "path": "Purchase=1"}
    county.switch(
        leads={"token": TOKEN}, faults=[{**fault, "kind": "status", "status": 500, "nth": 2}]
    )
    shown: list[str] = []
    with leads_kit(county, tmp_path / "leads.duckdb") as kit:
        preview = kit.leads(CRITERIA, page_size=100)
        assert isinstance(preview, LeadPreview)
        batch = preview.buy(**CAPS)
        report = batch.wait(WAIT)
        shown += [str(preview), preview._repr_html_(), str(report), repr(batch), repr(batch.head)]
        shown += [kit.settle().to_csv(), str(batch.resume().wait(WAIT)), batch.log().to_csv()]
        radar_id = kit.frame("leads")["radar_id"][0]
        caps = {"max_records": 9, "max_cost": 0}
        persons = kit.lead_account.persons(radar_id, purchase=True, **caps)
        shown += [persons.to_csv(), kit.lead_account.lists().to_csv()]
        county.switch(leads={"token": "renewed"})
        with pytest.raises(SourceError) as refused:
            kit.leads(CRITERIA)
        shown += [repr(refused.value), str(refused.value), str(refused.value.url)]
        shown += [repr(kit), repr(kit.settings), str(kit.settings), repr(kit.sources)]
        shown += [repr(kit._place.collector()[0].hosts), str(report.failures_frame().to_csv())]
        shown += [kit.frame(name).to_csv() for name in ("purchases", "items", "batch_logs")]
        kit.to_excel(tmp_path / "leads.xlsx", ["leads", "purchases", "lead_persons"])
        digests = [row["sha256"] for row in kit.store.rows("SELECT sha256 FROM payloads")]
        payloads = list(kit.store.bodies(digests).values())
        headers = [entry["headers"] for entry in county.ledger("propertyradar")]

    assert kit.sources["propertyradar"].headers["Authorization"] == f"Bearer {TOKEN}"
    written = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert {file.suffix for file in written} == {".duckdb", ".xlsx"}
    assert [file.name for file in written if TOKEN.encode() in file.read_bytes()] == []
    said = [*shown, *capfd.readouterr(), caplog.text]
    assert [text for text in said if TOKEN in text] == []
    assert TOKEN not in repr(payloads)
    assert TOKEN not in repr(headers)
    assert len(payloads) > 3
