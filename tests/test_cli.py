"""The command line as a stranger uses it: real processes, exit codes, words on stdout and stderr."""

from __future__ import annotations

import io
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from typing import TYPE_CHECKING

import duckdb
import pytest
from python_calamine import CalamineWorkbook

import propkit as pk
from propkit.cli import main
from propkit.records import RECORD_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from propkit.demo_county import County

    Run = Callable[..., subprocess.CompletedProcess[str]]

COMMANDS = (
    "demo", "plan", "collect", "export", "batches", "worker", "statistics", "prune", "reparse",
    "counties", "post", "county", "doctor",
)  # fmt: skip
DONE, FAILED, BAD_INPUT = 0, 1, 2


@pytest.fixture
def folder(home: Path) -> Path:
    """Return the folder in which the commands run."""
    return home / "work"


@pytest.fixture
def pointed(county: County, monkeypatch: pytest.MonkeyPatch) -> County:
    """Point every source at the county by variables, without a pace to speak of."""
    for source, values in county.settings().items():
        for name, value in {**values, "requests_per_second": "500"}.items():
            monkeypatch.setenv(f"PROPKIT_SOURCES__{source}__{name}".upper(), value)
    monkeypatch.setenv("PROPKIT_COLLECT__BACKOFF_INITIAL", "0.01")
    return county


@pytest.fixture
def known(county: County) -> list[str]:
    """Return APNs that all three systems know."""
    truth = county.truth(county.apns(120))
    wanted = {row["apn"] for row in truth["documents"]} & {row["apn"] for row in truth["tax_bills"]}
    county.clear_ledger()
    return sorted(wanted)


def propkit(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run one command in the present folder."""
    return subprocess.run(
        [sys.executable, "-m", "propkit.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


@pytest.fixture
def run_here(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run one command in this process: much quicker, and enough for what it says and returns."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = int(end.code or 0)
        said = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, code, said.out, said.err)

    return run


def write_csv(folder: Path, *cells: str, header: str = "Parcel") -> Path:
    path = folder / "list.csv"
    path.write_text("\n".join([header, *cells]) + "\n", "utf-8")
    return path


def count(db: Path, table: str) -> int:
    with duckdb.connect(db) as connection:
        row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture
def deaf() -> Iterator[str]:
    """Return an address at which nobody listens; as long as it is held, nobody else can."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


# --- help -------------------------------------------------------------------------------------


def test_help_names_every_command():
    """Help alone tells a stranger what there is."""
    done = propkit("--help")

    assert (done.returncode, done.stderr) == (DONE, "")
    assert re.findall(r"^    (\w+) ", done.stdout, re.MULTILINE) == list(COMMANDS)


def test_the_version_is_the_packages():
    """The version can be told in a bug report."""
    done = propkit("--version")

    assert (done.returncode, done.stdout) == (DONE, f"propkit {pk.__version__}\n")


def test_the_console_script_is_the_same_program(folder: Path):
    """`propkit` on the path is what `python -m propkit.cli` is."""
    script = os.path.join(os.path.dirname(sys.executable), "propkit")  # noqa: PTH118, PTH120

    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=False)

    assert done.stdout == propkit("--version").stdout


@pytest.mark.parametrize("arguments", [[], ["colect"], ["collect"], ["plan", "--what", "x"]])
def test_a_wrong_command_line_is_bad_input(run_here: Run, folder: Path, arguments: list[str]):
    """Usage on stderr, exit code 2, nothing made."""
    done = run_here(*arguments)

    assert done.returncode == BAD_INPUT
    assert done.stderr.startswith("usage: propkit")
    assert [entry.name for entry in folder.iterdir()] == []


# --- plan -------------------------------------------------------------------------------------


def test_a_plan_leaves_nothing_behind(pointed: County, folder: Path, known: list[str]):
    """What would be asked is told; no file is made and no request sent."""
    done = propkit("plan", known[0], f"{known[1]}.0", "--db", "new.duckdb")

    assert (done.returncode, done.stderr) == (DONE, "")
    assert done.stdout.startswith("Plan: 2 identifiers from list: 2 due\n")
    assert [entry.name for entry in folder.iterdir()] == []
    assert pointed.ledger() == []


