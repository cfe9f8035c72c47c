"""The Makefile, with stand-ins for Python: what it runs, when, and what it says when it cannot."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TARGETS = ["help", "demo", "lab", "test", "check", "format", "bench", "clean"]

# Makes a .venv whose python and propkit write what they are asked for into a log.
PYTHON = """#!/bin/sh
case "$*" in
  *sys.version_info*) exit ${OLD:-0} ;;
  *ensurepip*) exit ${NO_VENV:-0} ;;
  --version) echo "Python 3.9.2" ;;
  *venv*)
    echo "$*" >> "$LOG"
    rm -rf .venv && mkdir -p .venv/bin
    printf '#!/bin/sh\\necho "python $*$PYTHONDONTWRITEBYTECODE" >> "$LOG"\\n' > .venv/bin/python
    printf '#!/bin/sh\\necho "propkit $*" >> "$LOG"\\n' > .venv/bin/propkit
    chmod +x .venv/bin/python .venv/bin/propkit ;;
esac
"""

INSTALL = "python -m pip install -qq --disable-pip-version-check -e"


class Clone:
    """A folder with the Makefile, and a log of what it ran."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        shutil.copy(ROOT / "Makefile", folder)
        shutil.copy(ROOT / "pyproject.toml", folder)
        self.python = folder / "fake-python"
        self.python.write_text(PYTHON)
        self.python.chmod(0o755)

    def make(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        clean = {name: text for name, text in os.environ.items() if not name.startswith("MAKE")}
        return subprocess.run(
            ["make", "-C", str(self.folder), f"PYTHON={self.python}", *words],
            env={**clean, "LOG": str(self.folder / "log"), **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def ran(self, *words: str) -> list[str]:
        """Make `words` and list what was run for it."""
        log = self.folder / "log"
        log.write_text("")
        done = self.make(*words)
        assert done.returncode == 0, done.stderr
        return log.read_text().splitlines()


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path / "a clone")


def test_help_is_the_default_and_tells_each_target_in_a_line(clone: Clone) -> None:
    done = clone.make("--no-print-directory")

    assert re.findall(r"^  (\S+) +\S", done.stdout, re.MULTILINE) == TARGETS
    assert not (clone.folder / ".venv").exists()


def test_a_first_demo_makes_the_venv_and_installs(clone: Clone) -> None:
    assert clone.ran("demo") == [
        "-m venv --clear .venv",
        f"{INSTALL} .",
        "propkit demo --parcels 200 --out demo-output",
    ]


def test_a_first_test_installs_once_and_looks_for_a_browser(clone: Clone) -> None:
    assert clone.ran("test") == [
        "-m venv --clear .venv",
        f"{INSTALL} .[test]",
        "python -m ruff format --check --output-format concise .",
        "python -m ruff check --quiet .",
        "python -m mypy",
        "python -m propkit.browser",
        "python -m pytest -q -n auto --dist worksteal",
    ]


@pytest.mark.parametrize("target", ["demo", "lab", "test", "check", "format", "bench"])
def test_nothing_is_installed_twice(clone: Clone, target: str) -> None:
    clone.ran(target)

    again = clone.ran(target)

    assert [line for line in again if "pip" in line or "venv" in line or ".browser" in line] == []
    assert again != []


def test_bytecode_is_kept_also_where_a_container_forbids_it(
    clone: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or each process that a test starts would compile propkit anew."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")

    assert clone.ran("check")[-1] == "python -m mypy"


def test_another_target_adds_only_what_it_needs(clone: Clone) -> None:
    clone.ran("test")

    assert clone.ran("demo") == ["propkit demo --parcels 200 --out demo-output"]
    assert clone.ran("bench") == [f"{INSTALL} .[bench]", "python -m tests.benchmarks"]


def test_a_changed_pyproject_is_installed_again(clone: Clone) -> None:
    clone.ran("check")
    stamp = (clone.folder / ".venv/.test").stat().st_mtime
    os.utime(clone.folder / "pyproject.toml", (stamp + 5, stamp + 5))

    assert clone.ran("check")[0] == f"{INSTALL} .[test]"


@pytest.mark.parametrize("harm", ["python gone", "half made", "moved"])
def test_a_venv_that_cannot_work_is_made_anew(clone: Clone, harm: str) -> None:
    clone.ran("check")
    if harm == "python gone":
        (clone.folder / ".venv/bin/python").unlink()
    elif harm == "half made":
        (clone.folder / ".venv/.made").unlink()
    else:
        moved = clone.folder.with_name("moved")
        clone.folder.rename(moved)
        clone.folder, clone.python = moved, moved / clone.python.name

    assert clone.ran("check")[:2] == ["-m venv --clear .venv", f"{INSTALL} .[test]"]


@pytest.mark.parametrize(
    ("words", "environment", "said"),
    [
        (["PYTHON=no-such-python"], {}, "there is no 'no-such-python': install Python 3.11"),
        ([], {"OLD": "1"}, "propkit needs Python 3.11 or newer and"),
        ([], {"NO_VENV": "1"}, "apt-get install -y python3-venv"),
    ],
)
def test_what_is_missing_is_said_in_a_sentence(
    clone: Clone, words: list[str], environment: dict[str, str], said: str
) -> None:
    done = clone.make("demo", *words, **environment)

    assert done.returncode != 0
    assert said in done.stderr
    assert not (clone.folder / ".venv").exists()


def test_a_failed_install_is_tried_again(clone: Clone) -> None:
    clone.ran("check")
    (clone.folder / ".venv/.test").unlink()
    python = clone.folder / ".venv/bin/python"
    works = python.read_text()
    python.write_text("#!/bin/sh\nexit 1\n")

    done = clone.make("check")

    assert done.returncode != 0
    assert "installing propkit failed" in done.stderr
    python.write_text(works)
    assert f"{INSTALL} .[test]" in clone.ran("check")


def test_clean_removes_what_make_made_and_nothing_else(clone: Clone) -> None:
    clone.ran("check")
    for name in ("demo-output", ".mypy_cache", "propkit/__pycache__"):
        (clone.folder / name).mkdir(parents=True)
    kept = clone.folder / "parcels.duckdb"
    kept.touch()

    done = clone.make("clean")

    assert done.returncode == 0
    assert sorted(path.name for path in clone.folder.iterdir()) == [
        "Makefile",
        "fake-python",
        "log",
        "parcels.duckdb",
        "propkit",
        "pyproject.toml",
    ]
    assert list((clone.folder / "propkit").iterdir()) == []


def test_ci_runs_make_test() -> None:
    script = ROOT / ".ci/run"

    assert script.read_text().splitlines()[-1] == "exec make test"
    assert os.access(script, os.X_OK)


@pytest.mark.parametrize(("user", "installs"), [("0", True), ("1000", False)])
def test_curl_is_installed_by_root_and_asked_for_by_others(
    clone: Clone, tmp_path: Path, user: str, *, installs: bool
) -> None:
    """The tests of the REST API need curl: nothing is skipped without a word where it is absent."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("make", "sh", "cat", "rm", "mkdir", "touch", "chmod"):
        (tools / name).symlink_to(shutil.which(name) or name)
    for name, says in (("id", f"echo {user}"), ("apt-get", 'echo "apt-get $*" >> "$LOG"')):
        (tools / name).write_text(f"#!{tools / 'sh'}\n{says}\n")
        (tools / name).chmod(0o755)
    log = clone.folder / "log"

    done = clone.make("test", PATH=str(tools))

    installed = [line for line in log.read_text().splitlines() if line.startswith("apt-get")]
    assert installed == (["apt-get install -qq -y curl"] if installs else [])
    assert done.returncode == (0 if installs else 2)
    assert ("apt-get install -y curl (as root)" in done.stderr) is not installs
