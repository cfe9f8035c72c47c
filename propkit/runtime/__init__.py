"""Where a collector runs: a thread beside the notebook's kernel, or a cluster of Dask."""
