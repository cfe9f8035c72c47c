"""A process of its own that owns the store and runs its batches, so that notebooks may come and go."""

from propkit.worker.starting import join_worker, worker_joiner

__all__ = ["join_worker", "worker_joiner"]
