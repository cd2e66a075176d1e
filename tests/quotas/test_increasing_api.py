from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from marketplace.accounts.models import User
from quotas.increase_models import Grant, IncreaseRequest
from quotas.owners import Owner
from tests.conftest import Cast
from tests.quotas.increase_world import make_policy, make_request, make_wish


@pytest.fixture
def call(client: Client) -> Any:
    def send(person: User, path: str, body: Any = None, *, status: int = 200, key: str = "") -> Any:
        client.force_login(person)
        address = f"/api/v1/{path}"
        headers = {"Idempotency-Key": key} if key else {}
        answer = (
            client.post(address, body, content_type="application/json", headers=headers)
            if body is not None
            else client.get(address)
        )
        assert answer.status_code == status, answer.content
        return answer.json()

    return send


def in_days(days: int) -> datetime:
    return timezone.now().replace(microsecond=0) + timedelta(days=days)


def body_of(owner: Owner, **fields: Any) -> dict[str, Any]:
    return {
        "owner": {"kind": "subscription", "id": owner.id},
        "measure": "requests",
        "window": "day",
        "requested": "5000",
        "reason": "The campaign begins on Monday.",
        "projection": {"monthly_calls": "40000", "monthly_cost": "80"},
        "ends_at": in_days(30).isoformat(),
    } | fields


class TestAsking:
    def test_goes_over_two_reviews_to_a_grant(self, cast: Cast, owner: Owner, call: Any) -> None:
        make_policy(cast)
        made = call(cast.consumer, "increase-requests", body_of(owner), status=201)
        assert (made["state"], made["current"], made["requested"], made["granted"]) == (
            "cost_review", "1000", "5000", None,
        )  # fmt: skip
        path = f"increase-requests/{made['id']}"

        passed = call(cast.finance, f"{path}/approve", {"granted": "4000", "reason": "Enough."})
        assert (passed["state"], passed["granted"]) == ("capacity_review", None)
        done = call(cast.operator, f"{path}/approve", {})

        assert (done["state"], done["requested"], done["granted"]) == ("partially_approved", "5000", "4000")
        assert (done["grant"]["state"], done["grant"]["value"]) == ("active", "4000")
        assert [one["decided_by"] for one in done["decisions"]] == [cast.finance.email, cast.operator.email]
        limits = call(cast.consumer, f"limits?owner_kind=subscription&owner_id={owner.id}")["results"]
        daily = next(one for one in limits if one["window"] == "day")
        assert (daily["limit"], daily["limit_without_grant"]) == ("4000", "1000")

    def test_with_the_same_key_returns_the_first_result(self, cast: Cast, owner: Owner, call: Any) -> None:
        body = body_of(owner)
        first = call(cast.consumer, "increase-requests", body, status=201, key="k1")

        assert call(cast.consumer, "increase-requests", body, key="k1")["id"] == first["id"]
        refused = call(cast.consumer, "increase-requests", body | {"requested": "6000"}, status=409, key="k1")
        assert refused["code"] == "idempotency_key_reused"
        assert IncreaseRequest.objects.count() == 1

    def test_lowers_at_once(self, cast: Cast, owner: Owner, call: Any) -> None:
        made = call(cast.consumer, "increase-requests", body_of(owner, requested="10"), status=201)

        assert (made["state"], made["granted"], made["grant"]) == ("auto_approved", "10", None)

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"requested": "many"}, "requested"),
            ({"requested": None}, "requested"),
            ({"projection": None}, "projection"),
            ({"projection": {"monthly_calls": "1"}}, "projection.monthly_cost"),
            ({"projection": {"monthly_calls": "1", "monthly_cost": "1", "x": 1}}, "projection.x"),
            ({"owner": "team-ux"}, "owner"),
            ({"owner": {"kind": "planet", "id": "x"}}, "owner.kind"),
            ({"ends_at": "soon"}, "ends_at"),
            ({"currency": "EUR"}, "currency"),
            ({"reason": ""}, "reason"),
            ({"limit": "5"}, "limit"),
        ],
    )
    def test_names_the_wrong_field(
        self, cast: Cast, owner: Owner, call: Any, fields: dict[str, Any], field: str
    ) -> None:
        answer = call(cast.consumer, "increase-requests", body_of(owner) | fields, status=400)

        assert [error["field"] for error in answer["errors"]] == [field]

    def test_refuses_a_float(self, cast: Cast, owner: Owner, client: Client) -> None:
        client.force_login(cast.consumer)
        text = '{"owner": {"kind": "subscription", "id": "%s"}, "measure": "requests", "window": "day", "requested": 1.5, '
        text += '"reason": "x", "projection": {"monthly_calls": "1", "monthly_cost": "1"}}'

        answer = client.post("/api/v1/increase-requests", text % owner.id, content_type="application/json")

        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "requested")

    def test_is_not_for_strangers(self, cast: Cast, owner: Owner, call: Any) -> None:
        call(cast.stranger, "increase-requests", body_of(owner), status=404)
        call(cast.stranger, "increase-requests/preview", body_of(owner), status=404)
        call(cast.approver, "increase-requests", body_of(owner), status=403)


class TestPreview:
    def test_says_what_the_policy_would_say_and_asks_for_nothing(
        self, cast: Cast, owner: Owner, call: Any, room: None
    ) -> None:
        make_policy(cast)

        near = call(cast.consumer, "increase-requests/preview", body_of(owner, requested="1250"))
        far = call(cast.consumer, "increase-requests/preview", body_of(owner))

        assert (near["is_automatic"], near["levels"]) == (True, [])
        assert (far["is_automatic"], far["levels"]) == (False, ["cost_review", "capacity_review"])
        assert [(rule["rule"], rule["found"]) for rule in far["rules"] if not rule["passed"]] == [
            ("increase", "400 %")
        ]
        assert not IncreaseRequest.objects.exists()


