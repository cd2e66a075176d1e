"""What rules weigh by: calls, tokens, cost of models and people of each cost center in a month."""

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal

from django.db.models import Count, F, Sum

from billing.allocation.direct import Leaf
from billing.allocation.sharing import DIRECT, Figures
from billing.models import AllocationRun, BillingPeriod, SplitRule
from marketplace.accounts.models import Membership
from marketplace.catalog.models import Environment
from marketplace.core.money import exact, from_minor, to_text
from marketplace.core.periods import parse_month
from metering.models import DailyRollup

Metric = SplitRule.Metric
ZERO = Decimal(0)


def figures_of(period: BillingPeriod, direct: Iterable[Leaf]) -> dict[str, dict[int, Decimal]]:
    """Measure a month (two queries). People are those of now; a month that is closed keeps those of its first run."""
    found = _metered(period)
    found[DIRECT] = _charged(direct)
    kept = _kept_people(period)
    found[Metric.SEATS.value] = _people() if kept is None else kept
    return found


def _metered(period: BillingPeriod) -> dict[str, dict[int, Decimal]]:
    rows = (
        DailyRollup.objects.filter(period=parse_month(period.name).starts_at.date())
        .exclude(attribution__environment=Environment.SANDBOX)
        .values(center=F("attribution__cost_center_id"))
        .annotate(
            calls=Sum("requests"), tokens=Sum(F("input_tokens") + F("output_tokens")), cost_sum=Sum("cost")
        )
        .order_by("center")
    )
    found: dict[str, dict[int, Decimal]] = {name: {} for name in ("calls", "tokens", "cost")}
    for row in rows:
        found["calls"][row["center"]] = Decimal(row["calls"])
        found["tokens"][row["center"]] = Decimal(row["tokens"])
        found["cost"][row["center"]] = row["cost_sum"]
    return found


def _charged(direct: Iterable[Leaf]) -> dict[int, Decimal]:
    found: dict[int, Decimal] = defaultdict(Decimal)
    with exact():
        for leaf in direct:
            found[leaf.cost_center_id] += from_minor(leaf.amount_minor, leaf.currency)
    return dict(found)


def _people() -> dict[int, Decimal]:
    rows = (
        Membership.objects.filter(team__isnull=False, user__is_active=True)
        .values_list("team__cost_center")
        .annotate(people=Count("user", distinct=True))
        .order_by("team__cost_center")
    )
    return {center: Decimal(people) for center, people in rows if center is not None}


def _kept_people(period: BillingPeriod) -> dict[int, Decimal] | None:
    first = AllocationRun.objects.filter(period=period, is_final=True).order_by("number").first()
    return read(first.metrics).get(Metric.SEATS.value, {}) if first else None


def as_json(figures: Figures) -> dict[str, dict[str, str]]:
    """Write figures for keeping."""
    return {
        name: {str(center): to_text(value) for center, value in sorted(of_one.items())}
        for name, of_one in sorted(figures.items())
    }


def read(kept: dict[str, dict[str, str]]) -> dict[str, dict[int, Decimal]]:
    """Read figures that were kept."""
    return {
        name: {int(center): Decimal(text) for center, text in of_one.items()} for name, of_one in kept.items()
    }
