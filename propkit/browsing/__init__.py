"""Browsers as something scarce that leaks: opened, watched, recycled, healed and ended."""

from propkit.browsing.ask import BrowserAsk
from propkit.browsing.pool import BrowserPool

__all__ = ["BrowserAsk", "BrowserPool"]
