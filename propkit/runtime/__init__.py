"""Where a collector runs: here, a thread beside the notebook's kernel."""
