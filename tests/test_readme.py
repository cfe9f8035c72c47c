"""What the README says is true: its commands, snippets, tables and names are tried here."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import threading
import tomllib
from dataclasses import fields
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

import propkit as pk
from propkit import cli, doctor, errors
from propkit.demo_county import server
from propkit.excel import MAX_ROWS
from propkit.records import RECORD_TYPES
from propkit.runtime.report import OUTCOMES
from propkit.settings import Settings
from propkit.sources import configure_sources
from propkit.sources._config import ENTRY_POINT
from propkit.sources._declared import read_source_file
from propkit.worker import command

if TYPE_CHECKING:
    from propkit.demo_county.county import County

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def _rows(first_head: str) -> list[list[str]]:
    """Return the cells of the table whose first column has this head, without backquotes."""
    lines = README.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {first_head} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().strip("`") for cell in line.strip("|").split("|")])
    return rows


def _commands() -> list[str]:
    lines = [
        line.partition("#")[0].strip() for block in _blocks("sh") for line in block.split("\n")
    ]
    return [line for line in lines if line]


@pytest.fixture
def as_real_county(county: County, monkeypatch: pytest.MonkeyPatch) -> County:
    """Point the settings' sources at the demo county, as fast as it answers."""
    for source, given in county.settings().items():
        for name, value in {**given, "requests_per_second": "500"}.items():
            monkeypatch.setenv(f"PROPKIT_SOURCES__{source}__{name}".upper(), str(value))
    pd.DataFrame({"APN": county.apns(4, seed=3)}).to_excel("parcels.xlsx", index=False)
    return county


def _run(code: str) -> str:
    """Run Python code in a process of its own, as a reader does; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_ten_lines_run() -> None:
    block = _blocks("python")[0]
    facts = "plan.counts, report.state, list(parcels['apn']), list(unpaid)"

    said = _run(f"{block}\nimport json\nprint(json.dumps([{facts}]))")

    assert json.loads(said.splitlines()[-1]) == [
        {"due": 3, "duplicate": 1, "invalid": 1},
        "completed",
        ["34205092", "34205094", "34205095"],
        ["apn", "tax_year", "amount_due"],
    ]
    assert "# 3 due, 1 duplicate, 1 invalid" in block
    assert Path("parcels.xlsx").is_file()
    assert len([line for line in block.splitlines() if line]) <= 10


def test_the_lines_for_the_real_county_run(as_real_county: County) -> None:
    _run(_blocks("python")[3])

    assert Path("maricopa.duckdb").is_file()
    assert len(pd.read_excel("collected.xlsx", sheet_name="parcels", engine="calamine")) == 4


def test_the_lines_with_a_worker_run(
    as_real_county: County, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROPKIT_WORKER__IDLE_SECONDS", "0.5")
    lines = ["import propkit as pk", f"parcels = {as_real_county.apns(3)!r}"]

    said = _run("\n".join([*lines, _blocks("python")[1], "print(batch.wait().state, kit)"]))

    assert said.startswith("completed <Kit maricopa.duckdb: 3 parcels; ")
    assert "owner: this process" not in said


def test_no_other_python_is_shown() -> None:
    assert len(_blocks("python")) == 5


def write_listing_sheet() -> None:
    """Make the sheet and the poster that the README speaks of."""
    Path("my_poster.py").write_text(_blocks("python")[4], "utf-8")
    rows = {"id": ["T1", "T2"], "title": ["Dump truck", "Bucket truck"]}
    pd.DataFrame(rows).to_excel("trucks.xlsx", index=False)


def test_the_poster_posts() -> None:
    heard: list[str] = []

    class Site(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    write_listing_sheet()
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as site:
        threading.Thread(target=site.serve_forever).start()
        poster = Path("my_poster.py")
        port = str(site.server_address[1])
        poster.write_text(poster.read_text("utf-8").replace("8901", port), "utf-8")
        report = pk.run_batch("trucks.xlsx", poster="my_poster.py:post")
        again = pk.run_batch("trucks.xlsx", poster="my_poster.py:post")
        site.shutdown()

    assert heard == ["Dump truck", "Bucket truck"]
    assert (report.success, report.successful_posts, report.skipped_records) == (True, 2, 0)
    assert (again.success, again.successful_posts, again.skipped_records) == (True, 0, 2)
    assert {one.url for one in report.results} == {f"http://localhost:{port}/listings"}


def test_the_settings_file_is_read() -> None:
    settings_block, *_ = _blocks("toml")
    Path("propkit.toml").write_text(settings_block, "utf-8")

    settings = Settings.load()

    assert settings.contact == "you@example.com"
    assert settings.collect.workers == 3
    configs = configure_sources(settings)
    assert not configs["maricopa_assessor"].lacks_token
    assert configs["maricopa_treasurer"].max_age.days == 7


def test_a_county_is_added_as_it_is_said() -> None:
    """The file describes a source, and the entry point is propkit's."""
    _, source_block, package_block = _blocks("toml")
    Path("pinal_treasurer.toml").write_text(source_block, "utf-8")

    source = read_source_file(Path("pinal_treasurer.toml"))

    assert (source.name, source.county, source.provides) == (
        "pinal_treasurer",
        "pinal",
        ("tax_bills",),
    )
    assert tomllib.loads(package_block)["project"]["entry-points"].keys() == {ENTRY_POINT}


