"""A source that a TOML file describes: where to ask, what to read, how fast; no Python.

It covers one page for each parcel, of JSON (dotted paths) or of HTML (CSS selectors). The README
shows a file; every fault of one is told at once, by its place in the file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, ValidationError

from propkit.durations import Duration
from propkit.errors import InvalidAnswerError, LayoutChangedError, SettingsError
from propkit.kinds import ALL_DATASETS
from propkit.pages import Page, check_page
from propkit.record_block import Emptied
from propkit.records import RECORD_TYPES, Record, column_names
from propkit.sources._base import (
    Ask,
    Parsed,
    Payload,
    read_bool,
    read_date,
    read_decimal,
    read_float,
    read_int,
    read_text,
)
from propkit.sources._readers import dash_apn, is_empty, node_text, read_apn

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

_PAGE: Final = "page"
_NO_VALUE: Final = object()
_READERS: Final[Mapping[str, Callable[[Any, str], Any]]] = {
    "str": lambda value, where: read_text(value),  # noqa: ARG005
    "int": read_int,
    "float": read_float,
    "bool": read_bool,
    "date": read_date,
    "Decimal": read_decimal,
}


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Asked(_Section):
    path: str = Field(pattern=r"^/")
    params: dict[str, str] = Field(default_factory=dict)
    apn: str | None = None
    """Where the page names its parcel: what is about another one is an error."""


class _NotFound(_Section):
    status: int | None = Field(default=None, ge=400, le=499)
    text: str | None = Field(default=None, min_length=1)
    empty: str | None = None


class _Table(_Section):
    rows: str | None = None
    no_rows: str | None = Field(default=None, min_length=1)
    columns: dict[str, str] = Field(min_length=1)


class Declaration(_Section):
    """What a file must and may say."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    county: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    base_url: HttpUrl
    format: Literal["json", "html"]
    requests_per_second: float = Field(default=1.0, gt=0)
    max_in_flight: int = Field(default=1, ge=1)
    max_age: Duration = timedelta(hours=24)
    token_header: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    parser_version: int = Field(default=1, ge=1)
    page: _Asked
    not_found: _NotFound = Field(default_factory=_NotFound)
    tables: dict[str, _Table] = Field(min_length=1)


class DeclaredSource:
    """One office as its file describes it; implements :class:`propkit.sources.Source`."""

    needs: str | None = None
    seconds_per_item: float = 0.0
    transport: Literal["http", "browser"] = "http"
    requests_per_item: int = 1
    credits_per_item: float = 0.0
    is_session_bound: bool = False

    def __init__(self, declared: Declaration) -> None:
        self.declared = declared
        self.name = declared.name
        self.county = declared.county
        self.provides = tuple(declared.tables)
        self.base_url = str(declared.base_url).rstrip("/")
        self.requests_per_second = declared.requests_per_second
        self.max_in_flight = declared.max_in_flight
        self.max_age = declared.max_age
        self.token_header = declared.token_header
        self.headers: Mapping[str, str] = declared.headers
        self.parser_version = declared.parser_version

    async def fetch(self, key: str, apn: str | None, ask: Ask) -> Payload:
        """Ask for the one page; ``{apn}`` in its address is plain, ``{dashed_apn}`` has dashes."""
        plain = read_apn(key) or key
        names = {"apn": plain, "dashed_apn": dash_apn(plain)}
        asked = self.declared.page
        page = await ask.get(
            asked.path.format(**names),
            name=_PAGE,
            params={name: text.format(**names) for name, text in asked.params.items()} or None,
            expect=self.declared.format,
            accept=lambda page: page.status == self.declared.not_found.status,
        )
        return Payload(source=self.name, key=key, apn=apn, pages=(page,))

    def parse(self, payload: Payload) -> Parsed:
        """Read the tables of the page."""
        page = payload.page(_PAGE)
        if page is None:
            raise InvalidAnswerError(f"{self.name}: the payload of {payload.key} has no page")
        apn = read_apn(payload.key) or payload.key
        if page.status == self.declared.not_found.status:
            return Parsed(is_found=False)
        check_page(page, self.declared.format)
        reading = _JsonPage(page) if self.declared.format == "json" else _HtmlPage(page)
        if self._says_not_found(page, reading):
            return Parsed(is_found=False)
        self._check_parcel(apn, page, reading)
        records: list[Record] = []
        unsaid: dict[str, frozenset[str]] = {}
        emptied: list[Emptied] = []
        for table, said in self.declared.tables.items():
            found, absent = _read_table(table, said, reading, apn, self.county)
            records += found
            if not found and "county" not in column_names(RECORD_TYPES[table]):
                emptied.append(Emptied(table, apn))
            if absent:
                unsaid[table] = absent
        return Parsed(records=tuple(records), unsaid=unsaid, emptied=tuple(emptied))

    def _says_not_found(self, page: Page, reading: _JsonPage | _HtmlPage) -> bool:
        told = self.declared.not_found
        if told.text is not None and told.text.lower() in page.text.lower():
            return True
        if told.empty is None:
            return False
        value = reading.value(reading.root, told.empty)
        return value is not _NO_VALUE and is_empty(value)

    def _check_parcel(self, apn: str, page: Page, reading: _JsonPage | _HtmlPage) -> None:
        place = self.declared.page.apn
        if place is None:
            return
        shown = reading.value(reading.root, place)
        if shown is _NO_VALUE:
            raise LayoutChangedError(f"{self.name}: no APN at {place!r}", url=page.url)
        if read_apn(shown) != apn:
            raise InvalidAnswerError(f"{self.name}: asked for {apn}, the page is about {shown!r}")


