"""On which plan a subscription was, and for how long: fees follow the days of each plan.

The subscription knows only its plan of today; the audit trail knows every change with its moment.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from marketplace.catalog.models import Subscription
from marketplace.core.models import AuditEntry
from marketplace.core.periods import Period

PLAN_CHANGED = "catalog.subscription.plan_changed"


@dataclass(frozen=True)
class PlanChange:
    """A subscription left a plan at a moment."""

    at: datetime
    old_plan_id: int


def changes_since(starts_at: datetime) -> dict[str, list[PlanChange]]:
    """Read every change of plan from a moment on, by subscription, in order (one query)."""
    found: dict[str, list[PlanChange]] = defaultdict(list)
    rows = AuditEntry.objects.filter(action=PLAN_CHANGED, at__gte=starts_at).order_by("at", "pk")
    for subscription_id, at, old in rows.values_list("subject_id", "at", "old"):
        found[subscription_id].append(PlanChange(at, int(old["plan"])))
    return found


def lasted(subscription: Subscription, month: Period) -> Period | None:
    """Give the part of a month in which a subscription existed; None when it did not."""
    ends_at = min(subscription.ends_at or month.ends_at, month.ends_at)
    starts_at = max(subscription.starts_at, month.starts_at)
    return Period(starts_at, ends_at) if starts_at < ends_at else None


def plan_periods(
    subscription: Subscription, month: Period, changes: Sequence[PlanChange]
) -> dict[int, Period]:
    """Give the part of a month for which each plan was in force; `changes` are those since the month began.

    A plan that was left and taken again counts its days together, from its first day on.
    """
    whole = lasted(subscription, month)
    if whole is None or subscription.plan_id is None:
        return {}
    parts: dict[int, list[Period]] = defaultdict(list)
    starts_at = whole.starts_at
    for change in changes:
        ends_at = min(change.at, whole.ends_at)
        if starts_at < ends_at:
            parts[change.old_plan_id].append(Period(starts_at, ends_at))
            starts_at = ends_at
    if starts_at < whole.ends_at:
        parts[subscription.plan_id].append(Period(starts_at, whole.ends_at))
    return {plan_id: _together(found) for plan_id, found in parts.items()}


def _together(parts: Sequence[Period]) -> Period:
    days = _days(parts)
    if len(parts) == 1 or not days:
        return parts[0]
    return Period(parts[0].starts_at, parts[0].starts_at + timedelta(days=days))


def _days(parts: Iterable[Period]) -> int:
    return sum(part.days for part in parts)
