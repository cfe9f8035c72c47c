"""The panel for collecting: search, one button, a plan to confirm, bars, a table that lives.

Everything it shows of a batch stands in the store, so that a panel made after a restart, or in
another notebook, shows the batch as it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

from propkit.errors import RequestError
from propkit.identifier_lists import read_identifiers
from propkit.plan import Plan
from propkit.runtime.background import KIND as ENHANCE
from propkit.runtime.batch import Batch
from propkit.runtime.report import BatchReport
from propkit.store.jobs import MOST_PER_PAGE, find_jobs, list_jobs, read_jobs
from propkit.store.parcel_facts import ParcelTally, read_evidence, read_parcel_facts, read_tallies
from propkit.widgets import collect_views as views
from propkit.widgets.faces import Block
from propkit.widgets.panel import Panel
from propkit.widgets.panel_kit import PanelKit
from propkit.widgets.parcel_card import ParcelCard
from propkit.widgets.parcel_rows import COLUMNS, collected, describe_list, make_row, texts_by_apn
from propkit.widgets.parcel_status import judge_collected, judge_planned
from propkit.widgets.reach import Reach, find_reach
from propkit.widgets.spelling import properties, show_ages
from propkit.widgets.status_grid import StatusGrid
from propkit.widgets.summary_view import Extras, summary_block

_LOOK_SECONDS: Final = 1.0
_HIDE_SECONDS: Final = 10.0
# Clocks of processes differ, and an item's end is written a moment after it.
_OVERLAP: Final = timedelta(seconds=10)


class CollectPanel(Panel):
    """Search hits, or the parcels of a batch, with the button that collects all of them.

    Parameters
    ----------
    hits
        Hits of ``kit.search`` or anything that ``kit.plan`` takes; None: the last batch.
    """

    def __init__(self, kit: PanelKit, hits: object = None) -> None:
        self.batch: Batch | None = None
        """The batch that this panel shows."""
        self.said, self.query, self.by = "", "", "owner"
        self.choices = views.Choices()
        self.plan: Plan | None = None
        self._dialog: Block | None = None
        self._unusable: list[Block] = []
        self._asked: list[str] = []
        self._waits_for: list[str] = []
        self._rows: dict[str, int] = {}
        self._ended: dict[str, bool] = {}
        self._watched: dict[str, datetime | None] = {}
        self._looked_at = float("-inf")
        self._ended_at: float | None = None
        self._report: BatchReport | None = None
        self._extras = Extras()
        self._doing = ""  # what goes on apart: "cancel" or "hand over"
        seconds = max(0.1, kit.settings.collect.progress_seconds)
        super().__init__("panel", "propkit: collect", kit=kit, seconds=seconds)
        self.grid = StatusGrid(COLUMNS, label="Properties", on_open=self._open)
        self.card = ParcelCard(kit)
        self.faces.append(self.card.face)
        self.children = [self.face, self.grid, self.card.face]
        running = dict(find_jobs(kit.store, state="PROCESSING", per_page=MOST_PER_PAGE)[0])
        # What has ended before is no news.
        self._seen = {job: at for job, at in find_jobs(kit.store)[0] if job not in running}
        if hits is None:
            self._attach()
        else:
            self._take(hits)
        self.begin()

    def act(self, action: str, _: Mapping[str, Any], form: Mapping[str, Any]) -> None:
        """Do what was pressed.

        Raises
        ------
        RequestError
            There is no such action.
        """
        actions: dict[str, Callable[[], object]] = {
            "search": lambda: self._search(form),
            "collect": lambda: self._press(self.visible_apns()),
            "replan": lambda: self._ask(views.Choices.read(form)),
            "confirm": lambda: self._start(views.Choices.read(form)),
            "fetch_anyway": lambda: self._start(replace(self.choices, max_age="0s")),
            "close": self._shut,
            "wait": self._wait,
            "add": lambda: self._ask(self.choices),
            "restart": self._restart,
            "start_collector": self._unpause,
            "cancel": self._cancel,
            "retry": lambda: self._again("retry"),
            "resume": lambda: self._again("resume"),
            "export": self._export,
            "evidence": self._show_evidence,
        }
        if action not in actions:
            raise RequestError(f"no action {action!r}")
        # A double click presses once more what the first press has taken away.
        if self._dialog is not None or action not in views.IN_DIALOG:
            actions[action]()

    def visible_apns(self) -> list[str]:
        """Return the APNs of the rows that the table's filter leaves."""
        apns = list(self._rows)
        return [apns[row] for row in self.grid.shown_rows()]

    def look_anew(self) -> None:
        """Have the next look take in all batches."""
        self._looked_at = float("-inf")

    def follow(self) -> None:
        """Look how far batches are, and bring the rows up to date."""
        if self._doing == "hand over":
            return  # nobody has the store just now
        now = time.monotonic()
        batch = self.batch
        has_ended = batch is not None and self._report is None and not batch.is_running
        if now - self._looked_at >= _LOOK_SECONDS or has_ended:
            self._looked_at = now
            self._look()
        if has_ended and batch is not None and batch.state != "pending":
            self._end(batch)
            self.card.refresh()
        self.card.follow()
        if self._waits_for and not set(self._waits_for) & set(self._running()):
            self._waits_for = []
            self._ask(self.choices)

    def blocks(self) -> list[Block]:
        """Return what is to be seen now."""
        is_handing_over = self._doing == "hand over"
        is_active = is_handing_over or (self.batch is not None and self._report is None)
        said = views.HANDING_OVER if is_handing_over else self.said
        if self._waits_for:
            said = f"Waits for {', '.join(self._waits_for)}"
        blocks = views.search_bar(
            self.query, self.by, said, rows=len(self._rows), is_active=is_active
        )
        blocks += self._unusable
        if self._dialog is not None:
            blocks.append(self._dialog)
        if is_handing_over:
            return blocks
        is_shown = self._ended_at is not None and time.monotonic() - self._ended_at < _HIDE_SECONDS
        if self.batch is not None and (is_active or is_shown):
            blocks += views.progress_blocks(
                self.batch.progress,
                self._reach(),
                self.batch.id,
                is_cancelling=self._doing == "cancel",
                is_brief=self.choices.is_background,
                is_over=not is_active,
            )
        if self._report is not None:
            blocks.append(summary_block(self._report, self._reach(), self._extras))
        return blocks

    def _take(self, hits: object) -> None:
        """Show parcels."""
        identifiers = read_identifiers(hits)
        apns = [apn.canonical for apn in identifiers.valid]
        given = texts_by_apn(hits)
        known = read_parcel_facts(self.kit.store, apns)
        states = judge_planned(self.kit.plan(apns), known)
        rows = [make_row(known[apn], given.get(apn, {}), states.get(apn, "none")) for apn in apns]
        self._rows = {apn: place for place, apn in enumerate(apns)}
        self.grid.replace(rows)
        self.said, self._unusable = describe_list(identifiers, getattr(hits, "attrs", {}))

    def _attach(self) -> None:
        """Show the last batch as it is; nothing where there is none."""
        try:
            batch = self.kit.batch("last")
        except RequestError:
            self.said = "Search for properties to begin."
            return
        apns = list(read_tallies(self.kit.store, batch.id))
        self._take(apns)
        self._show(batch)
        if not batch.is_running:
            self._look()
            self._end(batch)
            self._ended_at = None  # long ago: no bars
        reach = self._reach()
        what = reach.words if reach.is_of_leads else properties(len(apns))
        self.said = f"{what} of batch {batch.id}"

    def _show(self, batch: Batch) -> None:
        """Follow a batch as the one of this panel."""
        self.batch, self._report, self._ended_at = batch, None, None
        self._extras = Extras()
        self._doing = ""
        self._ended = {}
        self._watched[batch.id] = None
        self._looked_at = float("-inf")

    def _running(self) -> list[str]:
        jobs = list_jobs(self.kit.store, state="PROCESSING", per_page=200).jobs
        return [job.id for job in jobs if job.kind != ENHANCE]

    def _look(self) -> None:
        """Bring the rows up to date with every batch that runs, or ran since the last look."""
        store = self.kit.store
        newest, _ = find_jobs(store)
        running, _ = find_jobs(store, state="PROCESSING", per_page=MOST_PER_PAGE)
        changed = {
            number
            for number, updated_at in [*newest, *running]
            if self._seen.get(number) != updated_at
        }
        self._seen = dict([*newest, *running])
        for job in read_jobs(store, sorted(changed)):
            self._watched.setdefault(job.id, None)
        numbers = [number for number, _ in [*running, *find_jobs(store, state="PENDING")[0]]]
        active = {
            job.id for job in read_jobs(store, numbers) if job.batch_state in ("running", "pending")
        }
        for batch_id, since in list(self._watched.items()):
            began = datetime.now(UTC)
            # What a batch that has ended left waiting has no end of its own: read it whole.
            is_running = batch_id in active
            tallies = read_tallies(store, batch_id, since if is_running else None)
            self._update(batch_id, tallies, is_running=is_running)
            del self._watched[batch_id]
            if is_running:
                self._watched[batch_id] = began - _OVERLAP

    def _update(
        self, batch_id: str, tallies: Mapping[str, ParcelTally], *, is_running: bool
    ) -> None:
        # What has not begun is as it was.
        known = read_parcel_facts(
            self.kit.store,
            [apn for apn, one in tallies.items() if one.total > one.waiting or not is_running],
        )
        judged = {
            apn: judge_collected(
                tally,
                is_running=is_running,
                is_on_roll=apn in known and "parcels" in known[apn].tables,
            )
            for apn, tally in tallies.items()
        }
        if self.batch is not None and batch_id == self.batch.id:
            counted = {apn: one for apn, one in tallies.items() if one.skipped < one.total}
            self._ended |= {apn: not one.waiting + one.cancelled for apn, one in counted.items()}
            judged = {apn: status for apn, status in judged.items() if apn in counted}
        # What a batch has left out is as it was before, unless there was nothing.
        left = [apn for apn, status in judged.items() if status == "cancelled"]
        before = judge_planned(self.kit.plan(left), known) if left else {}
        judged |= {apn: status for apn, status in before.items() if status != "none"}
        here = [apn for apn in judged if apn in self._rows]
        changes = {}
        for apn in here:
            change: dict[str, Any] = {"status": judged[apn]}
            if apn in known:
                change |= collected(known[apn])
            changes[self._rows[apn]] = change
        self.grid.update(changes)

    def _reach(self) -> Reach:
        progress = self.batch.progress if self.batch is not None else None
        return find_reach(self._ended, progress, self._report)

    def _end(self, batch: Batch) -> None:
        self._report = batch.report
        self._ended_at = time.monotonic()
        self._doing = ""
        seconds = self._report.duration_seconds
        if seconds is not None and seconds >= self.kit.settings.notify.after_seconds:
            self.face.notify(f"propkit: batch {self._report.state}", self._reach().words)

    def _search(self, form: Mapping[str, Any]) -> None:
        self.query, self.by = str(form.get("query", "")), str(form.get("by", "owner"))
        hits = self.kit.search(self.query, by=self.by)
        self._shut()
        self.card.shut()
        if self.batch is not None and self._report is not None:
            self.batch = self._report = None
        self._take(hits)

    def _press(self, apns: Sequence[str]) -> None:
        """Begin with what stands in the way of collecting, then ask."""
        self._asked = list(apns)
        self.choices = views.Choices()
        if not self._asked:
            self._dialog = views.no_results()
        elif self.kit.is_paused:
            self._dialog = views.paused()
        elif others := self._running():
            self._dialog = views.other_active(others)
        else:
            self._ask(self.choices)

    def _ask(self, choices: views.Choices) -> None:
        self.choices = choices
        options = (
            choices.options()
            if choices.datasets
            else replace(choices, datasets=views.Choices().datasets).options()
        )
        self.plan = plan = self.kit.plan(self._asked, **options)
        ages = self._ages(plan)
        is_new = choices == views.Choices()
        if is_new and not plan.due and "active" not in plan.counts:
            self._dialog = views.all_current(plan, ages)
        else:
            self._dialog = views.plan_dialog(plan, choices, ages)

    def _start(self, choices: views.Choices) -> None:
        self.choices = choices
        plan = self.kit.plan(self._asked, **choices.options())
        self._dialog = None
        if choices.is_background:
            self._start_elsewhere(plan)
        else:
            self._show(self.kit.start(plan))

    def _start_elsewhere(self, plan: Plan) -> None:
        """Have a worker own the store and run the plan; in a thread, since it has to start."""
        self._doing = "hand over"
        end = partial(setattr, self, "_doing", "")

        def hand_over() -> None:
            self.kit.hand_over()
            self._show(self.kit.start(plan))
            end()

        self.do_apart(hand_over, end)

    def _shut(self) -> None:
        self._dialog = None

    def _wait(self) -> None:
        self._waits_for, self._dialog = self._running(), None

    def _restart(self) -> None:
        for batch_id in self._running():
            self.kit.batch(batch_id).cancel()
        self._ask(self.choices)

    def _unpause(self) -> None:
        self.kit.unpause()
        self._press(self._asked)

    def _cancel(self) -> None:
        """Stop the batch; in a thread, since requests in flight get seconds to end."""
        batch = self.batch
        if batch is None or self._doing:
            return
        self._doing = "cancel"
        self.do_apart(batch.cancel, partial(setattr, self, "_doing", ""))

    def _again(self, how: str) -> None:
        if self.batch is not None and self._report is not None:
            batch = self.batch.retry() if how == "retry" else self.batch.resume()
            self._show(batch)

    def _export(self) -> None:
        name = f"propkit-{self.batch.id}.xlsx" if self.batch else "propkit.xlsx"
        said: list[str] = []
        path = self.kit.to_excel(Path.cwd() / name, tell=said.append)
        self._extras = replace(self._extras, workbook=str(path), left_out="".join(said))

    def _show_evidence(self) -> None:
        if self._report is not None:
            digests = {
                f"{one.source} {one.key}": one.evidence_sha256
                for one in self._report.failures
                if one.evidence_sha256 is not None
            }
            kept = read_evidence(self.kit.store, digests)
            self._extras = replace(self._extras, evidence=kept, is_evidence_shown=True)

    def _open(self, row: int) -> None:
        self.card.open(list(self._rows)[row])

    def _ages(self, plan: Plan) -> str:
        """Return how old what is fresh is, from the table."""
        fresh = {entry.apn for entry in plan.entries if entry.status == "fresh"}
        times = [self.grid.value(row, "updated") for apn, row in self._rows.items() if apn in fresh]
        return show_ages([moment / 1000 for moment in times if moment is not None])
