import json
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from marketplace.accounts.models import User
from marketplace.catalog.models import App
from metering.attribution import Dimensions
from quotas.incident_models import ExpectedUsage, Incident
from quotas.models import Limit
from tests.conftest import Cast
from tests.quotas.incident_world import HOUR, make_incident
from tests.quotas.test_incidents import make_open

PATH = "/api/v1/incidents"


@pytest.fixture
def throttled(who: Dimensions) -> Incident:
    return make_incident(who, at=timezone.now().replace(minute=0, second=0, microsecond=0) - 2 * HOUR)


def get(client: Client, person: User, path: str = PATH) -> Any:
    client.force_login(person)
    return client.get(path)


def post(client: Client, person: User, one: Incident, act: str, body: object) -> Any:
    client.force_login(person)
    return client.post(f"{PATH}/{one.pk}/{act}", json.dumps(body), content_type="application/json")


class TestIncidents:
    def test_are_listed_with_exact_amounts(
        self, cast: Cast, app: App, throttled: Incident, client: Client
    ) -> None:
        (found,) = get(client, cast.operator).json()["results"]

        assert (found["app"], found["kind"], found["state"]) == (app.slug, "cost", "throttled")
        assert (found["actual"], found["expected"], found["highest"]) == ("83", "24", "24")
        assert (found["volume"], found["mix"], found["price"], found["monthly_effect"]) == (
            "0",
            "59",
            "0",
            "1770",
        )
        assert found["acknowledged_by"] is None
        assert found["evidence"][0].startswith("It cost $83.00 in 24 hours")

    def test_are_narrowed(self, cast: Cast, app: App, throttled: Incident, client: Client) -> None:
        def count(query: str) -> int:
            return len(get(client, cast.operator, f"{PATH}?{query}").json()["results"])

        assert [count("state=throttled"), count("state=closed")] == [1, 0]
        assert [count("is_open=true"), count("is_open=false")] == [1, 0]
        assert [count(f"app={app.slug}"), count("app=other")] == [1, 0]

    def test_are_of_those_who_answer_for_them(self, cast: Cast, throttled: Incident, client: Client) -> None:
        assert get(client, cast.creator, f"{PATH}/{throttled.pk}").json()["id"] == str(throttled.pk)
        for person in (cast.consumer, cast.stranger):
            assert get(client, person).json()["results"] == []
            assert get(client, person, f"{PATH}/{throttled.pk}").status_code == 404
            assert post(client, person, throttled, "resume", {"reason": "x"}).status_code == 404


class TestResume:
    def test_lets_it_go_on_at_a_ceiling(self, cast: Cast, throttled: Incident, client: Client) -> None:
        answer = post(client, cast.operator, throttled, "resume", {"ceiling": "30", "reason": "Mended."})

        assert (answer.status_code, answer.json()["state"]) == (200, "resumed")
        assert answer.json()["resumed_by"] == "operator@demo.example"
        limit = Limit.objects.get(of_incident__purpose="ceiling")
        assert limit.limit_value == 30
        # Left out: as the thresholds say.
        assert limit.ends_at is not None
        assert limit.ends_at - limit.starts_at == timedelta(hours=72)

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"reason": "x"}, "ceiling"),
            ({"ceiling": 30.5, "reason": "x"}, "ceiling"),
            ({"ceiling": "30"}, "reason"),
            ({"ceiling": "30", "hours": 400, "reason": "x"}, "hours"),
            ({"ceiling": "30", "hours": "long", "reason": "x"}, "hours"),
            ({"ceiling": "30", "reason": "x", "other": 1}, "other"),
        ],
    )
    def test_names_the_field_that_is_wrong(
        self, cast: Cast, throttled: Incident, client: Client, body: dict[str, object], field: str
    ) -> None:
        answer = post(client, cast.operator, throttled, "resume", body)

        assert answer.status_code == 400
        assert [error["field"] for error in answer.json()["errors"]] == [field]

    def test_is_not_for_the_makers(self, cast: Cast, throttled: Incident, client: Client) -> None:
        answer = post(client, cast.creator, throttled, "resume", {"ceiling": "30", "reason": "It is fine."})

        assert answer.status_code == 403


class TestOtherActs:
    def test_go_their_way(self, cast: Cast, app: App, client: Client) -> None:
        one = make_open(app)
        operator = cast.operator

        assert (
            post(client, cast.creator, one, "acknowledge", {}).json()["acknowledged_by"]
            == "creator@demo.example"
        )
        slowed = post(client, operator, one, "throttle", {"requests_per_minute": 5, "reason": "Slowly."})
        assert slowed.json()["state"] == "throttled"
        assert Limit.objects.get(of_incident__incident=one).limit_value == 5
        assert post(client, operator, one, "pause", {"reason": "It goes on."}).json()["state"] == "paused"
        refused = post(client, operator, one, "close", {"reason": "Over."})
        assert (refused.status_code, refused.json()["code"]) == (409, "illegal_transition")
        post(client, operator, one, "resume", {"ceiling": "30", "hours": 1, "reason": "Mended."})
        assert (
            post(client, operator, one, "close", {"reason": "A loop."}).json()["closed_by"]
            == "operator@demo.example"
        )

    def test_slow_to_what_the_highest_day_cost(self, cast: Cast, app: App, client: Client) -> None:
        one = make_open(app)

        post(client, cast.operator, one, "throttle", {"reason": "Slowly."})

        # Without any requests: one a minute.
        assert Limit.objects.get(of_incident__incident=one).limit_value == 1

    def test_mark_as_expected(self, cast: Cast, app: App, client: Client) -> None:
        one = make_open(app)
        until = (timezone.now() + timedelta(days=2)).isoformat()

        answer = post(
            client, cast.operator, one, "expect", {"until": until, "up_to": "150", "reason": "A campaign."}
        )

        assert answer.json()["state"] == "closed"
        assert ExpectedUsage.objects.get().up_to == 150
