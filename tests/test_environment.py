"""environment.yml for conda and pyproject.toml for pip name the same packages and bounds."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent

# conda-forge's name where it is not PyPI's: there `playwright` is the one for Node, `duckdb` is
# the engine alone, and names have dashes.
CONDA_NAMES = {
    "duckdb": "python-duckdb",
    "nest_asyncio": "nest-asyncio",
    "playwright": "playwright-python",
}


def _split(requirement: str) -> tuple[str, str]:
    found = re.fullmatch(r"([A-Za-z0-9_.\-]+)(?:\[[^]]*])?\s*(.*)", requirement.strip())
    assert found, f"not a requirement: {requirement!r}"
    return found[1], found[2].replace(" ", "")


def _pyproject() -> tuple[dict[str, str], str]:
    """Return bounds by conda's name, of the core and of the extra `test`, and Python's bound."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    listed = project["dependencies"] + project["optional-dependencies"]["test"]
    bounds = dict(_split(text) for text in listed)
    return {CONDA_NAMES.get(name, name): bound for name, bound in bounds.items()}, project[
        "requires-python"
    ]


def _environment() -> tuple[dict[str, dict[str, str]], list[str]]:
    """Return bounds by name by group, the groups being the comments, and the lines for pip."""
    text = (ROOT / "environment.yml").read_text("utf-8")
    groups: dict[str, dict[str, str]] = {}
    for_pip: list[str] = []
    for line in text.partition("dependencies:\n")[2].splitlines():
        if line.startswith("  # "):
            group = groups.setdefault(line.removeprefix("  # "), {})
        elif line.startswith("      - "):
            for_pip.append(line.removeprefix("      - "))
        elif line != "  - pip:":
            assert line.startswith("  - "), f"not understood: {line!r}"
            name, bound = _split(line.removeprefix("  - "))
            group[name] = bound
    return groups, for_pip


def test_environment_and_pyproject_name_the_same_packages_and_bounds() -> None:
    expected, python = _pyproject()

    groups, for_pip = _environment()

    actual = {name: bound for group in groups.values() for name, bound in group.items()}
    assert actual.pop("python") == python
    assert actual.pop("pip") == ""
    assert actual == expected
    assert for_pip == ["-e ."]


def test_environment_names_no_package_twice() -> None:
    groups, _ = _environment()

    names = [name for group in groups.values() for name in group]

    assert sorted(names) == sorted(set(names))


def test_environment_is_grouped_by_purpose() -> None:
    groups, _ = _environment()

    assert list(groups) == [
        "Run",
        "Collect",
        "Store",
        "Notebook",
        "Excel",
        "Test",
        "propkit itself, from this folder",
    ]
    assert all(groups.values())


def test_every_package_has_a_lower_bound() -> None:
    bounds, _ = _pyproject()

    assert [name for name, bound in bounds.items() if not bound.startswith(">=")] == []
