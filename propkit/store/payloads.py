"""Bodies of answers into the table ``payloads``, each once, under its sha256."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from propkit.store.schema import LEDGER_SCHEMAS

_Heads = npt.NDArray[np.uint64]
_MERGED_EVERY = 20_000


class StoredDigests:
    """Which payloads may be stored already: eight bytes of each digest, in sorted arrays.

    To look for a group's digests in the table takes longer the more payloads there are. What is
    not found here is certainly not stored, as long as one writer writes all; what is found may
    have been rolled back or pruned since, and must be looked for.
    """

    def __init__(self) -> None:
        self._merged: _Heads | None = None
        self._recent: _Heads = np.empty(0, np.uint64)

    def find(self, connection: duckdb.DuckDBPyConnection, digests: list[str]) -> set[str]:
        """Return those of the digests (hex) that may be stored, and remember all."""
        if self._merged is None:
            self._merged = np.sort(_read_heads(connection))
        heads = _cut_heads("".join([digest[:16] for digest in digests]))
        is_found = _is_in(self._merged, heads) | _is_in(self._recent, heads)
        self._recent = np.sort(np.concatenate([self._recent, heads[~is_found]]))
        if len(self._recent) > _MERGED_EVERY:
            self._merged = np.sort(np.concatenate([self._merged, self._recent]))
            self._recent = self._recent[:0].copy()
        return {digests[place] for place in np.flatnonzero(is_found)}


def _read_heads(connection: duckdb.DuckDBPyConnection) -> _Heads:
    rows = connection.sql(
        "SELECT string_agg(sha256[:16], '') FROM payloads"
        " WHERE regexp_full_match(sha256, '[0-9a-f]{64}')"
    ).fetchall()
    return _cut_heads(rows[0][0] or "")


def _cut_heads(digits: str) -> _Heads:
    return np.frombuffer(bytes.fromhex(digits), np.uint64)


def _is_in(ordered: _Heads, heads: _Heads) -> npt.NDArray[np.bool_]:
    return np.searchsorted(ordered, heads, "right") > np.searchsorted(ordered, heads, "left")


def make_payloads(bodies: Mapping[str, bytes]) -> pa.Table:
    """Return bodies by digest as rows of ``payloads``: text as text, anything else as bytes."""
    texts: pa.Array
    try:
        texts, rest = pa.array(bodies.values(), pa.string()), pa.nulls(len(bodies), pa.binary())
    except pa.ArrowInvalid:  # one of them is no UTF-8
        pairs = [(body, _is_text(body)) for body in bodies.values()]
        texts = pa.array([body if is_text else None for body, is_text in pairs], pa.string())
        rest = pa.array([None if is_text else body for body, is_text in pairs], pa.binary())
    columns = [pa.array(bodies, pa.string()), texts, rest]
    return pa.Table.from_arrays(columns, schema=LEDGER_SCHEMAS["payloads"])


def _is_text(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True
