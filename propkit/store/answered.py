"""Which keys a group of results has answered, by whole columns: a page of a layer answers hundreds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from propkit.items import State
from propkit.store.replacing import make_array, make_table
from propkit.store.retiring import NOT_FOUND, NOT_FOUND_SCHEMA
from propkit.store.schema import LEDGER_SCHEMAS

if TYPE_CHECKING:
    from propkit.store.results import Result


def make_freshness(group: Sequence[Result]) -> dict[str, pa.Table]:
    """Return the rows of ``freshness`` that the answers make; nothing where none has come."""
    told = [(r, _find_answered(r)) for r in group if r.checked_at is not None]
    if not told:
        return {}
    schema = LEDGER_SCHEMAS["freshness"]
    of_answer = pa.array(np.repeat(np.arange(len(told)), [len(keys) for _, keys in told]))
    columns = {
        "key": make_array([key for _, keys in told for key in keys], pa.string()),
        "is_found": make_array([found for _, keys in told for found in keys.values()], pa.bool_()),
    }
    said: dict[str, Sequence[Any]] = {
        "source": [r.item.source for r, _ in told],
        "checked_at": [r.checked_at for r, _ in told],
        "missing": [r.item.missing for r, _ in told],
    }
    columns |= {
        name: make_array(values, schema.field(name).type).take(of_answer)
        for name, values in said.items()
    }
    return {"freshness": pa.Table.from_pydict(columns, schema)}


def make_not_found(group: Sequence[Result]) -> dict[str, pa.Table]:
    """Return the keys that an office does not know, of two answers about one the earlier."""
    rows: dict[tuple[str, str], tuple[Any, ...]] = {}
    for r in group:
        if r.checked_at is not None and r.hits_of is None:
            for key in [key for key, is_found in _find_answered(r).items() if not is_found]:
                row = (key, r.item.source, r.checked_at, r.batch_id, r.checked_at)
                rows.setdefault((r.item.source, key), row)
    return {NOT_FOUND: make_table(NOT_FOUND_SCHEMA, list(rows.values()))} if rows else {}


def _find_answered(result: Result) -> Mapping[str, bool]:
    """Return which keys were found."""
    return result.answered or {result.item.key: result.item.state is not State.NOT_FOUND}
