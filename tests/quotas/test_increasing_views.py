from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from marketplace.accounts.access import actor_for
from marketplace.accounts.models import User
from quotas import increase_decisions, increases, limits
from quotas.increase_models import Grant, IncreaseRequest
from quotas.limits import Terms
from quotas.owners import Owner, owner_of
from tests.conftest import Cast
from tests.quotas.increase_world import make_policy, make_request, make_wish

LIST = "/increases/"


def page(client: Client, person: User, path: str, **options: Any) -> str:
    client.force_login(person)
    answer = client.get(path, **options)
    assert answer.status_code == 200, answer.status_code
    return answer.content.decode()


def post(client: Client, person: User, path: str, **data: Any) -> Any:
    client.force_login(person)
    return client.post(path, data)


def ask_path(owner: Owner) -> str:
    return reverse("quotas:increase-ask", args=[owner.kind, owner.pk, "requests", "day"])


def typed(**fields: Any) -> dict[str, Any]:
    return {
        "requested": "5000",
        "reason": "The campaign begins on Monday.",
        "monthly_calls": "40000",
        "monthly_cost": "80",
        "last_day": f"{timezone.now() + timedelta(days=29):%Y-%m-%d}",
    } | fields


@pytest.fixture
def asked(cast: Cast, owner: Owner) -> IncreaseRequest:
    wish = make_wish(ends_at=timezone.now() + timedelta(days=30))
    return make_request(owner, cast.consumer, at=timezone.now(), wish=wish)


@pytest.fixture
def grant(cast: Cast, owner: Owner, room: None) -> Grant:
    make_policy(cast)
    wish = make_wish(1250, ends_at=timezone.now() + timedelta(days=10))
    return make_request(owner, cast.consumer, at=timezone.now(), wish=wish).grant


class TestAsk:
    def test_is_reached_from_the_limit_and_filled_with_a_quarter_more(
        self, cast: Cast, owner: Owner, client: Client
    ) -> None:
        limits = page(client, cast.consumer, reverse("quotas:limits", args=[owner.kind, owner.pk]))
        form = page(client, cast.consumer, ask_path(owner))

        assert f'href="{ask_path(owner)}"' in limits
        assert 'value="1250"' in form
        assert "now 1,000" in form

    def test_shows_the_chance_and_keeps_nothing(
        self, cast: Cast, owner: Owner, client: Client, room: None
    ) -> None:
        make_policy(cast)

        far = post(client, cast.consumer, ask_path(owner), act="look", **typed()).content.decode()
        near = post(
            client, cast.consumer, ask_path(owner), act="look", **typed(requested="1250")
        ).content.decode()

        assert "It goes to the cost review and then the capacity review." in far
        assert "Projected cost a month" in far
        assert "Within the policy: granted at once" in near
        assert not IncreaseRequest.objects.exists()

    def test_submits_and_shows_where_it_stands(self, cast: Cast, owner: Owner, client: Client) -> None:
        answer = post(client, cast.consumer, ask_path(owner), act="submit", **typed())

        made = IncreaseRequest.objects.get()
        assert answer.url == f"{LIST}{made.pk}/"
        shown = page(client, cast.consumer, answer.url)
        assert "Somebody on the paying side looks at what it costs." in shown
        assert "if nobody decides" in shown
        assert "The campaign begins on Monday." in shown

    def test_keeps_a_draft_that_can_be_changed_and_submitted(
        self, cast: Cast, owner: Owner, client: Client
    ) -> None:
        kept = post(client, cast.consumer, ask_path(owner), act="keep", **typed()).url
        assert "A draft that only you see" in page(client, cast.consumer, kept)
        assert client.get(kept).status_code == 200
        client.force_login(cast.operator)
        assert client.get(kept).status_code == 404

        assert 'value="5000"' in page(client, cast.consumer, f"{kept}edit/")
        post(client, cast.consumer, f"{kept}edit/", act="submit", **typed(requested="6000"))

        made = IncreaseRequest.objects.get()
        assert (made.state, made.requested) == ("cost_review", 6000)

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"requested": "1.5"}, "it must be a whole number"),
            ({"last_day": "2020-01-01"}, "must be after the start"),
            ({"monthly_cost": ""}, "This field is required"),
        ],
    )
    def test_says_what_is_wrong_at_its_field(
        self, cast: Cast, owner: Owner, client: Client, fields: dict[str, str], message: str
    ) -> None:
        answer = post(client, cast.consumer, ask_path(owner), act="submit", **typed(**fields))

        assert (answer.status_code, IncreaseRequest.objects.count()) == (200, 0)
        assert message in answer.content.decode()

    def test_warns_of_a_tighter_limit_elsewhere(self, cast: Cast, owner: Owner, client: Client) -> None:
        team = owner_of("team", cast.consumer_team)
        terms = Terms("requests", "day", Decimal(2000))
        limits.set_limit(team, terms=terms, by=actor_for(cast.operator), at=timezone.now())

        shown = post(client, cast.consumer, ask_path(owner), act="look", **typed()).content.decode()

        assert "Team Operations refuses from 2,000 on." in shown

    def test_is_not_for_others(self, cast: Cast, owner: Owner, client: Client) -> None:
        client.force_login(cast.stranger)
        assert client.get(ask_path(owner)).status_code == 404
        client.force_login(cast.approver)
        assert client.get(ask_path(owner)).status_code == 403


