"""Five pieces of usage by four teams of two companies; every figure of the tests is worked out from them by hand."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from marketplace.accounts.models import ApiKey, Team
from marketplace.catalog import subscriptions
from marketplace.catalog.models import App, Subscription
from metering import ingest
from metering.attribution import Dimensions
from metering.ingest import Usage
from metering.rating import Quantities
from tests import factories
from tests.conftest import Cast
from tests.factories import NOW

# The present of these tests: Sunday, 15 November 2026, noon.
YESTERDAY = datetime(2026, 11, 14, 10, 10, tzinfo=UTC)
TODAY = datetime(2026, 11, 15, tzinfo=UTC)


@dataclass(frozen=True)
class World:
    """Who used what. The creator's team owns the app ``where2eat``; another team owns ``fx``."""

    app: App
    other_app: App
    subscription: Subscription
    people_team: Team
    people_subscription: Subscription
    stranger_subscription: Subscription
    key: ApiKey


def make_world(cast: Cast) -> World:
    """Record the five pieces.

    ========  =========  =====  ==========  =======  ==========  ===========================
    team      app        when   input       output   latency     cost at 0.20 and 0.60
    ========  =========  =====  ==========  =======  ==========  ===========================
    ops       where2eat  14th   1,000,000         0      100 ms  0.20
    ops       where2eat  15th     500,000   100,000      201 ms  0.10 + 0.06 = 0.16
    people    where2eat  15th   2,000,000         0    not told  0.40
    strangers where2eat  15th   4,000,000         0      400 ms  0.80
    ops       fx         15th      50,000         0       50 ms  0.01, in the sandbox
    ========  =========  =====  ==========  =======  ==========  ===========================
    """
    factories.make_model("llm-8b")
    people_team = factories.make_team(
        cast.company, slug="team-people", cost_center=factories.make_cost_center(cast.company, code="CC-200")
    )
    app = factories.make_listed_app(cast.creator_team, slug="where2eat", name="Where to eat")
    other_app = factories.make_listed_app(people_team, slug="fx", name="Exchange")
    subscription = factories.make_subscription(app, cast.consumer_team)
    key, _ = subscriptions.issue_subscription_key(subscription, by=cast.consumer, at=NOW, name="laptop")
    people = factories.make_subscription(app, people_team)
    stranger = factories.make_subscription(app, cast.stranger_team)
    sandbox = factories.make_subscription(other_app, cast.consumer_team, environment="sandbox")
    ingest.record(
        [
            used(subscription, "e1", at=YESTERDAY, input_tokens=1_000_000, latency_ms=100),
            used(
                subscription,
                "e2",
                at=TODAY.replace(hour=11, minute=30),
                input_tokens=500_000,
                output_tokens=100_000,
                latency_ms=201,
                key=key,
            ),
            used(people, "e3", at=TODAY.replace(hour=11, minute=45), input_tokens=2_000_000),
            used(stranger, "e4", at=TODAY.replace(hour=9), input_tokens=4_000_000, latency_ms=400),
            used(sandbox, "e5", at=TODAY.replace(hour=8), input_tokens=50_000, latency_ms=50),
        ],
        at=NOW,
    )
    return World(app, other_app, subscription, people_team, people, stranger, key)


def used(
    subscription: Subscription,
    event_id: str,
    *,
    at: datetime,
    latency_ms: int | None = None,
    key: ApiKey | None = None,
    **quantities: Any,
) -> Usage:
    """One call for a subscription."""
    team = subscription.team
    who = Dimensions(
        app_id=subscription.app_id,
        owner_team_id=subscription.app.owner_team_id,
        organization_id=team.organization_id,
        team_id=team.pk,
        cost_center_id=subscription.cost_center_id,
        subscription_id=subscription.pk,
        plan_id=subscription.plan_id,
        key_id=key.pk if key else None,
        environment=subscription.environment,
        model_id=None,
        model_asked="",
        instance_type="",
        feature="",
    )
    return Usage(event_id, at, who, "llm-8b", Quantities(**quantities), latency_ms=latency_ms)
