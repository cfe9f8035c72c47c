"""The history of values: migration 0010.

A row of ``changes`` is one column of one row of a record table, as it was and as it became at
``changed_at``. The version of the row that ended then had stood since ``old_started_at`` and was
confirmed last at ``old_collected_at``. ``identity`` tells the row: the values of the table's
identity, as text. A row that went is ``is_removed`` in all columns that had a value; one that came
needs none here, since ``unchanged_since`` tells when it came: since when it says what it says,
absent where that is ``collected_at``.
"""

from __future__ import annotations

from typing import Final

from propkit.records import RECORD_TYPES

CHANGES: Final = """
    CREATE TABLE changes (
        changed_at TIMESTAMPTZ NOT NULL, batch_id VARCHAR, source VARCHAR NOT NULL,
        county VARCHAR, apn VARCHAR, table_name VARCHAR NOT NULL, identity VARCHAR[] NOT NULL,
        is_removed BOOLEAN NOT NULL, old_started_at TIMESTAMPTZ NOT NULL,
        old_collected_at TIMESTAMPTZ NOT NULL, column_name VARCHAR NOT NULL,
        old VARCHAR, new VARCHAR);
"""
CHANGE_TABLE: Final = CHANGES + "".join(
    f"    ALTER TABLE {table} ADD COLUMN unchanged_since TIMESTAMPTZ;\n" for table in RECORD_TYPES
)
