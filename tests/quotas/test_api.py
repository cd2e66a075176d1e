from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from marketplace.accounts.models import User
from marketplace.accounts.people import issue_personal_key
from quotas.models import Limit, LimitCounter
from tests.conftest import Cast
from tests.metering.usage_world import World

URL = "/api/v1/limits"


@pytest.fixture
def ask(client: Client) -> Any:
    def get(person: User, **parameters: Any) -> Any:
        client.force_login(person)
        return client.get(URL, parameters)

    return get


@pytest.fixture
def post(client: Client) -> Any:
    def send(person: User, kind: str, id_: Any, **terms: Any) -> Any:
        client.force_login(person)
        body = {
            "owner": {"kind": kind, "id": id_},
            "measure": "requests",
            "window": "day",
            "limit": "100",
        } | terms
        return client.post(URL, body, content_type="application/json")

    return send


class TestList:
    def test_shows_used_held_and_what_is_effective(self, cast: Cast, world: World, ask: Any) -> None:
        limit = Limit.objects.get(subscription=world.subscription, window="day")
        now = timezone.now()
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        LimitCounter.objects.create(
            limit=limit, window_starts_at=midnight, window_ends_at=midnight + timedelta(days=1),
            is_hard=True, ceiling=1000, spent=12, held=3,
        )  # fmt: skip

        body = ask(cast.consumer, owner_kind="subscription", owner_id=str(world.subscription.pk)).json()

        daily, monthly = body["results"]
        assert (daily["limit"], daily["used"], daily["held"], daily["remaining"]) == (
            "1000",
            "12",
            "3",
            "985",
        )
        assert (daily["measure"], daily["window"], daily["mode"]) == ("requests", "day", "hard")
        assert daily["owner"]["id"] == str(world.subscription.pk)
        assert daily["is_default"] is True
        # The app may be called 10,000 times a day: the plan's 1,000 are reached before.
        assert daily["effective"]["owner"]["kind"] == "subscription"
        assert (monthly["window"], monthly["used"], monthly["currency"]) == ("month", "0", None)

    def test_explains_which_owner_binds(self, cast: Cast, world: World, ask: Any, post: Any) -> None:
        post(cast.operator, "team", "team-ops", limit="5")

        daily = ask(cast.consumer, owner_kind="subscription", owner_id=str(world.subscription.pk)).json()[
            "results"
        ][0]

        assert daily["effective"]["owner"] == {"kind": "team", "id": "team-ops", "label": "Operations"}

    def test_lists_everything_one_may_see_without_an_owner(self, cast: Cast, world: World, ask: Any) -> None:
        kinds = {row["owner"]["kind"] for row in ask(cast.consumer).json()["results"]}

        assert kinds == {"subscription"}

    @pytest.mark.parametrize(
        ("kind", "id_", "status"),
        [("planet", "earth", 400), ("team", "", 404), ("", "team-ops", 400), ("team", "nobody", 404)],
    )
    def test_answers_mistakes(self, cast: Cast, ask: Any, kind: str, id_: str, status: int) -> None:
        assert ask(cast.consumer, owner_kind=kind, owner_id=id_).status_code == status

    def test_hides_everything_of_others_from_the_stranger(self, cast: Cast, world: World, ask: Any) -> None:
        for kind, id_ in (
            ("team", "team-ops"),
            ("subscription", world.subscription.pk),
            ("app", "where2eat"),
        ):
            assert ask(cast.stranger, owner_kind=kind, owner_id=str(id_)).status_code == 404
        ours = {row["owner"]["id"] for row in ask(cast.stranger).json()["results"]}
        assert ours == {str(world.stranger_subscription.pk)}


