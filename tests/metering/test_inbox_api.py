from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from marketplace.accounts.models import User
from marketplace.catalog.models import App
from metering.inbox_models import AttributionRule, KeptEvent, UnattributedGroup
from tests import factories
from tests.conftest import Cast
from tests.gateway.reporting import report

pytestmark = pytest.mark.django_db
INBOX = "usage/inbox"


@pytest.fixture
def group(app: App) -> UnattributedGroup:
    report(app, {"id": "e1", "cost_center": "cc100"}, at=timezone.now())
    return UnattributedGroup.objects.get()


@pytest.fixture
def call(client: Client) -> Any:
    def send(person: User, path: str, body: Any = None, *, status: int = 200) -> Any:
        client.force_login(person)
        address = f"/api/v1/{path}"
        answer = (
            client.get(address)
            if body is None
            else client.post(address, body, content_type="application/json")
        )
        assert answer.status_code == status, answer.content
        return answer.json()

    return send


class TestInbox:
    def test_lists_groups_with_their_sums(self, cast: Cast, group: UnattributedGroup, call: Any) -> None:
        (found,) = call(cast.creator, INBOX)

        assert found["id"] == str(group.pk)
        assert (found["field"], found["value"], found["open"]) == ("cost_center", "cc100", 1)
        assert (found["estimated_cost"], found["currency"]) == ("0.2", "USD")
        assert call(cast.creator, f"{INBOX}?app=nothing") == []
        assert call(cast.creator, f"{INBOX}?state=ended") == []

    def test_shows_a_group_with_suggestions(self, cast: Cast, group: UnattributedGroup, call: Any) -> None:
        found = call(cast.finance, f"{INBOX}/{group.pk}")

        assert found["suggestions"][0]["id"] == str(cast.cost_center.pk)
        assert found["newest"][0]["body"]["cost_center"] == "cc100"

    def test_hides_it_from_others(self, cast: Cast, group: UnattributedGroup, call: Any) -> None:
        for who in (cast.stranger, cast.consumer, cast.approver):
            assert call(who, INBOX) == []
            call(who, f"{INBOX}/{group.pk}", status=404)
            call(who, f"{INBOX}/{group.pk}/assign", {"target": "as_unnamed"}, status=404)
            call(who, f"{INBOX}/{group.pk}/dismiss", {"reason": "x"}, status=404)
            call(who, f"{INBOX}/{group.pk}/hand-over", {"person": "a@b.example"}, status=404)

    def test_assigns_by_a_rule(self, cast: Cast, group: UnattributedGroup, call: Any) -> None:
        path = f"{INBOX}/{group.pk}/assign"
        made = call(cast.creator, path, {"target": "cost_center", "cost_center": "CC-100"}, status=201)

        assert (made["value"], made["cost_center"], made["app"]) == ("cc100", "CC-100", "where2eat")
        call(cast.creator, path, {"target": "as_unnamed"}, status=409)

    def test_names_the_wrong_field(self, cast: Cast, group: UnattributedGroup, call: Any) -> None:
        refused = call(
            cast.creator,
            f"{INBOX}/{group.pk}/assign",
            {"target": "cost_center", "cost_center": "no"},
            status=400,
        )

        assert refused["errors"][0]["field"] == "cost_center"

    def test_dismisses(self, cast: Cast, group: UnattributedGroup, call: Any) -> None:
        call(cast.creator, f"{INBOX}/{group.pk}/dismiss", {}, status=400)

        assert call(cast.creator, f"{INBOX}/{group.pk}/dismiss", {"reason": "A test."}) == {"dismissed": 1}
        assert KeptEvent.objects.get().state == "dismissed"

    def test_hands_over(self, cast: Cast, group: UnattributedGroup, call: Any) -> None:
        path = f"{INBOX}/{group.pk}/hand-over"

        assert call(cast.creator, path, {"person": cast.finance.email})["assignee"] == cast.finance.email
        call(cast.creator, path, {"person": cast.stranger.email}, status=400)


class TestRules:
    def test_are_made_before_the_first_event(self, cast: Cast, app: App, call: Any) -> None:
        body = {"app": app.slug, "field": "owner", "value": "team-old", "target": "as_unnamed"}
        made = call(cast.creator, "attribution-rules", body, status=201)

        (listed,) = call(cast.creator, "attribution-rules?in_force=true")["results"]
        assert listed["id"] == made["id"]

    def test_are_made_for_an_organization_by_its_finance(self, cast: Cast, app: App, call: Any) -> None:
        body = {
            "organization": "demo", "scope": "organization", "field": "cost_center", "value": "cc100",
            "target": "cost_center", "cost_center": "CC-100",
        }  # fmt: skip
        call(cast.creator, "attribution-rules", body, status=404)
        call(cast.stranger, "attribution-rules", body, status=404)

        assert call(cast.finance, "attribution-rules", body, status=201)["app"] is None

    def test_are_not_seen_or_ended_by_strangers(self, cast: Cast, app: App, call: Any) -> None:
        body = {"app": app.slug, "field": "owner", "value": "team-old", "target": "as_unnamed"}
        made = call(cast.creator, "attribution-rules", body, status=201)

        assert call(cast.stranger, "attribution-rules")["results"] == []
        call(cast.stranger, f"attribution-rules/{made['id']}/end", {}, status=404)
        call(cast.stranger, "attribution-rules", body, status=404)
        assert call(cast.creator, f"attribution-rules/{made['id']}/end", {})["ended_by"] == cast.creator.email
        call(cast.creator, f"attribution-rules/{made['id']}/end", {}, status=409)

    def test_stand_for_subscriptions_of_the_app_only(self, cast: Cast, app: App, call: Any) -> None:
        own = factories.make_subscription(app, cast.consumer_team)
        other = factories.make_subscription(factories.make_listed_app(cast.creator_team), cast.consumer_team)
        body = {"app": app.slug, "field": "subscription", "value": "sub-1", "target": "subscription"}

        call(cast.creator, "attribution-rules", {**body, "subscription": str(other.pk)}, status=404)
        call(cast.creator, "attribution-rules", {**body, "subscription": str(own.pk)}, status=201)
        assert AttributionRule.objects.get().subscription == own
