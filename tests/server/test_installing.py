"""Installed by pip alone, the extension is there, enabled, and can be loaded."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import ZipFile

import pytest

import propkit
from propkit.errors import SettingsError
from propkit.server.service import place_store
from tests.server.serving import ROOT, jupyter

if TYPE_CHECKING:
    from propkit.demo_county import County


def run(*command: str | Path, cwd: Path) -> str:
    kept = {
        name: text
        for name, text in os.environ.items()
        if not name.startswith(("JUPYTER", "PYTHONPATH", "PIP_"))
    }
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**kept, "JUPYTER_CONFIG_DIR": str(cwd / "config")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return re.sub(r"\x1b\[\d+m", "", done.stdout + done.stderr)


def test_a_wheel_brings_the_extension_enabled(tmp_path: Path):
    """A fresh environment in which only the wheel was installed lists it as enabled and valid."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    # What Python compiles in other processes meanwhile comes and goes.
    compiled = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "propkit", source / "propkit", ignore=compiled)
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    alone = ["--no-deps", "--no-index"]
    run(*pip, "wheel", *alone, "--no-build-isolation", "-w", tmp_path, source, cwd=tmp_path)
    (wheel,) = tmp_path.glob("propkit-*.whl")
    names = ZipFile(wheel).namelist()
    assert [name for name in names if name.endswith("jupyter_server_config.d/propkit.json")]

    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    folder = Path(run(python, "-c", _SITE, cwd=tmp_path).strip())
    # What propkit needs is taken from here: to install it again would take minutes.
    (folder / "outer.pth").write_text(sysconfig.get_path("purelib"), "utf-8")
    run(*pip, f"--python={python}", "install", *alone, wheel, cwd=tmp_path)

    assert Path(run(python, "-c", _WHERE, cwd=tmp_path).strip()).is_relative_to(folder)
    listed = run(python, "-m", "jupyter_server.extension.serverextension", "list", cwd=tmp_path)
    ours = listed.partition(str(tmp_path / "venv"))[2]
    assert "propkit.server enabled" in ours
    assert f"propkit.server {propkit.__version__} OK" in ours


_SITE = "import sysconfig; print(sysconfig.get_path('purelib'))"
_WHERE = "import propkit; print(propkit.__file__)"


def test_a_wrong_setting_is_told_when_the_server_starts(county: County, tmp_path: Path):
    """Jupyter goes on without the API; the log names the setting."""
    with jupyter(tmp_path / "notebooks", county, store="../elsewhere.duckdb") as server:
        assert server.client.get("/propkit/api/health").status == 404
        assert server.client.get("/api/status").status == 200

        assert "server.store: ../elsewhere.duckdb is not below the folder" in server.log


def test_the_store_lies_in_the_folder_that_jupyter_shows(tmp_path: Path):
    """Or below it; links are followed before that is said."""
    root = tmp_path / "notebooks"
    (root / "county").mkdir(parents=True)
    (root / "out").symlink_to(tmp_path)
    (tmp_path / "also").symlink_to(root)

    assert place_store(root, Path("propkit.duckdb")) == root / "propkit.duckdb"
    assert place_store(root, Path("county/a.duckdb")) == root / "county" / "a.duckdb"
    assert place_store(tmp_path / "also", Path("a.duckdb")) == root / "a.duckdb"
    for store in ("../a.duckdb", "/tmp/a.duckdb", "out/a.duckdb", "county/../../a.duckdb"):
        with pytest.raises(SettingsError, match=r"server\.store: .* is not below the folder"):
            place_store(root, Path(store))


def test_a_store_that_cannot_be_used_is_told_without_its_path(county: County, tmp_path: Path):
    """503 and when to come again; the log says why; once it can be used, it is."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    (folder / "propkit.duckdb").write_bytes(b"no database" * 1000)
    with jupyter(folder, county) as server:
        answer = server.client.get("/propkit/api/health")

        assert answer.problem() == {
            "type": "about:blank",
            "title": "Service Unavailable",
            "status": 503,
            "detail": "The store cannot be used just now; the log says why.",
            "instance": "/propkit/api/health",
        }
        assert answer.headers["Retry-After"] == "5"
        assert "the store cannot be used" in server.log
        (folder / "propkit.duckdb").unlink()
        assert server.client.get("/propkit/api/health").status == 200
