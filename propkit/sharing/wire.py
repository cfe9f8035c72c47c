"""What goes between owner and guest: JSON and Arrow, nothing that could be executed."""

from __future__ import annotations

import base64
import json
from collections.abc import Container, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from propkit import errors
from propkit.errors import PropkitError, RequestError, StoreError
from propkit.items import Item, State
from propkit.sharing.place import Order
from propkit.store.batches import read_batch_id

MAX_BODY: Final = 32 * 2**20
"""Bytes of the largest JSON that the owner reads."""
MAX_TABLE: Final = 2**30
"""Bytes of the largest table that the owner reads."""

_FRESH = "fresh"
_ITEM_SCHEMA: Final = pa.schema(
    [
        ("source", pa.string()),
        ("key", pa.string()),
        ("apn", pa.string()),
        ("priority", pa.int64()),
        ("sequence", pa.int64()),
        ("state", pa.string()),
        ("attempts", pa.int64()),
        ("failure_class", pa.string()),
        ("error", pa.string()),
        ("started_at", pa.timestamp("us", "UTC")),
        ("ended_at", pa.timestamp("us", "UTC")),
        ("missing", pa.list_(pa.string())),
    ]
)
_ITEM_NAMES: Final = _ITEM_SCHEMA.names


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=False)


class _Criteria(_Strict):
    """What is kept of a plan, as :func:`propkit.sharing.place.make_order` makes it."""

    origin: str
    datasets: tuple[str, ...]
    mode: str
    by: str | None
    sources: tuple[str, ...]
    fallbacks: dict[str, tuple[str, ...]]
    budget: Decimal | None
    identifiers: dict[str, int]
    not_usable: dict[str, str]
    notices: tuple[str, ...]


class _Options(_Strict):
    """How a batch is to be run; the values are checked by who runs it."""

    workers: Any = None
    strategy: Any = None
    profile: Any = None
    batch_size: Any = None
    max_requests: int | dict[str, int] | None = None
    stale_ok: bool | None = None
    export_to: str | None = None


class _Head(_Strict):
    """An order without its items."""

    batch_id: str
    kind: str
    criteria: _Criteria
    options: _Options
    planned_at: datetime | None
    created_by: str | None = None
    given: dict[str, str] = {}


def read_json(body: bytes) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    RequestError
        It is too large, or no JSON object.
    """
    if len(body) > MAX_BODY:
        raise RequestError(f"the request is larger than {MAX_BODY:,} bytes")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise RequestError("the request is no JSON object")
    return value


def read_number(value: object, *, most: float = float("inf")) -> float:
    """Return a number from 0 up; anything else is a RequestError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise RequestError("the request holds no usable number")
    return value


