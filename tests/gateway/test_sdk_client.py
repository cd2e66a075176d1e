"""The SDK's client against the whole application: what it says of a call is what was booked."""

from collections.abc import Iterator

import pytest

from marketplace.accounts import keys
from marketplace.sdk import Client, KeyRefused, ModelNotApproved, QuotaExceeded
from metering.models import UsageEvent
from quotas.models import Hold, Limit
from tests.conftest import Cast
from tests.factories import LONG_AGO
from tests.gateway.live import World, make_models, make_world, running_application

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.fixture
def world(transactional_db: None, cast: Cast, demo_provider: str) -> Iterator[World]:
    make_models(demo_provider)
    with running_application() as url:
        yield make_world(cast, url)


class TestClient:
    def test_books_what_it_says(self, world: World, cast: Cast) -> None:
        _, personal = keys.issue(
            kind="pat", organization=cast.company, user=cast.consumer, at=LONG_AGO, by=cast.consumer
        )
        with Client(world.url, world.sub_key, personal_key=personal) as client:
            chatted = client.chat("Lunch?", idempotency_key="one")
            again = client.chat("Lunch?", idempotency_key="one")
            with client.chat("Dinner?", stream=True) as stream:
                text = "".join(stream.text())
            (limit,) = [
                one
                for one in client.limits("subscription", str(world.subscription.pk))
                if (one.measure, one.window) == ("requests", "day")
            ]
            report = client.usage(group_by=["app"])

        events = {event.event_id: event for event in UsageEvent.objects.all()}
        assert len(events) == 2
        assert (again.text, again.route.request_id) == (chatted.text, chatted.route.request_id)
        booked = events[chatted.route.request_id]
        assert (chatted.cost, chatted.usage.input_tokens) == (booked.cost, booked.input_tokens)
        assert text
        assert stream.usage is not None
        assert stream.usage.output_tokens == events[stream.route.request_id].output_tokens
        assert limit.used == 2
        assert (report.total.requests, report.total.cost) == (2, sum(event.cost for event in events.values()))

    def test_names_what_refuses_it(self, world: World) -> None:
        Limit.objects.filter(subscription=world.subscription, window="day").update(limit_value=1)
        with Client(world.url, world.sub_key) as client:
            with pytest.raises(ModelNotApproved):
                client.chat("Lunch?", model="llm-secret")
            client.chat("Lunch?")
            with pytest.raises(QuotaExceeded) as caught:
                client.chat("Lunch?")
        with Client(world.url, world.sub_key[:-1] + "_") as stranger, pytest.raises(KeyRefused):
            stranger.chat("Lunch?")

        error = caught.value
        assert (error.limit, error.used, error.measure, error.window) == (1, 1, "requests", "day")
        assert error.resets_at is not None
        assert UsageEvent.objects.count() == 1
        assert not Hold.objects.filter(state="held").exists()
