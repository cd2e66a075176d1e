from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from marketplace.accounts.access import actor_for
from marketplace.accounts.models import User
from marketplace.catalog.models import App
from metering.attribution import Dimensions
from quotas import incident_policies
from quotas.incident_models import ExpectedUsage, Incident, IncidentPolicy
from quotas.incident_policies import Rules
from quotas.models import Limit
from tests import factories
from tests.conftest import Cast
from tests.quotas.incident_world import HOUR, make_incident
from tests.quotas.test_incidents import make_open

LIST, POLICY = "/incidents/", "/incidents/policy/"


@pytest.fixture
def throttled(who: Dimensions) -> Incident:
    """It began two hours ago, by the clock of the pages."""
    return make_incident(who, at=timezone.now().replace(minute=0, second=0, microsecond=0) - 2 * HOUR)


def page(client: Client, person: User, path: str, **options: Any) -> str:
    client.force_login(person)
    answer = client.get(path, **options)
    assert answer.status_code == 200, answer.status_code
    return answer.content.decode()


def post(client: Client, person: User, path: str, **data: Any) -> Any:
    client.force_login(person)
    return client.post(path, data)


class TestList:
    def test_shows_what_is_found_and_who_acts(
        self, cast: Cast, app: App, throttled: Incident, client: Client
    ) -> None:
        other = factories.make_listed_app(cast.creator_team, name="Quiet App")
        make_open(other, state="closed", closed_at=timezone.now(), explanation="A test.")

        shown = page(client, cast.operator, LIST)

        assert shown.index(app.name) < shown.index("Quiet App")
        assert "$83.00" in shown
        assert "$24.00" in shown
        # 59 above the usual, thirty times.
        assert "$1,770.00" in shown
        assert "nobody yet" in shown
        assert "ended by itself" in shown

    def test_narrows_to_open_ones(self, cast: Cast, throttled: Incident, client: Client) -> None:
        assert str(throttled.pk) in page(client, cast.operator, f"{LIST}?show=open")
        assert str(throttled.pk) not in page(client, cast.operator, f"{LIST}?show=closed")

    def test_says_that_all_is_quiet(self, cast: Cast, client: Client) -> None:
        assert "All quiet" in page(client, cast.operator, LIST)

    def test_shows_others_only_what_they_answer_for(
        self, cast: Cast, throttled: Incident, client: Client
    ) -> None:
        assert str(throttled.pk) in page(client, cast.creator, LIST)
        for person in (cast.consumer, cast.stranger):
            assert str(throttled.pk) not in page(client, person, LIST)

    def test_asks_as_often_for_many(
        self, cast: Cast, client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        for _ in range(20):
            app = factories.make_listed_app(cast.creator_team)
            make_open(app, acknowledged_by=cast.operator, acknowledged_at=timezone.now())
        client.force_login(cast.operator)

        with django_assert_max_num_queries(12):
            client.get(LIST)


class TestIncident:
    def test_shows_everything(self, cast: Cast, app: App, throttled: Incident, client: Client) -> None:
        make_open(app, state="closed", closed_at=timezone.now(), explanation="The same loop.")

        shown = page(client, cast.operator, f"{LIST}{throttled.pk}/")

        assert "Slowed to 1 request a minute" in shown
        assert "the cost was above what these hours usually bring; the highest was $60.00" in shown
        assert "Show as table" in shown
        assert "longer calls, other models" in shown
        assert "$59.00" in shown
        assert "Operations" in shown
        assert "The same loop." in shown
        assert "by the detector" in shown
        assert "Resume at a ceiling" in shown

    def test_asks_a_bounded_number_of_questions(
        self, cast: Cast, throttled: Incident, client: Client,
        django_assert_max_num_queries: DjangoAssertNumQueries,
    ) -> None:  # fmt: skip
        client.force_login(cast.operator)

        with django_assert_max_num_queries(18):
            client.get(f"{LIST}{throttled.pk}/")

    def test_offers_its_makers_to_stop_and_not_to_resume(
        self, cast: Cast, throttled: Incident, client: Client
    ) -> None:
        path = f"{LIST}{throttled.pk}/"

        shown = page(client, cast.creator, path)

        assert 'value="pause"' in shown
        for what in ("resume", "close", "expect"):
            assert f'value="{what}"' not in shown
        assert "an operator who does not own it" in shown
        answer = post(client, cast.creator, path, act="resume", ceiling="1", hours="1", reason="It is fine.")
        assert answer.status_code == 403
        throttled.refresh_from_db()
        assert throttled.state == "throttled"

    def test_hides_from_its_makers_who_uses_it(self, cast: Cast, throttled: Incident, client: Client) -> None:
        shown = page(client, cast.creator, f"{LIST}{throttled.pk}/")

        assert "Other teams" in shown
        assert "Operations" not in shown

    @pytest.mark.parametrize("role", ["consumer", "stranger"])
    def test_is_unknown_to_others(self, cast: Cast, throttled: Incident, client: Client, role: str) -> None:
        client.force_login(getattr(cast, role))

        assert client.get(f"{LIST}{throttled.pk}/").status_code == 404
        assert client.post(f"{LIST}{throttled.pk}/", {"act": "pause", "reason": "x"}).status_code == 404

    def test_is_paused_and_resumed_and_closed(self, cast: Cast, throttled: Incident, client: Client) -> None:
        path = f"{LIST}{throttled.pk}/"

        assert post(client, cast.creator, path, act="pause", reason="Ours to mend.").status_code == 302
        assert "calls answer 503" in page(client, cast.operator, path)
        typed = {"ceiling": "30", "hours": "48", "reason": "Mended."}
        assert post(client, cast.operator, path, act="resume", **typed).status_code == 302
        assert "Running at $30.00 a day at most" in page(client, cast.operator, path)
        assert post(client, cast.operator, path, act="close", reason="A loop.").status_code == 302

        throttled.refresh_from_db()
        assert (throttled.state, throttled.explanation) == ("closed", "A loop.")
        assert "Closed by" in page(client, cast.creator, path)

    def test_is_slowed_by_hand(self, cast: Cast, app: App, client: Client) -> None:
        one = make_open(app)

        post(
            client,
            cast.operator,
            f"{LIST}{one.pk}/",
            act="throttle",
            requests_per_minute="7",
            reason="Slowly.",
        )

        assert Limit.objects.get(of_incident__incident=one).limit_value == 7

    def test_is_looked_after_expected_and_written_about(self, cast: Cast, app: App, client: Client) -> None:
        one = make_open(app)
        path = f"{LIST}{one.pk}/"
        until = f"{timezone.now() + timedelta(days=3):%Y-%m-%dT%H:%M}"

        post(client, cast.operator, path, act="acknowledge", reason="")
        post(client, cast.operator, path, act="contact", reason="What is it?")
        post(client, cast.operator, path, act="expect", until=until, up_to="200", reason="A campaign.")

        one.refresh_from_db()
        assert (one.state, one.acknowledged_by) == ("closed", cast.operator)
        assert ExpectedUsage.objects.get().up_to == 200
        assert "What is it?" in page(client, cast.creator, path)

    def test_says_at_its_field_what_is_wrong(self, cast: Cast, throttled: Incident, client: Client) -> None:
        answer = post(
            client, cast.operator, f"{LIST}{throttled.pk}/", act="resume", ceiling="0", hours="48", reason=""
        )

        shown = answer.content.decode()
        assert answer.status_code == 200
        assert 'id="id_resume_ceiling"' in shown
        assert "greater than or equal to 0.01" in shown

    def test_says_that_somebody_was_faster(self, cast: Cast, throttled: Incident, client: Client) -> None:
        path = f"{LIST}{throttled.pk}/"
        post(client, cast.operator, path, act="pause", reason="It goes on.")

        answer = post(client, cast.operator, path, act="pause", reason="It goes on.")

        assert "is paused and cannot become paused" in answer.content.decode()

    def test_knows_no_other_acts(self, cast: Cast, throttled: Incident, client: Client) -> None:
        assert post(client, cast.operator, f"{LIST}{throttled.pk}/", act="explode").status_code == 400


class TestAppIncident:
    def test_tells_subscribers_that_it_is_slowed(
        self, cast: Cast, app: App, throttled: Incident, client: Client
    ) -> None:
        for person in (cast.consumer, cast.creator, cast.operator):
            shown = page(client, person, f"/incidents/of/{app.slug}/", headers={"HX-Request": "true"})

            assert "is slowed to 1 request a minute" in shown
            assert ("See the incident" in shown) is (person != cast.consumer)
            assert "<html" not in shown

    def test_is_a_page_without_scripts(self, cast: Cast, app: App, who: Dimensions, client: Client) -> None:
        assert "It runs as usual" in page(client, cast.consumer, f"/incidents/of/{app.slug}/")

    def test_is_not_for_those_who_do_not_call_it(
        self, cast: Cast, app: App, throttled: Incident, client: Client
    ) -> None:
        client.force_login(cast.stranger)

        assert client.get(f"/incidents/of/{app.slug}/").status_code == 404

    def test_stands_on_the_pages_of_the_app(
        self, cast: Cast, app: App, who: Dimensions, client: Client
    ) -> None:
        wanted = f'hx-get="/incidents/of/{app.slug}/"'

        assert wanted in page(client, cast.consumer, f"/catalog/{app.slug}/")
        assert wanted in page(client, cast.consumer, f"/subscriptions/{who.subscription_id}/")
        assert wanted in page(client, cast.creator, reverse("catalog:creator-app", args=[app.slug]))


class TestPolicy:
    def propose(self, cast: Cast, **changes: Any) -> IncidentPolicy:
        wanted = incident_policies.as_texts(Rules()) | changes
        return incident_policies.propose(
            incident_policies.parse(wanted),
            reason="Fewer notices.",
            by=actor_for(cast.operator),
            at=timezone.now(),
        )

    def test_shows_what_is_in_force(self, cast: Cast, client: Client) -> None:
        shown = page(client, cast.finance, POLICY)

        assert "Those of the house are in force" in shown
        assert "propose/" not in shown
        assert f"{POLICY}propose/" in page(client, cast.operator, POLICY)

    def test_shows_what_would_change_and_would_have_been_found(
        self, cast: Cast, app: App, throttled: Incident, client: Client
    ) -> None:
        self.propose(cast, money_floor="100")

        shown = page(client, cast.finance, POLICY)

        assert "Version 1 waits for a decision" in shown
        assert "Fewer notices." in shown
        # 59 above the usual is less than the new floor.
        assert "0 incidents, 1 by the thresholds in force" in shown

    def test_is_put_in_force_by_a_second_person(self, cast: Cast, client: Client) -> None:
        self.propose(cast, money_floor="100")

        assert 'value="activate"' not in page(client, cast.operator, POLICY)
        assert post(client, cast.operator, POLICY, decision="activate").status_code == 403
        assert post(client, cast.finance, POLICY, decision="activate").status_code == 302

        assert incident_policies.rules_in_force().thresholds.money_floor == 100
        assert "Version 1 is in force" in page(client, cast.operator, POLICY)

    def test_is_rejected_with_a_reason_or_taken_back(self, cast: Cast, client: Client) -> None:
        self.propose(cast)
        assert "Give a reason" in post(client, cast.finance, POLICY, decision="reject").content.decode()
        post(client, cast.finance, POLICY, decision="reject", note="No.")
        self.propose(cast)
        post(client, cast.operator, POLICY, decision="withdraw")

        assert list(IncidentPolicy.objects.order_by("number").values_list("number", "state")) == [
            (1, "rejected"), (2, "withdrawn"),
        ]  # fmt: skip

    def test_says_that_nothing_waits_any_more(self, cast: Cast, client: Client) -> None:
        answer = post(client, cast.finance, POLICY, decision="activate")

        assert "Nothing waits for a decision" in answer.content.decode()

    def test_is_proposed_after_a_look_at_the_last_month(
        self, cast: Cast, throttled: Incident, client: Client
    ) -> None:
        typed = incident_policies.as_texts(Rules()) | {"reason": "Sooner."}

        shown = post(client, cast.operator, f"{POLICY}propose/", **typed, preview="1").content.decode()
        assert "1 incident, 1 by the thresholds in force" in shown
        assert not IncidentPolicy.objects.exists()

        answer = post(client, cast.operator, f"{POLICY}propose/", **typed)
        assert answer["Location"] == POLICY
        assert IncidentPolicy.objects.get().thresholds["money_floor"] == "5"

    def test_names_the_bound_that_is_crossed(self, cast: Cast, client: Client) -> None:
        typed = incident_policies.as_texts(Rules()) | {"reason": "x", "notice_ratio": "1"}

        shown = post(client, cast.operator, f"{POLICY}propose/", **typed).content.decode()

        assert "greater than or equal to 2" in shown

    @pytest.mark.parametrize("role", ["creator", "consumer", "stranger"])
    @pytest.mark.parametrize("path", [POLICY, f"{POLICY}propose/"])
    def test_is_not_for_others(self, cast: Cast, client: Client, role: str, path: str) -> None:
        client.force_login(getattr(cast, role))

        assert client.get(path).status_code == 403
