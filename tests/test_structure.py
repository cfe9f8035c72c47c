"""The shape of the package: who may import whom, what is public, and what importing costs."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import propkit

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "propkit"

# Left to right as the data flows: a room imports rooms before its own, never behind it. Modules
# in one entry, or in one folder, may import each other.
FLOW = [
    ["workbook_parts"],
    ["errors", "profiles", "durations", "sections", "settings"],
    ["identifiers"],
    ["given"],
    ["identifier_lists"],
    ["queries"],
    ["criteria"],
    ["records", "record_block"],
    ["items"],
    ["kinds", "document_codes", "lookups"],
    ["terms"],
    ["verdicts"],
    ["plan"],
    ["layer_plan"],
    ["features", "pages"],
    ["layers"],
    ["answers"],
    ["pace", "pace_place", "breaker", "usage", "time_limits", "ending", "loops"],
    ["evidence"],
    ["asking"],
    ["http_line"],
    ["http_exchange"],
    ["http_client"],
    ["browser", "browsing"],
    ["sources"],
    ["posters"],
    ["quality"],
    ["store"],
    ["planning"],
    ["reparsing"],
    ["explaining"],
    ["traffic"],
    ["progress"],
    ["notices"],
    ["watching"],
    ["nested_loops"],
    ["buying"],
    ["posting"],
    ["item_asker", "collector"],
    ["batch_run"],
    ["runtime"],
    ["frames"],
    ["searching"],
    ["excel"],
    ["workbooks"],
    ["charts"],
    ["maps"],
    ["big_maps"],
    ["widgets"],
    ["notebook"],
    ["leads"],
    ["areas"],
    ["sharing"],
    ["worker"],
    ["doctor"],
    ["store_desk", "history_desk", "worker_desk", "county_desk", "evidence_desk", "show_desk"],
    ["kit"],
    ["opening"],
    ["server"],
    ["cli"],
]
PLACE = {room: place for place, rooms in enumerate(FLOW) for room in rooms}

# The demo county stands for the outside world: it knows nothing of propkit but its errors.
DEMO_MAY_IMPORT = {"demo_county", "errors"}
MAY_IMPORT_DEMO = {"demo_county", "kit", "opening", "cli"}

OWNERS = {
    # The county is an aiohttp server.
    "aiohttp": {"http_line", "http_exchange", "http_client", "demo_county"},
    "altair": {"charts", "maps"},
    "anywidget": {"widgets"},
    "distributed": {"runtime"},
    "duckdb": {"store"},
    "ipywidgets": {"widgets"},
    "jupyter_server": {"server"},
    "keyring": {"posters"},
    "lonboard": {"big_maps", "show_desk"},  # the desk only names what it returns
    "nest_asyncio": {"nested_loops"},
    "playwright": {"browser", "browsing"},
    "protego": {"http_client"},
    "psutil": {"browsing"},
    "pyarrow": {"sources", "store", "sharing", "big_maps", "features", "layers"},
    "pyogrio": {"layers"},
    "pyproj": {"layers"},
    "pyarrow.flight": {"sharing"},
    "python_calamine": {"identifier_lists", "posting"},
    "selectolax": {"pages", "sources"},
    "tornado": {"server"},
    "traitlets": {"widgets"},
    "xlsxwriter": {"excel"},
}

PUBLIC = [
    "Apn",
    "Batch",
    "BatchReport",
    "Kit",
    "Plan",
    "PostingReport",
    "Progress",
    "PropkitError",
    "Settings",
    "__version__",
    "allow_nested_loops",
    "demo",
    "open",
    "post_listings",
    "run_batch",
]

HEAVY = {"aiohttp", "duckdb", "ipywidgets", "pandas", "playwright", "pyarrow", "pydantic"}
MODULE_LINES = 400


@dataclass(frozen=True)
class Import:
    """One import statement's target, and where it stands."""

    room: str
    target: str
    where: str


def _modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def _room(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return "__init__" if parts == ("__init__",) else parts[0]


@cache
def _nodes(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text("utf-8"))))


def _imports(path: Path) -> list[Import]:
    """List what `path` imports at any depth, TYPE_CHECKING included."""
    found = []
    for node in _nodes(path):
        targets: list[str] = []
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            module = node.module or ""
            # `from propkit import plan` names the room in its list.
            targets = (
                [f"propkit.{alias.name}" for alias in node.names]
                if module == "propkit"
                else [module]
            )
        if targets:
            where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
            found += [Import(_room(path), target, where) for target in targets]
    return found


@cache
def _all_imports() -> list[Import]:
    return [found for path in _modules() for found in _imports(path)]


def _against_the_flow(found: Import) -> bool:
    package, _, rest = found.target.partition(".")
    target = rest.partition(".")[0]
    if package != "propkit" or found.room == "__init__" or target in ("", "__version__"):
        return False
    if "demo_county" in (found.room, target):
        is_allowed = (
            found.room in MAY_IMPORT_DEMO if target == "demo_county" else target in DEMO_MAY_IMPORT
        )
        return not is_allowed
    return not {found.room, target} <= PLACE.keys() or PLACE[target] > PLACE[found.room]


