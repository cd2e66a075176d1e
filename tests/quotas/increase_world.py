"""A subscription of 1,000 calls a day whose team wants more, and a policy that grants little by itself."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from marketplace.accounts.access import actor_for
from marketplace.accounts.models import User
from marketplace.catalog.models import Subscription
from quotas import increase_policies, increases
from quotas.approvals import Terms
from quotas.increase_assessing import Wish
from quotas.increase_models import IncreasePolicy, IncreaseRequest
from quotas.owners import Owner, owner_of
from tests.conftest import Cast
from tests.factories import LONG_AGO, NOW

DAY = timedelta(days=1)
TERMS = Terms(
    currency="USD",
    auto_max_percent=Decimal(25),
    auto_max_monthly_cost=Decimal(100),
    auto_min_head_room_percent=Decimal(30),
    auto_max_days=90,
    cost_review_above=Decimal(50),
    capacity_review_above_percent=Decimal(100),
)


def make_wish(requested: int | str = 5000, **fields: Any) -> Wish:
    values: dict[str, Any] = {
        "measure": "requests",
        "window": "day",
        "reason": "The campaign begins on Monday.",
        "monthly_calls": Decimal(40_000),
        "monthly_cost": Decimal(80),
        "currency": "USD",
        "ends_at": NOW + 30 * DAY,
    }
    return Wish(requested=Decimal(requested), **values | fields)


def make_policy(cast: Cast, *, at: datetime = LONG_AGO, **changes: Any) -> IncreasePolicy:
    """A policy in force since long ago, proposed by the operator and activated by finance."""
    values = {name: getattr(TERMS, name) for name in (*increase_policies.TERMS, "currency")}
    policy = increase_policies.propose(
        Terms(**values | changes), reason="First rules.", by=actor_for(cast.operator), at=at
    )
    increase_policies.activate(policy, by=actor_for(cast.finance), at=at)
    return policy


def owner_of_subscription(subscription: Subscription) -> Owner:
    found = Subscription.objects.select_related("team__organization", "cost_center", "app__owner_team").get(
        pk=subscription.pk
    )
    return owner_of("subscription", found)


def make_request(owner: Owner, by: User, *, at: datetime = NOW, wish: Wish | None = None) -> IncreaseRequest:
    """A request that was submitted."""
    return increases.create(owner, wish=wish or make_wish(), by=actor_for(by), at=at).request
