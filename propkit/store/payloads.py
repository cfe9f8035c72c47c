"""Bodies of answers, each once under its sha256, packed side by side into compressed blocks.

Answers of one system are alike, so a block of them takes a tenth of what they take one by one,
and the log of a commit, the checkpoint and the memory are spared the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import duckdb
import numpy as np
import pyarrow as pa

from propkit.errors import StoreError
from propkit.store.feeding import Feeds
from propkit.store.scopes import Hashes, HashSet

BLOCK_BYTES = 2**20
"""A block is full when its bodies have so many bytes; what one body takes to read is its block."""

PAYLOADS = pa.schema(
    [
        ("sha256", pa.string()),
        ("block", pa.int64()),
        ("start", pa.int64()),
        ("length", pa.int64()),
    ]
)
BLOCKS = pa.schema(
    [("block", pa.int64()), ("part", pa.int64()), ("size", pa.int64()), ("body", pa.binary())]
)
PART_BYTES = 1024
"""A packed block is stored in parts of so many bytes.

A checkpoint writes the last row group of a table anew. Of blobs beyond 4 kB it holds all of that
group at once, of shorter ones a page: 20,480 whole blocks are 600 MB, as many parts 20 MB.
"""

BODIES = (
    "WITH places AS (FROM payloads WHERE sha256 IN (SELECT unnest($1::VARCHAR[])))"
    " SELECT block, size, packed, digests, starts, lengths FROM (FROM places SELECT block,"
    " list(sha256) AS digests, list(start) AS starts, list(length) AS lengths GROUP BY block)"
    " JOIN (FROM payload_blocks SEMI JOIN places USING (block) SELECT block,"
    " any_value(size) AS size, list(body ORDER BY part) AS packed GROUP BY block)"
    " USING (block) ORDER BY block"
)
"""What gives the bodies of a list of digests, to be unpacked: a row for each block."""

_Place = tuple[str, int, int, int]
"""A row of ``payloads``."""
_Block = tuple[int, int, bytes]
"""A block's number, what it holds unpacked in bytes, and it, packed."""
_MIGRATED_AT_ONCE = 2_000
_BLOCKS_AT_ONCE = 200
_CODEC = pa.Codec("zstd", 2)  # 3 takes a fifth longer to pack the same into as much


class StoredPayloads:
    """Which payloads may be stored already, by eight bytes of each digest.

    To look for a group's digests in the table takes longer the more payloads there are. What is
    not found here is certainly not stored, as long as one writer writes all; what is found may
    have been rolled back or pruned since, and is looked for.
    """

    def __init__(self) -> None:
        self._heads: HashSet | None = None
        self._next_block: int | None = None

    def forget_blocks(self) -> None:
        """Look again which blocks there are: somebody has packed them anew."""
        self._next_block = None

    def pack(self, new: Feeds, bodies: Mapping[str, bytes]) -> dict[str, pa.Table]:
        """Return the rows to be added for those of the bodies (by digest) that are not stored."""
        doubtful = self._remember(new.connection, list(bodies))
        stored = _find_stored(new.connection, doubtful) if doubtful else set()
        unknown = [(digest, body) for digest, body in bodies.items() if digest not in stored]
        if not unknown:
            return {}
        if self._next_block is None:
            self._next_block = _find_next_block(new.connection)
        places, blocks = _pack(self._next_block, unknown)
        self._next_block += len(blocks)  # of what is rolled back the numbers stay free
        return {"payloads": _make_table(PAYLOADS, places), "payload_blocks": _cut(blocks)}

    def _remember(self, connection: duckdb.DuckDBPyConnection, digests: list[str]) -> list[str]:
        """Return those of the digests (hex) that may be stored, and remember all."""
        if self._heads is None:
            self._heads = HashSet(_read_heads(connection))
        is_found = self._heads.add(_cut_heads("".join([digest[:16] for digest in digests])))
        return [digests[place] for place in np.flatnonzero(is_found)]


def pack_old_payloads(connection: duckdb.DuckDBPyConnection) -> None:
    """Bring a store from before the blocks up to date, inside the caller's transaction."""
    connection.execute(
        """
        ALTER TABLE payloads RENAME TO old_payloads;
        CREATE TABLE payloads (
            sha256 VARCHAR NOT NULL, block BIGINT NOT NULL, start BIGINT NOT NULL,
            length BIGINT NOT NULL);
        CREATE TABLE payload_blocks (
            block BIGINT NOT NULL, size BIGINT NOT NULL, body BLOB NOT NULL);
        """
    )
    ((end,),) = connection.execute(
        "SELECT coalesce(max(rowid) + 1, 0) FROM old_payloads"
    ).fetchall()
    for first in range(0, end, _MIGRATED_AT_ONCE):
        bodies = connection.execute(
            "SELECT sha256, coalesce(encode(body_text), body_bytes) FROM old_payloads"
            " WHERE rowid >= ? AND rowid < ? ORDER BY rowid",
            [first, first + _MIGRATED_AT_ONCE],
        ).fetchall()
        places, blocks = _pack(_find_next_block(connection), bodies)
        whole = pa.schema([BLOCKS.field(name) for name in ("block", "size", "body")])
        _insert(connection, "payloads", _make_table(PAYLOADS, places))
        _insert(connection, "payload_blocks", _make_table(whole, blocks))
    connection.execute("DROP TABLE old_payloads")


