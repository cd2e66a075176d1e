"""A runaway from its first hour to the end: told, slowed, paused, resumed at a ceiling, closed; with real answers."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
import urllib3

from marketplace.accounts import keys
from marketplace.accounts.access import actor_for
from marketplace.catalog.models import SubscriptionKey
from marketplace.gateway import books
from metering.attribution import Dimensions
from metering.models import UsageEvent
from quotas import detecting, incidents
from quotas.incident_models import Incident
from quotas.incidents import OwnApp
from tests import factories
from tests.conftest import Cast
from tests.factories import LONG_AGO, NOW
from tests.gateway.conftest import demo_provider
from tests.gateway.live import World, make_models, make_world, running_application
from tests.quotas.incident_world import spend

__all__ = ["demo_provider"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

CHAT = {"model": "llm-8b", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 20}
RUN = {"input": {"text": "Send me the report."}}


class Clock:
    """The gateway's clock, and that of everybody else here."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **spans: int) -> datetime:
        self.now += timedelta(**spans)
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(books, "now", found)
    return found


@pytest.fixture
def world(transactional_db: None, cast: Cast, clock: Clock, demo_provider: str) -> Iterator[World]:
    make_models(demo_provider)
    with running_application() as url:
        yield make_world(cast, url)


def post(world: World, path: str, body: object, *, key: str) -> urllib3.BaseHTTPResponse:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    return urllib3.request("POST", world.url + path, body=json.dumps(body), headers=headers, retries=False)


def who_of(world: World, cast: Cast) -> Dimensions:
    one = world.subscription
    return Dimensions(
        app_id=world.app.pk, owner_team_id=cast.creator_team.pk, organization_id=cast.company.pk,
        team_id=cast.consumer_team.pk, cost_center_id=cast.cost_center.pk, subscription_id=one.pk,
        plan_id=one.plan_id, key_id=None, environment="production", model_id=None, model_asked="",
        instance_type="", feature="",
    )  # fmt: skip


def sandbox_key(world: World, cast: Cast) -> str:
    sandbox = factories.make_subscription(world.app, cast.consumer_team, environment="sandbox")
    key, text = keys.issue(kind="sub", organization=cast.company, at=LONG_AGO, by=None)
    SubscriptionKey.objects.create(key=key, subscription=sandbox)
    return text


def the_incident() -> Incident:
    return Incident.objects.select_related("app__owner_team__organization").get()


def test_from_the_first_hour_to_the_end(cast: Cast, world: World, clock: Clock) -> None:
    who = who_of(world, cast)
    in_sandbox = sandbox_key(world, cast)
    # Eight days of 24, one of them 36.
    spend(who, [*[1] * 72, *[2, 1] * 12, *[1] * 96], ends_at=clock.now)

    def next_hour() -> None:
        spend(who, [60], ends_at=clock.forward(hours=1), prefix="runaway")
        detecting.run(at=clock.now)

    # 83 of a usual 24 and a highest 36: a notice, and nothing is slowed.
    next_hour()
    assert the_incident().state == "open"
    assert [post(world, "/v1/chat/completions", CHAT, key=world.sub_key).status for _ in range(3)] == [
        200
    ] * 3

    # 142 is more than three times the highest: slowed to one request a minute, whatever API it comes through.
    next_hour()
    assert the_incident().state == "throttled"
    clock.forward(seconds=10)
    assert post(world, "/v1/chat/completions", CHAT, key=world.sub_key).status == 200
    refused = post(world, "/v1/chat/completions", CHAT, key=world.sub_key)
    assert (refused.status, refused.headers["retry-after"]) == (429, "50")
    error = json.loads(refused.data)["error"]
    assert (error["code"], error["owner_kind"], error["limit"]) == ("rate_limited", "app", "1")
    run = post(world, f"/apps/{world.app.slug}/run", RUN, key=world.sub_key)
    assert (run.status, run.headers["content-type"]) == (429, "application/problem+json")
    assert post(world, "/v1/chat/completions", CHAT, key=in_sandbox).status == 200
    clock.forward(seconds=50)
    assert post(world, "/v1/chat/completions", CHAT, key=world.sub_key).status == 200
    clock.now = clock.now.replace(minute=0, second=0)

    # It is slowed, but what its makers report goes on as before: after twelve more hours it is paused.
    for _ in range(12):
        next_hour()
    assert the_incident().state == "paused"
    events = UsageEvent.objects.count()
    paused = post(world, "/v1/chat/completions", CHAT, key=world.sub_key)
    assert (paused.status, paused.headers["retry-after"]) == (503, "300")
    assert json.loads(paused.data)["error"] == {
        "message": "The app 'where2eat' is paused.", "type": "server_error", "code": "app_paused", "param": None,
    }  # fmt: skip
    run = post(world, f"/apps/{world.app.slug}/run", RUN, key=world.sub_key)
    assert (run.status, json.loads(run.data)["code"]) == (503, "app_paused")
    assert UsageEvent.objects.count() == events
    # What was used has been used, and the makers may look for the reason.
    event = {
        "id": "late",
        "app_id": world.app.slug,
        "model": "llm-8b",
        "tokens": 5,
        "timestamp": clock.now.isoformat(),
    }
    assert json.loads(post(world, "/meter", event, key=world.app_key).data)["accepted"] == 1
    assert post(world, "/v1/chat/completions", CHAT, key=in_sandbox).status == 200

    # Nobody resumes their own app; an operator who does not own it does, at a ceiling.
    factories.join(cast.operator, cast.creator_team, "creator")
    with pytest.raises(OwnApp):
        incidents.resume(
            the_incident(),
            ceiling=Decimal(30),
            hours=48,
            by=actor_for(cast.operator),
            at=clock.now,
            reason="x",
        )
    other = factories.make_user()
    factories.join(other, None, "operator", organization=cast.company)
    operator = actor_for(other)
    incidents.resume(
        the_incident(),
        ceiling=Decimal("0.0000001"),
        hours=48,
        by=operator,
        at=clock.now,
        reason="Their loop is mended.",
    )
    clock.forward(seconds=1)
    over = post(world, "/v1/chat/completions", CHAT, key=world.sub_key)
    assert (over.status, json.loads(over.data)["error"]["code"]) == (402, "budget_exceeded")

    # When the ceiling has ended it runs in full, and the incident ends by itself.
    clock.forward(hours=49)
    assert post(world, "/v1/chat/completions", CHAT, key=world.sub_key).status == 200
    detecting.run(at=clock.now)
    one = the_incident()
    assert (one.state, one.closed_by, one.resumed_by) == ("closed", None, other)
