"""A site of open data: one dataset of parcels by Socrata's SODA API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from propkit.demo_county.answers import as_json
from propkit.demo_county.map_where import WhereError, read_where
from propkit.demo_county.parcel import Parcel
from propkit.demo_county.switches import Switches
from propkit.demo_county.tables import parcel_row
from propkit.demo_county.truth import CountyTruth

DATASET_ID: Final = "3723-97qp"
DATASET_SOURCE: Final = "cook_il_parcels"
_COLUMNS: Final = {
    "pin": "PIN",
    "year": "Tax Year",
    "owner_address_name": "Owner Name",
    "prop_address_full": "Property Address",
    "prop_address_city_name": "Property City",
    "prop_address_zipcode_1": "Property ZIP",
    "mail_address_full": "Mailing Address",
}
_USUAL_LIMIT: Final = 1000


class Datasets:
    """Answer one request to the site."""

    def __init__(self, truth: CountyTruth) -> None:
        self._truth = truth

    async def answer(self, request: web.Request, path: str, switches: Switches) -> web.Response:
        """Return a description, rows, a count, or an error."""
        if path == f"/api/views/{DATASET_ID}.json":
            columns = [
                {"fieldName": name, "name": alias, "dataTypeName": "text"}
                for name, alias in _COLUMNS.items()
            ]
            return as_json({"name": "Parcel Addresses", "columns": columns})
        if path != f"/resource/{DATASET_ID}.json":
            return _error(404, "dataset.missing", "no such dataset")
        try:
            return self._query(request.query, switches)
        except WhereError as error:
            return _error(400, "query.soql.no-such-column", f"No such column: {error}")
        except ValueError as error:
            return _error(400, "query.soql.invalid", str(error))

    def _query(self, query: Mapping[str, str], switches: Switches) -> web.Response:
        rows = [
            _row(self._truth.parcel(index))
            for index in range(self._truth.size)
            if self._truth.head(index).is_in_assessor
        ]
        if "$where" in query:
            test = read_where(query["$where"], {name: name for name in _COLUMNS})
            rows = [row for row in rows if test(row)]
        selected = query.get("$select", "*")
        if selected.startswith("count("):
            return as_json([{"count": str(len(rows))}])
        start = int(query.get("$offset", "0"))
        count = int(query.get("$limit", str(_USUAL_LIMIT)))
        if switches.layers.cap is not None:
            count = min(count, switches.layers.cap)
        if query.get("$order") != ":id":
            rows = rows[::-1]  # no order was asked for: any will do
        names = None if "*" in selected.split(",") else set(selected.split(","))
        if names is not None and (unknown := names - {":id", *_COLUMNS}):
            raise WhereError(min(unknown))
        return as_json(
            [
                {k: v for k, v in row.items() if v is not None and (names is None or k in names)}
                for row in rows[start : start + count]
            ]
        )


def _row(parcel: Parcel) -> dict[str, Any]:
    said = parcel_row(parcel)
    return {
        ":id": f"row-{parcel.head.index:06d}",
        "pin": said["apn"],
        "year": "2025",
        "owner_address_name": said["owner_name"],
        "prop_address_full": said["situs_address"],
        "prop_address_city_name": said["situs_city"],
        "prop_address_zipcode_1": said["situs_zip"],
        "mail_address_full": said["mailing_address"],
    }


def _error(status: int, code: str, message: str) -> web.Response:
    return as_json({"code": code, "error": True, "message": message}, status=status)
