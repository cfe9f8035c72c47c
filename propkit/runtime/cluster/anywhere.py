"""Runs a batch where it is to be run: here, or on a cluster."""

from __future__ import annotations

from propkit.batch_run import Run, SourceGuard, run_batch
from propkit.collector import Collector
from propkit.runtime.cluster.address import Cluster


async def run_anywhere(
    collector: Collector, run: Run, guards: dict[str, SourceGuard], cluster: Cluster | None
) -> str:
    """Collect a batch's waiting items, by a cluster where one is given; return the batch's state."""
    if cluster is None:
        return await run_batch(collector, run, guards)
    from propkit.runtime.cluster.run import ClusterRun

    async with ClusterRun(collector, run, cluster) as asking:
        return await run_batch(collector, run, guards, asking.collect_item)