class TestDeciding:
    def test_of_strangers_finds_nothing(self, cast: Cast, owner: Owner, call: Any) -> None:
        request = make_request(owner, cast.consumer, at=timezone.now())
        path = f"increase-requests/{request.pk}"

        call(cast.stranger, path, status=404)
        for what in ("approve", "deny", "needs-info", "answer", "withdraw", "extend"):
            call(cast.stranger, f"{path}/{what}", {}, status=404)
        call(cast.consumer, f"{path}/approve", {}, status=403)
        call(cast.operator, f"{path}/deny", {"reason": "No."}, status=403)
        call(cast.operator, f"{path}/withdraw", {}, status=403)

    def test_stops_the_clock_for_a_question(self, cast: Cast, owner: Owner, call: Any) -> None:
        request = make_request(owner, cast.consumer, at=timezone.now())
        path = f"increase-requests/{request.pk}"

        assert call(cast.finance, f"{path}/needs-info", {"question": "Which?"})["state"] == "needs_info"
        assert call(cast.consumer, f"{path}/answer", {"answer": "Winter."})["state"] == "cost_review"

    def test_denies_with_a_reason(self, cast: Cast, owner: Owner, call: Any) -> None:
        request = make_request(owner, cast.consumer, at=timezone.now())
        path = f"increase-requests/{request.pk}/deny"

        assert call(cast.finance, path, {}, status=400)["errors"][0]["field"] == "reason"
        assert call(cast.finance, path, {"reason": "Not this month."})["state"] == "denied"
        again = call(cast.finance, path, {"reason": "Not this month."}, status=409)
        assert again["code"] == "already_decided"

    def test_lets_the_requester_take_it_back(self, cast: Cast, owner: Owner, call: Any) -> None:
        request = make_request(owner, cast.consumer, at=timezone.now())

        assert call(cast.consumer, f"increase-requests/{request.pk}/withdraw", {})["state"] == "withdrawn"


class TestGrants:
    @pytest.fixture
    def grant(self, cast: Cast, owner: Owner, room: None) -> Grant:
        make_policy(cast)
        wish = make_wish(1250, ends_at=in_days(10))
        return make_request(owner, cast.consumer, at=timezone.now(), wish=wish).grant

    def test_are_extended_by_a_request_of_their_own(self, cast: Cast, grant: Grant, call: Any) -> None:
        asked = {"ends_at": in_days(20).isoformat(), "reason": "Still needed."}

        made = call(cast.consumer, f"increase-requests/{grant.request_id}/extend", asked, status=201)

        assert (made["extends"], made["requested"], made["state"]) == (str(grant.pk), "1250", "auto_approved")
        assert made["grant"]["state"] == "scheduled"

    def test_are_listed_and_revoked(self, cast: Cast, grant: Grant, call: Any) -> None:
        assert [one["id"] for one in call(cast.consumer, "grants?state=active")["results"]] == [str(grant.pk)]
        assert call(cast.stranger, "grants")["results"] == []
        call(cast.stranger, f"grants/{grant.pk}/revoke", {"reason": "x"}, status=404)
        call(cast.operator, f"grants/{grant.pk}/revoke", {}, status=400)

        revoked = call(cast.operator, f"grants/{grant.pk}/revoke", {"reason": "No room."})

        assert revoked["state"] == "revoked"


class TestList:
    def test_filters_by_what_is_obvious(self, cast: Cast, owner: Owner, call: Any) -> None:
        now = timezone.now()
        old = make_request(owner, cast.consumer, at=now)
        new = make_request(owner, cast.consumer, at=now, wish=make_wish(6000, ends_at=in_days(9)))
        other = make_request(
            owner, cast.consumer, at=now, wish=make_wish(30_000, window="month", ends_at=in_days(9))
        )

        def found(query: str, person: User = cast.consumer) -> set[str]:
            return {one["id"] for one in call(person, f"increase-requests?{query}")["results"]}

        assert found("") == {str(old.pk), str(new.pk), str(other.pk)}
        assert found("state=superseded") == {str(old.pk)}
        assert found("open=true") == {str(new.pk), str(other.pk)}
        assert found("window=month") == {str(other.pk)}
        assert found(f"owner_kind=subscription&owner_id={owner.id}") == found("")
        assert found("owner_kind=team") == set()
        assert found("requester=me", cast.finance) == set()
        assert found("decidable=true", cast.finance) == {str(new.pk), str(other.pk)}
        assert found("decidable=true", cast.operator) == set()
        assert found("", cast.stranger) == set()
        call(cast.consumer, "increase-requests?state=lost", status=400)

    def test_asks_as_often_for_many_as_for_one(self, cast: Cast, owner: Owner, client: Client) -> None:
        client.force_login(cast.operator)

        def count() -> int:
            with CaptureQueriesContext(connection) as caught:
                assert client.get("/api/v1/increase-requests").status_code == 200
            return len(caught)

        make_request(owner, cast.consumer, at=timezone.now())
        one = count()
        for number in range(5):
            wish = make_wish(6000 + number, ends_at=in_days(9))
            make_request(owner, cast.consumer, at=timezone.now(), wish=wish)

        assert count() == one <= 12
