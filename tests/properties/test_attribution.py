"""Usage that went through the inbox and a rule is the same usage as if it had been named right at first."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marketplace.accounts.access import actor_for
from marketplace.catalog.models import App, Subscription
from marketplace.core.models import Job
from marketplace.gateway import kept_usage
from metering import attribution_rules, rollups
from metering.attribution import COLUMNS
from metering.inbox_models import AttributionRule
from metering.models import UsageEvent, UsageRollup
from tests import factories
from tests.conftest import Cast
from tests.factories import NOW
from tests.gateway.reporting import report

WRONG = {"cost_center": "cc100", "subscription": "sub-1", "owner": "gone", "app_id": "where-to-eat"}
EVENT = st.fixed_dictionaries(
    {
        "wrong": st.sampled_from(sorted(WRONG)),
        "days": st.integers(0, 34),
        "tokens": st.integers(0, 10**7),
        "subscribed": st.booleans(),
    }
)


@pytest.fixture
def app(cast: Cast) -> App:
    factories.make_model("llm-8b")
    return factories.make_listed_app(cast.creator_team, slug="where2eat")


def named(one: dict[str, Any], number: int, subscription: Subscription, *, is_right: bool) -> dict[str, Any]:
    """Write an event with its names, one of them wrong or all of them right."""
    event: dict[str, Any] = {
        "id": f"e{number}", "tokens": one["tokens"], "timestamp": NOW - timedelta(days=one["days"])
    }  # fmt: skip
    if one["subscribed"] or one["wrong"] == "subscription":
        event["subscription"] = str(subscription.pk)
    if not is_right:
        event[one["wrong"]] = WRONG[one["wrong"]]
    return event


def found() -> tuple[list[Any], list[Any]]:
    """Give the roll-ups and events with every dimension, and the month that bills them."""
    assert rollups.differences() == []
    dimensions = [f"attribution__{column}" for column in COLUMNS]
    sums = UsageRollup.objects.values_list(
        "hour", "period", "events", "requests", "input_tokens", "cost", *dimensions
    )
    events = UsageEvent.objects.values_list("event_id", "occurred_at", "period", "cost", "tags", *dimensions)
    return sorted(sums, key=str), sorted(events, key=str)


@pytest.mark.django_db
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=st.lists(EVENT, min_size=1, max_size=6))
def test_a_rule_gives_what_the_right_name_had_given(
    cast: Cast, app: App, events: list[dict[str, Any]]
) -> None:
    with transaction.atomic():
        subscription = factories.make_subscription(app, cast.consumer_team)
        with transaction.atomic():
            report(app, *(named(one, n, subscription, is_right=True) for n, one in enumerate(events)), at=NOW)
            right = found()
            transaction.set_rollback(True)
        report(app, *(named(one, n, subscription, is_right=False) for n, one in enumerate(events)), at=NOW)
        assert not UsageEvent.objects.exists()
        for field in sorted({one["wrong"] for one in events}):
            rule = AttributionRule(
                organization=cast.company, app=app, field=field, value=WRONG[field], target="as_unnamed"
            )
            if field == "subscription":
                rule.target, rule.subscription = "subscription", subscription
            attribution_rules.make(rule, by=actor_for(cast.creator), at=NOW)
            job = Job.objects.get(idempotency_key=attribution_rules.job_key(rule))
            kept_usage.count(job=job, rule_id=str(rule.pk))

        assert found() == right
        transaction.set_rollback(True)
