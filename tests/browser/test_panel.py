"""The panel for collecting in a real JupyterLab, as an analyst uses it through a day.

``PROPKIT_BUSY_SECONDS=10`` makes the first batch last so long, while another cell computes.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.browser.lab import LabPage

# Of 24 parcels three are asked for at once, each with four requests. A batch that is to be caught
# in the middle is so slow until it was that a busy machine catches it, too; a cancel waits longer.
SECONDS = float(os.environ.get("PROPKIT_BUSY_SECONDS", "4"))

# The store is the one that Jupyter's own server looks after.
KIT = """\
import os
os.environ["PROPKIT_COLLECT__ENHANCE"] = "false"
os.environ["PROPKIT_NOTIFY__AFTER_SECONDS"] = "0"
import propkit as pk
kit = pk.demo("propkit.duckdb", parcels=200)
county = kit.county
apns = county.apns(24)"""
PANEL = "panel = kit.panel(apns)\npanel"
# Says that it has begun, and computes until it is interrupted.
BUSY = """\
try:
    print("computes", flush=True)
    while True:
        sum(range(1000))
except KeyboardInterrupt:
    print("and ends")"""
AGAIN = "other = kit.panel()\nother"
STATE = """\
batch = kit.batch("last")
print(batch.state, batch.report.totals)"""
INTERRUPTED = "report = kit.collect(apns, max_age=0)\nprint(report.state)"
EVIL = """\
import pandas as pd
evil = pd.DataFrame({"apn": county.apns(60)[50:52], "owner_name": "<img src=x onerror=document.title=1>"})
third = kit.panel(evil)
third"""
SLOW = """\
slow = county.switch(faults=[{"kind": "slow", "seconds": 2, "system": "treasurer"}])"""
QUICKER = f"""\
quicker = county.switch(faults=[{{"kind": "slow", "seconds": {SECONDS / 32}, "system": "treasurer"}}])"""
# Notes what the browser really shows, by permission.
TOLD = """\
window.told = [];
window.Notification = class extends window.Notification {
  constructor(title, options) {
    super(title, options);
    this.addEventListener("show", () => window.told.push([title, options.body]));
  }
};"""
BUSY_WHILE_IT_ENDS = f"{QUICKER}\n{BUSY}"
CHART = 'kit.chart("values")'
CELLS = [
    *(KIT, PANEL, BUSY, AGAIN, STATE, INTERRUPTED, EVIL, SLOW, QUICKER, BUSY_WHILE_IT_ENDS),
    CHART,
]


def _in(number: int, selector: str) -> str:
    """Return the selector of something in a cell's output."""
    return f".jp-Notebook .jp-Cell >> nth={number} >> {selector}"


def _chips(lab: LabPage, number: int) -> list[str]:
    return [one.strip() for one in lab.page.locator(_in(number, ".propkit-chip")).all_inner_texts()]


def _tab_to(lab: LabPage, selector: str) -> None:
    """Press Tab until the focus is there."""
    for _ in range(30):
        if lab.page.evaluate("part => document.activeElement.matches(part)", selector):
            return
        lab.page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not lead to {selector}")


def _search_and_confirm(lab: LabPage) -> None:
    """Search what is wrong, then press the button and say yes, by the keyboard alone."""
    page = lab.page
    page.locator(_in(1, ".propkit-query")).focus()
    page.keyboard.type("  ")
    page.keyboard.press("Enter")
    page.locator(_in(1, ".propkit-error")).filter(has_text="nothing to search for").wait_for()
    page.locator(_in(1, ".propkit-do-search")).focus()
    _tab_to(lab, ".propkit-do-collect")
    assert page.get_attribute(_in(1, ".propkit-do-collect"), "title") == (
        "Collect complete property data for ALL visible search results"
    )
    page.keyboard.press("Enter")
    page.wait_for_function("document.activeElement.matches('.propkit-do-confirm')")
    lab.keep("plan")
    page.keyboard.press("Enter")
    page.locator(_in(1, ".propkit-do-collect")).filter(
        has_text="Batch Collection Active…"
    ).wait_for()
    assert page.locator(_in(1, ".propkit-do-collect")).is_disabled()
    page.locator(_in(1, ".propkit-tone-yellow >> nth=0")).wait_for()


