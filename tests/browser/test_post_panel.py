"""The panel for posting in a real JupyterLab, with the real poster and the demo county's site."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.browser.lab import LabPage

KIT = """\
import propkit as pk
from pathlib import Path
from propkit.browsing import window
window._PICTURE_SECONDS = 60  # however busy the machine is
kit = pk.demo(parcels=50)
sheet = Path("trucks.csv")
sheet.write_text('''id,title,description,price,condition,seller,location,posting_status
BT001,Bucket truck 1,Boom of 12 m. Serviced in May,9000,New,Owner,Mesa,
BT002,Bucket truck 2,Boom of 13 m. Serviced in May,9500,Rusty,Owner,Mesa,
BT003,Bucket truck 3,Boom of 14 m. Serviced in May,9900,New,Owner,Tempe,Posted 2026-11-01
''')
drop = {"kind": "drop", "system": "classifieds", "path": "^/p-submit-ad", "first": 1}
dropped = kit.county.switch(faults=[drop])
kit.settings.posting.retry_attempts = 1
kit.settings.posters["kijiji"].step_seconds = 60"""
PANEL = "panel = kit.post_panel(sheet)\npanel"
STATE = "print([ad['title'] for ad in kit.county.postings()])"


@pytest.mark.browser
@pytest.mark.timeout(600)
def test_a_sheet_is_looked_at_and_posted_by_two_clicks(lab: LabPage) -> None:
    lab.open_notebook("post.ipynb", [KIT, PANEL, STATE])
    page = lab.page
    for number in (0, 1):
        lab.run_to_end(number)
    page.locator(".propkit-post .propkit-do-start").wait_for()
    # A dry run is what is offered first.
    page.get_by_label("Dry run").uncheck()
    page.locator(".propkit-do-start", has_text="Post 2 listings").click()
    page.locator(".propkit-report").wait_for(timeout=120_000)
    page.locator(".propkit-do-evidence").click()
    page.locator(".jp-OutputArea img[src^=blob]").wait_for()
    lab.keep("post_panel")

    said = page.locator(".propkit-report").inner_text()
    grid = page.locator(".propkit-status-grid").inner_text()
    lab.run_to_end(2)
    assert said == "trucks.csv: 1 posted, 1 failed, 1 skipped"
    assert [word in grid for word in ("Posted", "Failed", "Left out")] == [True] * 3
    assert "found on the account's own page" in grid
    assert lab.output(2).strip() == "['Bucket truck 1']"
    assert lab.errors == []
