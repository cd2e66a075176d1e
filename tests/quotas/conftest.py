from datetime import timedelta
from decimal import Decimal

import pytest

from marketplace.catalog.models import App, Subscription
from metering import ingest
from quotas import increase_assessing
from quotas.capacity import HeadRoom
from quotas.owners import Owner
from tests import factories
from tests.conftest import Cast
from tests.factories import NOW
from tests.metering.conftest import app, who, world
from tests.metering.usage_world import used
from tests.quotas.increase_world import owner_of_subscription

__all__ = ["app", "who", "world"]


@pytest.fixture
def subscription(cast: Cast, app: App) -> Subscription:
    """One of an app that somebody else has called, so that it is known what a call costs: 480 tokens, 0.000096."""
    other = factories.make_subscription(app, cast.creator_team)
    ingest.record([used(other, "first", at=NOW - timedelta(days=2), input_tokens=480)], at=NOW)
    return factories.make_subscription(app, cast.consumer_team)


@pytest.fixture
def owner(subscription: Subscription) -> Owner:
    return owner_of_subscription(subscription)


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the capacity stays free, whatever is granted."""
    half = HeadRoom(Decimal(60), Decimal(50))
    monkeypatch.setattr(increase_assessing, "head_room", lambda owner, **asked: half)
