"""A budget over a month's edge, on a moving clock: set, spent, told of, used up, refused, and free again on the first."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from unittest import mock

import pytest
import urllib3
from django.test import Client

from marketplace.accounts.models import User
from marketplace.core.models import Notice
from metering import rollups
from metering.attribution import Dimensions
from metering.ingest import Usage
from metering.rating import Quantities
from quotas import admission, tasks
from quotas.budget_models import Budget
from quotas.models import Hold, LimitCounter
from tests.conftest import Cast
from tests.gateway.conftest import demo_provider
from tests.gateway.live import World, make_models, make_world, running_application

__all__ = ["demo_provider"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

MESSAGES = [{"role": "user", "content": "Summarize: The quick brown fox jumps over the lazy dog."}]


class Clock:
    """The time that everybody reads; the story moves it."""

    now = datetime(2026, 11, 2, 9, tzinfo=UTC)

    def set(self, *parts: int) -> None:
        self.now = datetime(*parts, tzinfo=UTC)  # type: ignore[misc]


@pytest.fixture
def clock() -> Iterator[Clock]:
    clock = Clock()
    with mock.patch("django.utils.timezone.now", side_effect=lambda: clock.now):
        yield clock


@pytest.fixture
def world(transactional_db: None, cast: Cast, demo_provider: str, clock: Clock) -> Iterator[World]:
    make_models(demo_provider)
    with running_application() as url:
        yield make_world(cast, url)


def call(world: World) -> urllib3.BaseHTTPResponse:
    headers = {"Authorization": f"Bearer {world.sub_key}", "Content-Type": "application/json"}
    body = json.dumps({"model": "llm-8b", "messages": MESSAGES, "max_tokens": 20}).encode()
    return urllib3.request(
        "POST", f"{world.url}/v1/chat/completions", body=body, headers=headers, retries=False
    )


def report(world: World, event_id: str, *, cents: int, at: datetime) -> None:
    """Report input tokens at 0.20 a million: 50,000 of them cost a cent."""
    subscription = world.subscription
    who = Dimensions(
        app_id=world.app.pk,
        owner_team_id=world.app.owner_team_id,
        organization_id=subscription.team.organization_id,
        team_id=subscription.team_id,
        cost_center_id=subscription.cost_center_id,
        subscription_id=subscription.pk,
        plan_id=subscription.plan_id,
        key_id=None,
        environment="production",
        model_id=None,
        model_asked="",
        instance_type="",
        feature="",
    )
    usage = Usage(event_id, at, who, "llm-8b", Quantities(input_tokens=50_000 * cents))
    assert admission.report([usage], at=at)[0].status == "accepted"


def told(person: User) -> list[str]:
    notices = Notice.objects.filter(recipient=person, idempotency_key__startswith="limit-alert:")
    return [one.text for one in notices.order_by("created_at")]


def page(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_budget_over_the_edge_of_a_month(cast: Cast, world: World, clock: Clock, client: Client) -> None:
    # On 2 November finance sets one dollar a month, hard.
    client.force_login(cast.finance)
    typed = {
        "of": f"cost_center:{cast.cost_center.pk}", "amount": "1", "mode": "hard", "begins": "",
        "thresholds": "50, 80, 95, 100", "reason": "a trial",
    }  # fmt: skip
    assert client.post("/budgets/set/", typed).status_code == 302
    budget = Budget.objects.get()

    # A call, and 49 cents: nobody is told. At 52 cents the half is passed, and told of once.
    clock.set(2026, 11, 9, 12)
    assert call(world).status == 200
    report(world, "first", cents=49, at=clock.now)
    tasks.tell_of_limits()
    assert told(cast.finance) == []
    clock.set(2026, 11, 10, 12)
    report(world, "second", cents=3, at=clock.now)
    tasks.tell_of_limits()
    tasks.tell_of_limits()
    assert [text[-10:] for text in told(cast.finance)] == ["Past 50 %."]

    # In one jump to 96 cents, two more are passed; they are told of together.
    clock.set(2026, 11, 20, 12)
    report(world, "third", cents=44, at=clock.now)
    tasks.tell_of_limits()
    assert [text[-17:] for text in told(cast.finance)[1:]] == ["Past 80 and 95 %."]

    # What is reported has happened: five cents more are booked, one of them beyond. Calls are refused from here on.
    clock.set(2026, 11, 21, 12)
    report(world, "fourth", cents=5, at=clock.now)
    tasks.tell_of_limits()
    assert told(cast.finance)[2].endswith("Past 100 %. Calls are refused.")
    for moment in (clock.now, datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC)):
        clock.now = moment
        refused = call(world)
        error: dict[str, Any] = json.loads(refused.data)["error"]
        assert (refused.status, error["code"]) == (402, "budget_exceeded")
        assert (error["owner_kind"], error["limit"], error["resets_at"]) == (
            "cost_center", "1", "2026-12-01T00:00:00Z",
        )  # fmt: skip
        assert Decimal(error["used"]) > 1
    assert refused.headers["retry-after"] == "1"

    # With the first second of December everything is free again, and the routine has nothing new to tell.
    clock.set(2026, 12, 1, 0, 0, 0)
    assert call(world).status == 200
    tasks.tell_of_limits()
    assert len(told(cast.finance)) == 3
    counters = LimitCounter.objects.filter(limit__budget_versions__budget=budget).order_by("window_starts_at")
    assert [(one.spent >= 0, bool(one.overrun)) for one in counters] == [(True, True), (True, False)]
    november, december = counters
    assert november.spent + november.overrun > 1 > december.spent

    # The page shows December, and November among the months before.
    clock.now += timedelta(hours=9)
    client.force_login(cast.finance)
    shown = page(client, f"/budgets/{budget.pk}/")
    assert "November 2026" in shown
    assert not Hold.objects.filter(state="held").exists()
    assert rollups.differences() == []