def _without_owner(found: Import) -> bool:
    package = found.target.partition(".")[0]
    part = ".".join(found.target.split(".")[:2])
    return any(name in OWNERS and found.room not in OWNERS[name] for name in (package, part))


def _shown(imports: list[Import]) -> list[str]:
    return [f"{found.where} imports {found.target}" for found in imports]


def test_every_module_has_its_place_in_the_flow() -> None:
    known = {*PLACE, "__init__", "demo_county"}

    unknown = [str(path.relative_to(ROOT)) for path in _modules() if _room(path) not in known]

    assert unknown == []


def test_only_the_cluster_knows_dask() -> None:
    where = {
        found.where for found in _all_imports() if found.target.partition(".")[0] == "distributed"
    }

    assert where
    assert {place for place in where if not place.startswith("propkit/runtime/cluster/")} == set()


def test_imports_go_one_way() -> None:
    assert _shown([found for found in _all_imports() if _against_the_flow(found)]) == []


def test_a_heavy_package_has_one_owner() -> None:
    assert _shown([found for found in _all_imports() if _without_owner(found)]) == []


@pytest.mark.parametrize(
    ("room", "target", "is_wrong"),
    [
        ("store", "propkit.records", False),
        ("store", "propkit.store.schema", False),
        ("plan", "propkit.items", False),
        ("records", "propkit.store", True),
        ("collector", "propkit.kit", True),
        ("collector", "propkit.nowhere", True),
        ("nowhere", "propkit.errors", True),
        ("kit", "propkit.demo_county.county", False),
        ("sources", "propkit.demo_county.county", True),
        ("demo_county", "propkit.errors", False),
        ("demo_county", "propkit.records", True),
        ("kit", "propkit.__version__", False),
        ("kit", "pandas", False),
    ],
)
def test_the_guard_of_the_flow_sees_a_wrong_import(room: str, target: str, is_wrong: bool) -> None:
    assert _against_the_flow(Import(room, target, "here")) is is_wrong


def test_the_guard_of_owners_sees_a_wrong_import() -> None:
    assert _without_owner(Import("frames", "duckdb", "here"))
    assert _without_owner(Import("kit", "nest_asyncio", "here"))
    assert _without_owner(Import("store", "pyarrow.flight", "here"))
    assert not _without_owner(Import("store", "duckdb.typing", "here"))


def test_every_imported_package_is_a_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = ("cluster", "files", "keyring", "maps")
    texts = [*project["dependencies"], *(text for name in wanted for text in extras[name])]
    listed = {re.split(r"[\[><=!~ ]", text)[0].lower() for text in texts}
    listed = {name.replace("-", "_") for name in listed}

    packages = {found.target.partition(".")[0].lower() for found in _all_imports()}

    assert packages - set(sys.stdlib_module_names) - listed == {"propkit"}


def test_public_names_are_the_documented_ones() -> None:
    assert propkit.__all__ == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_public_name_can_be_used(name: str) -> None:
    assert getattr(propkit, name) is not None


def test_every_module_can_be_imported() -> None:
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in _modules()
        if path.name != "__main__.py"
    ]

    for name in names:
        importlib.import_module(name)


def test_importing_propkit_loads_nothing_heavy_and_no_room() -> None:
    """A room is loaded when it is first used: what importing costs does not grow with propkit."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import propkit"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}

    assert {name for name in loaded if name.partition(".")[0] == "propkit"} == {"propkit"}
    assert {name.partition(".")[0] for name in loaded} & HEAVY == set()


def test_opening_a_store_loads_only_what_every_batch_needs(tmp_path: Path) -> None:
    """What parses pages, watches browsers, sends mail or serves guests is loaded where that is done."""
    seldom = (
        *("selectolax", "psutil", "smtplib", "playwright", "python_calamine", "anywidget"),
        *("pyarrow.flight", "xml.etree", "difflib", "logging.handlers"),
    )
    script = (
        "import sys, propkit as pk\n"
        f"pk.open({str(tmp_path / 'store.duckdb')!r}, settings=pk.Settings()).close()\n"
        f"print([name for name in {seldom!r} if name in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout == "[]\n"


def test_only_the_command_line_prints() -> None:
    printing = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in _modules()
        if _room(path) != "cli"
        for node in _nodes(path)
        if isinstance(node, ast.Name) and node.id == "print"
    ]

    assert printing == []


def test_no_module_is_too_long() -> None:
    lines = {
        str(path.relative_to(ROOT)): path.read_text("utf-8").count("\n") for path in _modules()
    }

    assert {name: count for name, count in lines.items() if count > MODULE_LINES} == {}


def test_the_package_says_that_it_is_typed() -> None:
    assert (PACKAGE / "py.typed").is_file()