def _see_it_end(lab: LabPage) -> None:
    """See the bars go on while another cell computes, to the end."""
    page = lab.page
    said = page.inner_text(_in(1, ".propkit-counts"))
    _begin_computing(lab, 9)
    page.wait_for_function(
        "before => document.querySelector('.propkit-counts')?.textContent !== before", arg=said
    )
    page.locator(_in(1, ".propkit-pill.propkit-tone-green >> nth=0")).wait_for()
    lab.keep("running")
    page.locator(_in(1, ".propkit-summary")).wait_for()
    page.locator(_in(1, ".propkit-chip")).filter(has_text="Complete 24").wait_for()
    _stop_computing(lab, 9)
    assert _chips(lab, 1) == ["✓Complete 24"]
    said = page.inner_text(_in(1, ".propkit-summary h4"))
    assert said == "Collected 24 of 24 properties"
    page.wait_for_function("window.told.length > 0")
    assert page.evaluate("window.told[0]") == ["propkit: batch completed", "24 of 24 properties"]
    assert page.locator(_in(1, ".propkit-do-collect")).inner_text() == "Collect All Data"
    lab.keep("summary")


def _begin_computing(lab: LabPage, number: int) -> None:
    """Run a cell that computes until it is interrupted; an interrupt before it begins is lost."""
    lab.run_cell(number)
    lab.page.locator(_in(number, ".jp-OutputArea")).filter(has_text="computes").wait_for()


def _stop_computing(lab: LabPage, number: int) -> None:
    """Interrupt the cell that has computed all the time."""
    assert lab.output(number).strip() == "computes"
    lab.execute("notebook:interrupt-kernel")
    lab.page.locator(_in(number, ".jp-OutputArea")).filter(has_text="and ends").wait_for()


def _cancel_while_the_kernel_is_busy(lab: LabPage) -> None:
    """Fetch what is current again, and cancel while a cell blocks the kernel."""
    page = lab.page
    lab.run_to_end(7)
    page.click(_in(1, ".propkit-do-collect"))
    page.click(_in(1, ".propkit-do-fetch_anyway"))
    page.locator(_in(1, ".propkit-tone-yellow >> nth=0")).wait_for()
    page.evaluate("document.querySelector('.propkit-said').scrollIntoView()")
    _begin_computing(lab, 2)
    page.click(_in(1, ".propkit-do-cancel"))
    page.locator(_in(1, ".propkit-summary h4")).filter(has_text="Cancelled after").wait_for()
    _stop_computing(lab, 2)
    lab.run_to_end(4)
    assert lab.output(4).startswith("cancelled {")


def _restart_in_the_middle(lab: LabPage) -> None:
    """Go on in another panel, restart the kernel meanwhile, and go on again."""
    page = lab.page
    lab.run_to_end(3)
    page.locator(_in(3, ".propkit-do-resume")).wait_for()
    page.click(_in(3, ".propkit-do-resume"))
    page.locator(_in(1, ".propkit-tone-yellow >> nth=0")).wait_for()

    # The kernel is restarted in the middle: the panels say so and offer nothing.
    lab.restart_kernel(lambda: _see_it_gone(lab))
    for cell in (0, 7, 1, 3):
        lab.run_to_end(cell)
    page.locator(_in(3, ".propkit-summary h4")).filter(has_text="Interrupted after").wait_for()
    page.click(_in(3, ".propkit-do-resume"))
    page.locator(_in(3, ".propkit-tone-yellow >> nth=0")).wait_for()
    lab.run_to_end(8)
    lab.execute("docmanager:save")


def _see_it_gone(lab: LabPage) -> None:
    """See a panel whose kernel is no more."""
    page = lab.page
    page.locator(_in(1, ".propkit-notice")).filter(has_text="No sign of life").wait_for()
    assert page.locator(_in(1, ".propkit-do-search")).is_disabled()
    lab.keep("gone")


def _reload(lab: LabPage) -> None:
    """Load the page again while the batch goes on."""
    page = lab.page
    lab.show_notebook("day.ipynb")
    page.locator(_in(3, ".propkit-grid-row >> nth=0")).wait_for()
    page.locator(_in(3, ".propkit-summary h4")).filter(has_text="Collected 24 of 24").wait_for()
    lab.run_to_end(4)
    assert lab.output(4).startswith("completed {")


def _interrupt(lab: LabPage) -> None:
    """Interrupt a cell that collects."""
    page = lab.page
    lab.run_to_end(7)
    lab.run_cell(5)
    page.locator(_in(5, ".propkit-progress")).wait_for()
    lab.execute("notebook:interrupt-kernel")
    page.locator(_in(5, ".jp-OutputArea")).filter(has_text="cancelled").wait_for()


