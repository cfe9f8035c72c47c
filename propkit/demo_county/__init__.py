"""The demo county: the real systems' shapes on loopback, with synthetic people and a ledger."""

from propkit.demo_county.county import County, start_county

__all__ = ["County", "start_county"]
