"""Leads: count and cost first, then a batch that buys within caps; what is unsettled, settled."""

from propkit.leads.account import LeadAccount
from propkit.leads.desk import LeadsDesk
from propkit.leads.ordering import LeadPreview

__all__ = ["LeadAccount", "LeadPreview", "LeadsDesk"]