def dump_params(value: Any) -> Any:
    """Return a query's parameters as JSON can hold them."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        pairs = [[dump_params(name), dump_params(one)] for name, one in value.items()]
        return {"mapping": pairs}
    if isinstance(value, list | tuple | set | frozenset):
        return [dump_params(one) for one in value]
    for name, (kind, dump, _) in _KINDS.items():
        if isinstance(value, kind):
            return {name: dump(value)}
    if hasattr(value, "tolist"):  # a number or an array of NumPy
        return dump_params(value.tolist())
    raise RequestError(f"{value!r} cannot be sent to the process that owns the store")


def load_params(value: Any) -> Any:
    """Return what :func:`dump_params` was given, tuples as lists."""
    if isinstance(value, list):
        return [load_params(one) for one in value]
    if not isinstance(value, dict):
        return value
    try:
        ((name, held),) = value.items()
        if name == "mapping":
            return {load_params(key): load_params(one) for key, one in held}
        return _KINDS[name][2](held)
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise RequestError("the request holds a parameter that cannot be read") from error


_KINDS: Final[dict[str, tuple[Any, Any, Any]]] = {
    "datetime": (datetime, datetime.isoformat, datetime.fromisoformat),
    "date": (date, date.isoformat, date.fromisoformat),
    "time": (time, time.isoformat, time.fromisoformat),
    "seconds": (timedelta, timedelta.total_seconds, lambda seconds: timedelta(seconds=seconds)),
    "decimal": (Decimal, str, Decimal),
    "bytes": (bytes, lambda value: base64.b64encode(value).decode(), base64.b64decode),
}


def dump_error(error: PropkitError) -> bytes:
    """Return an error as the guest reads it."""
    return json.dumps({"error": type(error).__name__, "message": str(error)}).encode()


def load_error(body: bytes) -> PropkitError | None:
    """Return the error that the owner sent, None where it is none."""
    try:
        said = json.loads(body)
        kind = getattr(errors, said["error"])
        if issubclass(kind, PropkitError):
            error: PropkitError = kind(str(said["message"]))
            return error
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return None


def dump_order(order: Order) -> tuple[bytes, pa.Table]:
    """Return an order's head as JSON, and its items with the keys that are fresh."""
    head = _Head(
        batch_id=order.batch_id,
        kind=order.kind,
        criteria=_Criteria.model_validate(dict(order.criteria)),
        options=_Options.model_validate(dict(order.options)),
        planned_at=order.planned_at,
        created_by=order.created_by,
        given=dict(order.given),
    )
    columns: dict[str, list[Any]] = {
        name: [getattr(item, name) for item in order.items] for name in _ITEM_NAMES
    }
    fresh = sorted(order.fresh_keys)
    given = {
        "source": [source for source, _ in fresh],
        "key": [key for _, key in fresh],
        "state": [_FRESH] * len(fresh),
    }
    absent = [None] * len(fresh)
    arrays = [
        pa.array([*columns[one.name], *given.get(one.name, absent)], one.type)
        for one in _ITEM_SCHEMA
    ]
    return head.model_dump_json().encode(), pa.table(arrays, schema=_ITEM_SCHEMA)


def load_order(body: bytes, table: pa.Table, sources: Container[str]) -> Order:
    """Read an order; only the owner's own ``sources`` may stand in it.

    Raises
    ------
    RequestError
        It is not one that a plan comes to.
    """
    read_json(body)
    try:
        head = _Head.model_validate_json(body)
        table.validate(full=True)
        rows = table.cast(_ITEM_SCHEMA)
        fresh, items = _split(rows)
    except (ValidationError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise RequestError("the order cannot be read") from error
    criteria = head.criteria
    named = {*criteria.sources, *criteria.fallbacks, *(item.source for item in items)}
    named |= {name for others in criteria.fallbacks.values() for name in others}
    if unknown := sorted(name for name in named if name not in sources):
        raise RequestError(f"the order names sources that the owner has not: {unknown}")
    return Order(
        batch_id=read_batch_id(head.batch_id),
        kind=head.kind,
        criteria=criteria.model_dump(mode="json"),
        options=head.options.model_dump(),
        items=items,
        fresh_keys=fresh,
        planned_at=head.planned_at,
        created_by=head.created_by,
        given=head.given,
    )


def _split(rows: pa.Table) -> tuple[frozenset[tuple[str, str]], list[Item]]:
    columns = {name: rows[name].to_pylist() for name in _ITEM_NAMES}
    pairs = zip(columns["source"], columns["key"], columns["state"], strict=True)
    fresh = frozenset([(source, key) for source, key, state in pairs if state == _FRESH])
    columns["missing"] = [tuple(missing or ()) for missing in columns["missing"]]
    items = []
    for row in zip(*columns.values(), strict=True):
        given = dict(zip(columns, row, strict=True))
        if given["state"] == _FRESH:
            continue
        given["state"] = State(given["state"])
        if given["state"] not in (State.WAITING, State.SKIPPED) or not given["key"]:
            raise ValueError("no item that a plan makes")
        items.append(Item(**given))
    return fresh, items


def read_as(kind: type[Any], value: object) -> Any:
    """Return a dataclass that came as JSON.

    Raises
    ------
    StoreError
        The owner has sent something else.
    """
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        raise StoreError("the owner's answer cannot be read") from error


def as_json(value: object) -> Any:
    """Return a dataclass as JSON can hold it."""
    return TypeAdapter(type(value)).dump_python(value, mode="json")
