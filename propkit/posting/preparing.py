"""Everything before the first row: the sheet, the ledger, what is to be done, and every fault."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any, Final

from propkit.errors import RequestError, SheetError
from propkit.posters import FunctionPoster, Poster
from propkit.posting.files import SheetFile
from propkit.posting.listings import Checked, find_key_faults, has_other_images, read_listing
from propkit.posting.planning import Decision, check_mode, decide, own_history
from propkit.posting.statuses import SheetStatus, read_status
from propkit.posting.table import Columns, Row, Table, frame_table
from propkit.settings import Settings
from propkit.store import Reading, Store
from propkit.store.postings import Posting, find_open_repost, read_postings, start_run

LEDGER_NAME: Final = "postings.duckdb"
HIDDEN: Final = "hidden in the sheet"
OTHER_IMAGES: Final = "posted with other images"
_MOST_FAULTS: Final = 30
_running: set[tuple[Path, str]] = set()
_running_lock = Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a person asked for; the options are those of :func:`propkit.run_batch`."""

    source: Any
    mode: str = "new"
    images_dir: str | os.PathLike[str] | None = None
    file_path: str | os.PathLike[str] | None = None
    repost: bool = False
    dry_run: bool = False
    workers: int | None = None
    columns: Columns | None = None
    sheet: str | None = None
    name: str | None = None
    store: Any = None
    faulty: str | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """One row, what the sheet says of it, and what is to be done."""

    row: Row
    key: str
    status: SheetStatus
    checked: Checked
    decision: Decision
    untold: Posting | None = None
    """What the ledger knows and the sheet has not got yet."""
    notes: tuple[str, ...] = ()
    """What a person may not have meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A run that may begin. ``file`` and ``store`` are None where nothing is written there."""

    sheet: str
    jobs: tuple[Job, ...]
    run_id: str
    rows: Mapping[str, Mapping[str, Any]]
    file: SheetFile | None = None
    store: Reading | None = None


@contextmanager
def prepared(order: Order, poster: Poster, settings: Settings) -> Iterator[Prepared]:
    """Read the sheet, open the ledger and decide; let the ledger go in the end.

    Raises
    ------
    SheetError
        The sheet cannot be posted as it is; every fault is named, and nothing was touched.
    RequestError
        An option has no such value, or this sheet is being posted already.
    StoreError
        The ledger cannot be opened.
    """
    check_mode(order.mode)
    faulty = settings.posting.faulty if order.faulty is None else order.faulty
    if faulty not in ("stop", "skip"):
        raise RequestError(f"faulty must be 'stop' or 'skip', not {faulty!r}")
    file, table = _read_sheet(order, poster, settings)
    sheet = order.name or (file.name if file else "frame")
    place = _find_ledger(order, settings, file)
    path = place.path if isinstance(place, Reading) else place
    with _alone(path, sheet), ExitStack() as ends:
        store: Reading | None = place if isinstance(place, Reading) else None
        if store is None and path.exists():
            store = _open(path, ends)
        decided = _decide(order, poster, table, sheet, file=file, store=store)
        if faulty == "stop":
            _refuse_faults(decided.jobs, file)
        if file is not None:
            file.check(job.key for job in decided.jobs if job.decision.action != "skip")
        if order.dry_run:
            yield decided
            return
        store = store or _open(path, ends)  # no ledger is made for a sheet that is refused
        start_run(store, decided.run_id, poster.name, sheet, is_repost=order.repost)
        yield replace(decided, store=store, file=file)


def _open(path: Path, ends: ExitStack) -> Store:
    store = Store.open(path)
    ends.callback(store.close)
    return store


def _refuse_faults(jobs: Iterable[Job], file: SheetFile | None) -> None:
    faults = [
        f"row {job.row.label} ({job.key}): {fault}"
        for job in jobs
        if job.decision.action != "skip" and job.decision.is_wanted
        for fault in job.checked.faults
    ]
    if faults:
        raise SheetError(_list_faults(file.path.name if file else "the frame", faults))