class TestCreate:
    def test_sets_a_limit_and_answers_where_it_stands(self, cast: Cast, post: Any) -> None:
        answer = post(cast.operator, "team", "team-ops", limit="100")

        assert answer.status_code == 201
        body = answer.json()
        assert (body["limit"], body["used"], body["held"], body["mode"]) == ("100", "0", "0", "hard")
        assert body["owner"] == {"kind": "team", "id": "team-ops", "label": "Operations"}
        assert body["effective"]["id"] == body["id"]

    def test_changes_the_one_that_is_there(self, cast: Cast, post: Any) -> None:
        first = post(cast.operator, "team", "team-ops", limit="100")

        second = post(cast.operator, "team", "team-ops", limit="50")

        assert (second.status_code, second.json()["id"]) == (200, first.json()["id"])
        assert Limit.objects.get(pk=first.json()["id"]).limit_value == 50

    def test_takes_numbers_of_rows_and_of_json(self, cast: Cast, post: Any) -> None:
        answer = post(cast.operator, "cost_center", cast.cost_center.pk, limit=7)

        assert answer.json()["owner"]["id"] == "CC-100"
        assert answer.json()["limit"] == "7"

    def test_sets_money_exactly(self, cast: Cast, post: Any) -> None:
        answer = post(
            cast.finance,
            "organization",
            "demo",
            measure="cost",
            window="month",
            limit="99.95",
            currency="USD",
        )

        assert (answer.json()["limit"], answer.json()["currency"]) == ("99.95", "USD")
        assert Limit.objects.get(pk=answer.json()["id"]).limit_value == Decimal("99.95")

    def test_needs_no_window_for_calls_at_a_time(self, cast: Cast, post: Any) -> None:
        answer = post(cast.operator, "team", "team-ops", measure="concurrency", window=None, limit="4")

        assert answer.status_code == 201
        assert answer.json()["resets_at"] is None

    @pytest.mark.parametrize(
        ("terms", "field"),
        [
            ({"measure": "cost", "currency": "EUR"}, "currency"),
            ({"measure": "cost"}, "currency"),
            ({"currency": "USD"}, "currency"),
            ({"limit": 1.5}, "limit"),
            ({"limit": "-1"}, "limit"),
            ({"limit": "1.5"}, "limit"),
            ({"limit": None}, "limit"),
            ({"limit": "1e3"}, "limit"),
            ({"measure": "smiles"}, "measure"),
            ({"measure": None}, "measure"),
            ({"window": "year"}, "window"),
            ({"mode": "strict"}, "mode"),
            ({"starts_at": "soon"}, "starts_at"),
            ({"ends_at": "2001-01-01"}, "ends_at"),
            ({"owner": "team-ops"}, "owner"),
            ({"owner": {"kind": "team", "id": None}}, "owner.id"),
            ({"owner": {"kind": "planet", "id": "earth"}}, "owner.kind"),
            ({"limits": "1"}, "limits"),
        ],
    )
    def test_names_the_field_that_is_wrong(
        self, cast: Cast, post: Any, terms: dict[str, Any], field: str
    ) -> None:
        answer = post(cast.operator, "team", "team-ops", **terms)

        assert answer.status_code == 400
        assert [error["field"] for error in answer.json()["errors"]] == [field]

    def test_refuses_a_body_that_is_no_object(self, cast: Cast, client: Client) -> None:
        client.force_login(cast.operator)

        assert client.post(URL, [1], content_type="application/json").status_code == 400

    def test_is_not_for_everybody_who_sees(self, cast: Cast, post: Any) -> None:
        assert post(cast.consumer, "team", "team-ops").status_code == 403
        assert post(cast.approver, "team", "team-ops").status_code == 403

    def test_does_not_exist_for_the_stranger(self, cast: Cast, world: World, post: Any) -> None:
        for kind, id_ in (("team", "team-ops"), ("organization", "demo"), ("key", str(world.key.pk))):
            assert post(cast.stranger, kind, id_).status_code == 404
        assert not Limit.objects.filter(is_default=False).exists()

    def test_wants_a_key(self, db: None, client: Client) -> None:
        assert client.post(URL, {}, content_type="application/json").status_code == 401

    def test_takes_a_personal_key(self, cast: Cast, client: Client) -> None:
        _, secret = issue_personal_key(cast.operator, by=cast.operator, at=timezone.now())
        body = {
            "owner": {"kind": "team", "id": "team-ops"},
            "measure": "requests",
            "window": "day",
            "limit": "1",
        }

        answer = client.post(
            URL, body, content_type="application/json", headers={"Authorization": f"Bearer {secret}"}
        )

        assert answer.status_code == 201


