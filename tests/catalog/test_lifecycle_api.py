from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from marketplace.catalog import price_changes
from marketplace.catalog.models import App, Version
from marketplace.catalog.plan_terms import PlanTerms
from marketplace.catalog.version_models import PriceChange
from tests import factories
from tests.catalog.making import approve_next, make_live
from tests.catalog.test_api_apps import client_of
from tests.conftest import Cast

API = "/api/v1"


@pytest.fixture
def app(cast: Cast) -> App:
    """A live app that somebody is subscribed to."""
    app = make_live(cast, plan=PlanTerms(fee=Decimal(10)))
    factories.make_subscription(app, cast.consumer_team, created_by=cast.consumer, plan=app.plans.get())
    return app


@pytest.fixture
def first(cast: Cast) -> APIClient:
    return client_of(cast.approver)


@pytest.fixture
def second(cast: Cast) -> APIClient:
    person = factories.make_user()
    factories.join(person, None, "approver", organization=cast.company)
    return client_of(person)


def propose(client: APIClient, app: App, **more: Any) -> Any:
    return client.post(
        f"{API}/takedowns", {"app": app.slug, "reason": "It leaks names.", **more}, format="json"
    )


class TestTakedowns:
    def test_are_proposed_by_one_and_approved_by_another(
        self, cast: Cast, app: App, first: APIClient, second: APIClient
    ) -> None:
        made = propose(first, app)
        assert (made.status_code, made.json()["state"]) == (201, "proposed")
        path = f"{API}/takedowns/{made.json()['id']}"

        assert first.post(f"{path}/approve").status_code == 403
        done = second.post(f"{path}/approve", {"note": "Seen it."})

        assert (done.status_code, done.json()["state"], done.json()["decision_note"]) == (
            200,
            "done",
            "Seen it.",
        )
        assert app.versions.get().state == "suspended"
        assert second.post(f"{path}/approve").status_code == 409

    def test_are_refused_and_taken_back(self, app: App, first: APIClient, second: APIClient) -> None:
        path = f"{API}/takedowns/{propose(first, app).json()['id']}"
        assert second.post(f"{path}/reject", {"note": ""}).status_code == 400
        assert second.post(f"{path}/reject", {"note": "It does not."}).json()["state"] == "rejected"

        path = f"{API}/takedowns/{propose(first, app).json()['id']}"
        assert second.post(f"{path}/withdraw").status_code == 403
        assert first.post(f"{path}/withdraw").json()["state"] == "withdrawn"

    def test_are_appealed_against_by_makers_and_undone_by_a_third(
        self, cast: Cast, app: App, first: APIClient, second: APIClient
    ) -> None:
        path = f"{API}/takedowns/{propose(first, app).json()['id']}"
        second.post(f"{path}/approve")
        third = factories.make_user()
        factories.join(third, None, "approver", organization=cast.company)

        appeal = client_of(cast.creator).post(f"{path}/appeal", {"text": "It reads no names at all."})
        assert appeal.status_code == 201
        decide = f"{API}/appeals/{appeal.json()['id']}/grant"
        assert second.post(decide, {"note": "x"}).status_code == 403
        assert client_of(third).post(decide, {"note": "They are right."}).json()["state"] == "granted"

        assert app.versions.get().state == "listed"

    @pytest.mark.parametrize("who", ["stranger", "consumer", "finance"])
    def test_are_unknown_to_everybody_else(self, cast: Cast, app: App, first: APIClient, who: str) -> None:
        path = f"{API}/takedowns/{propose(first, app).json()['id']}"
        client = client_of(getattr(cast, who))

        assert client.get(f"{API}/takedowns").json()["results"] == []
        assert client.get(path).status_code == 404
        for act in ("approve", "reject", "withdraw", "appeal"):
            assert client.post(f"{path}/{act}", {"note": "x", "text": "x"}).status_code == 404
        assert propose(client, app).status_code == 403
        assert app.versions.get().state == "listed"


class TestPriceChanges:
    @pytest.fixture
    def rise(self, cast: Cast, app: App) -> PriceChange:
        approve_next(cast, app, plan=PlanTerms(fee=Decimal(50)))
        return PriceChange.objects.get()

    def test_are_approved_by_a_second_person_and_begin_after_notice(
        self, cast: Cast, rise: PriceChange, second: APIClient
    ) -> None:
        path = f"{API}/price-changes/{rise.pk}"
        shown = second.get(path).json()
        assert (shown["is_rise"], shown["old_plan"]["fee"], shown["new_plan"]["fee"]) == (True, "10", "50")
        assert client_of(cast.approver).post(f"{path}/approve").status_code == 403

        done = second.post(f"{path}/approve").json()

        rise.refresh_from_db()
        assert (done["state"], rise.state) == ("announced", "announced")
        assert rise.starts_at is not None and rise.decided_at is not None
        assert rise.starts_at - rise.decided_at == timedelta(days=30)

    def test_are_called_off_by_makers(self, cast: Cast, rise: PriceChange, second: APIClient) -> None:
        path = f"{API}/price-changes/{rise.pk}/call-off"
        assert second.post(path, {"note": "No."}).status_code == 403

        done = client_of(cast.creator).post(path, {"note": "Too soon."})

        assert (done.status_code, done.json()["state"]) == (200, "withdrawn")

    @pytest.mark.parametrize("who", ["stranger", "consumer"])
    def test_are_unknown_to_everybody_else(self, cast: Cast, rise: PriceChange, who: str) -> None:
        client = client_of(getattr(cast, who))

        assert client.get(f"{API}/price-changes").json()["results"] == []
        for act in ("approve", "reject", "call-off"):
            assert client.post(f"{API}/price-changes/{rise.pk}/{act}", {"note": "x"}).status_code == 404
        assert price_changes.PriceChange.objects.get().state == "proposed"


