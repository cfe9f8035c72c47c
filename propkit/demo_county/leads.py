"""The leads API: properties by criteria, persons, lists, and an account that pays for each row."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

from aiohttp import web

from propkit.demo_county import draw
from propkit.demo_county.answers import as_json
from propkit.demo_county.lead_account import Account
from propkit.demo_county.lead_rows import FIELDS, CriteriaError, Row, all_rows, matching
from propkit.demo_county.lead_switches import LeadSwitches
from propkit.demo_county.switches import Switches
from propkit.demo_county.truth import CountyTruth

MOST_ROWS = 500
_DEFAULT_ROWS = 100


class Refusal(Exception):  # noqa: N818
    """The API's error, with its status."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status = status


class LeadsApi:
    """Answer one request to the leads API."""

    def __init__(self, truth: CountyTruth) -> None:
        self.account = Account()
        self._truth = truth
        self._lists: list[dict[str, Any]] = []
        self._moved = 0
        self._rows: list[Row] | None = None
        self._reading = asyncio.Lock()

    def begin_anew(self) -> None:
        """Forget every charge and list."""
        self.account = Account()
        self._lists.clear()
        self._moved = 0

    async def answer(self, request: web.Request, path: str, switches: Switches) -> web.Response:
        """Return what the API says: rows, counts and cost, or an error in its one shape."""
        chosen = switches.leads
        try:
            if request.headers.get("Authorization") != f"Bearer {chosen.token}":
                raise Refusal(401, "access_denied")  # noqa: TRY301
            path = unquote(path).removeprefix("/v1").rstrip("/")
            return await self._route(request, path, chosen)
        except Refusal as refusal:
            status = refusal.status if chosen.error_status is None else chosen.error_status
            return as_json({"error": str(refusal), "eventid": "demo"}, status=status)

    async def _route(self, request: web.Request, path: str, chosen: LeadSwitches) -> web.Response:
        if path == "/properties" and request.method == "POST":
            return await self._search(request, chosen)
        if path == "/lists":
            return await self._answer_lists(request)
        if match := re.fullmatch(r"/lists/(\d+)(/items)?", path):
            return await self._answer_list(int(match[1]), request, is_items=bool(match[2]))
        if match := re.fullmatch(r"/properties/(\w+)/persons", path):
            return await self._persons(match[1], request.query, chosen)
        unlock = re.fullmatch(r"/persons/(\w+)/(Phone|Email)", path)
        if unlock and request.method == "POST":
            return await self._unlock(unlock[1], unlock[2], request.query, chosen)
        raise Refusal(404, "Not Found")

    # --- properties ------------------------------------------------------------------------------

    async def _search(self, request: web.Request, chosen: LeadSwitches) -> web.Response:
        body = await _body(request)
        if extra := sorted(set(body) - {"Criteria"}):
            raise Refusal(400, f"Unexpected payload field {extra[0]}")
        is_paid, query = _purchase(request.query), request.query
        names = [name for name in query.get("Fields", "").split(",") if name] or sorted(FIELDS)
        if unknown := [name for name in names if name not in FIELDS]:
            raise Refusal(400, f"Unexpected Field {unknown[0]}")
        found = await self._matching(body.get("Criteria"), chosen)
        start = _whole(query, "Start", 0, 0)
        limit = _whole(query, "Limit", _DEFAULT_ROWS, 1, MOST_ROWS)
        shown = found[start : start + limit]
        ids = [row["RadarID"] for row in shown]
        cost = self._pay("properties", ids, chosen, is_paid=is_paid)
        rows = [{name: row[name] for name in names} for row in shown] if is_paid else []
        if chosen.odd in names:
            rows = [{**row, chosen.odd: f"see file {number}"} for number, row in enumerate(rows)]
        answer = self._envelope(rows, len(shown), len(found), cost, chosen)
        if is_paid:
            self._moved += chosen.entering
            await asyncio.sleep(chosen.answer_after)
        return answer

    async def _matching(self, criteria: Any, chosen: LeadSwitches) -> list[Row]:
        try:
            found = matching(await self._all(), criteria, chosen.yesno)
        except CriteriaError as error:
            raise Refusal(400, str(error)) from error
        # Rows that enter come from the front, where half of the set is kept back at first.
        hidden = len(found) // 2 - self._moved if chosen.entering > 0 else -self._moved
        return found[max(0, hidden) :]

    async def _all(self) -> list[Row]:
        async with self._reading:
            if self._rows is None:
                loop = asyncio.get_running_loop()
                self._rows = await loop.run_in_executor(None, all_rows, self._truth)
        return self._rows

    def _pay(
        self, kind: str, ids: Sequence[str], chosen: LeadSwitches, *, is_paid: bool
    ) -> Decimal | None:
        if not is_paid:
            return self.account.cost(ids, chosen)
        cost = self.account.buy(kind, ids, chosen)
        if cost is None:
            raise Refusal(402, "Monthly export quota exhausted")
        return cost

    def _envelope(
        self, rows: list[Row], count: int, total: int, cost: Decimal | None, chosen: LeadSwitches
    ) -> web.Response:
        results: Any = rows
        if chosen.rows == "columns" and rows:
            results = {name: [row[name] for row in rows] for name in rows[0]}
        return as_json(
            {
                "results": results,
                "resultCount": count,
                "totalResultCount": total,
                "totalCost": f"{cost or Decimal(0):.2f}",
                "quantityFreeRemaining": self.account.free_remaining(chosen),
            }
        )

    # --- persons ---------------------------------------------------------------------------------

    async def _persons(
        self, radar_id: str, query: Mapping[str, str], chosen: LeadSwitches
    ) -> web.Response:
        is_paid = _purchase(query)
        persons = await self._persons_of(radar_id)
        keys = [person["PersonKey"] for person in persons]
        cost = self._pay("persons", keys, chosen, is_paid=is_paid)
        shown = [self._with_contacts(person) for person in persons] if is_paid else []
        return self._envelope(shown, len(persons), len(persons), cost, chosen)

    async def _persons_of(self, radar_id: str) -> list[Row]:
        place = {row["RadarID"]: row for row in await self._all()}
        if radar_id not in place:
            raise Refusal(404, f"No property {radar_id}")
        row = place[radar_id]
        names = [name for name in (row["Owner"], row["Owner2"]) if name]
        return [
            {
                "PersonKey": f"K{radar_id[1:]}{number}",
                "FirstName": name.partition(" ")[2],
                "LastName": name.partition(" ")[0],
                "PersonType": "Person",
                "isPrimaryContact": int(number == 0),
                "Age": 30 + draw.stream(self._truth.seed, number, draw.LEAD).randint(0, 50),
            }
            for number, name in enumerate(names)
        ]

    def _with_contacts(self, person: Row) -> Row:
        has = {kind: self.account.has_bought(_contact(person, kind)) for kind in ("Phone", "Email")}
        digits = int(person["PersonKey"][1:], 16) % 10_000
        phones = [{"linktext": f"(602) 555-{digits:04d}"}] if has["Phone"] else []
        emails = [{"linktext": f"person{digits}@example.com"}] if has["Email"] else []
        return {**person, "Phones": phones, "Emails": emails}

    async def _unlock(
        self, key: str, kind: str, query: Mapping[str, str], chosen: LeadSwitches
    ) -> web.Response:
        is_paid = _purchase(query)
        persons = await self._persons_of(f"P{key[1:-1]}")
        chosen_ones = [person for person in persons if person["PersonKey"] == key]
        if not chosen_ones:
            raise Refusal(404, f"No person {key}")
        person = chosen_ones[0]
        if self.account.has_bought(_contact(person, kind)):
            raise Refusal(409, "already purchased")
        cost = self._pay(kind.lower(), [_contact(person, kind)], chosen, is_paid=is_paid)
        return self._envelope([self._with_contacts(person)] if is_paid else [], 1, 1, cost, chosen)

    # --- lists -----------------------------------------------------------------------------------

    async def _answer_lists(self, request: web.Request) -> web.Response:
        if request.method == "GET":
            return self._listed([_shown(one) for one in self._lists])
        body = await _body(request)
        name = body.get("ListName")
        if not isinstance(name, str) or not 0 < len(name) <= 50:
            raise Refusal(400, "Invalid ListName")
        if body.get("ListType") not in ("dynamic", "static", "import"):
            raise Refusal(400, "Invalid ListType")
        found = matching(await self._all(), body.get("Criteria"), "both")
        made = {
            "ListID": len(self._lists) + 1,
            "ListName": name,
            "ListType": body["ListType"],
            "isMonitored": body.get("isMonitored", 0),
            "items": [row["RadarID"] for row in found],
        }
        self._lists.append(made)
        return self._listed([_shown(made)])

    async def _answer_list(
        self, number: int, request: web.Request, *, is_items: bool
    ) -> web.Response:
        if request.method != "GET" or not 1 <= number <= len(self._lists):
            raise Refusal(404, f"No list {number}")
        one = self._lists[number - 1]
        if not is_items:
            return self._listed([_shown(one)])
        start = _whole(request.query, "Start", 0, 0)
        limit = _whole(request.query, "Limit", _DEFAULT_ROWS, 1, 1000)
        rows = [{"RadarID": radar_id} for radar_id in one["items"][start : start + limit]]
        return self._listed(rows, len(one["items"]))

    def _listed(self, rows: list[Row], total: int | None = None) -> web.Response:
        count = len(rows) if total is None else total
        return as_json({"results": rows, "resultCount": len(rows), "totalResultCount": count})


def _shown(one: dict[str, Any]) -> Row:
    return {**{key: one[key] for key in one if key != "items"}, "TotalCount": len(one["items"])}


def _contact(person: Row, kind: str) -> str:
    return f"{person['PersonKey']}:{kind}"


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.text())
    except ValueError as error:
        raise Refusal(400, "Malformed JSON") from error
    if not isinstance(body, dict):
        raise Refusal(400, "Malformed JSON")
    return body


def _purchase(query: Mapping[str, str]) -> bool:
    if query.get("Purchase") not in ("0", "1"):
        raise Refusal(400, "Missing required param Purchase")
    return query["Purchase"] == "1"


def _whole(
    query: Mapping[str, str], name: str, default: int, least: int, most: int | None = None
) -> int:
    text = query.get(name, str(default))
    if not text.isdecimal() or int(text) < least or (most is not None and int(text) > most):
        raise Refusal(400, f"Invalid {name}")
    return int(text)
