"""All batches as jobs: how far each is, whose it is, what went wrong, and what can be done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from propkit.errors import RequestError
from propkit.store.jobs import STATES, Job, LogPage, list_jobs, read_job, read_log
from propkit.widgets.faces import Block, box, button, row, select, table, text
from propkit.widgets.panel import Panel
from propkit.widgets.panel_kit import PanelKit
from propkit.widgets.spelling import counted, show, spell

PER_PAGE: Final = 10
_LOG_LINES: Final = 50
_MARKS: Final = {
    "PENDING": "… Pending",
    "PROCESSING": "◐ Processing",
    "COMPLETED": "✓ Completed",
    "FAILED": "✗ Failed",
    "CANCELLED": "⊘ Cancelled",
}


class JobsPanel(Panel):
    """All batches of the store, also those that a worker or the REST API runs."""

    def __init__(self, kit: PanelKit) -> None:
        self.state = ""
        self.page = 1
        self.job: str | None = None
        """The job whose log is shown."""
        self._to_delete: str | None = None
        super().__init__("jobs", "propkit: batch jobs", kit=kit, seconds=1.0)
        self.begin()

    def act(self, action: str, args: Mapping[str, Any], form: Mapping[str, Any]) -> None:
        """Do what was pressed.

        Raises
        ------
        RequestError
            There is no such action or job.
        """
        if action == "filter":
            state = str(form.get("state", ""))
            self.state, self.page = state if state in STATES else "", 1
        elif action in ("next", "previous"):
            self.page = max(1, self.page + (1 if action == "next" else -1))
        elif action == "shut":
            self.job = self._to_delete = None
        elif action in ("log", "cancel", "retry", "resume", "delete", "delete_it"):
            self._act_on(action, str(args.get("job")))
        else:
            raise RequestError(f"no action {action!r}")

    def follow(self) -> None:
        """Look up nothing besides what :meth:`blocks` reads."""

    def blocks(self) -> list[Block]:
        """Return what is to be seen now."""
        found = list_jobs(
            self.kit.store, state=self.state or None, page=self.page, per_page=PER_PAGE
        )
        pages = max(1, -(-found.total // PER_PAGE))
        if self.page > pages:  # what stood there was deleted
            self.page = pages
            return self.blocks()
        states = [("", "All"), *((state, state.capitalize()) for state in STATES)]
        blocks = [
            row(
                select("state", "State", self.state, states, action="filter"),
                button("Newer", "previous", is_disabled=self.page == 1),
                text(f"Page {self.page} of {pages}, {counted(found.total, 'job')}", look="faint"),
                button("Older", "next", is_disabled=self.page == pages),
                key="paging",
            ),
            jobs_table(found.jobs),
        ]
        if self._to_delete is not None:
            blocks.append(_delete_dialog(self._to_delete))
        if self.job is not None:
            try:
                log = read_log(self.kit.store, self.job, per_page=_LOG_LINES)
                blocks.append(job_details(read_job(self.kit.store, self.job), log))
            except RequestError:  # somebody else has deleted it
                self.job = None
        return blocks

    def _act_on(self, action: str, job_id: str) -> None:
        if action == "delete_it" and self._to_delete != job_id:
            return  # the second press of a double click
        batch = self.kit.batch(read_job(self.kit.store, job_id).id)
        if action == "log":
            self.job = job_id
        elif action == "cancel":
            batch.cancel()
        elif action in ("retry", "resume"):
            # Else a double click has, or the server did it for a kernel that was busy.
            if not batch.is_running:
                batch.retry() if action == "retry" else batch.resume()
        elif action == "delete":
            self._to_delete = job_id
        else:
            self._to_delete = None
            self.job = None if self.job == job_id else self.job
            batch.delete()


def jobs_table(jobs: tuple[Job, ...]) -> Block:
    """Return jobs as a table, with what can be done with each."""
    rows = [
        [
            f"{job.number}",
            spell(job.kind),
            _MARKS[job.state],
            f"{job.success_count + job.error_count:,} of {job.total:,}"
            + (" pages" if job.kind == "leads" else ""),
            f"{job.success_count:,} / {job.error_count:,}",
            job.created_by or "",
            show(job.created_at),
            show(job.completed_at),
            _errors(job),
            [_do(action, label, job) for action, label in _choices(job)],
        ]
        for job in jobs
    ]
    heads = ["No.", "Kind", "State", "Items", "Well / failed", "By", "Made", "Ended", "Errors", ""]
    return table("Batch jobs", heads, rows, key="jobs")


def job_details(job: Job, log: LogPage) -> Block:
    """Return what is known of a job: its criteria and the first lines of its log."""
    lines = [
        [show(one.logged_at), one.level, one.event, one.source or "", one.key or "", one.message]
        for one in log.entries
    ]
    asked = {name: value for name, value in job.criteria.items() if value not in (None, [], {}, "")}
    words = "; ".join(f"{name.replace('_', ' ')}: {_words(value)}" for name, value in asked.items())
    more = f"{len(lines):,} of {log.total:,} lines" if log.total > len(lines) else ""
    return box(
        f"Job {job.number}: {job.id}",
        text(words, look="faint"),
        table("Log", ["At", "Level", "Event", "Source", "Key", "What happened"], lines, key="log"),
        row(button("Close", "shut"), text(more, look="faint")),
        tone="blue",
        key="details",
        escape="shut",
    )


def _words(value: object) -> str:
    """Return a value of a job's criteria as words."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_words(one)}" for name, one in value.items())
    return ", ".join(map(_words, value)) if isinstance(value, list) else show(value)


def _delete_dialog(job_id: str) -> Block:
    return box(
        f"Forget job {job_id}?",
        text("Its items and its log are deleted; what it collected stays."),
        row(
            button("Delete", "delete_it", look="danger", args={"job": job_id}),
            button("Keep it", "shut"),
        ),
        tone="red",
        key="dialog",
        role="dialog",
        escape="shut",
    )


def _choices(job: Job) -> list[tuple[str, str]]:
    """Return what can be done with a job in its state."""
    if job.state == "PROCESSING":
        return [("log", "Log"), ("cancel", "Cancel")]
    choices = [("log", "Log")]
    if job.processed < job.total or job.state == "CANCELLED":
        choices.append(("resume", "Resume"))
    if job.state == "PENDING":
        choices.append(("cancel", "Cancel"))
    if job.error_count:
        choices.append(("retry", "Retry failed"))
    return [*choices, ("delete", "Delete")]


def _do(action: str, label: str, job: Job) -> Block:
    rest = None
    if action in ("cancel", "retry"):
        rest = {"method": "POST", "path": f"propkit/api/batch-jobs/{job.id}/{action}"}
    return button(
        label, action, args={"job": job.id}, rest=rest, label_long=f"{label} of job {job.number}"
    )


def _errors(job: Job) -> str:
    failures = job.error_details.get("failures", {})
    words = [f"{count:,} {name}" for name, count in failures.items()]
    if replaced := sum(job.error_details.get("replaced", {}).values()):
        words.append(f"{replaced:,} to a second way")
    return "; ".join([*words, *filter(None, [job.error_details.get("error")])])
