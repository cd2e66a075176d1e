from decimal import Decimal

import pytest

from marketplace.catalog.models import App, Subscription
from quotas import increase_assessing
from quotas.capacity import HeadRoom
from quotas.owners import Owner
from tests import factories
from tests.conftest import Cast
from tests.metering.conftest import app, who, world
from tests.quotas.increase_world import owner_of_subscription

__all__ = ["app", "who", "world"]


@pytest.fixture
def subscription(cast: Cast, app: App) -> Subscription:
    return factories.make_subscription(app, cast.consumer_team)


@pytest.fixture
def owner(subscription: Subscription) -> Owner:
    return owner_of_subscription(subscription)


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the capacity stays free, whatever is granted."""
    half = HeadRoom(Decimal(60), Decimal(50))
    monkeypatch.setattr(increase_assessing, "head_room", lambda owner, **asked: half)