class _JsonPage:
    """A page of JSON: places are dotted paths, a number picks out of a list."""

    def __init__(self, page: Page) -> None:
        self.root = page.json()
        if not isinstance(self.root, (dict, list)):
            raise LayoutChangedError(f"expected an object, got {self.root!r:.80}", url=page.url)

    def rows(self, place: str) -> list[Any]:
        """Return the rows at a place; an object is one row."""
        found = self.value(self.root, place)
        if found is _NO_VALUE or not (found is None or isinstance(found, (dict, list))):
            raise LayoutChangedError(f"no rows at {place!r}")
        return found if isinstance(found, list) else [found] if found else []

    def value(self, row: Any, place: str) -> Any:
        """Return the value at a place of a row, or ``_NO_VALUE``."""
        for part in place.split(".") if place else ():
            if isinstance(row, list) and part.isdecimal() and int(part) < len(row):
                row = row[int(part)]
            elif isinstance(row, dict) and part in row:
                row = row[part]
            else:
                return _NO_VALUE
        return row

    def says(self, text: str) -> bool:
        """Whether the answer has a text; JSON says by its structure that it has no rows."""
        return text.lower() in str(self.root).lower()


class _HtmlPage:
    """A page of HTML: places are CSS selectors, ``selector @name`` is an attribute."""

    def __init__(self, page: Page) -> None:
        self._html = page.html()
        self.root: Any = self._html.root

    def rows(self, place: str) -> list[Any]:
        """Return the elements that a selector finds."""
        return list(self._html.css(place))

    def value(self, row: LexborNode, place: str) -> Any:
        """Return the text at a place of a row, or ``_NO_VALUE``."""
        selector, _, attribute = place.partition(" @")
        node = row.css_first(selector)
        if node is None:
            return _NO_VALUE
        return node.attributes.get(attribute, _NO_VALUE) if attribute else node_text(node)

    def says(self, text: str) -> bool:
        """Whether the page has a text."""
        return text.lower() in node_text(self._html.body).lower()


def _read_table(
    table: str, said: _Table, reading: _JsonPage | _HtmlPage, apn: str, county: str
) -> tuple[list[Record], frozenset[str]]:
    """Return a table's records, and the columns for which not every row has a value's place."""
    kind = RECORD_TYPES[table]
    rows = [reading.root] if said.rows is None else reading.rows(said.rows)
    is_list = isinstance(reading, _JsonPage) and said.rows is not None
    if not rows and not is_list and not (said.no_rows and reading.says(said.no_rows)):
        raise LayoutChangedError(f"{table}: no row at {said.rows!r}")
    types = {field.name: str(field.type).removesuffix(" | None") for field in fields(kind)}
    fixed = {name: value for name, value in (("apn", apn), ("county", county)) if name in types}
    found: dict[tuple[Any, ...], Record] = {}
    absent: set[str] = set()
    for row in rows:
        values: dict[str, Any] = dict(fixed)
        for column, place in said.columns.items():
            raw = reading.value(row, place)
            if raw is _NO_VALUE:
                absent.add(column)
            else:
                values[column] = _READERS[types[column]](raw, f"{table}.{column}")
        needed = [f.name for f in fields(kind) if f.default is MISSING]
        if lacking := [name for name in needed if values.get(name) is None]:
            raise LayoutChangedError(f"{table}: a row without {', '.join(lacking)}")
        record = kind(**values)
        identity = tuple(getattr(record, name) for name in kind.identity)
        if found.setdefault(identity, record) != record:
            raise LayoutChangedError(f"{table}: two rows for {identity}")
    if rows and absent == set(said.columns):
        raise LayoutChangedError(f"{table}: none of its columns is where it was")
    others = {name for name in types if name not in {*said.columns, *fixed, *kind.noted}}
    return list(found.values()), frozenset(absent | others)


# --- reading the file -------------------------------------------------------------------------


def read_source_file(path: Path) -> DeclaredSource:
    """Return the source that a file describes.

    Raises
    ------
    SettingsError
        The file cannot be read, is no TOML, or says something that cannot be; all of it is told.
    """
    try:
        told = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is no TOML file: {error}") from error
    try:
        declared = Declaration.model_validate(told)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
    else:
        faults = [*_find_faults(declared)]
    if faults:
        raise SettingsError(f"{path}: {'; '.join(faults)}")
    return DeclaredSource(declared)


def _find_faults(declared: Declaration) -> list[str]:
    faults = []
    for text in (declared.page.path, *declared.page.params.values()):
        try:
            text.format(apn="", dashed_apn="")
        except (KeyError, IndexError, ValueError):
            faults.append(f"page: {text!r} may hold {{apn}} and {{dashed_apn}}, no other braces")
    for table, said in declared.tables.items():
        if table not in ALL_DATASETS:
            faults.append(f"tables.{table}: no such table; expected {', '.join(ALL_DATASETS)}")
            continue
        kind = RECORD_TYPES[table]
        known = {field.name: str(field.type).removesuffix(" | None") for field in fields(kind)}
        for column in said.columns:
            if known.get(column) not in _READERS or column in {"apn", "county"}:
                able = [
                    n for n, of in known.items() if of in _READERS and n not in {"apn", "county"}
                ]
                where = f"tables.{table}.columns.{column}"
                faults.append(f"{where}: no such column; expected {', '.join(able)}")
        needed = [f.name for f in fields(kind) if f.default is MISSING]
        lacking = [n for n in needed if n not in {"apn", "county", *said.columns}]
        if lacking:
            faults.append(f"tables.{table}.columns: {', '.join(lacking)} is needed")
    return faults