def _read_sheet(order: Order, poster: Poster, settings: Settings) -> tuple[SheetFile | None, Table]:
    limits = poster.limits
    required = ["row_key", *limits.required]
    if limits.images_min and "images" not in required:
        required.append("images")
    columns = settings.posting.columns if order.columns is None else order.columns
    source, path = order.source, order.file_path
    if isinstance(source, (str, os.PathLike)):
        if path is not None and Path(path) != Path(source):
            raise RequestError("the sheet is a file itself; leave file_path out")
        file = SheetFile(Path(source), columns, required, order.sheet)
        return _check_keys(file, file.table)
    if not hasattr(source, "iloc") or not hasattr(source, "columns"):
        raise RequestError(f"expected a DataFrame or a path, not {type(source).__name__}")
    table, faults = frame_table(source, columns, required)
    if faults:
        raise SheetError(f"the frame: {'; '.join(faults)}")
    if path is None:
        return _check_keys(None, table)
    file = SheetFile(Path(path), columns, ["row_key"], order.sheet)
    known = {file.table.key(row) for row in file.table.rows}
    gone = [key for row in table.rows if (key := table.key(row)) not in known]
    if gone:
        shown = ", ".join(map(repr, gone[:5]))
        raise SheetError(f"{file.path.name} has no row {shown}, which the frame has")
    return _check_keys(file, table)


def _check_keys(file: SheetFile | None, table: Table) -> tuple[SheetFile | None, Table]:
    faults = find_key_faults(table)
    if file is not None and table is not file.table:
        faults += [f"the file: {fault}" for fault in find_key_faults(file.table)]
    if faults:
        raise SheetError(_list_faults(file.path.name if file else "the frame", faults))
    return file, table


def _find_ledger(order: Order, settings: Settings, file: SheetFile | None) -> Path | Reading:
    """Return the ledger's file; of a kit that came as a guest the store that another holds."""
    given = getattr(order.store, "store", order.store)  # of a kit its store
    if given is None:
        given = settings.posting.store
    if given is None:
        return (file.path.parent if file else Path.cwd()) / LEDGER_NAME
    if isinstance(given, Store):
        return given.path
    if isinstance(given, Reading):
        return given
    if not isinstance(given, (str, os.PathLike)):
        raise RequestError(f"the ledger is a kit or a store's path, not {given!r}")
    return Path(given).expanduser().resolve()


@contextmanager
def _alone(path: Path, sheet: str) -> Iterator[None]:
    """Let only one run at a time work on a sheet; other processes cannot open the ledger."""
    with _running_lock:
        if (path, sheet) in _running:
            raise RequestError(f"{sheet} is being posted already")
        _running.add((path, sheet))
    try:
        yield
    finally:
        with _running_lock:
            _running.discard((path, sheet))


def _decide(
    order: Order,
    poster: Poster,
    table: Table,
    sheet: str,
    *,
    file: SheetFile | None,
    store: Reading | None,
) -> Prepared:
    has_images = "images" in table.places and (
        order.images_dir is not None or not isinstance(poster, FunctionPoster)
    )
    folder = file.path.parent if file else None
    folder = folder if order.images_dir is None else Path(order.images_dir).expanduser()
    checked = {
        table.key(row): read_listing(table, row, poster.limits, folder, has_images=has_images)
        for row in table.rows
    }
    history = [] if store is None else read_postings(store, poster.name, sheet, list(checked))
    by_key: dict[str, list[Posting]] = {}
    for posting in history:
        by_key.setdefault(posting.row_key, []).append(posting)
    # A frame without a name may be any frame: only the same content is the same row.
    strong = sheet if file or order.name else ""
    open_repost = None
    if store is not None and order.repost:
        open_repost = find_open_repost(store, poster.name, sheet)
    run_id = open_repost or secrets.token_hex(6)
    jobs = []
    for row in table.rows:
        key = table.key(row)
        own = own_history(by_key.get(key, []), strong, key, checked[key].content_sha256)
        status = read_status(table.cell(row, "posting_status"), table.cell(row, "posted_url"))
        chosen = decide(status, own, mode=order.mode, repost=order.repost, run_id=run_id)
        last = next((one for one in reversed(own) if one.ended_at is not None), None)
        untold = last if last is not None and not last.is_told else None
        notes = []
        if chosen.action != "skip" and file is not None and table is file.table:
            notes += [HIDDEN] if row.number in file.hidden else []
        proof = chosen.proof
        if proof and has_other_images(proof.content_sha256, checked[key].content_sha256):
            notes.append(OTHER_IMAGES)
        jobs.append(Job(row, key, status, checked[key], chosen, untold, tuple(notes)))
    return Prepared(
        sheet=sheet,
        jobs=tuple(jobs),
        run_id=run_id,
        rows={table.key(row): table.others(row) for row in table.rows},
    )


def _list_faults(where: str, faults: list[str]) -> str:
    shown = "; ".join(faults[:_MOST_FAULTS])
    more = len(faults) - _MOST_FAULTS
    return f"{where}: {shown}" + (f"; and {more} more" if more > 0 else "")
