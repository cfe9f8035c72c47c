"""A Dask cluster takes over when one machine is too small: workers ask, the owner keeps.

Chunks of items go to the cluster's workers as tasks; the plan, the queues, the breakers, the
budgets and the store stay where they are. What owner and workers say to each other goes through
queues of the scheduler: no connection but Dask's own is needed.
"""

from propkit.runtime.cluster.address import Cluster, find_cluster
from propkit.runtime.cluster.anywhere import run_anywhere

__all__ = ["Cluster", "find_cluster", "run_anywhere"]