def test_a_plan_says_which_token_is_missing(
    run_here: Run, pointed: County, known: list[str], monkeypatch: pytest.MonkeyPatch
):
    """Before anything is asked, with what to set."""
    monkeypatch.delenv("PROPKIT_SOURCES__MARICOPA_ASSESSOR__TOKEN")

    done = run_here("plan", known[0])

    assert done.stdout.splitlines()[-1] == (
        "! maricopa_assessor: no token: set PROPKIT_SOURCES__MARICOPA_ASSESSOR__TOKEN, or token"
        " under [sources.maricopa_assessor] in propkit.toml"
    )
    assert pointed.ledger() == []


@pytest.mark.usefixtures("pointed")
@pytest.mark.parametrize(
    ("usable", "code"), [(1, FAILED), (0, BAD_INPUT)], ids=["one bad", "all bad"]
)
def test_a_plan_lists_what_is_not_usable(
    run_here: Run, folder: Path, known: list[str], usable: int, code: int
):
    """The bad identifier is shown with the reason, and the exit code tells."""
    done = run_here("plan", write_csv(folder, *known[:usable], "132-38"))

    assert done.returncode == code
    assert "  not usable: '132-38': has 5 digits; expected 8" in done.stdout


def test_what_an_encoding_lacks_is_spelled_out(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """Windows writes into a pipe as cp1252, which has no hyphen of a word processor."""
    said = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(said, "cp1252"))

    code = main(["plan", "no\u2011number"])
    sys.stdout.flush()

    assert code == BAD_INPUT
    assert b"no\\u2011number" in said.getvalue()


# --- collect ----------------------------------------------------------------------------------


def test_collecting_a_good_list_ends_with_0(
    run_here: Run, pointed: County, folder: Path, known: list[str]
):
    """Plan, report, store and workbook; the second time nobody is asked."""
    table = write_csv(folder, *(pk.Apn(apn).display for apn in known[:3]))
    done = propkit("collect", table, "--db", "a.duckdb", "--export", "a.xlsx")
    pointed.clear_ledger()

    again = run_here("collect", table, "--db", "a.duckdb")

    assert done.returncode == again.returncode == DONE
    assert done.stdout.startswith("Plan: 3 identifiers from ")
    assert re.search(r"^maricopa_treasurer +3$", done.stdout, re.MULTILINE)
    assert done.stdout.endswith(f"workbook: a.xlsx\nstore: {folder / 'a.duckdb'}\n")
    assert count(folder / "a.duckdb", "parcels") == 3
    assert CalamineWorkbook.from_path(folder / "a.xlsx").sheet_names == list(RECORD_TYPES)
    assert "3 fresh" in again.stdout
    assert pointed.ledger() == []
    assert sorted(entry.name for entry in folder.iterdir()) == ["a.duckdb", "a.xlsx", "list.csv"]