@pytest.mark.parametrize(("name", "example"), [row[:2] for row in _rows("variable")])
def test_a_variable_is_accepted(name: str, example: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = name.removeprefix("PROPKIT_").lower().split("__")
    before = _value(Settings.load(), path)
    monkeypatch.setenv(name, example)

    after = _value(Settings.load(), path)

    assert after is not None
    assert after != before


def _value(settings: Settings, path: list[str]) -> Any:
    value: Any = settings
    for name in path:
        value = value.get(name) if isinstance(value, dict) else getattr(value, name, None)
    return value


def test_every_variable_stands_in_the_table() -> None:
    named = set(re.findall(r"PROPKIT_[A-Z_]+", README))

    assert named == {row[0] for row in _rows("variable")}


def test_defaults_are_the_settings_own() -> None:
    settings = Settings()
    collect = settings.collect
    said = {row[0]: re.search(r"\((\d+)\)", row[2]) for row in _rows("variable")}
    paths = {
        tuple(name.removeprefix("PROPKIT_").lower().split("__")): float(found[1])
        for name, found in said.items()
        if found
    }

    assert paths == {path: getattr(getattr(settings, path[0]), path[1]) for path in paths}
    assert {path[-1] for path in paths} == {
        *("workers", "request_timeout", "retry_attempts", "item_timeout"),
        *("pages", "browsers", "memory_mb"),
    }
    assert collect.retry_attempts == 4
    assert "four times at most" in README


def test_paces_are_the_sources_own() -> None:
    configs = configure_sources(Settings())

    paces = {name: f"{config.requests_per_second:g} requests/s" for name, config in configs.items()}

    assert {row[0]: row[1] for row in _rows("source")} == paces


def test_tables_are_the_records() -> None:
    tables = [(name, ", ".join(kind.identity)) for name, kind in RECORD_TYPES.items()]

    assert [(row[0], row[1]) for row in _rows("table")] == tables


def test_columns_named_in_the_table_exist() -> None:
    columns = {field.name for kind in RECORD_TYPES.values() for field in fields(kind)}

    named = {word for row in _rows("table") for word in re.findall(r"`(\w+)`", row[2])}

    assert named
    assert named <= columns


def test_outcomes_are_the_reports() -> None:
    assert sorted(row[0] for row in _rows("outcome")) == sorted(OUTCOMES)


def test_failure_classes_are_the_errors() -> None:
    classes = {
        kind.failure_class
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.SourceError)
    }

    assert {row[0] for row in _rows("failure class")} == classes


def test_commands_are_those_of_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])

    helped = re.findall(r"^    (\w+) ", capsys.readouterr().out, re.MULTILINE)
    assert [row[0] for row in _rows("command")] == [f"propkit {name}" for name in helped]
    shown = {shlex.split(line)[1] for line in _commands() if line.startswith("propkit ")}
    assert shown == set(helped)


def test_commands_run_in_their_order(
    as_real_county: County, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "_browser", lambda: doctor.Finding("browser", "not asked for"))
    served: list[int] = []
    monkeypatch.setattr(server, "run_county", lambda port, **_: served.append(port))
    owned: list[Path] = []
    monkeypatch.setattr(command, "run_worker", lambda db, **_: owned.append(db))
    codes = {}
    write_listing_sheet()

    for line in _commands():
        words = shlex.split(line)
        if words[0] == "propkit":
            codes[line] = cli.main(words[1:])

    assert codes == dict.fromkeys(codes, cli.DONE), capsys.readouterr()
    assert (served, owned) == ([8900], [Path("maricopa.duckdb")])
    for name in ("demo-output/demo.xlsx", "maricopa.duckdb", "two.xlsx", "collected.xlsx"):
        assert Path(name).is_file()


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")

    named = set(re.findall(r"[`\n]make ([a-z]+)", README))

    assert {"demo", "test", "lab", "check", "format", "bench", "help"} == named
    assert named <= set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))


def test_every_other_command_is_known() -> None:
    assert {shlex.split(line)[0] for line in _commands()} == {"make", "propkit"}


def test_files_named_exist() -> None:
    linked = re.findall(r"\]\((?!https?:)([^)]+)\)", README)
    named = re.findall(r"`((?:propkit|notebooks|tests)/[^`]*|environment\.yml)`", README)

    assert [name for name in [*linked, *named] if not (ROOT / name).exists()] == []


def test_limits_are_the_codes_own() -> None:
    assert f"{MAX_ROWS:,} rows" in README


def test_changes_begin_with_this_version() -> None:
    changes = README.partition("## Changes")[2]

    assert re.search(r"### (\S+)", changes)[1] == pk.__version__  # type: ignore[index]