class TestDeprecations:
    def body(self, app: App, *, days: int = 60) -> dict[str, str]:
        ends_at = (timezone.now() + timedelta(days=days)).isoformat()
        return {"app": app.slug, "ends_at": ends_at, "reason": "Its model ends."}

    def test_are_announced_and_withdrawn_by_makers(self, cast: Cast, app: App) -> None:
        maker = client_of(cast.creator)

        made = maker.post(f"{API}/deprecations", self.body(app))

        assert (made.status_code, made.json()["state"]) == (201, "announced")
        path = f"{API}/deprecations/{made.json()['id']}/withdraw"
        assert maker.post(path, {}).status_code == 400
        assert maker.post(path, {"reason": "It goes on."}).json()["state"] == "withdrawn"

    def test_give_those_who_subscribed_their_time(self, cast: Cast, app: App) -> None:
        early = client_of(cast.creator).post(f"{API}/deprecations", self.body(app, days=5))

        assert early.status_code == 400
        assert "Who is subscribed has 30 days" in early.content.decode()

    def test_know_their_successor(self, cast: Cast, app: App) -> None:
        unknown = {**self.body(app), "successor": "nothing-here"}

        assert client_of(cast.creator).post(f"{API}/deprecations", unknown).status_code == 400

    @pytest.mark.parametrize("who", ["stranger", "consumer", "approver"])
    def test_are_for_makers_alone(self, cast: Cast, app: App, who: str) -> None:
        made = client_of(cast.creator).post(f"{API}/deprecations", self.body(app)).json()
        client = client_of(getattr(cast, who))

        assert client.get(f"{API}/deprecations").json()["results"] == []
        path = f"{API}/deprecations/{made['id']}"
        assert client.get(path).status_code == 404
        assert client.post(f"{path}/withdraw", {"reason": "x"}).status_code == 404
        assert client.post(f"{API}/deprecations", self.body(app)).status_code == 403


class TestRollbacks:
    def test_put_an_earlier_version_live_again(self, cast: Cast, app: App) -> None:
        approve_next(cast, app, max_output_tokens=300)
        body = {"app": app.slug, "version": 1, "reason": "Answers were cut."}

        done = client_of(cast.creator).post(f"{API}/rollbacks", body)

        assert (done.status_code, done.json()) == (200, {"app": app.slug, "version": 1, "state": "listed"})
        assert Version.objects.get(app=app, number=2).state == "deprecated"

    @pytest.mark.parametrize("who", ["stranger", "consumer"])
    def test_know_no_version_for_everybody_else(self, cast: Cast, app: App, who: str) -> None:
        body = {"app": app.slug, "version": 1, "reason": "x"}

        assert client_of(getattr(cast, who)).post(f"{API}/rollbacks", body).status_code == 404


class TestAutoApprovalPolicies:
    TERMS = {"max_risk": 20, "max_monthly_cost": "10", "sample_percent": 25}
    PATH = f"{API}/auto-approval-policies"

    def test_are_proposed_activated_by_another_and_switched_off(self, cast: Cast, first: APIClient) -> None:
        operator = client_of(cast.operator)
        made = operator.post(self.PATH, {**self.TERMS, "reason": "Small changes wait for days."})
        assert (made.status_code, made.json()["number"], made.json()["max_monthly_cost"]) == (201, 1, "10")

        assert operator.post(f"{self.PATH}/1/activate").status_code == 403
        assert first.post(f"{self.PATH}/1/activate").json()["state"] == "active"
        assert operator.post(f"{self.PATH}/switch-off", {"reason": ""}).status_code == 400
        assert operator.post(f"{self.PATH}/switch-off", {"reason": "Too many."}).status_code == 204

        assert first.get(f"{self.PATH}/1").json()["state"] == "ended"

    def test_are_tried_on_what_people_decided(self, cast: Cast, first: APIClient) -> None:
        make_live(cast)

        tried = first.post(f"{self.PATH}/try", {**self.TERMS, "allows_first": True}, format="json")

        assert tried.status_code == 200
        assert set(tried.json()) == {"decided", "automatic", "people_refused", "unknown"}

    @pytest.mark.parametrize("who", ["stranger", "creator", "finance"])
    def test_are_not_for_everybody_else(self, cast: Cast, first: APIClient, who: str) -> None:
        first.post(self.PATH, {**self.TERMS, "reason": "x"})
        client = client_of(getattr(cast, who))

        if who != "stranger":
            assert client.get(self.PATH).json()["results"] == []
            assert client.get(f"{self.PATH}/1").status_code == 404
        assert first.get(f"{self.PATH}/one").status_code == 404
        assert client.post(self.PATH, {**self.TERMS, "reason": "x"}).status_code == 403
        assert client.post(f"{self.PATH}/try", self.TERMS).status_code == 403
        assert client.post(f"{self.PATH}/switch-off", {"reason": "x"}).status_code == 403
