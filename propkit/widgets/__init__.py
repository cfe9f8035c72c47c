"""What a notebook shows while a batch runs."""

from propkit.widgets.progress import ProgressBars

__all__ = ["ProgressBars"]
