"""What the terms of an agreement would have made of the last billed month of an app."""

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from billing.agreed_terms import AgreedTerms
from billing.models import InvoiceLine
from billing.revenue_share import split
from marketplace.catalog.models import App
from marketplace.core.money import exact, from_minor, round_minor, to_text


@dataclass(frozen=True)
class Effect:
    """A month as billed last, split by the terms; in minor units. `break_even_share` is the least that loses nothing."""

    month: str
    currency: str
    price_minor: int
    cost_minor: int
    creator_minor: int
    creator_now_minor: int
    break_even_share: Decimal | None

    @property
    def platform_minor(self) -> int:
        return self.price_minor - self.creator_minor

    @property
    def margin_minor(self) -> int:
        return self.platform_minor - self.cost_minor

    def as_json(self) -> dict[str, Any]:
        share = self.break_even_share
        return {
            **{name: value for name, value in vars(self).items() if name != "break_even_share"},
            "platform_minor": self.platform_minor,
            "margin_minor": self.margin_minor,
            "break_even_share": None if share is None else to_text(share),
        }


def effect(app: App, *, terms: AgreedTerms) -> Effect:
    """Say what the terms would have made of the last billed month of an app (two queries)."""
    lines = InvoiceLine.objects.filter(
        app=app, invoice__currency=terms.currency, kind__in=InvoiceLine.PRICED, subscription__isnull=False
    ).exclude(invoice__state="draft")
    last = lines.order_by("-invoice__period").values_list("invoice__period", flat=True).first()
    if last is None:
        return Effect("", terms.currency, 0, 0, 0, 0, None)
    contracts: dict[Any, list[Any]] = {}
    for line in lines.filter(invoice__period=last):
        contracts.setdefault((line.subscription_id, line.plan_id), []).append(line)
    return _summed(str(last), list(contracts.values()), terms)


def _summed(month: str, contracts: list[list[Any]], terms: AgreedTerms) -> Effect:
    price_minor = creator_minor = now_minor = 0
    cost = Decimal(0)
    for lines in contracts:
        amount_minor = sum(line.amount_minor for line in lines)
        with exact():
            its_cost = sum((line.platform_cost for line in lines), Decimal(0))
            cost += its_cost
        parts = _split(max(0, amount_minor), its_cost, terms)
        price_minor += amount_minor
        creator_minor += parts.minor_parts()[0]
        now_minor += sum(line.creator_minor for line in lines)
    whole = _split(max(0, price_minor), cost, replace(terms, fees=()))
    cost_minor = round_minor(cost, terms.currency)
    return Effect(
        month, terms.currency, price_minor, cost_minor, creator_minor, now_minor, whole.break_even_share
    )


def _split(price_minor: int, cost: Decimal, terms: AgreedTerms) -> Any:
    return split(
        from_minor(price_minor, terms.currency),
        platform_cost=cost,
        share=terms.share,
        basis=terms.basis,
        currency=terms.currency,
        fees=terms.fees,
    )


def is_below_floor(found: Effect, *, floor: Decimal) -> bool:
    """Tell whether the platform would keep less of the price, after cost, than the house wants."""
    with exact():
        return found.margin_minor < found.price_minor * floor
