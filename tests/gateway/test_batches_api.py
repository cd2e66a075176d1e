"""/api/v1/batches, /background-runs and /batch-rates, with keys of people."""

from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from marketplace.accounts.models import User
from marketplace.catalog.models import Subscription
from marketplace.gateway.async_models import AsyncRun
from marketplace.gateway.async_runs import making
from marketplace.gateway.async_runs.making import Asked
from metering.models import BatchRate
from tests import factories
from tests.conftest import Cast
from tests.gateway.batching import chat_line, make_batch

pytestmark = pytest.mark.django_db


@pytest.fixture
def subscription(cast: Cast) -> Subscription:
    app = factories.make_listed_app(cast.creator_team, slug="where2eat")
    return factories.make_subscription(app, cast.consumer_team, created_by=cast.consumer)


def client(person: User) -> Any:
    found = APIClient()
    found.force_login(person)
    return found


class TestBatches:
    def test_are_listed_shown_and_canceled_by_those_of_the_team(
        self, cast: Cast, subscription: Subscription
    ) -> None:
        batch = make_batch(subscription.pk, [chat_line("a")])
        consumer = client(cast.consumer)

        (listed,) = consumer.get("/api/v1/batches?state=validating&app=where2eat").json()["results"]

        assert (listed["id"], listed["app"], listed["cost"]) == (str(batch.pk), "where2eat", "0")
        assert consumer.get("/api/v1/batches?state=completed").json()["results"] == []
        assert consumer.get(f"/api/v1/batches/{batch.pk}").json()["total_lines"] == 0
        assert consumer.post(f"/api/v1/batches/{batch.pk}/cancel").json()["state"] == "cancelling"
        assert consumer.post(f"/api/v1/batches/{batch.pk}/cancel").status_code == 409

    def test_are_not_there_for_strangers(self, cast: Cast, subscription: Subscription) -> None:
        batch = make_batch(subscription.pk, [chat_line("a")])
        stranger = client(cast.stranger)
        assert stranger.get("/api/v1/batches").json()["results"] == []
        assert stranger.get(f"/api/v1/batches/{batch.pk}").status_code == 404
        assert stranger.post(f"/api/v1/batches/{batch.pk}/cancel").status_code == 404
        assert client(cast.finance).post(f"/api/v1/batches/{batch.pk}/cancel").status_code == 403


class TestBackgroundRuns:
    def test_are_of_those_who_consume(self, cast: Cast, subscription: Subscription) -> None:
        run = making.ask(Asked(subscription.pk, {"text": "Hello"}), keep_days=30, at=timezone.now())
        consumer = client(cast.consumer)
        (listed,) = consumer.get("/api/v1/background-runs").json()["results"]
        assert (listed["id"], listed["input"], listed["state"]) == (str(run.pk), {"text": "Hello"}, "queued")
        for person in (cast.stranger, cast.finance, cast.operator):
            assert client(person).get(f"/api/v1/background-runs/{run.pk}").status_code == 404
            assert client(person).post(f"/api/v1/background-runs/{run.pk}/cancel").status_code == 404
        assert consumer.post(f"/api/v1/background-runs/{run.pk}/cancel").json()["state"] == "canceled"
        assert AsyncRun.objects.get().state == "canceled"


class TestBatchRates:
    def test_are_set_by_finance_and_operators(self, cast: Cast) -> None:
        finance = client(cast.finance)
        made = finance.post("/api/v1/batch-rates", {"off_percent": "40", "reason": "nights"}, format="json")
        assert (made.status_code, made.json()["off_percent"]) == (201, "40")
        assert BatchRate.objects.get().set_by == cast.finance
        wrong = finance.post("/api/v1/batch-rates", {"off_percent": "140", "reason": "x"}, format="json")
        assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (400, "off_percent")
        rounded = finance.post("/api/v1/batch-rates", {"off_percent": 40.5, "reason": "x"}, format="json")
        assert rounded.status_code == 400
        assert len(finance.get("/api/v1/batch-rates").json()["results"]) == 1
        for person in (cast.consumer, cast.stranger):
            assert client(person).get("/api/v1/batch-rates").status_code == 403
            assert client(person).post("/api/v1/batch-rates", {}, format="json").status_code == 403
