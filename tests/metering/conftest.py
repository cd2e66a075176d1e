from typing import Any

import pytest

from marketplace.catalog.models import App
from metering.attribution import Dimensions
from metering.ingest import Usage
from metering.rating import Quantities
from tests import factories
from tests.conftest import Cast
from tests.factories import NOW
from tests.metering.usage_world import World, make_world


@pytest.fixture
def app(cast: Cast) -> App:
    factories.make_model("llm-8b")
    return factories.make_listed_app(cast.creator_team, slug="where2eat")


@pytest.fixture
def who(cast: Cast, app: App) -> Dimensions:
    subscription = factories.make_subscription(app, cast.consumer_team)
    return Dimensions(
        app_id=app.pk,
        owner_team_id=cast.creator_team.pk,
        organization_id=cast.company.pk,
        team_id=cast.consumer_team.pk,
        cost_center_id=cast.cost_center.pk,
        subscription_id=subscription.pk,
        plan_id=subscription.plan_id,
        key_id=None,
        environment="production",
        model_id=None,
        model_asked="",
        instance_type="",
        feature="",
    )


def make_usage(who: Dimensions, event_id: str = "e1", *, tokens: int = 480, **fields: Any) -> Usage:
    quantities = fields.pop("quantities", Quantities(input_tokens=tokens))
    return Usage(
        event_id=event_id,
        occurred_at=fields.pop("at", NOW),
        who=who,
        model="llm-8b",
        quantities=quantities,
        **fields,
    )


@pytest.fixture
def world(cast: Cast) -> World:
    return make_world(cast)
