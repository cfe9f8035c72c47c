"""The other way: from a listing sheet through a poster to a site, and the status back.

A sheet is read as a table (``table``, ``files``), its rows as listings (``listings``, ``images``);
what is to be done is decided (``planning``, ``preparing``), done (``engine``, ``attempts``), kept
(``ledger``) and written into the user's own file (``sheet_xml``, ``workbook``, ``delimited``).
"""

from propkit.posting.report import PostingReport, RowResult
from propkit.posting.running import post_listings, run_batch

__all__ = ["PostingReport", "RowResult", "post_listings", "run_batch"]
