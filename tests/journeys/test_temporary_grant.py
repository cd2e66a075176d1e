"""A team needs more for ten days: it asks, two people look, the grant begins, warns, and leaves no trace."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from marketplace.accounts.access import actor_for
from marketplace.catalog.models import App, Subscription
from marketplace.core.ids import uuid7
from marketplace.core.models import AuditEntry, Notice
from metering.attribution import Dimensions
from quotas import admission, grants, increase_decisions, increase_routine, increases, queries
from quotas.admission import Admitted, Estimate, HoldRequest
from quotas.increase_decisions import Offer
from quotas.increase_models import IncreaseRequest
from quotas.limits import Terms, set_limit
from tests import factories
from tests.conftest import Cast
from tests.metering.conftest import app, make_usage, who
from tests.quotas.increase_world import make_policy, make_wish, owner_of_subscription

__all__ = ["app", "who"]


def on(day: int, hour: int = 9) -> datetime:
    return datetime(2026, 11, day, hour, tzinfo=UTC)


def pass_time(at: datetime) -> None:
    """Do what the beat does every minute."""
    grants.follow_time(at=at)
    grants.warn_of_ends(at=at)
    increase_routine.tend(at=at)


def calls(who: Dimensions, *, at: datetime) -> int:
    """Call until it is refused, twenty times at most."""
    asked = []
    for _ in range(20):
        hold_id = uuid7()
        usage = make_usage(who, str(hold_id), tokens=10, at=at)
        asked.append(HoldRequest(hold_id, usage, Estimate(20, Decimal("0.001")), at + timedelta(minutes=5)))
    return sum(isinstance(answer, Admitted) for answer in admission.reserve(asked, at=at))


@pytest.mark.django_db
def test_a_temporary_grant_begins_warns_and_reverts(cast: Cast, app: App, who: Dimensions) -> None:
    make_policy(cast)
    consumer, finance, operator = (actor_for(one) for one in (cast.consumer, cast.finance, cast.operator))
    owner = owner_of_subscription(Subscription.objects.get(pk=who.subscription_id))
    three = Terms("requests", "day", Decimal(3))
    set_limit(owner, terms=three, by=operator, at=on(1))

    # On the 2nd it asks for twelve a day, from the 5th up to and with the 14th.
    wish = make_wish(12, starts_at=on(5, 0), ends_at=on(15, 0), monthly_calls=Decimal(120))
    request = increases.create(owner, wish=wish, by=consumer, at=on(2)).request
    assert request.state == "cost_review"
    increase_decisions.ask(request, question="For what?", by=finance, at=on(2, 10))
    increase_decisions.answer(request, text="Open days.", by=consumer, at=on(3))
    increase_decisions.approve(
        request, offer=Offer(granted=Decimal(8)), reason="Eight will do.", by=finance, at=on(3, 10)
    )
    increase_decisions.approve(request, by=operator, at=on(3, 11))

    assert (request.state, request.granted, request.grant.state) == ("partially_approved", 8, "scheduled")
    assert calls(who, at=on(4)) == 3

    pass_time(on(5))
    assert calls(who, at=on(5)) == 8
    request.grant.refresh_from_db()
    assert request.grant.state == "active"

    # The plan changes meanwhile; what people set for the team stays tighter.
    bigger = factories.make_plan(app, daily_calls_limit=6, monthly_calls_limit=9000)
    Subscription.objects.filter(pk=owner.pk).update(plan=bigger)
    assert calls(who, at=on(6)) == 8

    for day in range(6, 15):
        pass_time(on(day))
    warned = Notice.objects.filter(recipient=cast.consumer, idempotency_key__contains="ends-in")
    assert [notice.created_at for notice in warned.order_by("created_at")] == [on(8), on(14)]

    # The grant is over at midnight, also before the beat has noticed.
    assert calls(who, at=on(14)) == 8
    assert calls(who, at=on(15, 0)) == 3
    pass_time(on(15))
    request.grant.refresh_from_db()
    assert request.grant.state == "ended"
    own = {
        one.limit.is_default: one.value
        for one in queries.limits_of("subscription", owner.pk, at=on(16))
        if one.limit.window == "day"
    }
    assert own == {True: 6, False: 3}

    told = (
        AuditEntry.objects.filter(subject_id=str(request.pk)).order_by("pk").values_list("action", flat=True)
    )
    assert [action.removeprefix("quotas.increase.") for action in told] == [
        "drafted", "submitted", "sent_to_cost_review", "asked", "answered", "passed_cost_review",
        "partially_approved",
    ]  # fmt: skip
    assert IncreaseRequest.objects.get().expires_at == on(2) + timedelta(hours=336 + 23)
