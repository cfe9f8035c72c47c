"""Runs a batch: a queue for each source, workers that empty it, results to the writer, events out."""

from propkit.batch_run.guarding import SourceGuard, layout_of
from propkit.batch_run.run import Run
from propkit.batch_run.work import run_batch

__all__ = ["Run", "SourceGuard", "layout_of", "run_batch"]
