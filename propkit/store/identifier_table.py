"""What a person gave for the parcels of a batch, where they wrote it otherwise: migration 0015."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

IDENTIFIER_TABLE: Final = """
    CREATE TABLE batch_identifiers (
        batch_id VARCHAR NOT NULL, apn VARCHAR NOT NULL, identifier VARCHAR NOT NULL);
"""

IDENTIFIERS: Final = pa.schema(
    [("batch_id", pa.string()), ("apn", pa.string()), ("identifier", pa.string())]
)