def cut_old_blocks(connection: duckdb.DuckDBPyConnection) -> None:
    """Bring a store from before the parts up to date, inside the caller's transaction."""
    connection.execute(
        """
        ALTER TABLE payload_blocks RENAME TO whole_blocks;
        CREATE TABLE payload_blocks (
            block BIGINT NOT NULL, part BIGINT NOT NULL, size BIGINT NOT NULL,
            body BLOB NOT NULL USING COMPRESSION uncompressed);
        """
    )
    ((end,),) = connection.execute(
        "SELECT coalesce(max(rowid) + 1, 0) FROM whole_blocks"
    ).fetchall()
    for first in range(0, end, _BLOCKS_AT_ONCE):
        blocks = connection.execute(
            "SELECT block, size, body FROM whole_blocks WHERE rowid >= ? AND rowid < ?"
            " ORDER BY rowid",
            [first, first + _BLOCKS_AT_ONCE],
        ).fetchall()
        _insert(connection, "payload_blocks", _cut(blocks))
    connection.execute("DROP TABLE whole_blocks")


def repack_blocks(connection: duckdb.DuckDBPyConnection) -> None:
    """Drop blocks that hold nothing any more, and pack those anew that hold little."""
    connection.execute("DELETE FROM payload_blocks WHERE block NOT IN (SELECT block FROM payloads)")
    rows = connection.execute(
        "SELECT block, size, sum(length)::BIGINT AS used, list(sha256 ORDER BY start)"
        " FROM payload_blocks JOIN payloads USING (block) WHERE part = 0"
        " GROUP BY ALL HAVING used < ? ORDER BY block",
        [BLOCK_BYTES // 2],
    ).fetchall()
    if len(rows) == 1 and rows[0][1] == rows[0][2]:
        return  # all that the store has

    def bodies() -> Iterator[tuple[str, bytes]]:
        for *_, digests in rows:
            found = connection.sql(BODIES, params=[digests]).to_arrow_table()
            yield from unpack_bodies(found).items()

    places, blocks = _pack(_find_next_block(connection), bodies())
    old = [block for block, *_ in rows]
    packed = {"payloads": _make_table(PAYLOADS, places), "payload_blocks": _cut(blocks)}
    for table, data in packed.items():
        connection.execute(f"DELETE FROM {table} WHERE block IN (SELECT unnest(?))", [old])
        _insert(connection, table, data)


def unpack_bodies(rows: pa.Table) -> dict[str, bytes]:
    """Return the bodies by their digests (hex) that the answer to ``BODIES`` holds.

    Raises StoreError for a block that is damaged.
    """
    columns = [rows[name].to_pylist() for name in rows.schema.names]
    found = {}
    for number, size, packed, *places in zip(*columns, strict=True):
        try:
            bodies = _CODEC.decompress(b"".join(packed), size, asbytes=True)
        except (OSError, pa.ArrowException) as error:
            raise StoreError(f"block {number} of payloads cannot be read: {error}") from error
        for digest, start, length in zip(*places, strict=True):
            found[digest] = bodies[start : start + length]
    return found


def _find_next_block(connection: duckdb.DuckDBPyConnection) -> int:
    ((next_block,),) = connection.execute(
        "SELECT coalesce(max(block) + 1, 0) FROM payload_blocks"
    ).fetchall()
    return int(next_block)


def _pack(
    next_block: int, bodies: Iterable[tuple[str, bytes]]
) -> tuple[list[_Place], list[_Block]]:
    """Return the rows of ``payloads`` for bodies (by digest), and the blocks that hold them."""
    places: list[_Place] = []
    blocks: list[_Block] = []
    for number, some in enumerate(_divide(bodies), start=next_block):
        start = 0
        for digest, body in some:
            places.append((digest, number, start, len(body)))
            start += len(body)
        packed = _CODEC.compress(b"".join([body for _, body in some]), asbytes=True)
        blocks.append((number, start, packed))
    return places, blocks


def _cut(blocks: Iterable[_Block]) -> pa.Table:
    """Return the rows of ``payload_blocks`` for blocks."""
    parts = [
        (number, part, size, packed[first : first + PART_BYTES])
        for number, size, packed in blocks
        for part, first in enumerate(range(0, len(packed), PART_BYTES))
    ]
    return _make_table(BLOCKS, parts)


def _insert(connection: duckdb.DuckDBPyConnection, table: str, rows: pa.Table) -> None:
    connection.register("propkit_payloads", rows)
    connection.execute(f"INSERT INTO {table} BY NAME FROM propkit_payloads")
    connection.unregister("propkit_payloads")


def _divide(bodies: Iterable[tuple[str, bytes]]) -> Iterator[list[tuple[str, bytes]]]:
    some: list[tuple[str, bytes]] = []
    size = 0
    for pair in bodies:
        some.append(pair)
        size += len(pair[1])
        if size >= BLOCK_BYTES:
            yield some
            some, size = [], 0
    if some:
        yield some


def _find_stored(connection: duckdb.DuckDBPyConnection, digests: list[str]) -> set[str]:
    rows = connection.execute(
        "SELECT sha256 FROM payloads WHERE sha256 IN (SELECT unnest(?))", [digests]
    ).fetchall()
    return {digest for (digest,) in rows}


def _make_table(schema: pa.Schema, rows: Sequence[tuple[object, ...]]) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    arrays = [pa.array(values, of) for values, of in zip(columns, schema.types, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def _read_heads(connection: duckdb.DuckDBPyConnection) -> Hashes:
    rows = connection.sql(
        "SELECT string_agg(sha256[:16], '') FROM payloads"
        " WHERE regexp_full_match(sha256, '[0-9a-f]{64}')"
    ).fetchall()
    return _cut_heads(rows[0][0] or "")


def _cut_heads(digits: str) -> Hashes:
    return np.frombuffer(bytes.fromhex(digits), np.uint64)
