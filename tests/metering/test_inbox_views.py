from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from marketplace.accounts.models import User
from marketplace.catalog.models import App
from metering.inbox_models import AttributionRule, KeptEvent, UnattributedGroup
from tests import factories
from tests.conftest import Cast
from tests.gateway.reporting import report

pytestmark = pytest.mark.django_db
INBOX = "/usage/inbox/"


@pytest.fixture
def group(app: App) -> UnattributedGroup:
    report(app, {"id": "e1", "cost_center": "cc100"}, {"id": "e2", "cost_center": "cc100"}, at=timezone.now())
    return UnattributedGroup.objects.get()


def page(client: Client, person: User, path: str) -> str:
    client.force_login(person)
    answer = client.get(path)
    assert answer.status_code == 200, answer.status_code
    return answer.content.decode()


def post(client: Client, who: User, path: str, /, **data: Any) -> Any:
    client.force_login(who)
    return client.post(path, data)


class TestInbox:
    @pytest.mark.parametrize("who", ["creator", "finance", "operator"])
    def test_shows_what_waits(self, cast: Cast, group: UnattributedGroup, client: Client, who: str) -> None:
        shown = page(client, getattr(cast, who), INBOX)

        assert f"{INBOX}{group.pk}/" in shown
        # Two events of a million tokens at 0.20 each.
        assert "$0.40" in shown

    def test_shows_strangers_only_their_own(
        self, cast: Cast, group: UnattributedGroup, client: Client
    ) -> None:
        assert "Everything is attributed" in page(client, cast.stranger, INBOX)
        assert client.get(f"{INBOX}{group.pk}/").status_code == 404
        assert client.post(f"{INBOX}{group.pk}/", {"do": "dismiss", "reason": "x"}).status_code == 404

    def test_is_not_for_consumers(self, cast: Cast, group: UnattributedGroup, client: Client) -> None:
        client.force_login(cast.consumer)

        assert client.get(INBOX).status_code == 403
        assert client.get(f"{INBOX}{group.pk}/").status_code == 404

    def test_asks_as_often_for_many_groups(
        self, cast: Cast, app: App, client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        report(app, *({"id": f"e{n}", "cost_center": f"no{n}"} for n in range(30)), at=timezone.now())
        client.force_login(cast.finance)

        with django_assert_max_num_queries(12):
            client.get(INBOX)


class TestGroup:
    def test_suggests_and_shows_what_was_sent(
        self, cast: Cast, group: UnattributedGroup, client: Client
    ) -> None:
        shown = page(client, cast.creator, f"{INBOX}{group.pk}/")

        assert "It is CC-100 but for case, spaces or dashes." in shown
        assert "&quot;cost_center&quot;:&quot;cc100&quot;" in shown
        assert "all apps of the organization" not in shown
        assert "all apps of the organization" in page(client, cast.finance, f"{INBOX}{group.pk}/")

    def test_becomes_a_rule(self, cast: Cast, group: UnattributedGroup, client: Client) -> None:
        answer = post(
            client,
            cast.creator,
            f"{INBOX}{group.pk}/",
            do="rule",
            stands_for=f"cost_center:{cast.cost_center.pk}",
        )

        assert answer.status_code == 302
        made = AttributionRule.objects.get()
        assert (made.value, made.cost_center, made.app) == ("cc100", cast.cost_center, group.app)
        assert "cc100" in page(client, cast.creator, INBOX)

    def test_says_that_a_rule_is_in_force(self, cast: Cast, group: UnattributedGroup, client: Client) -> None:
        for _ in range(2):
            answer = post(client, cast.creator, f"{INBOX}{group.pk}/", do="rule", stands_for="as_unnamed")

        assert "A rule for &#x27;cc100&#x27; is in force" in answer.content.decode()

    def test_takes_no_cost_center_of_others(
        self, cast: Cast, group: UnattributedGroup, client: Client
    ) -> None:
        foreign = cast.stranger_team.cost_center
        answer = post(
            client, cast.creator, f"{INBOX}{group.pk}/", do="rule", stands_for=f"cost_center:{foreign.pk}"
        )

        assert answer.status_code == 200
        assert not AttributionRule.objects.exists()

    def test_names_no_subscriber_whom_the_creator_may_not_know(
        self, cast: Cast, app: App, client: Client
    ) -> None:
        factories.make_subscription(app, factories.make_team(cast.company, slug="secret", name="Secret team"))
        report(app, {"id": "e1", "subscription": "secret"}, at=timezone.now())
        group = UnattributedGroup.objects.get()

        assert "Secret team" not in page(client, cast.creator, f"{INBOX}{group.pk}/")
        assert "Secret team" in page(client, cast.finance, f"{INBOX}{group.pk}/")

    def test_is_dismissed_with_a_reason(self, cast: Cast, group: UnattributedGroup, client: Client) -> None:
        path = f"{INBOX}{group.pk}/"
        assert post(client, cast.creator, path, do="dismiss", reason="").status_code == 200

        assert post(client, cast.creator, path, do="dismiss", reason="A load test.").status_code == 302
        assert not KeptEvent.objects.filter(state="open").exists()
        assert "2 dismissed" in page(client, cast.creator, f"{INBOX}?show=ended")

    def test_is_handed_over(self, cast: Cast, group: UnattributedGroup, client: Client) -> None:
        path = f"{INBOX}{group.pk}/"
        assert (
            "Nobody who" in post(client, cast.creator, path, do="hand", person="x@y.example").content.decode()
        )

        post(client, cast.creator, path, do="hand", person=cast.finance.email)
        assert UnattributedGroup.objects.get().assignee == cast.finance

    def test_asks_as_often_for_many_events(
        self, cast: Cast, app: App, client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        for number in range(20):
            factories.make_subscription(app, factories.make_team(cast.company), plan=app.plans.first())
            report(app, {"id": f"e{number}", "subscription": "sub-1"}, at=timezone.now())
        client.force_login(cast.finance)

        with django_assert_max_num_queries(16):
            client.get(f"{INBOX}{UnattributedGroup.objects.get().pk}/")


class TestEndRule:
    def test_ends_it_for_who_looks_after_it(
        self, cast: Cast, group: UnattributedGroup, client: Client
    ) -> None:
        post(client, cast.creator, f"{INBOX}{group.pk}/", do="rule", stands_for="as_unnamed")
        path = f"{INBOX}rules/{AttributionRule.objects.get().pk}/end/"

        assert post(client, cast.stranger, path).status_code == 404
        assert post(client, cast.creator, path).status_code == 302
        assert AttributionRule.objects.get().ends_at is not None
