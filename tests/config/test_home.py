import re
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries, Settings

from billing.models import BillingPeriod
from marketplace.catalog.models import Review, SmokeRun, Version
from marketplace.core import jobs
from tests.conftest import Cast
from tests.factories import NOW, make_app, make_listed_app, make_subscription, make_user, make_version

BUDGET = 12
ROLES = ("creator", "consumer", "approver", "finance", "operator")


def start_page(client: Client, person: object) -> str:
    client.force_login(person)  # type: ignore[arg-type]
    return client.get("/").content.decode()


def open_review(version: Version, cast: Cast) -> Review:
    run = SmokeRun.objects.create(version=version, state="passed", created_at=NOW)
    return Review.objects.create(
        version=version,
        smoke_run=run,
        submitted_by=cast.creator,
        opened_at=NOW,
        due_at=NOW + timedelta(days=3),
    )


class TestLanding:
    def test_lets_guests_of_the_demo_enter_with_one_click(
        self, db: None, client: Client, settings: Settings
    ) -> None:
        settings.DEMO = True

        page = client.get("/").content.decode()

        for role in ROLES:
            assert f'action="/enter/{role}/"' in page
            assert f"Enter as {role}" in page

    def test_shows_only_what_it_is_without_the_demo(
        self, db: None, client: Client, settings: Settings
    ) -> None:
        settings.DEMO = False

        page = client.get("/").content.decode()

        assert "/enter/" not in page
        assert reverse("account_login") in page

    def test_bears_the_name_of_the_marketplace(self, db: None, client: Client, settings: Settings) -> None:
        settings.MARKETPLACE_NAME = "Groschen"

        assert "Groschen" in client.get("/").content.decode()

    def test_does_the_arithmetic_of_its_example_right(self, db: None, client: Client) -> None:
        page = client.get("/").content.decode()

        # 50 + 10,000 x 0.013 = 180; cost 100; creator (180 - 100) x 0.8 = 64; platform 180 - 100 - 64 = 16.
        for amount in ("$50.00", "$130.00", "$180.00", "$100.00", "$64.00", "$16.00"):
            assert amount in page


class TestStart:
    def test_shows_a_consumer_their_subscriptions(self, cast: Cast, client: Client) -> None:
        subscription = make_subscription(make_listed_app(cast.creator_team), cast.consumer_team)

        assert f"/subscriptions/{subscription.pk}/" in start_page(client, cast.consumer)

    def test_shows_a_creator_what_is_in_the_making(self, cast: Cast, client: Client) -> None:
        make_version(make_app(cast.creator_team, name="Haiku maker"), state="changes_requested")

        page = start_page(client, cast.creator)

        assert "Haiku maker" in page
        assert "asked for changes" in page

    def test_shows_a_creator_what_is_listed(self, cast: Cast, client: Client) -> None:
        make_listed_app(cast.creator_team, slug="where2eat")

        page = start_page(client, cast.creator)

        assert "/creator/apps/where2eat/" in page
        assert "/usage/apps/where2eat/summary/" in page

    @pytest.mark.parametrize(
        ("role", "begins_at"),
        [
            ("creator", "/creator/new/"),
            ("consumer", "/catalog/"),
            ("approver", "/reviews/"),
            ("finance", "/finance/"),
            ("operator", "/operator/"),
        ],
    )
    def test_takes_visitors_of_the_demo_to_the_first_step_of_their_role(
        self, cast: Cast, client: Client, settings: Settings, role: str, begins_at: str
    ) -> None:
        settings.DEMO = True

        page = start_page(client, getattr(cast, role))

        assert page.count('class="card tour"') == 1
        assert re.search(f'href="{begins_at}"[^>]*>.{{0,400}}Begin', page, re.DOTALL)

    def test_keeps_tours_out_of_real_marketplaces(
        self, cast: Cast, client: Client, settings: Settings
    ) -> None:
        settings.DEMO = False

        assert 'class="card tour"' not in start_page(client, cast.creator)

    def test_shows_an_approver_open_reviews(self, cast: Cast, client: Client) -> None:
        version = make_version(make_app(cast.creator_team, name="Haiku maker"), state="in_review")
        review = open_review(version, cast)

        assert reverse("catalog:review", args=[review.pk]) in start_page(client, cast.approver)

    def test_shows_finance_which_month_can_be_closed(self, cast: Cast, client: Client) -> None:
        BillingPeriod.objects.create(
            name="2026-10",
            starts_at=datetime(2026, 10, 1, tzinfo=UTC),
            ends_at=datetime(2026, 11, 1, tzinfo=UTC),
        )

        page = start_page(client, cast.finance)

        assert "/finance/periods/2026-10/" in page
        assert "can be closed" in page

    def test_shows_an_operator_jobs_that_are_not_done(self, cast: Cast, client: Client) -> None:
        jobs.enqueue("gateway.run_smoke", idempotency_key="one", at=NOW)

        assert "gateway.run_smoke" in start_page(client, cast.operator)

    def test_shows_a_stranger_nothing_of_the_company(self, cast: Cast, client: Client) -> None:
        app = make_app(cast.creator_team, name="Haiku maker")
        open_review(make_version(app, state="in_review"), cast)
        jobs.enqueue("gateway.run_smoke", idempotency_key="one", at=NOW)
        subscription = make_subscription(make_listed_app(cast.creator_team), cast.consumer_team)

        page = start_page(client, cast.stranger)

        for secret in ("Haiku maker", "gateway.run_smoke", str(subscription.pk)):
            assert secret not in page

    def test_greets_people_who_belong_nowhere_yet(self, db: None, client: Client) -> None:
        assert "You belong to no team yet" in start_page(client, make_user())

    @pytest.mark.parametrize("role", [*ROLES, "stranger"])
    def test_keeps_to_its_budget_of_queries(
        self, cast: Cast, client: Client, role: str, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        for _ in range(3):
            make_subscription(make_listed_app(cast.creator_team), cast.consumer_team)
            make_version(make_app(cast.creator_team), state="draft")
        client.force_login(getattr(cast, role))

        with django_assert_max_num_queries(BUDGET):
            assert client.get("/").status_code == 200