def test_collecting_a_messy_list_ends_with_1(
    run_here: Run, pointed: County, folder: Path, known: list[str]
):
    """What is usable is collected and what is not is listed, raw and with its reason."""
    table = write_csv(folder, f" {known[0]}.0 ", "132-38", known[0], "n/a", known[1])

    done = run_here("collect", table, "--datasets", "parcels, residences", "--db", "a.duckdb")

    assert done.returncode == FAILED
    assert "2 due, 1 duplicate, " in done.stdout
    assert "  not usable: '132-38': has 5 digits" in done.stdout.partition("\nBatch ")[2]
    assert count(folder / "a.duckdb", "parcels") == 2
    assert {entry["system"] for entry in pointed.ledger()} <= {"assessor", "root"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["132-38"], "no usable APN in the input: nothing to collect"),
        (["bad.csv"], "no usable APN in the input: nothing to collect"),
        (["empty.csv"], "no identifier in the input|no APN|is empty|has no"),
        (["header.csv"], "no identifier in the input: nothing to collect"),
        (["nowhere.csv"], "cannot read 'nowhere.csv': No such file or directory$"),
        (["."], r"cannot read '\.'; expected an APN or the path of a \.csv, "),
        (["header.csv", "bad.csv"], "'header.csv' is a file: name one file, or APNs"),
        (["bad.csv", "--column", "APN"], "APN"),
        (["two.csv"], "no column looks like APNs in two.csv: .*; name one with --column$"),
        (["bad.csv", "--sheet", "x"], "'bad.csv' has no sheets; --sheet x needs a workbook$"),
        (["132-38-011A", "--column", "x"], "--column and --sheet need a table or a file, got "),
        (["132-38-011A", "--by", "owner"], "--by owner belongs to --kind search, not to --kind "),
        (["132-38-011A", "--budget", "-1"], "--budget must be a number of credits from 0 up, not"),
        (["good.xlsx"], "'good.xlsx' is no .xlsx workbook"),
        (["132-38-011A", "--datasets", "houses"], "no dataset 'houses'; expected some of"),
        (["132-38-011A", "--mode", "fast"], "no mode 'fast'; expected one of"),
        (["132-38-011A", "--max-age", "soon"], "'soon' is no duration; .* 0 or 'never'$"),
        (["132-38-011A", "--priority", "urgent"], "no priority 'urgent'"),
        (
            ["132-38-011A", "--workers", "0"],
            "--workers must be a whole number from 1 to 1000, not 0",
        ),
        (["132-38-011A", "--batch-size", "0"], "--batch-size must be a whole number from 1 up"),
        (["132-38-011A", "--profile", "hasty"], "no profile 'hasty'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_ends_with_2(
    run_here: Run, pointed: County, folder: Path, arguments: list[str], message: str
):
    """One sentence on stderr says what is wrong, in a shell's words; nobody is asked.

    No store is left behind.
    """
    (folder / "bad.csv").write_text("Parcel\n132-38\nunknown\n", "utf-8")
    (folder / "empty.csv").write_bytes(b"")
    (folder / "header.csv").write_text("Parcel\n", "utf-8")
    (folder / "two.csv").write_text("a,b\nx,y\n", "utf-8")
    (folder / "good.xlsx").write_bytes(b"no workbook")
    given = sorted(folder.iterdir())

    done = run_here("collect", *arguments)

    assert done.returncode == BAD_INPUT
    assert re.search(f"^propkit: .*{message}", done.stderr), done.stderr
    assert "Traceback" not in done.stderr
    assert pointed.ledger() == []
    assert sorted(folder.iterdir()) == given


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("PROPKIT_COLLECT__WORKERS=many", "PROPKIT_COLLECT__WORKERS 'many'"),
        ("PROPKIT_SOURCES__PINAL__TOKEN=secret", "unknown source pinal"),
    ],
)
def test_a_wrong_setting_ends_with_2(
    run_here: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, setting: str, message: str
):
    """The variable is named and no store is made."""
    monkeypatch.setenv(*setting.split("="))

    done = run_here("collect", "132-38-011A")

    assert done.returncode == BAD_INPUT
    assert message in done.stderr
    assert "secret" not in done.stderr
    assert [entry.name for entry in folder.iterdir()] == []


@pytest.mark.usefixtures("pointed")
def test_a_host_that_is_away_ends_with_1(
    run_here: Run, folder: Path, known: list[str], deaf: str, monkeypatch: pytest.MonkeyPatch
):
    """The failure is named by its class, the other sources are collected, nothing is lost."""
    monkeypatch.setenv("PROPKIT_SOURCES__MARICOPA_TREASURER__BASE_URL", deaf)

    done = run_here("collect", known[0], "--db", "a.duckdb")

    assert done.returncode == FAILED
    assert f"  failed: maricopa_treasurer_browser {known[0]}: unavailable: " in done.stdout
    assert "after maricopa_treasurer failed: unavailable: " in done.stdout
    assert deaf in done.stdout
    with duckdb.connect(folder / "a.duckdb") as connection:
        found = connection.execute("SELECT source, state, failure_class FROM items ORDER BY 1")
        assert found.fetchall() == [
            ("maricopa_assessor", "done", None),
            ("maricopa_recorder", "done", None),
            ("maricopa_treasurer", "failed", "unavailable"),
            ("maricopa_treasurer_browser", "failed", "unavailable"),  # the other way to the same
        ]


