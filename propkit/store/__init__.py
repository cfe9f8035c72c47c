"""The DuckDB file: record tables, payloads, freshness, batches and items."""

from propkit.store.database import Store
from propkit.store.results import Result

__all__ = ["Result", "Store"]
