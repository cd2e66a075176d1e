"""Using an app by its form: a real run, kept for its person; and what holds of any run through the pipeline."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse

from marketplace.catalog.models import App, Listing, Subscription
from marketplace.catalog.run_models import KeptRun
from marketplace.core.ids import uuid7
from marketplace.gateway import background
from marketplace.gateway.routing_models import RouteFeedback
from metering.models import UsageEvent
from quotas.models import Hold
from tests import factories
from tests.conftest import Cast
from tests.gateway.live import make_models

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]
ROW = {
    "type": "object",
    "properties": {"entry": {"type": "string"}, "label": {"enum": ["billing", "delivery"]}},
    "required": ["entry", "label"],
}


@pytest.fixture(autouse=True)
def background_gateway(transactional_db: None) -> Iterator[None]:
    yield
    background.close()


def listed(cast: Cast, provider: str, **version_fields: Any) -> App:
    make_models(provider)
    app = factories.make_app(cast.creator_team, slug="tone")
    factories.make_plan(app, code="standard")
    version = factories.make_version(app, **version_fields)
    Listing.objects.create(
        app=app, version=version, listed_at=factories.LONG_AGO, updated_at=factories.LONG_AGO
    )
    return app


def sandbox_of(cast: Cast) -> str:
    return f"sandbox-{cast.consumer_team.pk}"


class TestRate:
    def test_teaches_the_routing_of_the_app_and_is_its_persons_alone(
        self, cast: Cast, demo_provider: str, client: Client
    ) -> None:
        app = listed(cast, demo_provider)
        client.force_login(cast.consumer)
        given = {"input.text": "Send me the report.", "payer": sandbox_of(cast), "run_id": str(uuid7())}
        client.post(reverse("gateway:use", args=["tone"]), given)
        run = KeptRun.objects.get()
        assert "Was this a good answer?" in client.get(reverse("catalog:run", args=[run.pk])).content.decode()
        rate = reverse("gateway:rate-run", args=[run.pk])

        for rating in ("up", "down"):
            assert client.post(rate, {"rating": rating}).status_code == 302
        assert client.post(rate, {"rating": "great"}).status_code == 400

        found = RouteFeedback.objects.get()
        assert (found.app, found.event_id, found.is_good, found.given_by) == (
            app,
            str(run.pk),
            False,
            cast.consumer,
        )
        assert "You said: not good." in client.get(reverse("catalog:run", args=[run.pk])).content.decode()
        for other in (cast.creator, cast.stranger):
            client.force_login(other)
            assert client.post(rate, {"rating": "up"}).status_code == 404

    def test_is_not_for_a_run_that_brought_nothing(self, cast: Cast, db: None) -> None:
        app = factories.make_app(cast.creator_team, slug="tone")
        factories.make_plan(app, code="standard")
        run = KeptRun(
            person=cast.consumer, subscription=factories.make_subscription(app, cast.consumer_team), app=app,
            version=factories.make_version(app), data={}, failure="no", created_at=factories.NOW,
            ended_at=factories.NOW, expires_at=factories.NOW + timedelta(days=1), rating="up",
        )  # fmt: skip
        with pytest.raises(IntegrityError, match="kept_run_rated_when_it_came_back"), transaction.atomic():
            run.save()


class TestUseApp:
    def test_runs_once_however_often_the_form_is_sent(
        self, cast: Cast, demo_provider: str, client: Client
    ) -> None:
        app = listed(cast, demo_provider)
        subscription = factories.make_subscription(app, cast.consumer_team)
        client.force_login(cast.consumer)
        given = {"input.text": "Send me the report.", "payer": str(subscription.pk), "run_id": str(uuid7())}

        first = client.post(reverse("gateway:use", args=["tone"]), given)
        again = client.post(reverse("gateway:use", args=["tone"]), given)

        run = KeptRun.objects.get()
        assert first["Location"] == again["Location"] == reverse("catalog:run", args=[run.pk])
        event = UsageEvent.objects.get()
        assert (run.cost, run.subscription_id) == (event.cost, subscription.pk)
        assert event.attribution.environment == "production"

    def test_reads_a_file_of_text_and_gives_a_table(
        self, cast: Cast, demo_provider: str, client: Client
    ) -> None:
        listed(cast, demo_provider, output_format="table", output_schema=ROW)
        client.force_login(cast.consumer)
        file = SimpleUploadedFile("list.txt", "\ufeffI was billed twice.\r\nWhere is it?".encode())

        client.post(reverse("gateway:use", args=["tone"]), {"file.text": file, "payer": sandbox_of(cast)})

        run = KeptRun.objects.get()
        assert run.data == {"text": "I was billed twice.\nWhere is it?"}
        assert (run.failure, run.problems) == ("", [])
        assert {row["label"] for row in run.output} <= {"billing", "delivery"}
        assert run.subscription.environment == "sandbox"

    def test_says_what_does_not_fit_and_counts_the_call(
        self, cast: Cast, demo_provider: str, client: Client
    ) -> None:
        # No model is asked for JSON by a schema without an object at its top; the demo provider then writes prose.
        listed(cast, demo_provider, output_format="json", output_schema={"type": "integer"})
        client.force_login(cast.consumer)

        client.post(
            reverse("gateway:use", args=["tone"]), {"input.text": "Hello.", "payer": sandbox_of(cast)}
        )

        run = KeptRun.objects.get()
        assert run.problems == ["The answer is not JSON."]
        assert run.cost == UsageEvent.objects.get().cost

    def test_keeps_why_a_run_failed_and_charges_nothing(
        self, cast: Cast, demo_provider: str, client: Client
    ) -> None:
        listed(cast, demo_provider, prompt_template="[[demo:500]] {{ text }}")
        client.force_login(cast.consumer)

        client.post(
            reverse("gateway:use", args=["tone"]), {"input.text": "Hello.", "payer": sandbox_of(cast)}
        )

        run = KeptRun.objects.get()
        assert run.failure
        assert not UsageEvent.objects.exists()
        assert not Hold.objects.filter(state="held").exists()

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            ({"input.text": ""}, "This field is required."),
            ({"input.text": "x" * 4_001}, "at most 4000 characters"),
            ({"file.text": b"x" * 4_001}, "more than 4,000 characters"),
            ({"file.text": b"\xff\xfe\x00"}, "not a text in UTF-8"),
        ],
    )
    def test_refuses_what_the_app_does_not_take(
        self, cast: Cast, client: Client, given: dict[str, Any], words: str
    ) -> None:
        listed(cast, "http://127.0.0.1:9")
        client.force_login(cast.consumer)
        if "file.text" in given:
            given = {"file.text": SimpleUploadedFile("a.txt", given["file.text"])}

        page = client.post(reverse("gateway:use", args=["tone"]), {**given, "payer": sandbox_of(cast)})

        assert words in page.content.decode()
        assert not KeptRun.objects.exists()

    def test_lets_nobody_use_what_is_not_theirs(self, cast: Cast, client: Client) -> None:
        app = listed(cast, "http://127.0.0.1:9")
        App.objects.update(is_public=False)
        subscription = factories.make_subscription(app, cast.consumer_team)
        given = {"input.text": "Hello.", "payer": str(subscription.pk)}

        client.force_login(cast.stranger)
        assert client.get(reverse("gateway:use", args=["tone"])).status_code == 404
        App.objects.update(is_public=True)
        assert client.post(reverse("gateway:use", args=["tone"]), given).status_code in (200, 404)
        assert not KeptRun.objects.exists()
        assert Subscription.objects.count() == 1
