"""Pages of batches: who sees which, what people may do there, what operators set."""

import json
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from marketplace.accounts.models import User
from marketplace.catalog.models import Subscription
from marketplace.core.errors import InvalidInput
from marketplace.core.models import AuditEntry
from marketplace.gateway.batch_models import Batch, BatchLine, CheapHours
from marketplace.gateway.batches import cheap_hours, finishing, lines, queries, taking, working
from marketplace.gateway.batches.lines import Cost, Failure
from metering.models import BatchRate
from tests import factories
from tests.conftest import Cast
from tests.gateway.batching import BOUNDS, chat_line, make_batch, means

pytestmark = pytest.mark.django_db


@pytest.fixture
def subscription(cast: Cast) -> Subscription:
    app = factories.make_listed_app(cast.creator_team, slug="where2eat", name="Where2Eat")
    return factories.make_subscription(app, cast.consumer_team, created_by=cast.consumer)


def signed_in(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


def half_done(subscription: Subscription) -> Batch:
    """A batch with one line answered, one failed, one waiting; the answered one cost half of 0.02."""
    batch = make_batch(subscription.pk, [chat_line("a"), chat_line("b"), chat_line("c")])
    at = timezone.now()
    working.work_once(means=means())
    taken = taking.take(at=timezone.now(), at_once=1)
    assert taken is not None
    one, two = lines.begin(taken, most=2, at=at)
    lines.keep(one, body=b'{"answer": 1}', status=200, used={"model": "llm-8b"})
    lines.end(one, Cost(Decimal("0.01"), Decimal("0.02"), "USD", "llm-8b", 10, 5), at=at)
    lines.fail(two, Failure("app_refused", "Not like this.", 400, b"{}"), at=at)
    lines.count(batch)
    batch.refresh_from_db()
    return batch


class TestBatches:
    def test_lists_those_of_the_own_teams(self, cast: Cast, subscription: Subscription) -> None:
        half_done(subscription)
        assert "Where2Eat" in signed_in(cast.consumer).get("/batches/").content.decode()
        assert "Where2Eat" not in signed_in(cast.stranger).get("/batches/").content.decode()

    def test_filters_by_state(self, cast: Cast, subscription: Subscription) -> None:
        half_done(subscription)
        client = signed_in(cast.consumer)
        assert "Where2Eat" in client.get("/batches/?state=open").content.decode()
        assert "No batches like that" in client.get("/batches/?state=completed").content.decode()

    def test_asks_few_questions_however_many_there_are(
        self, cast: Cast, subscription: Subscription, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        for _ in range(3):
            make_batch(subscription.pk, [chat_line("a")])
        consumer, operator = signed_in(cast.consumer), signed_in(cast.operator)
        with django_assert_max_num_queries(12):
            consumer.get("/batches/")
        with django_assert_max_num_queries(14):
            operator.get("/operator/batches/")


class TestBatch:
    def test_shows_how_far_it_is_and_what_it_cost(self, cast: Cast, subscription: Subscription) -> None:
        batch = half_done(subscription)
        page = signed_in(cast.consumer).get(f"/batches/{batch.pk}/").content.decode()
        assert "1 answered, 1 without an answer, 1 to go" in page
        assert "$0.01" in page
        assert "Not like this." in page
        assert 'hx-trigger="every 3s"' in page

    def test_gives_the_fragment_to_htmx(self, cast: Cast, subscription: Subscription) -> None:
        batch = half_done(subscription)
        page = signed_in(cast.consumer).get(f"/batches/{batch.pk}/", headers={"HX-Request": "true"})
        assert page.content.decode().lstrip().startswith('<div id="batch"')

    @pytest.mark.parametrize("path", ["", "answers.jsonl", "cancel/", "go-on/"])
    def test_is_not_there_for_strangers(self, cast: Cast, subscription: Subscription, path: str) -> None:
        batch = half_done(subscription)
        client = signed_in(cast.stranger)
        ask = client.post if path in ("cancel/", "go-on/") else client.get
        assert ask(f"/batches/{batch.pk}/{path}").status_code in (403, 404)
        batch.refresh_from_db()
        assert batch.state == "in_progress"

    def test_gives_the_answers_so_far(self, cast: Cast, subscription: Subscription) -> None:
        batch = half_done(subscription)
        client = signed_in(cast.consumer)
        (answer,) = client.get(f"/batches/{batch.pk}/answers.jsonl").getvalue().splitlines()  # type: ignore[attr-defined]
        assert json.loads(answer)["response"]["body"] == {"answer": 1}
        (failed,) = client.get(f"/batches/{batch.pk}/errors.jsonl").getvalue().splitlines()  # type: ignore[attr-defined]
        assert json.loads(failed)["custom_id"] == "b"
        assert client.get(f"/batches/{batch.pk}/more.jsonl").status_code == 404

    def test_is_canceled_by_its_consumers(self, cast: Cast, subscription: Subscription) -> None:
        batch = half_done(subscription)
        assert signed_in(cast.finance).post(f"/batches/{batch.pk}/cancel/").status_code == 403
        assert signed_in(cast.consumer).post(f"/batches/{batch.pk}/cancel/").status_code == 302
        batch.refresh_from_db()
        assert batch.state == "cancelling"
        assert AuditEntry.objects.get(action="gateway.batch.canceled").actor == cast.consumer

    def test_goes_on_when_an_operator_says_so(self, cast: Cast, subscription: Subscription) -> None:
        batch = half_done(subscription)
        later = timezone.now() + timedelta(hours=2)
        Batch.objects.update(run_at=later, wait_reason="waits for cheap hours")
        client = signed_in(cast.operator)
        assert "waits for cheap hours" in client.get(f"/batches/{batch.pk}/").content.decode()
        assert signed_in(cast.consumer).post(f"/batches/{batch.pk}/go-on/").status_code == 403
        assert client.post(f"/batches/{batch.pk}/go-on/").status_code == 302
        batch.refresh_from_db()
        assert (batch.run_at < later, batch.is_hurried) == (True, True)


class TestOperator:
    def test_sees_all_and_what_waits(self, cast: Cast, subscription: Subscription) -> None:
        half_done(subscription)
        page = signed_in(cast.operator).get("/operator/batches/").content.decode()
        assert "1 line" in page
        assert "Where2Eat" in page
        for person in (cast.consumer, cast.stranger, cast.finance):
            assert signed_in(person).get("/operator/batches/").status_code == 403

    def test_sets_a_rate(self, cast: Cast) -> None:
        client = signed_in(cast.operator)
        page = client.post("/operator/batches/rate/", {"off_percent": "50", "reason": ""})
        assert "This field is required" in page.content.decode()
        client.post("/operator/batches/rate/", {"off_percent": "50", "reason": "cheap hours"})
        assert BatchRate.objects.get().set_by == cast.operator
        assert "50 % less than list prices" in client.get("/batches/").content.decode()
        assert signed_in(cast.consumer).post("/operator/batches/rate/", {}).status_code == 403

    def test_sets_cheap_hours(self, cast: Cast) -> None:
        client = signed_in(cast.operator)
        client.post("/operator/batches/cheap-hours/", {"day_0": "22-24, 0-6", "day_6": "0-24"})
        assert [str(one) for one in CheapHours.objects.order_by("weekday", "from_hour")] == [
            "Monday 0:00 to 6:00",
            "Monday 22:00 to 24:00",
            "Sunday 0:00 to 24:00",
        ]
        page = client.post("/operator/batches/cheap-hours/", {"day_0": "22-25"}).content.decode()
        assert "must be hours from 0 to 24" in page
        assert CheapHours.objects.count() == 3
        assert signed_in(cast.finance).post("/operator/batches/cheap-hours/", {}).status_code == 403


class TestParse:
    @pytest.mark.parametrize("text", ["6", "a-b", "6-6", "8-6", "0-7, 6-8", "23-25", "-1-3"])
    def test_refuses_what_are_no_hours(self, text: str) -> None:
        with pytest.raises(InvalidInput):
            cheap_hours.parse(text, field="day")


class TestSavings:
    def test_sum_what_batches_that_ended_cost_and_saved(self, cast: Cast, subscription: Subscription) -> None:
        batch = half_done(subscription)
        now = timezone.now()
        lines.skip_waiting(batch, code="x", message="y", at=now)
        Batch.objects.update(state="finalizing")
        batch.refresh_from_db()
        finishing.finish(batch, bounds=BOUNDS, at=now)
        asked = {"starts_at": now - timedelta(days=1), "ends_at": now + timedelta(days=1)}

        (found,) = queries.batch_savings(**asked)

        assert (found.currency, found.calls, found.cost, found.saved) == (
            "USD", 1, Decimal("0.01"), Decimal("0.01"),
        )  # fmt: skip
        assert found.saved_share == Decimal("0.5")
        assert queries.batch_savings(**asked, app_ids=[subscription.app_id], team_ids=[cast.consumer_team.pk])
        assert queries.batch_savings(**asked, app_ids=[0]) == []


class TestConstraints:
    """What the database holds about lines."""

    def test_a_line_that_is_not_ended_costs_nothing(self, subscription: Subscription) -> None:
        half_done(subscription)
        with pytest.raises(IntegrityError, match="batch_line_cost_when_ended"):
            BatchLine.objects.filter(state="waiting").update(cost=1)
