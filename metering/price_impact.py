"""What a new price would have changed: the usage of the last thirty days at the old and at the new price.

Exact, because roll-ups keep every class of tokens; only the rounding of each event to 18 decimals is left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import F, Q, QuerySet, Sum

from marketplace.core.money import exact, to_text
from metering.models import InstanceRate, RateCard, UsageRollup
from metering.ratecards import instance_price, token_prices
from metering.rating import Quantities, rate
from metering.usage_questions import on_rollups

DAYS = 30
SHOWN_APPS = 5
ZERO = Decimal(0)
_SUMMED = (
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "duration_ms",
)


@dataclass(frozen=True)
class Change:
    """Cost of some usage at an old price and at a new one; ``old`` is None where there is none to compare with."""

    label: str
    old: Decimal | None
    new: Decimal

    @property
    def difference(self) -> Decimal | None:
        return None if self.old is None else self.new - self.old

    @property
    def share(self) -> Decimal | None:
        """The difference in a share of the old cost; None where that is nothing."""
        return self.difference / self.old if self.old and self.difference is not None else None

    @property
    def weight(self) -> Decimal:
        """What to rank by: the difference, or the new cost where there is none."""
        return self.new if self.difference is None else self.difference


@dataclass(frozen=True)
class Impact:
    """What a price changes: in all, and for the apps it touches most."""

    from_at: datetime
    to_at: datetime
    currency: str
    tokens: int
    duration_ms: int
    total: Change
    apps: Sequence[Change]
    other_apps: int

    def as_json(self) -> dict[str, Any]:
        """Write it down as it stood when somebody decided; amounts as texts."""
        return {
            "from": self.from_at.isoformat(),
            "to": self.to_at.isoformat(),
            "currency": self.currency,
            "tokens": self.tokens,
            "duration_ms": self.duration_ms,
            "total": _as_json(self.total),
            "apps": [_as_json(one) for one in self.apps],
            "other_apps": self.other_apps,
        }


def from_json(kept: dict[str, Any]) -> Impact:
    """Read what ``Impact.as_json`` wrote."""
    return Impact(
        from_at=datetime.fromisoformat(kept["from"]),
        to_at=datetime.fromisoformat(kept["to"]),
        currency=kept["currency"],
        tokens=kept["tokens"],
        duration_ms=kept["duration_ms"],
        total=_from_json(kept["total"]),
        apps=[_from_json(one) for one in kept["apps"]],
        other_apps=kept["other_apps"],
    )


def impact(
    new: RateCard | InstanceRate, *, old: RateCard | InstanceRate | None, used_by: Q, at: datetime
) -> Impact:
    """Compare thirty days, up to the last full hour, at two prices, for each app (one query).

    ``used_by`` is the condition on attributions of the usage that they price; ``new`` need not be saved. Of a rate card
    only tokens count, of an instance rate only time.
    """
    to_at = at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    from_at = to_at - timedelta(days=DAYS)
    used = _used(on_rollups(used_by) & Q(hour__gte=from_at, hour__lt=to_at))
    is_comparable = old is not None and old.currency == new.currency
    with exact():
        changes = [
            Change(app, _cost(quantities, old) if old and is_comparable else None, _cost(quantities, new))
            for app, quantities in used
        ]
        total = Change(
            "All apps",
            sum((one.old or ZERO for one in changes), ZERO) if is_comparable else None,
            sum((one.new for one in changes), ZERO),
        )
        ranked = sorted(changes, key=lambda one: (-abs(one.weight), one.label))
    return Impact(
        from_at=from_at,
        to_at=to_at,
        currency=new.currency,
        tokens=sum(quantities.total_tokens for _, quantities in used),
        duration_ms=sum(quantities.duration_ms for _, quantities in used),
        total=total,
        apps=ranked[:SHOWN_APPS],
        other_apps=max(0, len(ranked) - SHOWN_APPS),
    )


def _used(condition: Q) -> list[tuple[str, Quantities]]:
    rows: QuerySet[Any, Any] = (
        UsageRollup.objects.filter(condition)
        .values(app=F("attribution__app__name"), app_id=F("attribution__app_id"))
        .annotate(**{f"sum_{name}": Sum(name) for name in _SUMMED})
        .order_by("app_id")
    )
    return [(row["app"], Quantities(**{name: int(row[f"sum_{name}"]) for name in _SUMMED})) for row in rows]


def _cost(used: Quantities, price: RateCard | InstanceRate) -> Decimal:
    if isinstance(price, RateCard):
        return rate(used, token_prices(price), None).cost
    return rate(used, None, instance_price(price)).cost


def _as_json(change: Change) -> dict[str, str | None]:
    old = None if change.old is None else to_text(change.old)
    return {"label": change.label, "old": old, "new": to_text(change.new)}


def _from_json(kept: dict[str, Any]) -> Change:
    old = None if kept["old"] is None else Decimal(kept["old"])
    return Change(kept["label"], old, Decimal(kept["new"]))
