"""What is to be done with each row, by the sheet and the ledger: pure.

The rules, in their order. What may be published already is looked for before anything else. A row
with a proof of posting (a status, an address, the ledger) is not posted again unless that is asked
for. The rest is chosen by the mode.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from propkit.errors import RequestError
from propkit.posting.listings import is_same_listing
from propkit.posting.statuses import PostingStatus, SheetStatus
from propkit.store.postings import OPEN_STATES, Posting

MODES = ("new", "all")

Action = Literal["post", "look", "skip"]


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done with a row.

    ``post`` it; ``look`` for what ``posting`` may have published, and post it where that is
    certainly not there and the row ``is_wanted``; ``skip`` it for a ``reason``. ``word`` is what a
    person said of ``posting``: it was published, or not. ``attempts`` is how many the ledger has,
    ``proof`` what it knows to be published.
    """

    action: Action
    reason: str = ""
    posting: Posting | None = None
    proof: Posting | None = None
    attempts: int = 0
    is_wanted: bool = True
    word: Literal["posted", "not posted"] | None = None


def check_mode(mode: str) -> None:
    """Refuse a mode that there is not."""
    if mode not in MODES:
        raise RequestError(f"mode must be 'new' or 'all', not {mode!r}")


def own_history(
    postings: Sequence[Posting], sheet: str, row_key: str, content_sha256: str
) -> list[Posting]:
    """Return what concerns a row: its own postings, and the same content in other sheets.

    A workbook that was renamed or copied is another sheet with the same rows.
    """
    return [
        posting
        for posting in postings
        if posting.row_key == row_key
        and (posting.sheet == sheet or is_same_listing(posting.content_sha256, content_sha256))
    ]


def decide(
    status: SheetStatus, history: Sequence[Posting], *, mode: str, repost: bool, run_id: str
) -> Decision:
    """Say what is to be done with a row.

    Parameters
    ----------
    status
        What the sheet says.
    history
        The row's postings, by attempt.
    mode
        ``new``: status blank, pending or an error; ``all``: every row.
    repost
        Post again what has a proof, unless this run did so already.
    run_id
        This run's; of a repost that goes on, the first one's.
    """
    attempts = max((posting.attempt for posting in history), default=0)
    proof = _last(history, ("confirmed",))
    doubt = _last(history, OPEN_STATES)
    chosen = Decision("post", proof=proof, attempts=attempts)
    has_proof = proof is not None or status.posting_status is PostingStatus.POSTED
    if has_proof and (not repost or (proof is not None and proof.run_id == run_id)):
        chosen = replace(chosen, action="skip", reason="posted already")
    elif mode == "new" and not status.is_new:
        reason = "posted already" if has_proof else f"status {status.text!r}"
        chosen = replace(chosen, action="skip", reason=reason)
    if doubt is None:
        return chosen
    if doubt.state == "unknown" and doubt.is_told:  # the sheet has asked a person
        if status.is_denied:
            return replace(chosen, posting=doubt, word="not posted")
        if status.posting_status is PostingStatus.POSTED and proof is None:
            return replace(chosen, action="skip", posting=doubt, word="posted")
    return replace(chosen, action="look", posting=doubt, is_wanted=chosen.action == "post")


def _last(history: Sequence[Posting], states: Sequence[str]) -> Posting | None:
    return next((one for one in reversed(history) if one.state in states), None)