def _change_theme(lab: LabPage, name: str) -> None:
    lab.page.evaluate(
        "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})"
        ".then(() => null)",
        f"JupyterLab {name}",
    )
    lab.page.locator(f"body[data-jp-theme-name='JupyterLab {name}']").wait_for(state="attached")


def _look_in_the_dark(lab: LabPage) -> None:
    """Look at what an evil owner wrote, in the dark."""
    page = lab.page
    _change_theme(lab, "Dark")
    lab.run_to_end(6)
    page.locator(_in(6, ".propkit-grid-row >> nth=0")).wait_for()
    page.dblclick(_in(6, ".propkit-grid-row >> nth=0"))
    page.locator(_in(6, "section.propkit-card")).wait_for()
    page.evaluate("document.querySelector('section.propkit-card').scrollIntoView()")
    lab.keep("dark")


def _see_a_chart(lab: LabPage, ground: list[int]) -> None:
    """See a chart drawn on such a ground."""
    lab.run_to_end(10)
    lab.page.wait_for_function(
        """ground => [...document.querySelectorAll('.jp-RenderedVegaLite canvas')].some(chart =>
            `${chart.getContext('2d').getImageData(2, 2, 1, 1).data}` === `${ground}`)""",
        arg=ground,
    )


@pytest.mark.browser
@pytest.mark.timeout(600)
def test_an_analysts_day(lab: LabPage) -> None:
    page = lab.page
    page.context.grant_permissions(["notifications"])
    page.add_init_script(TOLD)
    lab.open_notebook("day.ipynb", CELLS)
    for cell in (0, 7, 1):
        lab.run_to_end(cell)
    page.locator(_in(1, ".propkit-do-collect")).wait_for()

    _search_and_confirm(lab)
    _see_it_end(lab)
    _cancel_while_the_kernel_is_busy(lab)
    _restart_in_the_middle(lab)
    _reload(lab)
    _interrupt(lab)
    _see_a_chart(lab, [255, 255, 255, 255])
    _look_in_the_dark(lab)
    _see_a_chart(lab, [51, 51, 51, 255])

    assert "<img src=x" in page.inner_text(_in(6, ".propkit-grid-row >> nth=0"))
    assert page.locator(".propkit-grid img, .propkit-face img").count() == 0
    assert page.title() != "1"
    assert lab.errors == []


# The recorder shows a captcha: propkit stops there and goes on with the others.
BLOCKED = """\
captcha = county.switch(faults=[{"kind": "captcha", "system": "recorder"}])
report = kit.collect([*county.apns(150)[60:66], "no parcel"])
report"""
RESUMED = """\
quiet = county.switch(faults=[])
report = kit.batch("last").resume().wait()"""
_BARS = """() => [...document.querySelectorAll('.propkit-progress-source')].map(row => {
    const bar = row.querySelector('.progress-bar');
    const words = [...row.querySelectorAll('.widget-label')].map(e => e.textContent);
    const colour = [...bar.classList].find(name => name.startsWith('progress-bar-'));
    return [words.filter(Boolean)[0], words.filter(Boolean)[1], bar.style.width, colour];
})"""
_BUTTONS_ARE_IN_SIGHT = """() => {
    const view = document.querySelector('.propkit-scroll').getBoundingClientRect();
    const buttons = [...document.querySelectorAll('.propkit-scroll .propkit-button')];
    return view.width < 450 && buttons.every(one => {
        const { x, y, width, height } = one.getBoundingClientRect();
        return one.contains(document.elementFromPoint(x + width / 2, y + height / 2)) || y > 1400;
    });
}"""
REST = """\
import json, urllib.request
from pathlib import Path
(file,) = Path(os.environ["JUPYTER_RUNTIME_DIR"]).glob("jpserver-*.json")
server = json.loads(file.read_text())
headers = {"Authorization": f"token {server['token']}", "Content-Type": "application/json"}
body = json.dumps({"identifiers": county.apns(150)[66:]}).encode()
url = f"{server['url']}propkit/api/batch-jobs"
with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as answer:
    print(answer.status, json.load(answer)["number"])"""