class TestModelClassAndTimeZone:
    def test_are_part_of_a_limit(self, cast: Cast, post: Any) -> None:
        body = post(cast.operator, "team", "team-ops", model_class="large", time_zone="Asia/Tokyo").json()

        assert (body["model_class"], body["time_zone"]) == ("large", "Asia/Tokyo")

    @pytest.mark.parametrize(
        ("field", "value"), [("model_class", "huge"), ("time_zone", "Mars/Base"), ("time_zone", 3)]
    )
    def test_are_named_when_they_are_wrong(self, cast: Cast, post: Any, field: str, value: Any) -> None:
        answer = post(cast.operator, "team", "team-ops", **{field: value})

        assert answer.status_code == 400
        assert answer.json()["errors"][0]["field"] == field


class TestExplain:
    def test_tells_the_chain_and_what_binds(
        self, cast: Cast, world: World, client: Client, post: Any
    ) -> None:
        post(cast.operator, "team", "team-ops", limit="5", window="month")
        client.force_login(cast.consumer)

        body = client.get(
            f"{URL}/explain",
            {"owner_kind": "subscription", "owner_id": str(world.subscription.pk), "model": "llm-8b"},
        ).json()

        kinds = [link["owner"]["kind"] for link in body["chain"]]
        assert kinds == ["organization", "cost_center", "team", "app", "subscription"]
        assert body["binds"]["owner"]["id"] == "team-ops"
        assert body["binds"]["limit"] == "5"
        assert body["is_refusing"] is False
        assert body["next"]["owner"]["kind"] in ("app", "subscription")
        assert "nearest to its end is calls a month of team Operations" in body["sentence"]
        (of_team,) = body["chain"][2]["limits"]
        assert (of_team["is_tightest"], of_team["remaining"]) == (True, "3")

    @pytest.mark.parametrize(
        "wrong", [{"model": "llm-1t"}, {"environment": "moon"}, {"owner_kind": "planet"}]
    )
    def test_names_what_is_wrong(
        self, cast: Cast, world: World, client: Client, wrong: dict[str, str]
    ) -> None:
        client.force_login(cast.consumer)
        asked = {"owner_kind": "subscription", "owner_id": str(world.subscription.pk)} | wrong

        assert client.get(f"{URL}/explain", asked).status_code == 400

    def test_does_not_exist_for_a_stranger(self, cast: Cast, world: World, client: Client) -> None:
        client.force_login(cast.stranger)
        asked = {"owner_kind": "subscription", "owner_id": str(world.subscription.pk)}

        assert client.get(f"{URL}/explain", asked).status_code == 404


class TestHistory:
    def test_tells_who_did_what(self, cast: Cast, client: Client, post: Any) -> None:
        limit_id = post(cast.operator, "team", "team-ops", note="trial").json()["id"]
        post(cast.operator, "team", "team-ops", limit="7", note="too much")

        changed, made = client.get(f"{URL}/{limit_id}/history").json()["results"]

        assert (made["action"], made["by"], made["reason"]) == ("set", "operator@demo.example", "trial")
        assert made["old"] is None
        assert (changed["old"]["limit"], changed["new"]["limit"]) == ("100", "7")

    def test_does_not_exist_for_a_stranger(self, cast: Cast, client: Client, post: Any) -> None:
        limit_id = post(cast.operator, "team", "team-ops").json()["id"]
        client.force_login(cast.stranger)

        for named in (limit_id, "x", "9" * 30):
            assert client.get(f"{URL}/{named}/history").status_code == 404
