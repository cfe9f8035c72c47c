"""The DuckDB file: record tables, payloads, freshness, batches and items."""

from propkit.store.askers import StoreClosedError
from propkit.store.database import Store
from propkit.store.reading import Reading
from propkit.store.results import Result

__all__ = ["Reading", "Result", "Store", "StoreClosedError"]
