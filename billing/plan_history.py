"""On which plan a subscription was, and for how long: fees follow the days of each plan.

The subscription knows only its plan of today; the audit trail knows every change with its moment. Days of a trial and
of a pause are of no plan.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from django.db.models import Q

from marketplace.catalog.lifecycle_models import SubscriptionPause, Trial
from marketplace.catalog.models import Subscription
from marketplace.core.models import AuditEntry
from marketplace.core.periods import Period

PLAN_CHANGED = "catalog.subscription.plan_changed"
NEVER = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class PlanChange:
    """A subscription left a plan at a moment."""

    at: datetime
    old_plan_id: int


@dataclass(frozen=True)
class Free:
    """Whole days in UTC on which no fee is charged, the last one excluded."""

    starts_on: date
    ends_on: date

    @classmethod
    def of_pause(cls, starts_at: datetime, ends_at: datetime | None) -> "Free":
        """Give the whole days of a pause: the day on which it begins and the day of its end were not free of calls."""
        first = (_utc(starts_at) + timedelta(days=1) - timedelta(microseconds=1)).date()
        return cls(first, _utc(ends_at or NEVER).date())

    @classmethod
    def of_trial(cls, starts_at: datetime, ends_at: datetime) -> "Free":
        """Give the days of a trial; the day of its end is charged."""
        return cls(_utc(starts_at).date(), _utc(ends_at).date())

    def until(self, at: datetime) -> "Free":
        """Give these days as far as they lie before a moment: what ends by it, ends with the day before."""
        return Free(self.starts_on, min(self.ends_on, _utc(at).date()))

    @property
    def period(self) -> Period | None:
        if self.ends_on <= self.starts_on:
            return None
        return Period(_midnight(self.starts_on), _midnight(self.ends_on))


def changes_since(starts_at: datetime) -> dict[str, list[PlanChange]]:
    """Read every change of plan from a moment on, by subscription, in order (one query)."""
    found: dict[str, list[PlanChange]] = defaultdict(list)
    rows = AuditEntry.objects.filter(action=PLAN_CHANGED, at__gte=starts_at).order_by("at", "pk")
    for subscription_id, at, old in rows.values_list("subject_id", "at", "old"):
        found[subscription_id].append(PlanChange(at, int(old["plan"])))
    return found


def free_days_since(starts_at: datetime, *, of: Subscription | None = None) -> dict[str, list[Free]]:
    """Read the days that cost no fee from a moment on, by subscription, of all or of one (two queries)."""
    whose = Q() if of is None else Q(subscription=of)
    found: dict[str, list[Free]] = defaultdict(list)
    pauses = SubscriptionPause.objects.filter(whose, Q(ends_at=None) | Q(ends_at__gte=starts_at))
    for subscription_id, begins, ends in pauses.values_list("subscription_id", "starts_at", "ends_at"):
        found[str(subscription_id)].append(Free.of_pause(begins, ends))
    trials = Trial.objects.filter(whose, ends_at__gte=starts_at)
    for subscription_id, begins, ends in trials.values_list("subscription_id", "starts_at", "ends_at"):
        found[str(subscription_id)].append(Free.of_trial(begins, ends))
    return found


def lasted(subscription: Subscription, month: Period) -> Period | None:
    """Give the part of a month in which a subscription existed; None when it did not."""
    ends_at = min(subscription.ends_at or month.ends_at, month.ends_at)
    starts_at = max(subscription.starts_at, month.starts_at)
    return Period(starts_at, ends_at) if starts_at < ends_at else None


def plan_periods(
    subscription: Subscription, month: Period, changes: Sequence[PlanChange], free: Sequence[Free] = ()
) -> dict[int, Period]:
    """Give the part of a month for which each plan is charged; `changes` are those since the month began.

    A plan that was left and taken again counts its days together, from its first day on; one all of whose days are
    free is not charged.
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
    charged = {plan_id: _without(found, free) for plan_id, found in parts.items()}
    return {plan_id: _together(found) for plan_id, found in charged.items() if found}


def _without(parts: list[Period], free: Sequence[Free]) -> list[Period]:
    """Take free days out of parts; a part of no free day stays as it is."""
    for days in free:
        if (gone := days.period) is not None:
            parts = [left for part in parts for left in _cut(part, gone)]
    return parts


def _cut(part: Period, gone: Period) -> list[Period]:
    # Compared by days, because a part counts the day on which it begins as a whole.
    whole = Period(_midnight(part.starts_at.date()), part.ends_at)
    if whole.overlap(gone) is None:
        return [part]
    before = [Period(part.starts_at, gone.starts_at)] if part.starts_at < gone.starts_at else []
    after = [Period(gone.ends_at, part.ends_at)] if gone.ends_at < part.ends_at else []
    return [one for one in before + after if one.days]


def _together(parts: Sequence[Period]) -> Period:
    days = _days(parts)
    if len(parts) == 1 or not days:
        return parts[0]
    return Period(parts[0].starts_at, parts[0].starts_at + timedelta(days=days))


def _days(parts: Iterable[Period]) -> int:
    return sum(part.days for part in parts)


def _utc(at: datetime) -> datetime:
    return at.astimezone(UTC)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)