@pytest.mark.usefixtures("pointed")
def test_a_missing_token_names_the_variable(
    run_here: Run, folder: Path, known: list[str], monkeypatch: pytest.MonkeyPatch
):
    """Without a token the assessor refuses: the report says where to set it, and who goes on."""
    monkeypatch.delenv("PROPKIT_SOURCES__MARICOPA_ASSESSOR__TOKEN")

    done = run_here("collect", *known[:2], "--db", "a.duckdb")

    assert done.returncode == FAILED
    assert "set PROPKIT_SOURCES__MARICOPA_ASSESSOR__TOKEN, or token under" in done.stdout
    assert re.search(r"failed: maricopa_assessor \d+: rejected: ", done.stdout)
    assert count(folder / "a.duckdb", "tax_bills") > 0
    assert count(folder / "a.duckdb", "parcels") == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_bytes(b"apn\n"), "is no DuckDB file"),
        (lambda path: path.mkdir(), "is a folder; expected a file"),
    ],
    ids=["no store", "folder"],
)
def test_a_store_that_cannot_be_opened_ends_with_2(
    run_here: Run, pointed: County, folder: Path, make, message: str
):
    """One sentence with the file's name; nobody is asked and the file is untouched."""
    make(folder / "a.duckdb")

    done = run_here("collect", "132-38-011A", "--db", "a.duckdb")

    assert done.returncode == BAD_INPUT
    assert done.stderr.startswith(f"propkit: {folder / 'a.duckdb'} {message}")
    assert pointed.ledger() == []
    assert [entry.name for entry in folder.iterdir()] == ["a.duckdb"]


def test_a_command_works_through_the_notebook_that_has_the_store(
    pointed: County, folder: Path, known: list[str]
):
    """While a notebook has the file, the command is its guest: both see what was collected."""
    with pk.open(folder / "a.duckdb") as kit:
        done = propkit("collect", known[0], "--db", "a.duckdb")

        assert done.returncode == DONE, done.stderr
        assert kit.frame("parcels")["apn"].tolist() == [known[0]]


