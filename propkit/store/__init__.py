"""The DuckDB file: record tables, payloads, freshness, batches and items."""

from propkit.store.database import Store
from propkit.store.writer import Result

__all__ = ["Result", "Store"]
