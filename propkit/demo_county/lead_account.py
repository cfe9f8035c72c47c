"""The account at the leads API: a monthly quota, and a ledger of every record that was paid for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal

from propkit.demo_county.lead_switches import LeadSwitches


@dataclass(frozen=True, slots=True)
class Charge:
    """One purchase: what for, which ids were charged, and what it cost beyond the quota."""

    number: int
    kind: str
    ids: tuple[str, ...]
    cost: str


@dataclass(slots=True)
class Account:
    """What was bought this month."""

    charges: list[Charge] = field(default_factory=list)
    _bought: set[str] = field(default_factory=set)

    @property
    def records(self) -> int:
        """How many records were charged."""
        return sum(len(charge.ids) for charge in self.charges)

    def free_remaining(self, switches: LeadSwitches) -> int:
        """Return how many records of the monthly quota are left."""
        return max(0, switches.quota - self.records)

    def charged(self, ids: Sequence[str], switches: LeadSwitches) -> list[str]:
        """Return those of the ids that a purchase would charge now."""
        is_free_again = switches.rebuys == "free"
        return [one for one in ids if not (is_free_again and one in self._bought)]

    def cost(self, ids: Sequence[str], switches: LeadSwitches) -> Decimal | None:
        """Return what a purchase costs in USD; None where the account cannot buy so many."""
        over = len(self.charged(ids, switches)) - self.free_remaining(switches)
        if over <= 0:
            return Decimal("0.00")
        return None if switches.price is None else over * Decimal(switches.price)

    def buy(self, kind: str, ids: Sequence[str], switches: LeadSwitches) -> Decimal | None:
        """Charge a purchase and return its cost; None charges nothing, the quota is exhausted."""
        cost = self.cost(ids, switches)
        if cost is None:
            return None
        charged = self.charged(ids, switches)
        if charged:
            self.charges.append(Charge(len(self.charges) + 1, kind, tuple(charged), f"{cost:.2f}"))
        self._bought.update(ids)
        return cost

    def has_bought(self, one: str) -> bool:
        """Whether an id was bought this month."""
        return one in self._bought

    def as_json(self, switches: LeadSwitches) -> dict[str, object]:
        """Return the account as tests read it."""
        return {
            "free_remaining": self.free_remaining(switches),
            "records": self.records,
            "cost": f"{sum((Decimal(c.cost) for c in self.charges), Decimal(0)):.2f}",
            "charges": [asdict(charge) for charge in self.charges],
        }
