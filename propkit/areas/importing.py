"""Importing a catalogue of counties: from a folder, an archive, a file or an address."""

from __future__ import annotations

import asyncio
import io
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from yarl import URL

from propkit.asking import Host
from propkit.errors import RequestError
from propkit.http_client import HttpAsk, HttpClient
from propkit.http_exchange import Address
from propkit.items import RetryPolicy
from propkit.layers.catalogue import Catalogue, CountyLayer
from propkit.layers.files import DAMAGES
from propkit.layers.openaddresses import (
    MOST_BYTES,
    is_address,
    is_source_path,
    name_apart,
    read_source_file,
)
from propkit.pace import Pace
from propkit.settings import Settings
from propkit.sources import identity_of
from propkit.usage import Usage

_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """What an import found; ``reasons`` counts why layers cannot be used."""

    path: Path
    files: int
    ready: int
    unsupported: int
    reasons: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        """Return it in lines."""
        lines = [
            (
                f"{self.files:,} files: {self.ready:,} layers of parcels can be collected,"
                f" {self.unsupported:,} entries cannot"
            )
        ]
        lines += [f"  {count:>6,}  {reason}" for reason, count in self.reasons]
        lines.append(f"catalogue: {self.path}")
        return "\n".join(lines)


def import_counties(origin: str, settings: Settings) -> Import:
    """Read a catalogue of OpenAddresses files in place of the one that was imported before.

    Parameters
    ----------
    origin
        A folder (a checkout), a .zip or .tar.gz of one, one .json file, or the address of one of
        these.

    Raises
    ------
    RequestError
        There is no such path, it is none of these, or holds no file of a catalogue.
    SourceError
        The address does not answer.
    """
    files = list(_read_files(origin, settings))
    # A checkout has other files of JSON too; its sources lie in a folder of that name.
    files = [one for one in files if "sources" in one[0].split("/")] or files
    if not files:
        raise RequestError(f"{origin} holds no .json file of a catalogue")
    entries = name_apart(
        [entry for path, body in sorted(files) for entry in read_source_file(path, body)]
    )
    place = Catalogue.at(settings.counties)
    place.write(entries)
    return _summarise(place.path, len(files), entries)


def _summarise(path: Path, files: int, entries: list[CountyLayer]) -> Import:
    reasons = Counter(_kind_of(entry.reason) for entry in entries if entry.reason is not None)
    return Import(
        path=path,
        files=files,
        ready=sum(entry.status == "ready" for entry in entries),
        unsupported=sum(entry.status != "ready" for entry in entries),
        reasons=tuple(reasons.most_common()),
    )


def _kind_of(reason: str) -> str:
    """Return a reason without what is one file's own."""
    return reason.partition(": ")[0]


def _read_files(origin: str, settings: Settings) -> Iterator[tuple[str, bytes]]:
    if is_address(origin):
        body = asyncio.run(_download(origin, settings))
        yield from _read_packed(origin.rpartition("/")[2], body, origin)
        return
    if not origin.strip():
        raise RequestError("no path or address of a catalogue is given")
    path = Path(origin).expanduser()
    try:
        if path.is_dir():
            for file in sorted(path.rglob("*.json")):
                name = file.relative_to(path).as_posix()
                if is_source_path(name) and file.is_file():
                    yield _in_place(path, name), _read_start(file)
            return
        body = path.read_bytes()
    except OSError as error:
        where = error.filename or origin
        raise RequestError(f"{where} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise RequestError(f"{origin!r} is no path: {error}") from error
    # A single file's folders say which state it is of.
    yield from _read_packed(path.absolute().as_posix().lstrip("/"), body, origin)


def _in_place(folder: Path, name: str) -> str:
    """Return a file's path with the folders above, where the folder lies within a catalogue."""
    above = folder.absolute().parts
    if "sources" not in above or name.startswith("sources/"):
        return name
    return "/".join([*above[above.index("sources") :], name])


def _read_start(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(MOST_BYTES + 1)


def _read_packed(name: str, body: bytes, origin: str) -> Iterator[tuple[str, bytes]]:
    """Yield the files of an archive, nothing of which is written anywhere, or the one file."""
    packed = io.BytesIO(body)
    try:
        if zipfile.is_zipfile(packed):
            with zipfile.ZipFile(packed) as archive:
                for one in archive.infolist():
                    if not one.is_dir() and is_source_path(one.filename):
                        with archive.open(one) as stream:
                            yield one.filename, stream.read(MOST_BYTES + 1)
            return
        packed.seek(0)
        if body[:2] == b"\x1f\x8b" or tarfile.is_tarfile(packed):
            packed.seek(0)
            with tarfile.open(fileobj=packed, mode="r:*") as archive_:
                for member in archive_:
                    held = archive_.extractfile(member) if member.isfile() else None
                    if held is not None and is_source_path(member.name):
                        yield member.name, held.read(MOST_BYTES + 1)
            return
    except (*DAMAGES, tarfile.TarError) as error:
        why = str(error).partition("\n")[0].rstrip(":")
        raise RequestError(f"{origin} is a damaged archive, or none: {why}") from error
    if not name.lower().endswith(".json"):
        raise RequestError(f"{origin} is no folder, .zip, .tar.gz or .json file")
    yield name, body


async def _download(address: str, settings: Settings) -> bytes:
    collect = settings.collect
    retry = RetryPolicy(
        attempts=collect.retry_attempts,
        backoff_initial=collect.backoff_initial,
        backoff_max=collect.backoff_max,
        retry_after_max=collect.retry_after_max,
    )
    url = URL(address)
    host = Host(
        base_url=str(url.origin()),
        pace=Pace(1.0, 1),
        headers={"User-Agent": identity_of(settings)},
        obey_robots=False,  # one file, which a person names
        may_lead_away=True,
    )
    async with HttpClient(retry=retry, request_timeout=_SECONDS) as client:
        ask: HttpAsk
        async with client.ask(host, Usage()) as ask:
            return (await ask.request(Address.of(url), name="the catalogue")).body
