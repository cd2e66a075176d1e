import re

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries, Settings

from marketplace.accounts import keys, people
from marketplace.accounts.models import ApiKey
from marketplace.core.notices import notify
from tests.conftest import Cast
from tests.factories import NOW, make_user

BUDGET = 12


@pytest.fixture
def consumer(cast: Cast, client: Client) -> Client:
    client.force_login(cast.consumer)
    return client


class TestEnter:
    @pytest.mark.parametrize("role", ["creator", "consumer", "approver", "finance", "operator"])
    def test_signs_in_with_one_click_in_the_demo(
        self, cast: Cast, client: Client, settings: Settings, role: str
    ) -> None:
        settings.DEMO = True

        response = client.post(f"/enter/{role}/")

        assert (response.status_code, response["Location"]) == (302, "/")
        assert client.session["_auth_user_id"] == str(getattr(cast, role).pk)

    def test_is_not_there_without_the_demo(self, cast: Cast, client: Client, settings: Settings) -> None:
        settings.DEMO = False

        assert client.post("/enter/finance/").status_code == 404
        assert "_auth_user_id" not in client.session

    def test_knows_no_other_person(self, cast: Cast, client: Client, settings: Settings) -> None:
        settings.DEMO = True
        make_user("root@demo.example", is_superuser=True)

        assert client.post("/enter/root/").status_code == 404

    def test_takes_a_click_and_not_a_link(self, cast: Cast, client: Client, settings: Settings) -> None:
        settings.DEMO = True

        assert client.get("/enter/finance/").status_code == 405


class TestPersonalKeys:
    def test_shows_a_new_key_in_its_answer_and_never_again(self, cast: Cast, consumer: Client) -> None:
        answer = consumer.post("/me/keys/", {"name": "laptop", "days": "30"})

        [text] = re.findall(r"hp_pat_\w{10}_\w{44}", answer.content.decode())
        assert keys.authenticate(text, at=NOW).user == cast.consumer
        assert "no-store" in answer["Cache-Control"]
        later = consumer.get("/me/keys/").content.decode()
        assert "laptop" in later
        assert text not in later

    def test_asks_for_a_name(self, cast: Cast, consumer: Client) -> None:
        answer = consumer.post("/me/keys/", {"name": "", "days": "30"})

        assert "1 thing needs" in answer.content.decode()
        assert not ApiKey.objects.exists()

    def test_revokes_at_once(self, cast: Cast, consumer: Client) -> None:
        key, _ = people.issue_personal_key(cast.consumer, by=cast.consumer, at=NOW)

        assert consumer.post(reverse("accounts:key-revoke", args=[key.pk])).status_code == 302
        key.refresh_from_db()
        assert key.revoked_at is not None

    def test_does_not_let_a_stranger_near_somebody_s_key(self, cast: Cast, client: Client) -> None:
        key, text = people.issue_personal_key(cast.consumer, by=cast.consumer, at=NOW, name="my secret box")
        client.force_login(cast.stranger)

        assert client.post(reverse("accounts:key-revoke", args=[key.pk])).status_code == 404
        assert "my secret box" not in client.get("/me/keys/").content.decode()
        assert keys.authenticate(text, at=NOW)


class TestNotices:
    def test_show_what_only_this_person_was_told(self, cast: Cast, consumer: Client) -> None:
        notify([cast.consumer], text="Your limit is near.", at=NOW, key="a", path="/subscriptions/")
        notify([cast.stranger], text="Another company's secret.", at=NOW, key="b")

        page = consumer.get("/notices/").content.decode()

        assert "Your limit is near." in page
        assert "secret" not in page

    def test_are_marked_as_read(self, cast: Cast, consumer: Client) -> None:
        notify([cast.consumer, cast.stranger], text="News.", at=NOW, key="a")

        consumer.post("/notices/read/")

        assert cast.consumer.notices.filter(read_at=None).count() == 0
        assert cast.stranger.notices.filter(read_at=None).count() == 1


class TestTeams:
    def test_shows_people_and_cost_centers(self, cast: Cast, consumer: Client) -> None:
        page = consumer.get("/teams/").content.decode()

        assert "consumer@demo.example" in page
        assert "Chargeback: posted and debited" in page

    def test_shows_a_stranger_only_their_own(self, cast: Cast, client: Client) -> None:
        client.force_login(cast.stranger)

        page = client.get("/teams/").content.decode()

        assert "Other Company" in page
        assert "Demo Company" not in page
        assert "CC-100" not in page


class TestEveryPage:
    @pytest.mark.parametrize("path", ["/me/keys/", "/notices/", "/teams/"])
    def test_asks_guests_to_sign_in(self, db: None, client: Client, path: str) -> None:
        response = client.get(path)

        assert response.status_code == 302
        assert response["Location"].startswith("/accounts/login/")

    @pytest.mark.parametrize("path", ["/me/keys/", "/notices/", "/teams/"])
    def test_keeps_to_its_budget_of_queries(
        self, cast: Cast, client: Client, path: str, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        client.force_login(cast.finance)

        with django_assert_max_num_queries(BUDGET):
            assert client.get(path).status_code == 200
