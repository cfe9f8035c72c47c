"""Files of the OpenAddresses catalogue: one file a county, in many shapes, read into layers.

Nothing in a file is taken for granted: people wrote thousands of them over ten years. Whatever a
file holds, it comes to entries, and one that propkit cannot use says why.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from propkit.errors import SettingsError
from propkit.layers.catalogue import CountyLayer
from propkit.layers.fields import Field, write_field
from propkit.layers.file_form import FORMATS
from propkit.layers.layer import make_layer
from propkit.layers.tables import has_gdal

MOST_BYTES: Final = 2**20
"""A larger file is none of the catalogue's."""

_LAYER_URL: Final = re.compile(r"https?://[^\s?#]+/\d+/?", re.IGNORECASE)
_LONGEST: Final = 4000


def read_source_file(path: str, body: bytes) -> list[CountyLayer]:
    """Return the layers of parcels of a catalogue's file, at least one entry a file.

    Parameters
    ----------
    path
        Where the file lies in the catalogue: ``sources/us/az/pima.json``.
    body
        Its content. A file that is no JSON, or has no layer of parcels, is an entry too.
    """
    path = path.encode("utf-8", "replace").decode()  # a name on a disk may be any bytes
    place = _Place(path, {})
    if len(body) > MOST_BYTES:
        return [place.refuse("", "", f"the file is larger than {MOST_BYTES} bytes")]
    try:
        said = json.loads(body.decode("utf-8-sig"))
        # JSON may escape half a character, which no frame, store or file takes.
        json.dumps(said, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        return [place.refuse("", "", f"the file is no JSON: {str(error)[:100]}")]
    if not isinstance(said, dict):
        return [place.refuse("", "", f"the file holds no object but a {type(said).__name__}")]
    place = _Place(path, _mapping(said.get("coverage")))
    layers = said.get("layers")
    if layers is None:
        why = "an old kind of file (schema 1), which knows addresses only"
        return [place.refuse(_text(said.get("type")), _text(said.get("data")), why)]
    found = _mapping(layers).get("parcels")
    parcels = found if isinstance(found, list) else [] if found is None else [found]
    entries = [_read_parcels(place, one, number) for number, one in enumerate(parcels)]
    return entries or [place.refuse("", "", "the file has no layer of parcels")]


def name_apart(entries: Iterable[CountyLayer]) -> list[CountyLayer]:
    """Return the entries, each with a name of its own."""
    used: dict[str, int] = {}
    named = []
    for entry in entries:
        name, count = entry.name, used.get(entry.name, 0)
        while name in used:
            count += 1
            name = f"{entry.name}_{count + 1}"
        used[entry.name] = count
        used[name] = 0
        layer = entry.layer if entry.layer is None else {**entry.layer, "name": name}
        named.append(replace(entry, name=name, layer=layer))
    return named


class _Place:
    """Where a file stands: its state, its county, and the name of its source."""

    def __init__(self, path: str, coverage: Mapping[str, Any]) -> None:
        parts = [part for part in path.replace("\\", "/").split("/") if part]
        census = _mapping(coverage.get("US Census"))
        stem = parts[-1].removesuffix(".json") if parts else ""
        folders = parts[parts.index("sources") + 1 : -1] if "sources" in parts else parts[:-1][-2:]
        country = _text(coverage.get("country")) or (folders[0] if folders else "")
        self.state = (
            _text(coverage.get("state")) or (folders[1] if len(folders) > 1 else "")
        ).lower()[:40]
        county = _text(coverage.get("county")) or _text(census.get("name"))
        self.coverage = county or _text(coverage.get("city")) or _text(coverage.get("name")) or stem
        own = _slug(stem) or _slug(self.coverage) or "unnamed"
        first = _slug(country) or "xx"
        self.name = "_".join(filter(None, (first, _slug(self.state), own)))
        self.county = own
        self.path = path

    @property
    def parcels_of(self) -> str:
        """The county as the table `parcels` names it."""
        if (self.county, self.state) == ("maricopa", "az"):
            return "maricopa"
        return "_".join(filter(None, (self.county, _slug(self.state))))

    def entry(self, protocol: str, data: str, **more: Any) -> CountyLayer:
        return CountyLayer(
            name=more.pop("name", self.name),
            state=self.state,
            county=self.county,
            coverage=self.coverage,
            protocol=protocol[:40],
            data=data,
            path=self.path,
            **more,
        )

    def refuse(self, protocol: str, data: str, reason: str, **more: Any) -> CountyLayer:
        return self.entry(protocol, data, status="unsupported", reason=reason, **more)


def _read_parcels(place: _Place, said: object, number: int) -> CountyLayer:
    if not isinstance(said, dict):
        return place.refuse("", "", f"the layer is no object but a {type(said).__name__}")
    protocol = _text(said.get("protocol")) or _text(said.get("type"))
    data = _text(said.get("data"))
    more: dict[str, Any] = {
        "licence": read_licence(said.get("license")),
        "website": _text(said.get("website")) or None,
    }
    if number:
        more["name"] = f"{place.name}_{_slug(_text(said.get('name'))) or number + 1}"
    reason = _why_not(said, protocol, data)
    if reason is not None:
        return place.refuse(protocol, data, reason, **more)
    conform = _mapping(said.get("conform"))
    pid = _read_conform(conform.get("pid"))
    if isinstance(pid, str):
        return place.refuse(protocol, data, f"conform.pid {pid}", **more)
    fields: dict[str, Any] = {"apn": write_field(pid)}
    for column, field in _address_fields(conform):
        fields[column] = write_field(field)
    is_file = protocol.lower() != "esri"
    url, where = (data, None) if is_file else _split_url(data)
    layer: dict[str, Any] = {
        "name": more.get("name", place.name),
        "county": place.parcels_of,
        "url": url,
        "fields": fields,
        "kind": "file" if is_file else "arcgis",
        "where": where,
        "licence": more["licence"],
        "headers": _headers(said.get("request")),
    }
    if is_file:
        layer["file"] = _file_form(conform)
    try:
        make_layer(**layer)
    except SettingsError as error:
        reason = str(error).removeprefix(f"{layer['name']}: ")
        return place.refuse(protocol, data, reason[:300], **more)
    return place.entry(protocol, data, status="ready", layer=layer, **more)


def _why_not(said: Mapping[str, Any], protocol: str, data: str) -> str | None:
    """Return why a layer cannot be asked, None where it can."""
    if said.get("skip"):
        return "the catalogue says to leave it out"
    if not protocol:
        return "no protocol is said"
    if not data:
        return "no address is said (data)"
    if protocol.lower() != "esri":
        return _why_no_file(said, protocol, data)
    if not _LAYER_URL.fullmatch(_split_url(data)[0]):
        return "the address is not that of a layer (it ends in no number)"
    return None


def _why_no_file(said: Mapping[str, Any], protocol: str, data: str) -> str | None:
    """Return why a file cannot be read, None where it can."""
    kind = _text(_mapping(said.get("conform")).get("format")).lower() or "file"
    packed = _text(said.get("compression")).lower()
    what = f"a {packed or 'plain'} {kind}"[:80]
    if protocol.lower() != "http":
        return f"{what} to download by {protocol[:20]}: propkit downloads by http and https only"
    if packed not in {"", "zip", "gzip"}:
        return f"{what}: propkit unpacks zip and gzip only"
    if kind not in FORMATS:
        return f"{what}: propkit reads {', '.join(FORMATS)} only"
    if kind not in {"geojson", "csv"} and not has_gdal():
        return (
            f"{what}: GDAL reads it, which pip install 'propkit[files]' brings; then import again"
        )
    if not is_address(data):
        return "the address of the file is none"
    return None


def _file_form(conform: Mapping[str, Any]) -> dict[str, str]:
    """Return how the catalogue says that a file is to be read."""
    keys = {
        "member": "file",
        "layer": "layer",
        "longitude": "lon",
        "latitude": "lat",
        "srs": "srs",
        "encoding": "encoding",
        "delimiter": "csvsplit",
    }
    given = {name: conform.get(key) for name, key in keys.items()}
    form = {name: value for name, value in given.items() if isinstance(value, str) and value}
    return {"format": _text(conform.get("format")).lower(), **form}


def _split_url(data: str) -> tuple[str, str | None]:
    """Return a layer's address, and the condition that stands in it."""
    plain, _, query = data.strip().partition("?")
    plain = plain.partition("#")[0].rstrip("/")
    plain = re.sub(r"/query$", "", plain, flags=re.IGNORECASE)
    where = next(iter(parse_qs(query).get("where", ())), None) if query else None
    return plain, None if where is None or where.replace(" ", "") == "1=1" else unquote(where)


def _read_conform(given: object) -> Field | str:
    """Return a field, or why it is none that propkit can read."""
    if isinstance(given, str):
        return Field((given.strip(),)) if given.strip() else "is empty"
    if isinstance(given, list):
        names = tuple(name.strip() for name in given if isinstance(name, str) and name.strip())
        if names and len(names) == len(given):
            return Field(names)
        return "is a list with something that is no field"
    if not isinstance(given, dict):
        return "is missing" if given is None else f"is a {type(given).__name__}"
    function = _text(given.get("function"))
    if function == "join":
        listed = given.get("fields")
        inner = _read_conform(listed if isinstance(listed, list) else None)
        separator = given.get("separator", " ")
        if isinstance(inner, Field) and isinstance(separator, str):
            return Field(inner.names, separator=separator)
        return "is a join without fields"
    if function == "format":
        return _read_format(given)
    if function == "regexp":
        return _read_regexp(given)
    return f"is made by the function {function!r:.40}, which propkit does not know"


def _read_format(given: Mapping[str, Any]) -> Field | str:
    """Read ``"$1-$2"``: fields in their order with one and the same text between them."""
    listed, form = given.get("fields"), given.get("format")
    inner = _read_conform(listed if isinstance(listed, list) else None)
    if not isinstance(inner, Field) or not isinstance(form, str):
        return "is a format without fields"
    parts = re.split(r"\$(\d+)", form)
    numbers, between = parts[1::2], set(parts[2:-1:2])
    in_order = [str(number) for number in range(1, len(inner.names) + 1)]
    if numbers != in_order or parts[0] or parts[-1] or len(between) > 1:
        return f"is the format {form!r:.40}, which propkit does not know"
    return Field(inner.names, separator=next(iter(between), " "))


def _read_regexp(given: Mapping[str, Any]) -> Field | str:
    name, pattern = given.get("field"), given.get("pattern")
    instead = given.get("replace")
    if not (isinstance(name, str) and name.strip() and isinstance(pattern, str)):
        return "is a regexp without field or pattern"
    if not isinstance(instead, str):
        return "is a regexp that replaces nothing"
    try:
        compiled = re.compile(pattern)
        # The catalogue writes $1 where Python writes \1.
        text = re.sub(r"\$(\d+)", r"\\g<\1>", instead.replace("\\", "\\\\"))
        compiled.sub(text, "")
        groups = [int(number) for number in re.findall(r"\$(\d+)", instead)]
    except (re.error, IndexError, RecursionError, OverflowError) as error:
        return f"is a regexp that Python cannot read: {str(error)[:80]}"
    if groups and max(groups) > compiled.groups:
        return "is a regexp that replaces by a group it has not"
    return Field((name.strip(),), pattern=pattern, replace=text)


def _address_fields(conform: Mapping[str, Any]) -> Iterator[tuple[str, Field]]:
    """Yield what a layer of parcels says of addresses besides, where it is plain fields."""
    for column, key in (("situs_city", "city"), ("situs_zip", "postcode")):
        field = _read_conform(conform.get(key))
        if isinstance(field, Field) and field.pattern is None:
            yield column, field
    number, street = _read_conform(conform.get("number")), _read_conform(conform.get("street"))
    if isinstance(number, Field) and isinstance(street, Field):
        parts = [number, street]
        unit = _read_conform(conform.get("unit"))
        parts += [unit] if isinstance(unit, Field) else []
        if all(part == Field(part.names) for part in parts):
            yield "situs_address", Field(tuple(name for part in parts for name in part.names))


def read_licence(said: object) -> str | None:
    """Return what a file says of the licence, in one text; None where it says nothing."""
    if isinstance(said, str):
        return " ".join(said.split())[:_LONGEST] or None
    if isinstance(said, dict):
        words = [
            f"{key}: {' '.join(str(value).split())}"
            for key, value in said.items()
            if isinstance(value, (str, int, float, bool)) and str(value).strip()
        ]
        return "; ".join(words)[:_LONGEST] or None
    return None


def _headers(request: object) -> dict[str, str]:
    held = _mapping(_mapping(request).get("headers"))
    return {
        name: value
        for name, value in held.items()
        if isinstance(value, str) and re.fullmatch(r"[\w-]+", name) and value.isprintable()
    }


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return " ".join(value.split())[:_LONGEST] if isinstance(value, str) else ""


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:60]


def is_source_path(path: str) -> bool:
    """Whether a path in a folder or archive may be one of the catalogue's files."""
    parts = path.replace("\\", "/").split("/")
    if not path.lower().endswith(".json") or any(part.startswith(".") for part in parts):
        return False
    return "sources" not in parts or parts.index("sources") < len(parts) - 1


def is_address(text: str) -> bool:
    """Whether a text is an address to download from, and no path."""
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:  # brackets that are no address of version 6
        return False