def test_a_store_in_use_names_the_process(pointed: County, folder: Path, known: list[str]):
    """While a program that serves nobody has the file, the command says which process it is."""
    with duckdb.connect(folder / "a.duckdb"):
        done = propkit("collect", known[0], "--db", "a.duckdb")

    assert done.returncode == BAD_INPUT
    assert f"is in use by another process (PID {os.getpid()})" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_polite_end_keeps_what_was_fetched(
    run_here: Run,
    pointed: County,
    folder: Path,
    known: list[str],
    monkeypatch: pytest.MonkeyPatch,
    *,
    number: signal.Signals,
):
    """Ended in mid-run: exit code 1, whole items in the store; run again, it asks for the rest."""
    for source in ("ASSESSOR", "TREASURER", "RECORDER"):
        monkeypatch.setenv(f"PROPKIT_SOURCES__MARICOPA_{source}__REQUESTS_PER_SECOND", "8")
    command = [sys.executable, "-m", "propkit.cli", "collect", *known[:40], "--db", "a.duckdb"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stderr is not None
        run.stderr.readline()  # the first line of progress: it collects
        while len(pointed.ledger("assessor")) < 6:
            assert run.poll() is None
            time.sleep(0.01)
        run.send_signal(number)
        said, _ = run.communicate(timeout=60)
    with duckdb.connect(folder / "a.duckdb") as connection:
        states = Counter(dict(connection.execute(
            "SELECT state, count(*) FROM items GROUP BY state").fetchall()))  # fmt: skip
        done = set(connection.execute(
            "SELECT key FROM items WHERE state = 'done' AND source = 'maricopa_assessor'"
        ).fetchall())  # fmt: skip
    for source in ("ASSESSOR", "TREASURER", "RECORDER"):
        monkeypatch.setenv(f"PROPKIT_SOURCES__MARICOPA_{source}__REQUESTS_PER_SECOND", "500")
    pointed.clear_ledger()

    again = run_here("collect", *known[:40], "--db", "a.duckdb")

    asked = {entry["path"] for entry in pointed.ledger("assessor")}
    assert run.returncode == FAILED
    assert ": cancelled in " in said
    assert states["done"] > 3
    assert states["cancelled"] > 10
    assert set(states) == {"done", "cancelled"}
    assert again.returncode == DONE
    assert {path for path in asked if path.startswith("/parcel/")} == {
        f"/parcel/{apn}" for apn in known[:40] if (apn,) not in done
    }
    assert count(folder / "a.duckdb", "parcels") == 40


def test_an_interrupt_that_is_handled_is_no_death_by_signal(folder: Path):
    """Exit code 1, also where Ctrl+C comes while Python makes a class from a text."""
    (folder / "mine.py").write_text("exec('raise KeyboardInterrupt')\n", "utf-8")
    (folder / "trucks.csv").write_text("truck_id,title\n1,Blue\n", "utf-8")

    done = propkit("post", "trucks.csv", "--poster", "mine.py:post")

    assert (done.returncode, done.stderr) == (FAILED, "propkit: interrupted\n")


def test_a_killed_run_goes_on(
    run_here: Run,
    pointed: County,
    folder: Path,
    known: list[str],
    monkeypatch: pytest.MonkeyPatch,
):
    """After kill -9 the list shows the batch as interrupted and --resume finishes it."""
    for source in ("ASSESSOR", "TREASURER", "RECORDER"):
        monkeypatch.setenv(f"PROPKIT_SOURCES__MARICOPA_{source}__REQUESTS_PER_SECOND", "8")
    command = [sys.executable, "-m", "propkit.cli", "collect", *known[:30], "--db", "a.duckdb"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        while len(pointed.ledger("assessor")) < 6:
            assert run.poll() is None
            time.sleep(0.01)
        run.kill()
    for source in ("ASSESSOR", "TREASURER", "RECORDER"):
        monkeypatch.setenv(f"PROPKIT_SOURCES__MARICOPA_{source}__REQUESTS_PER_SECOND", "500")

    listed = run_here("batches", "--db", "a.duckdb")
    resumed = run_here("batches", "--db", "a.duckdb", "--resume", "last")
    listed_again = run_here("batches", "--db", "a.duckdb")

    assert (listed.returncode, resumed.returncode) == (DONE, DONE)
    assert re.search(r"^ *1 +\S+ +interrupted +", listed.stdout, re.MULTILINE)
    assert re.search(r"^Batch \S+: completed", resumed.stdout)
    assert re.search(r"^ *1 +\S+ +completed +90 +90 +0 +0 ", listed_again.stdout, re.MULTILINE)
    assert count(folder / "a.duckdb", "parcels") == 30


# --- export, batches --------------------------------------------------------------------------


def test_an_export_writes_the_tables_asked_for(
    run_here: Run, pointed: County, folder: Path, known: list[str]
):
    """All record tables, or those named, spaces or not."""
    run_here("collect", known[0], "--db", "a.duckdb")

    every = run_here("export", "--db", "a.duckdb", "all.xlsx")
    some = run_here("export", "--db", "a.duckdb", "some.xlsx", "--frames", "sales, parcels")

    assert (every.returncode, every.stdout) == (DONE, "all.xlsx\n")
    assert (some.returncode, some.stdout) == (DONE, "some.xlsx\n")
    assert CalamineWorkbook.from_path(folder / "all.xlsx").sheet_names == list(RECORD_TYPES)
    assert CalamineWorkbook.from_path(folder / "some.xlsx").sheet_names == ["sales", "parcels"]


def test_an_export_tells_what_is_not_in_it(
    run_here: Run, pointed: County, folder: Path, known: list[str]
):
    """Beside what other programs read; so does the workbook that a collection writes at its end."""
    collected = run_here("collect", known[0], "x", "--db", "a.duckdb", "--export", "a.xlsx")

    exported = run_here("export", "--db", "a.duckdb", "b.xlsx")

    said = (
        "! 1 unusable identifier is not in {}.xlsx, or not in full: see its sheet not_collected\n"
    )
    assert collected.returncode == FAILED
    assert collected.stderr.endswith(f"\n{said.format('a')}")
    assert (exported.returncode, exported.stdout) == (DONE, "b.xlsx\n")
    assert exported.stderr == said.format("b")
    for name in ("a.xlsx", "b.xlsx"):
        assert CalamineWorkbook.from_path(folder / name).sheet_names[1] == "not_collected"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["export", "--db", "no.duckdb", "a.xlsx"], BAD_INPUT, "there is no store no.duckdb"),
        (["batches", "--db", "no.duckdb"], BAD_INPUT, "there is no store no.duckdb"),
        (["export", "--db", "a.duckdb", "a.xlsx", "--frames", "x"], BAD_INPUT, "no frame 'x'"),
        (["export", "--db", "a.duckdb", "a.csv"], BAD_INPUT, "'a.csv' is no workbook's name"),
        (["export", "--db", "a.duckdb", "no/a.xlsx"], BAD_INPUT, "no is no folder"),
        (
            ["export", "--db", "a.duckdb", "/proc/a.xlsx"],
            BAD_INPUT,
            "/proc/a.xlsx cannot be written",
        ),
        (
            ["batches", "--db", "a.duckdb", "--resume", "7"],
            BAD_INPUT,
            "no batch '7' in a.duckdb; see propkit batches\n",
        ),
        (
            ["reparse", "--db", "a.duckdb", "maricopa_treasurer", "--out", "no/x.csv"],
            BAD_INPUT,
            "no is no folder: the differences cannot be written there\n",
        ),
        (
            ["worker", "--db", "a.duckdb", "--until-idle", "-1"],
            BAD_INPUT,
            "--until-idle must be 0 or more seconds, not -1\n",
        ),
        (["worker", "--db", "/proc"], BAD_INPUT, "/proc is a folder; expected a file\n"),
        (["batches", "--db", "/proc"], BAD_INPUT, "there is no store /proc"),
        (["collect", "--db", "/proc", "13238011"], BAD_INPUT, "/proc is a folder; expected a file"),
        (["counties", "list", "XX"], FAILED, "no layer of XX is known\n"),
        (
            ["counties", "import", "/proc/version"],
            BAD_INPUT,
            "/proc/version is no folder, .zip, .tar.gz or .json file\n",
        ),
        (["county", "--faults", "no.json"], BAD_INPUT, "cannot read the faults file 'no.json': No"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_a_command_cannot_work_with_is_told(
    run_here: Run, folder: Path, arguments: list[str], code: int, message: str
):
    """One sentence on stderr; no store and no workbook come of it."""
    pk.open(folder / "a.duckdb").close()

    done = run_here(*arguments)

    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(f"propkit: {message}")
    assert [entry.name for entry in folder.iterdir()] == ["a.duckdb"]


def test_a_store_without_batches_lists_none(run_here: Run, folder: Path):
    """In words, not as an empty table."""
    pk.open(folder / "a.duckdb").close()

    done = run_here("batches", "--db", "a.duckdb")

    assert (done.returncode, done.stdout) == (DONE, "no batch yet\n")


# --- demo, county, doctor ---------------------------------------------------------------------


def test_the_demo_needs_nothing(folder: Path):
    """One command, no settings: the plan, the counts, a store and a workbook that exist."""
    done = propkit("demo", "--parcels", "15", "--out", "out")

    assert done.returncode == DONE, done.stdout
    assert "Plan: 15 identifiers from list: 15 due" in done.stdout
    assert done.stdout.endswith(
        f"store:    {folder}/out/demo.duckdb\nworkbook: {folder}/out/demo.xlsx\n"
    )
    assert sorted(entry.name for entry in (folder / "out").iterdir()) == [
        "demo.duckdb",
        "demo.xlsx",
    ]
    assert count(folder / "out" / "demo.duckdb", "items") > 30


def test_a_demo_of_no_parcels_is_bad_input(run_here: Run, folder: Path):
    """Fewer than one parcel is told, and no folder is made."""
    done = run_here("demo", "--parcels", "0", "--out", "out")

    assert (done.returncode, done.stdout) == (BAD_INPUT, "")
    assert done.stderr == "propkit: --parcels must be 1 or more, not 0\n"
    assert [entry.name for entry in folder.iterdir()] == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_county_serves_until_it_is_ended(folder: Path, number: signal.Signals):
    """The county answers on its port and goes quietly."""
    command = [
        sys.executable,
        "-m",
        "propkit.cli",
        "county",
        "--port",
        "0",
        "--parcels",
        "30",
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        try:
            (port,) = re.findall(r"http://localhost:(\d+)", run.stdout.readline())
            with urllib.request.urlopen(
                f"http://127.0.0.1:{port}/_county/health", timeout=60
            ) as answer:
                status = answer.status
            run.send_signal(number)
            _, said = run.communicate(timeout=60)
        finally:
            run.kill()

    assert status == 200
    assert "Traceback" not in said
    assert run.returncode in (DONE, FAILED)


@pytest.mark.parametrize(
    ("content", "message"), [("nonsense", "faults.json"), ('[{"kind": "boom"}]', "boom")]
)
def test_wrong_faults_are_bad_input(run_here: Run, folder: Path, content: str, message: str):
    """A file of faults that cannot be read is told before the county opens."""
    (folder / "faults.json").write_text(content, "utf-8")

    done = run_here("county", "--port", "0", "--faults", "faults.json")

    assert done.returncode == BAD_INPUT
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_the_doctor_says_what_is_wrong(folder: Path):
    """Without a token there is something to mend, and the exit code says so."""
    done = propkit("doctor")

    assert done.returncode == FAILED
    assert re.search(r"^! maricopa_assessor .*no token: set PROPKIT_", done.stdout, re.MULTILINE)
    assert done.stdout.splitlines()[-1].endswith("to mend, marked with '!'.")
    assert [entry.name for entry in folder.iterdir()] == []
