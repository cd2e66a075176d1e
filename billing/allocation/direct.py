"""What each cost center used itself in a month, down to the token class: the lines of bills, cut by what was metered.

A line of a closed month is the issued one, of an open month what the preview would bill. Its amount and its cost are cut
by largest remainder, so whatever they are looked at by sums to the line.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import F, Q, Sum

from billing.billable import MONTH_OF_USE
from billing.drafting import work_out
from billing.models import BillingPeriod, InvoiceLine
from billing.terms import ShareTerms
from marketplace.accounts.models import CostCenter
from marketplace.catalog.models import Environment, Subscription
from marketplace.core.money import allocate, exact
from marketplace.core.periods import Period, month_of, parse_month
from metering.models import DailyRollup, InstanceRate, RateCard

ZERO = Decimal(0)
COST = "cost"
ATTO = Decimal(1).scaleb(-18)
MTOK = Decimal(1_000_000)
MS_PER_HOUR = Decimal(3_600_000)
CLASSES = {
    "input": "input tokens",
    "cached_input": "cached input tokens",
    "cache_write": "tokens written to the cache",
    "output": "output tokens",
    "reasoning": "reasoning tokens",
    "time": "instance time",
}


@dataclass(frozen=True)
class DirectLine:
    """A line of a bill, issued or to be."""

    organization_id: int
    cost_center_id: int | None
    app_id: int | None
    plan_id: int | None
    subscription_id: UUID | None
    code: str
    currency: str
    amount_minor: int
    cost: Decimal
    month: Period
    is_late: bool
    line_id: int | None = None


@dataclass(frozen=True)
class Leaf:
    """The smallest part of a line that is told apart."""

    organization_id: int
    cost_center_id: int
    team_id: int | None
    app_id: int | None
    plan_id: int | None
    environment: str
    sku: str
    currency: str
    amount_minor: int
    cost: Decimal
    is_late: bool
    line_id: int | None


@dataclass
class _Used:
    """What was metered of a contract in one place: cost and calls, and what each token class would cost at its price."""

    cost: Decimal = ZERO
    requests: int = 0
    classes: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))


Place = tuple[int, int | None, str]  # cost center, team, environment
UsageKey = tuple[int | None, UUID | None, int | None, Period]
Usage = dict[UsageKey, dict[Place, _Used]]


def leaves(period: BillingPeriod, *, default_share: ShareTerms) -> list[Leaf]:
    """Cut every line of a month into its leaves; in a stable order. While it is open, what has no price is left out."""
    month = parse_month(period.name)
    is_closed = period.state == BillingPeriod.State.CLOSED
    lines = _issued(period) if is_closed else _estimated(month, default_share)
    lines = list(lines)
    usage = _usage(month)
    homes = _homes(line.subscription_id for line in lines)
    found = [leaf for line in lines for leaf in _cut(line, usage, homes)]
    return [leaf for leaf in found if leaf.amount_minor or leaf.cost]


def _issued(period: BillingPeriod) -> Iterable[DirectLine]:
    lines = InvoiceLine.objects.filter(invoice__period=period).select_related("invoice")
    for line in lines.order_by("invoice__number", "invoice_id", "position"):
        invoice = line.invoice
        yield DirectLine(
            organization_id=invoice.organization_id,
            cost_center_id=invoice.cost_center_id,
            app_id=line.app_id,
            plan_id=line.plan_id,
            subscription_id=line.subscription_id,
            code=line.code,
            currency=invoice.currency,
            amount_minor=line.amount_minor,
            cost=line.platform_cost,
            month=month_of(line.service_starts_at),
            is_late=line.is_correction,
            line_id=line.pk,
        )


def _estimated(month: Period, default_share: ShareTerms) -> Iterable[DirectLine]:
    for bill in work_out(month, default_share=default_share).bills:
        for line in bill.lines:
            yield DirectLine(
                organization_id=bill.organization.pk,
                cost_center_id=bill.cost_center.pk if bill.cost_center else None,
                app_id=line.app_id,
                plan_id=line.plan_id,
                subscription_id=line.subscription_id,
                code=line.priced.code,
                currency=bill.currency,
                amount_minor=line.priced.amount_minor,
                cost=line.priced.platform_cost,
                month=month_of(line.service.starts_at),
                is_late=line.is_correction,
            )


def _homes(ids: Iterable[UUID | None]) -> dict[UUID, Subscription]:
    wanted = {one for one in ids if one is not None}
    return Subscription.objects.only("team_id", "cost_center_id", "environment").in_bulk(wanted)


def _usage(month: Period) -> Usage:
    """Sum what the month bills by contract and place, with weights for its token classes (three queries)."""
    prices, rates = _prices(month), _rates(month)
    found: Usage = defaultdict(lambda: defaultdict(_Used))
    for row in _rows(month):
        key = (row["app"], row["subscription"], row["plan"], month_of(row["month"]))
        used = found[key][row["cost_center"], row["team"], row["environment"]]
        with exact():
            used.cost += row["cost_sum"]
            used.requests += int(row["requests_sum"])
            for name, weight in _weights(row, prices.get(row["model"]), rates.get(row["instance"])).items():
                used.classes[name] += weight
    return found


def _rows(month: Period) -> Iterable[Mapping[str, Any]]:
    tokens = (
        "input_tokens",
        "cached_input_tokens",
        "cache_write_tokens",
        "output_tokens",
        "reasoning_tokens",
    )
    sums = {f"{name}_sum": Sum(name) for name in (*tokens, "duration_ms", "requests", "cost")}
    return (
        DailyRollup.objects.filter(period=month.starts_at.date())
        .exclude(attribution__environment=Environment.SANDBOX)
        .values(
            app=F("attribution__app_id"),
            subscription=F("attribution__subscription_id"),
            plan=F("attribution__plan_id"),
            cost_center=F("attribution__cost_center_id"),
            team=F("attribution__team_id"),
            environment=F("attribution__environment"),
            model=F("attribution__model_id"),
            instance=F("attribution__instance_type"),
            month=MONTH_OF_USE,
        )
        .annotate(**sums)
        .order_by("app", "subscription", "plan", "cost_center", "team", "environment", "model", "instance")
    )


def _prices(month: Period) -> dict[int, RateCard]:
    in_month = Q(starts_at__lt=month.ends_at) & (Q(ends_at=None) | Q(ends_at__gt=month.starts_at))
    return {card.model_id: card for card in RateCard.objects.filter(in_month).order_by("starts_at")}


def _rates(month: Period) -> dict[str, Decimal]:
    in_month = Q(starts_at__lt=month.ends_at) & (Q(ends_at=None) | Q(ends_at__gt=month.starts_at))
    found = InstanceRate.objects.filter(in_month).order_by("starts_at")
    return dict(found.values_list("instance_type", "price_per_hour"))


def _weights(row: Mapping[str, Any], card: RateCard | None, hour: Decimal | None) -> dict[str, Decimal]:
    """Say what each class of tokens, and the time, would cost; what has no price weighs nothing."""
    weights: dict[str, Decimal] = {}
    if card is not None:
        plain = row["input_tokens_sum"] - row["cached_input_tokens_sum"] - row["cache_write_tokens_sum"]
        weights = {
            "input": plain * card.input_per_mtok / MTOK,
            "cached_input": row["cached_input_tokens_sum"] * card.cached_input_per_mtok / MTOK,
            "cache_write": row["cache_write_tokens_sum"] * card.cache_write_per_mtok / MTOK,
            "output": (row["output_tokens_sum"] - row["reasoning_tokens_sum"]) * card.output_per_mtok / MTOK,
            "reasoning": row["reasoning_tokens_sum"] * card.reasoning_per_mtok / MTOK,
        }
    if hour is not None:
        weights["time"] = row["duration_ms_sum"] * hour / MS_PER_HOUR
    return weights


def _cut(line: DirectLine, usage: Usage, homes: Mapping[UUID, Subscription]) -> Iterable[Leaf]:
    by_place = _places(line, usage)
    if line.subscription_id is not None:
        home = homes[line.subscription_id]
        place: Place = (line.cost_center_id or home.cost_center_id, home.team_id, home.environment)
        whole = _Used()
        for used in by_place.values():
            _add(whole, used)
        by_place = {place: whole}
    cuts = [
        (place, name, weight) for place, used in by_place.items() for name, weight in _classes(line, used)
    ]
    weights = [weight for _, _, weight in cuts]
    amounts = allocate(line.amount_minor, weights)
    costs = allocate(int(line.cost.scaleb(18)), weights)
    for (place, name, _), amount_minor, attos in zip(cuts, amounts, costs, strict=True):
        with exact():
            cost = attos * ATTO
        yield Leaf(
            organization_id=line.organization_id,
            cost_center_id=place[0],
            team_id=place[1],
            app_id=line.app_id,
            plan_id=line.plan_id,
            environment=place[2],
            sku=name,
            currency=line.currency,
            amount_minor=amount_minor,
            cost=cost,
            is_late=line.is_late,
            line_id=line.line_id,
        )


def _places(line: DirectLine, usage: Usage) -> dict[Place, _Used]:
    """Find where a line was used: in the places of its cost center, or in all of an organization that gets invoices."""
    found = usage.get((line.app_id, line.subscription_id, line.plan_id, line.month), {})
    here = {
        place: used
        for place, used in found.items()
        if line.cost_center_id is None or place[0] == line.cost_center_id
    }
    if here or line.subscription_id is not None:
        return here
    return {_of_nobody(line): _Used()}


def _of_nobody(line: DirectLine) -> Place:
    """Place what was not used anywhere, such as a credit: on the payer's cost center, its first where it gets invoices."""
    if line.cost_center_id is not None:
        return line.cost_center_id, None, ""
    first = CostCenter.objects.filter(organization=line.organization_id).order_by("pk")[0]
    return first.pk, None, ""


def _add(whole: _Used, used: _Used) -> None:
    with exact():
        whole.cost += used.cost
        whole.requests += used.requests
        for name, weight in used.classes.items():
            whole.classes[name] += weight


def _classes(line: DirectLine, used: _Used) -> list[tuple[str, Decimal]]:
    """Give the leaves of a line in one place with their weights: token classes for cost, else the charge as it is."""
    sizes = {name: weight for name, weight in used.classes.items() if weight > 0}
    weight = abs(used.cost) or Decimal(abs(used.requests))
    if line.code != COST or not sizes:
        return [(line.code, weight)]
    whole = sum(sizes.values(), ZERO)
    with exact():
        return [(f"{COST}: {CLASSES[name]}", weight * size / whole) for name, size in sorted(sizes.items())]
