"""Whether the platform can live with a plan that brings nothing: by what its quota lets it cost at most. Pure.

A month without calls beyond the quota costs no more than the quota, so a free plan is a bounded expense for each
subscriber. It is one that the platform gives anyway, or one that those who pay have to bring in.
"""

from decimal import Decimal

from billing.thresholds import Thresholds
from marketplace.catalog.judging import shown
from marketplace.catalog.projections import PlanOutlook, Projection
from marketplace.catalog.scans.findings import Found
from marketplace.core.money import exact


def judge(plan: PlanOutlook, projection: Projection, thresholds: Thresholds) -> Found | None:
    """Say what stands against a free plan: too dear to give away, or nothing beside it that brings anything."""
    words, place = in_words(plan, projection, thresholds), f"plan {plan.code}"
    payer = best_payer(projection)
    if not is_bounded(plan, projection, thresholds):
        severity = "high" if plan.is_proposed and payer is None else "medium"
        return Found("margin.free-plan", severity, place, words)
    if payer is None:
        return Found("margin.nobody-pays", "medium", place, words)
    return None


def is_bounded(plan: PlanOutlook, projection: Projection, thresholds: Thresholds) -> bool:
    """Tell whether the platform gives as much anyway, or one who pays carries as many free subscribers as are expected."""
    is_given = projection.currency == thresholds.free_currency and plan.most_cost <= thresholds.free_cost
    carried = carried_by_one(plan, projection)
    return is_given or (carried is not None and carried >= thresholds.free_per_paying)


def best_payer(projection: Projection) -> PlanOutlook | None:
    """Pick the plan on which a subscriber leaves the platform most; None when no plan leaves anything."""
    paying = [one for one in projection.plans if not one.is_free and one.margin > 0]
    return max(paying, key=lambda one: one.margin, default=None)


def carried_by_one(plan: PlanOutlook, projection: Projection) -> int | None:
    """Count the free subscribers, each with the quota used in full, that one who pays pays for; None without one.

    A margin of 13.20 and 0.80 for each carry 16.
    """
    payer = best_payer(projection)
    if payer is None or not plan.most_cost:
        return None
    with exact():
        return int(payer.margin // plan.most_cost)


def in_words(plan: PlanOutlook, projection: Projection, thresholds: Thresholds) -> str:
    """Say what a free plan costs at most, who pays for it, and what was allowed."""
    currency = projection.currency
    bound = (
        f"{plan.name} brings nothing: its quota of {plan.most_calls:,} calls a month costs at most "
        f"{shown(plan.most_cost, currency)} for each subscriber, at the upper end of the cost of a call."
    )
    return f"{bound} {_payer_in_words(plan, projection)} {_allowed_in_words(thresholds)}"


def _payer_in_words(plan: PlanOutlook, projection: Projection) -> str:
    payer = best_payer(projection)
    if payer is None:
        return "No plan beside it leaves the platform anything."
    carried = carried_by_one(plan, projection)
    leaves = f"One subscriber on {payer.name} leaves {shown(payer.margin, projection.currency)}"
    if carried is None:
        return f"{leaves}."
    return f"{leaves} and carries {carried:,} {'such subscriber' if carried == 1 else 'such subscribers'}."


def _allowed_in_words(thresholds: Thresholds) -> str:
    given: Decimal = thresholds.free_cost
    return (
        f"Allowed: up to {shown(given, thresholds.free_currency)} a month for each, or one who pays for every "
        f"{thresholds.free_per_paying} who do not."
    )
