"""Notices that a source has stopped giving a field, before its nulls are stored."""

from propkit.quality.canaries import CanaryLoss, choose_canaries, judge_canary, lost_by_canaries
from propkit.quality.columns import Drift
from propkit.quality.guard import DriftGuard, Verdict

__all__ = [
    "CanaryLoss",
    "Drift",
    "DriftGuard",
    "Verdict",
    "choose_canaries",
    "judge_canary",
    "lost_by_canaries",
]
