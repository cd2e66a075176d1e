"""The terms of an agreement as values, and as the JSON that its row keeps. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast, get_args

from billing.revenue_share import Basis, Fee, Tier
from marketplace.core.money import from_minor, round_minor, to_text


@dataclass(frozen=True)
class AgreedTerms:
    """How a price is split: share and basis, fees of each sale, tiers by revenue, a guarantee for each month."""

    share: Decimal
    basis: Basis
    currency: str
    fees: tuple[Fee, ...] = ()
    tiers: tuple[Tier, ...] = ()
    tier_window: str = "month"
    guarantee_minor: int = 0

    def as_json(self) -> dict[str, Any]:
        """Write them down exactly; amounts are strings in major units."""
        return {
            "share": to_text(self.share),
            "basis": self.basis,
            "currency": self.currency,
            "fees": fees_as_json(self.fees),
            "tiers": tiers_as_json(self.tiers),
            "tier_window": self.tier_window,
            "guarantee": to_text(from_minor(self.guarantee_minor, self.currency)),
        }

    @classmethod
    def of_json(cls, data: Mapping[str, Any]) -> "AgreedTerms":
        """Read what ``as_json`` wrote."""
        assert data["basis"] in get_args(Basis)
        return cls(
            share=Decimal(data["share"]),
            basis=cast(Basis, data["basis"]),
            currency=data["currency"],
            fees=fees_of(data["fees"]),
            tiers=tiers_of(data["tiers"]),
            tier_window=data["tier_window"],
            guarantee_minor=round_minor(Decimal(data["guarantee"]), data["currency"]),
        )


def fees_of(rows: Sequence[Mapping[str, str]]) -> tuple[Fee, ...]:
    """Read the fees of an agreement."""
    return tuple(Fee(one["label"], Decimal(one["percent"]), Decimal(one["fixed"])) for one in rows)


def fees_as_json(fees: Sequence[Fee]) -> list[dict[str, str]]:
    """Write fees down."""
    return [
        {"label": one.label, "percent": to_text(one.percent), "fixed": to_text(one.fixed)} for one in fees
    ]


def tiers_of(rows: Sequence[Mapping[str, str]]) -> tuple[Tier, ...]:
    """Read the tiers of an agreement, lowest first."""
    return tuple(Tier(Decimal(one["from"]), Decimal(one["share"])) for one in rows)


def tiers_as_json(tiers: Sequence[Tier]) -> list[dict[str, str]]:
    """Write tiers down."""
    return [{"from": to_text(one.starts_at), "share": to_text(one.share)} for one in tiers]
