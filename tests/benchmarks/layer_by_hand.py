"""What a competent person writes for a map layer: count, pages by offset, columns, Arrow, DuckDB.

No check of what came, no map of fields but this one, no bodies kept, no resume: the least that
gives the same rows.
"""

from __future__ import annotations

import asyncio
import struct
from datetime import UTC, datetime, timedelta
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import aiohttp
import duckdb
import orjson
import pyarrow as pa

from tests.benchmarks.jobs import Finish, Job

IN_FLIGHT = 4
PAGE_ROWS = 1000

_TEXTS = {
    "apn": "APN", "situs_city": "PHYSICAL_CITY", "situs_zip": "PHYSICAL_ZIP",
    "owner_name": "OWNER_NAME", "in_care_of": "INCAREOF", "mailing_city": "MAIL_CITY",
    "mailing_state": "MAIL_STATE", "mailing_zip": "MAIL_ZIP", "subdivision": "SUBNAME",
    "lot_number": "LOT_NUM", "mcr": "MCRNUM", "jurisdiction": "JURISDICTION", "use_code": "PUC",
    "deed_number": "DEED_NUMBER",
}  # fmt: skip
_STREET = (
    "PHYSICAL_STREET_NUM", "PHYSICAL_STREET_DIR", "PHYSICAL_STREET_NAME", "PHYSICAL_STREET_TYPE",
    "PHYSICAL_STREET_SUFFIX", "PHYSICAL_STREET_POSTDIR", "PHYSICAL_SUITE",
)  # fmt: skip
_MAIL = ("MAIL_ADDR1", "MAIL_ADDR2")
_FIELDS = ["OBJECTID", *_TEXTS.values(), *_STREET, *_MAIL, "STR", "LAND_SIZE", "LONGITUDE",
           "LATITUDE", "DEED_DATE"]  # fmt: skip
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COLUMNS = {
    **dict.fromkeys([*_TEXTS, "situs_address", "mailing_address"], "VARCHAR"),
    "section_township_range": "VARCHAR",
    "lot_size_sqft": "BIGINT",
    "longitude": "DOUBLE",
    "latitude": "DOUBLE",
    "deed_date": "DATE",
}
COMPARED = {
    "parcels": _COLUMNS,
    "parcel_shapes": {"apn": "VARCHAR", "object_id": "VARCHAR", "shape": "BLOB"},
}
"""The columns that everybody must store alike, as which SQL type."""
IDENTITIES = {"parcels": ("apn",), "parcel_shapes": ("apn", "object_id")}


def aiohttp_layer(job: Job, folder: Path) -> Finish:
    """Collect the layer's first rows, four pages at once, each stored when it has come."""
    host = job.hosts[0]
    params = {
        "where": f"OBJECTID <= {len(host.keys)}",
        "outFields": ",".join(_FIELDS),
        "returnGeometry": "true",
        "outSR": "4326",
        "f": "json",
        "orderByFields": "OBJECTID",
        "resultRecordCount": str(PAGE_ROWS),
    }
    url = f"{host.base_url}/MapServer/0/query"

    async def collect() -> None:
        with duckdb.connect(str(folder / "store.duckdb")) as connection:
            for table, columns in COMPARED.items():
                shown = ", ".join(f"{name} {kind}" for name, kind in columns.items())
                connection.execute(f"CREATE TABLE {table} ({shown})")
            async with aiohttp.ClientSession() as session:
                async with session.get(url, params={**params, "returnCountOnly": "true"}) as said:
                    count = orjson.loads(await said.read())["count"]
                starts = iter(range(0, count, PAGE_ROWS))

                async def work() -> None:
                    for start in starts:
                        asked = {**params, "resultOffset": str(start)}
                        async with session.get(url, params=asked) as answer:
                            _store(connection, orjson.loads(await answer.read())["features"])

                await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))

    return lambda: asyncio.run(collect())


def _store(connection: duckdb.DuckDBPyConnection, features: list[dict[str, Any]]) -> None:
    rows = [feature["attributes"] for feature in features]
    columns: dict[str, list[Any]] = {
        column: [_text(row[name]) for row in rows] for column, name in _TEXTS.items()
    }
    columns["situs_address"] = [_joined(row, _STREET) for row in rows]
    columns["mailing_address"] = [_joined(row, _MAIL) for row in rows]
    columns["section_township_range"] = [row["STR"].replace(" ", "") or None for row in rows]
    columns["lot_size_sqft"] = [row["LAND_SIZE"] for row in rows]
    columns["longitude"] = [row["LONGITUDE"] for row in rows]
    columns["latitude"] = [row["LATITUDE"] for row in rows]
    columns["deed_date"] = [_day(row["DEED_DATE"]) for row in rows]
    shaped = [
        (row["APN"], str(row["OBJECTID"]), _wkb(feature["geometry"]["rings"]))
        for row, feature in zip(rows, features, strict=True)
        if "geometry" in feature
    ]
    shapes = dict(zip(("apn", "object_id", "shape"), zip(*shaped, strict=True), strict=True))
    for table, held in (("parcels", columns), ("parcel_shapes", shapes)):
        connection.register("new_rows", pa.table({name: list(v) for name, v in held.items()}))
        connection.execute(f"INSERT INTO {table} BY NAME FROM new_rows")
        connection.unregister("new_rows")


def _text(value: Any) -> str | None:
    return None if value is None else str(value).strip() or None


def _joined(row: dict[str, Any], names: tuple[str, ...]) -> str | None:
    return " ".join(filter(None, (row[name] for name in names))) or None


def _day(value: int | None) -> Any:
    return None if value is None else (_EPOCH + timedelta(milliseconds=value)).date()


def _wkb(rings: list[list[list[float]]]) -> bytes:
    outer = [ring for ring in rings if _area(ring) < 0]
    holes = [ring for ring in rings if _area(ring) >= 0]
    parts = [[ring] for ring in outer]
    parts[0] += holes
    written = [
        struct.pack("<BII", 1, 3, len(part))
        + b"".join(
            struct.pack(f"<I{2 * len(ring)}d", len(ring), *chain.from_iterable(ring))
            for ring in part
        )
        for part in parts
    ]
    if len(written) == 1:
        return written[0]
    return struct.pack("<BII", 1, 6, len(written)) + b"".join(written)


def _area(ring: list[list[float]]) -> float:
    x0, y0 = ring[0]
    pairs = pairwise(ring)
    return sum((ax - x0) * (by - y0) - (bx - x0) * (ay - y0) for (ax, ay), (bx, by) in pairs)