class TestRequest:
    def test_of_a_stranger_is_not_there(self, cast: Cast, asked: IncreaseRequest, client: Client) -> None:
        client.force_login(cast.stranger)

        assert client.get(f"{LIST}{asked.pk}/").status_code == 404
        assert client.post(f"{LIST}{asked.pk}/", {"act": "withdraw"}).status_code == 404
        assert client.get(f"{LIST}{asked.pk}/edit/").status_code == 404

    def test_is_taken_back_by_who_asked(self, cast: Cast, asked: IncreaseRequest, client: Client) -> None:
        path = f"{LIST}{asked.pk}/"
        assert "Take it back" not in page(client, cast.finance, path)
        assert "Take it back" in page(client, cast.consumer, path)

        post(client, cast.consumer, path, act="withdraw")

        asked.refresh_from_db()
        assert asked.state == "withdrawn"
        assert "Taken back" in page(client, cast.consumer, path)

    def test_shows_a_question_and_takes_the_answer(
        self, cast: Cast, asked: IncreaseRequest, client: Client
    ) -> None:
        path = f"{LIST}{asked.pk}/"
        increase_decisions.ask(
            asked, question="Which campaign?", by=actor_for(cast.finance), at=timezone.now()
        )
        assert "Which campaign?" in page(client, cast.consumer, path)

        assert post(client, cast.consumer, path, act="answer", text="").status_code == 200
        post(client, cast.consumer, path, act="answer", text="The one in winter.")

        asked.refresh_from_db()
        assert asked.state == "cost_review"
        assert "The one in winter." in page(client, cast.finance, path)

    def test_says_that_somebody_was_faster(self, cast: Cast, asked: IncreaseRequest, client: Client) -> None:
        increases.withdraw(asked, by=actor_for(cast.consumer), at=timezone.now())

        answer = post(client, cast.consumer, f"{LIST}{asked.pk}/", act="withdraw")

        assert answer.status_code == 200
        assert "is withdrawn and cannot become withdrawn" in answer.content.decode()

    def test_extends_a_grant(self, cast: Cast, grant: Grant, client: Client) -> None:
        path = f"{LIST}{grant.request_id}/"
        assert "Ask to extend" in page(client, cast.consumer, path)
        later = f"{timezone.now() + timedelta(days=20):%Y-%m-%d}"

        answer = post(client, cast.consumer, path, act="extend", last_day=later, reason="Still needed.")

        made = IncreaseRequest.objects.get(extends=grant)
        assert answer.url == f"{LIST}{made.pk}/"
        assert made.state == "auto_approved"

    def test_revokes_a_grant_with_a_reason(self, cast: Cast, grant: Grant, client: Client) -> None:
        path = f"{LIST}{grant.request_id}/"

        assert "wants" not in post(client, cast.operator, path, act="revoke", text="").content.decode()
        post(client, cast.operator, path, act="revoke", text="No room.")

        grant.refresh_from_db()
        assert grant.state == "revoked"

    def test_asks_few_questions(
        self, cast: Cast, grant: Grant, client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        client.force_login(cast.consumer)

        with django_assert_max_num_queries(16):
            client.get(f"{LIST}{grant.request_id}/")


class TestList:
    def test_shows_own_and_what_one_may_see(self, cast: Cast, asked: IncreaseRequest, client: Client) -> None:
        assert str(asked.pk) in page(client, cast.consumer, LIST)
        assert str(asked.pk) in page(client, cast.operator, LIST)
        assert str(asked.pk) not in page(client, cast.stranger, LIST)
        assert str(asked.pk) in page(client, cast.finance, f"{LIST}?whose=waiting")
        assert str(asked.pk) not in page(client, cast.operator, f"{LIST}?whose=waiting")
        assert str(asked.pk) in page(client, cast.consumer, f"{LIST}?whose=mine&state=open")
        assert "No requests like that" in page(client, cast.consumer, f"{LIST}?state=denied")

    def test_asks_as_often_for_many(
        self, cast: Cast, owner: Owner, client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        for number in range(12):
            wish = make_wish(5000 + number, ends_at=timezone.now() + timedelta(days=30))
            make_request(owner, cast.consumer, at=timezone.now(), wish=wish)
        client.force_login(cast.operator)

        with django_assert_max_num_queries(12):
            client.get(LIST)