def _see_the_bars(lab: LabPage) -> None:
    """See the bars of a cell that collects reach their end, and say it in words."""
    page = lab.page
    page.locator(_in(1, ".jp-OutputArea-executeResult")).filter(has_text=": paused in ").wait_for()
    # The page draws widgets in its own time, each apart, what stands below them perhaps before.
    page.wait_for_function(
        f"""() => {{ const bars = ({_BARS})();
        return bars.map(bar => bar[1]).join() === 'finished,stopped,finished'
            && bars.map(bar => bar[3]?.slice(13)).join() === 'success,danger,success'
            && bars[0][2] === '100%' && bars[2][2] === '100%'; }}"""
    )
    notes = page.locator(_in(1, ".propkit-progress"))
    notes.filter(has_text="! maricopa_recorder is stopped (blocked)").wait_for()
    bars: list[Any] = page.evaluate(_BARS)

    assert [bar[:2] + bar[3:] for bar in bars] == [
        ["maricopa assessor", "finished", "progress-bar-success"],
        ["maricopa recorder", "stopped", "progress-bar-danger"],
        ["maricopa treasurer", "finished", "progress-bar-success"],
    ]
    assert (bars[0][2], bars[2][2]) == ("100%", "100%")
    assert float(bars[1][2].rstrip("%")) < 100
    assert "'no parcel'" in page.inner_text(_in(1, ".jp-OutputArea-executeResult"))


@pytest.mark.browser
@pytest.mark.timeout(600)
def test_bars_jobs_pictures_and_what_a_saved_notebook_keeps(lab: LabPage) -> None:
    page = lab.page
    # Both tests share the store that Jupyter's server looks after: these are other parcels.
    pictures = ["kit.chart('values_by_year')", "kit.map(color='situs_city')"]
    shown = ["kit.jobs()", "kit.statistics_panel()", *pictures]
    lab.open_notebook("jobs.ipynb", [KIT, BLOCKED, RESUMED, *shown, SLOW, REST])
    for number in (0, 1):
        lab.run_to_end(number)
    _see_the_bars(lab)
    for number in range(2, 7):
        lab.run_to_end(number)
    page.locator(_in(5, ".vega-embed canvas.marks")).wait_for()
    page.locator(_in(6, ".vega-embed canvas.marks")).wait_for()
    jobs = page.locator(_in(3, "tbody tr"))
    jobs.first.filter(has_text="✓ Completed").wait_for()
    _change_theme(lab, "Dark")
    lab.keep("pictures")

    # A job made over HTTP appears, and is cancelled here.
    lab.run_to_end(7)
    lab.run_to_end(8)
    status, number = lab.output(8).split()
    assert status == "201"
    jobs.first.filter(has_text="◐ Processing").wait_for()
    _click_while_it_changes(lab, f"button[aria-label='Cancel of job {number}']")
    jobs.first.filter(has_text="⊘ Cancelled").wait_for()
    page.click(_in(3, f"button[aria-label='Log of job {number}']"))
    # A kernel that is slow to answer lets the server cancel as well.
    page.locator(_in(3, "td")).filter(has_text="batch cancelled").first.wait_for()
    lab.keep("jobs")
    # Beside a file browser what can be done with a job, and what went wrong, is still to be read.
    page.set_viewport_size({"width": 500, "height": 1500})
    page.wait_for_function(_BUTTONS_ARE_IN_SIGHT)
    lab.keep("jobs-500")
    page.set_viewport_size({"width": 1240, "height": 1500})
    assert lab.errors == []

    # Without its kernel the notebook shows how it was, and no error box.
    lab.execute("docmanager:save")
    lab.end_kernels()
    lab.show_notebook("jobs.ipynb")
    jobs.first.filter(has_text="⊘ Cancelled").wait_for()
    page.locator(_in(3, ".propkit-notice")).filter(has_text="No sign of life").wait_for()
    page.locator(_in(1, ".propkit-progress")).filter(has_text="stopped").wait_for()
    page.locator(_in(5, ".vega-embed canvas.marks")).wait_for()
    assert page.get_by_text("Error displaying widget").count() == 0
    kept = json.loads((lab.folder / "jobs.ipynb").read_text("utf-8"))
    assert "application/vnd.jupyter.widget-state+json" in kept["metadata"]["widgets"]


def _click_while_it_changes(lab: LabPage, selector: str) -> None:
    """Press and let go as a slow hand does: the table has changed between the two."""
    page = lab.page
    items = _in(3, "tbody tr >> nth=0 >> td >> nth=3")
    page.locator(_in(3, selector)).hover()
    page.mouse.down()
    said = page.inner_text(items)
    page.locator(items).filter(has_not_text=said).wait_for()
    page.mouse.up()
