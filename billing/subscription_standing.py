"""Where a subscription stands: its month so far at price, its cap, a trial, a pause, and what waits for its day."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from billing import progressive, spend_caps
from billing.models import ProgressiveBill, SpendCap
from billing.subscription_money import Money, fee_of_month, money_of_month
from marketplace.catalog import pauses, planned_steps, trials
from marketplace.catalog.lifecycle_models import PlannedStep, SubscriptionPause, Trial
from marketplace.catalog.models import Subscription
from marketplace.core.money import from_minor, round_minor
from marketplace.core.periods import month_of


@dataclass(frozen=True)
class Standing:
    """What the page of a subscription says of its money. Amounts before tax, in minor units."""

    money: Money
    used_minor: int
    cap: SpendCap | None
    trial: Trial | None
    pause: SubscriptionPause | None
    planned: PlannedStep | None
    billed: list[ProgressiveBill]
    thresholds: list[int]

    @property
    def month_minor(self) -> int:
        """The fees of the month and what was used of it so far."""
        return self.money.total_minor + self.used_minor

    @property
    def billed_minor(self) -> int:
        return sum(one.invoice.subtotal_minor for one in self.billed)


def standing_of(subscription: Subscription, *, at: datetime) -> Standing | None:
    """Read where a subscription stands; None for a sandbox, which costs nothing."""
    if subscription.plan is None:
        return None
    month = month_of(at)
    bills = ProgressiveBill.objects.filter(subscription=subscription, period=month.name)
    return Standing(
        money=money_of_month(subscription, at=at),
        used_minor=progressive.used_minor(subscription, at=at),
        cap=spend_caps.cap_of(subscription),
        trial=trials.running(subscription, at=at),
        pause=pauses.open_pause(subscription),
        planned=planned_steps.waiting(subscription),
        billed=list(bills.select_related("invoice").order_by("threshold_minor")),
        thresholds=progressive.thresholds_of(subscription),
    )


@dataclass(frozen=True)
class DaysOfPause:
    """What a pause that begins now saves: from which day on, and how much each day of this month."""

    first_free_at: datetime
    a_day_minor: int
    currency: str


def days_of_pause(subscription: Subscription, *, at: datetime) -> DaysOfPause:
    """Say what a pause would save; today is charged, because it could be called today."""
    assert subscription.plan is not None
    plan, month = subscription.plan, month_of(at)
    fee = from_minor(fee_of_month(plan, at=at), plan.currency)
    tomorrow = at.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return DaysOfPause(tomorrow, round_minor(fee / month.days, plan.currency), plan.currency)
