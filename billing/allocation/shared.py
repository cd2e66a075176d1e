"""Splitting what is shared in a month by the rules in force; used by runs, previews and what-if alike."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.db.models import F, Sum

from billing.allocation import rules, sharing
from billing.allocation.rules import RuleKey
from billing.allocation.sharing import Figures, Part
from billing.allocation_models import SharedKind
from billing.models import BillingPeriod, SharedCostPart, SplitRule
from marketplace.accounts.models import CostCenter
from marketplace.catalog.models import Environment
from marketplace.core.money import round_minor
from marketplace.core.periods import parse_month
from metering.models import DailyRollup


@dataclass(frozen=True)
class Shared:
    """Something that a month shares: a part of an entered cost, or what trying in the sandbox cost."""

    organization_id: int
    kind: str
    name: str
    currency: str
    amount_minor: int
    is_late: bool = False
    part_id: int | None = None


@dataclass(frozen=True)
class SharedPart:
    """What one cost center, or nobody, bears of it, and by which rule."""

    shared: Shared
    part: Part
    rule: SplitRule | None

    @property
    def method(self) -> str:
        words = self.rule.words if self.rule else "no rule"
        return f"{words}; {self.part.note}" if self.part.note and self.rule else words


def shared_of(period: BillingPeriod) -> list[Shared]:
    """List what a month shares, the entered first, in the order of entering (two queries)."""
    parts = SharedCostPart.objects.filter(period=period).select_related("cost")
    entered = [
        Shared(
            organization_id=part.cost.organization_id,
            kind=part.cost.kind,
            name=part.cost.name,
            currency=part.cost.currency,
            amount_minor=part.amount_minor,
            is_late=part.is_late,
            part_id=part.pk,
        )
        for part in parts.order_by("cost__organization", "cost__kind", "cost__name", "pk")
    ]
    return [one for one in [*entered, *_sandbox(period)] if one.amount_minor]


def _sandbox(period: BillingPeriod) -> Iterable[Shared]:
    rows = (
        DailyRollup.objects.filter(
            period=parse_month(period.name).starts_at.date(), attribution__environment=Environment.SANDBOX
        )
        .values("currency", organization=F("attribution__organization_id"))
        .annotate(cost_sum=Sum("cost"))
        .order_by("organization", "currency")
    )
    for row in rows:
        yield Shared(
            organization_id=row["organization"],
            kind=SharedKind.SANDBOX,
            name=SharedKind.SANDBOX.label,
            currency=row["currency"],
            amount_minor=round_minor(row["cost_sum"], row["currency"]),
        )


def centers_of(shared: Iterable[Shared], period: BillingPeriod) -> dict[int, list[CostCenter]]:
    """List the cost centers that bear what their organization shares: those that there were in the month (one query)."""
    wanted = {one.organization_id for one in shared}
    found: dict[int, list[CostCenter]] = defaultdict(list)
    centers = CostCenter.objects.filter(organization__in=wanted, created_at__lt=period.ends_at)
    for center in centers.order_by("code"):
        found[center.organization_id].append(center)
    return found


def distribute(
    shared: Iterable[Shared],
    *,
    in_force: Mapping[RuleKey, SplitRule],
    centers: Mapping[int, list[CostCenter]],
    figures: Figures,
) -> list[SharedPart]:
    """Split each by its rule. What has no rule, and what a rule leaves, is borne by nobody."""
    found: list[SharedPart] = []
    for one in shared:
        rule = rules.rule_for(in_force, organization_id=one.organization_id, kind=one.kind, name=one.name)
        of_organization = centers.get(one.organization_id, [])
        if rule is None:
            parts = [Part(None, one.amount_minor, sharing.ZERO, sharing.ZERO)]
        else:
            parts = sharing.split(
                one.amount_minor,
                rules.as_rule(rule, of_organization),
                receivers=[center.pk for center in of_organization],
                figures=figures,
            )
        found += [SharedPart(one, part, rule) for part in parts]
    return found
