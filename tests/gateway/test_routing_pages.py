import re
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from marketplace.accounts.access import actor_for
from marketplace.accounts.models import User
from marketplace.catalog.models import App, Subscription, Version
from marketplace.core.proposing import OwnProposal
from marketplace.gateway.directory import caller_of
from marketplace.gateway.models import Provider, ProviderModel
from marketplace.gateway.routing import dear, feedback, policies, tallies
from marketplace.gateway.routing.dry_runs import dry_run
from marketplace.gateway.routing.policies import Draft, SavedMeanwhile
from marketplace.gateway.routing.table import Row
from marketplace.gateway.routing_models import (
    DearModel,
    DearRule,
    RouteFeedback,
    RouteLearning,
    RoutePolicy,
    RouteTally,
)
from metering import ingest
from metering.ingest import Usage
from metering.rating import Quantities
from tests import factories
from tests.conftest import Cast
from tests.factories import LONG_AGO

BODY = {"app": "where2eat", "rows": [{"use": "small", "tokens_below": 512}, {"use": "strongest"}]}


@pytest.fixture
def app(cast: Cast) -> App:
    app = factories.make_listed_app(cast.creator_team, slug="where2eat")
    provider = Provider.objects.create(name="demo", title="Demo", base_url="http://127.0.0.1:1/v1")
    for name, its_class, price in (("llm-8b", "small", "0.50"), ("llm-70b", "medium", "2.00")):
        model = factories.make_model(
            name, input_price=price, output_price=price, model_class=its_class, context_tokens=2_000_000
        )
        ProviderModel.objects.create(provider=provider, model=model, upstream_name=name)
    Version.objects.filter(app=app).update(state="draft")
    Version.objects.filter(app=app).update(allowed_models=["llm-8b", "llm-70b"], template="summarizer")
    Version.objects.filter(app=app).update(state="listed")
    return App.objects.get(pk=app.pk)


@pytest.fixture
def subscription(app: App, cast: Cast) -> Subscription:
    return factories.make_subscription(app, cast.consumer_team)


def used(subscription: Subscription, number: int, *, model: str, tags: dict[str, str] | None = None) -> str:
    """Record a call of a million tokens in and none out, an hour ago."""

    who = caller_of(subscription).who._replace(model_asked="auto")
    event_id = f"call-{number}"
    at = timezone.now() - timedelta(hours=1)
    usage = Usage(event_id, at, who, model, Quantities(input_tokens=1_000_000), tags=tags)
    ingest.record([usage], at=timezone.now())
    return event_id


def save(app: App, person: User, *rows: Row, **fields: Any) -> RoutePolicy:
    return policies.save(
        app, Draft(rows or (Row("auto"),), **fields), by=actor_for(person), at=timezone.now()
    )


class TestSave:
    def test_makes_versions_and_keeps_the_old_ones(self, app: App, cast: Cast) -> None:
        save(app, cast.creator)
        save(app, cast.creator, Row("small"), mode="all")

        found = RoutePolicy.objects.order_by("number").values_list("number", "state", "mode")
        assert list(found) == [(1, "replaced", "shadow"), (2, "in_force", "all")]

    def test_refuses_who_saw_an_older_version(self, app: App, cast: Cast) -> None:
        save(app, cast.creator)

        with pytest.raises(SavedMeanwhile):
            policies.save(
                app, Draft((Row("auto"),)), by=actor_for(cast.creator), at=timezone.now(), replaces=0
            )

    def test_keeps_one_in_force_and_what_it_said(self, app: App, cast: Cast) -> None:
        policy = save(app, cast.creator)

        with pytest.raises(IntegrityError, match="route_policy_one_in_force"), transaction.atomic():
            RoutePolicy.objects.create(
                app=app, number=9, rows=[], saved_by=cast.creator, saved_at=timezone.now()
            )
        with pytest.raises(Exception, match="route_policy_stays"), transaction.atomic():
            RoutePolicy.objects.filter(pk=policy.pk).update(rows=[])

    def test_of_a_part_alone_has_a_percentage(self, app: App, cast: Cast) -> None:
        with pytest.raises(IntegrityError, match="route_policy_percent"), transaction.atomic():
            RoutePolicy.objects.create(
                app=app,
                number=1,
                rows=[],
                mode="all",
                percent=10,
                saved_by=cast.creator,
                saved_at=timezone.now(),
            )


class TestDryRun:
    def test_compares_last_week_now_and_then(self, app: App, cast: Cast, subscription: Subscription) -> None:
        used(subscription, 1, model="llm-70b")
        used(subscription, 2, model="llm-8b")
        used(subscription, 3, model="llm-70b", tags={"halfpenny.intent": "code"})
        draft = Draft((Row("small", intents=("summary",)), Row("strongest")))

        found = dry_run(app, draft, currency="USD", at=timezone.now())

        # The app summarizes: the first would move from 2.00 to 0.50 a million, the third is of code and stays.
        assert (found.calls, found.moved) == (3, 1)
        assert (found.cost, found.would_cost) == (Decimal("4.50"), Decimal("3.00"))
        assert found.by_row == ((1, 2), (2, 1))

    def test_promises_nothing_for_prompts_that_nobody_judged(
        self, app: App, cast: Cast, subscription: Subscription
    ) -> None:
        used(subscription, 1, model="llm-70b")
        used(subscription, 2, model="llm-70b", tags={"halfpenny.difficulty": "3"})

        found = dry_run(app, Draft((Row("auto"),)), currency="USD", at=timezone.now())

        assert (found.moved, found.unsure, found.saved) == (1, 1, Decimal("1.50"))


class TestTallies:
    def test_are_the_sums_of_events_however_often_they_are_counted(
        self, app: App, cast: Cast, subscription: Subscription
    ) -> None:
        save(app, cast.creator)
        shadow = {"halfpenny.policy": "1", "halfpenny.would": "llm-8b", "halfpenny.would_cost": "0.5"}
        used(subscription, 1, model="llm-70b", tags=shadow)
        used(subscription, 2, model="llm-70b", tags=shadow)
        used(subscription, 3, model="llm-8b", tags={"halfpenny.policy": "1"})
        used(subscription, 4, model="llm-8b")

        for _ in range(2):
            tallies.recount(at=timezone.now())

        found = tallies.summary(app, policy_number=1, currency="USD", at=timezone.now())
        assert (found.calls, found.shadow_calls, found.moved) == (3, 2, 2)
        assert (found.cost, found.would_cost, found.saved) == (Decimal(4), Decimal(1), Decimal(3))
        assert RouteTally.objects.count() == 2


class TestLearning:
    def give(self, app: App, subscription: Subscription, *, good: int, bad: int) -> None:
        RouteFeedback.objects.bulk_create(
            RouteFeedback(
                app=app, event_id=f"{at}", is_good=at < good, is_strong=False, subscription=subscription,
                given_at=timezone.now(),
            )
            for at in range(good + bad)
        )  # fmt: skip

    def test_sends_all_to_the_strongest_under_the_floor(
        self, app: App, cast: Cast, subscription: Subscription
    ) -> None:
        save(app, cast.creator, quality_floor=90)
        self.give(app, subscription, good=26, bad=4)

        assert feedback.learn(at=timezone.now()) == 1

        learned = RouteLearning.objects.get()
        # 26 of 30 are 86 %.
        assert (learned.is_strong_only, learned.quality, learned.offset) == (True, 86, -5)
        assert feedback.learn(at=timezone.now() + timedelta(days=31)) == 1
        assert not RouteLearning.objects.get().is_strong_only

    def test_gives_weaker_models_more_where_they_do_well(
        self, app: App, cast: Cast, subscription: Subscription
    ) -> None:
        save(app, cast.creator, quality_floor=90)
        self.give(app, subscription, good=30, bad=0)

        feedback.learn(at=timezone.now())

        assert RouteLearning.objects.get().offset == 5

    def test_learns_from_the_same_ratings_once(
        self, app: App, cast: Cast, subscription: Subscription
    ) -> None:
        save(app, cast.creator, quality_floor=90)
        self.give(app, subscription, good=30, bad=0)

        feedback.learn(at=timezone.now())
        feedback.learn(at=timezone.now())

        assert RouteLearning.objects.get().offset == 5

    def test_waits_for_enough_ratings(self, app: App, cast: Cast, subscription: Subscription) -> None:
        save(app, cast.creator)
        self.give(app, subscription, good=0, bad=29)

        assert feedback.learn(at=timezone.now()) == 0


class TestDear:
    @pytest.fixture
    def asked(self, app: App, cast: Cast) -> DearModel:
        now = timezone.now()
        dear.set_rule(
            classes=["medium"],
            output_per_mtok_from=None,
            starts_at=now,
            reason="Dear.",
            by=actor_for(cast.operator),
            at=now,
        )
        return dear.ask(
            app, model="llm-70b", reason="Needed.", ends_at=None, by=actor_for(cast.creator), at=now
        )

    def test_is_decided_by_a_second_person_on_its_page(
        self, asked: DearModel, cast: Cast, client: Client
    ) -> None:
        path = f"/routing/dear-models/{asked.pk}/"
        client.force_login(cast.approver)
        assert "Needed." in client.get(path).content.decode()

        assert client.post(path, {"decision": "approved", "note": "Fine."}).status_code == 302

        asked.refresh_from_db()
        assert (asked.state, asked.decided_by, asked.projection["calls"]) == ("approved", cast.approver, 0)
        assert dear.concerned(at=timezone.now()) == []

    def test_is_never_decided_by_who_asked(self, asked: DearModel, cast: Cast) -> None:
        factories.join(
            cast.creator, None, "operator", organization=cast.operator.memberships.first().organization
        )

        with pytest.raises(OwnProposal):
            dear.decide(asked, to="approved", by=actor_for(cast.creator), at=timezone.now())
        with pytest.raises(IntegrityError, match="dear_model_four_eyes"), transaction.atomic():
            DearModel.objects.filter(pk=asked.pk).update(decided_by=cast.creator)

    def test_is_asked_for_once(self, asked: DearModel, app: App, cast: Cast) -> None:
        with pytest.raises(dear.AlreadyAsked):
            dear.ask(
                app,
                model="llm-70b",
                reason="Again.",
                ends_at=None,
                by=actor_for(cast.creator),
                at=timezone.now(),
            )

    def test_tells_operators_which_apps_wait(self, asked: DearModel, app: App) -> None:
        assert dear.concerned(at=timezone.now()) == [(app, ["llm-70b"])]

    def test_rule_is_not_backdated(self, cast: Cast, db: None) -> None:
        with pytest.raises(IntegrityError, match="dear_rule_not_backdated"), transaction.atomic():
            DearRule.objects.create(
                starts_at=LONG_AGO, set_at=timezone.now(), set_by=cast.operator, reason="x"
            )

    @pytest.mark.parametrize("who", ["stranger", "consumer"])
    def test_is_unknown_to_others(self, asked: DearModel, cast: Cast, client: Client, who: str) -> None:
        client.force_login(getattr(cast, who))

        assert client.get(f"/routing/dear-models/{asked.pk}/").status_code == 404


def form(**fields: str) -> dict[str, str]:
    typed = {
        "row-TOTAL_FORMS": "2", "row-INITIAL_FORMS": "0", "row-0-use": "small", "row-0-intents": "summary, code",
        "row-0-tokens_below": "512", "row-0-ORDER": "1", "row-1-use": "strongest", "row-1-ORDER": "2", "mode": "shadow",
        "percent": "100", "split_by": "subscription", "quality_floor": "95", "replaces": "0",
    }  # fmt: skip
    return typed | fields


class TestAppPage:
    PATH = "/creator/apps/where2eat/routing/"

    def test_tries_a_table_before_it_is_saved(
        self, app: App, cast: Cast, subscription: Subscription, client: Client
    ) -> None:
        used(subscription, 1, model="llm-70b")
        client.force_login(cast.creator)

        tried = client.post(self.PATH, form() | {"try": "1"})

        shown = re.sub(r"\s+", " ", tried.content.decode())
        assert "What last week would have been" in shown
        assert "row 2 1" in shown
        assert not RoutePolicy.objects.exists()
        assert client.post(self.PATH, form() | {"save": "1"}).status_code == 302
        saved = RoutePolicy.objects.get()
        assert saved.rows == [
            {"use": "small", "intents": ["summary", "code"], "tokens_below": 512},
            {"use": "strongest"},
        ]
        assert saved.projection["calls"] == 1

    def test_says_what_is_wrong_by_row(self, app: App, cast: Cast, client: Client) -> None:
        client.force_login(cast.creator)

        shown = client.post(
            self.PATH, form(**{"row-0-environments": "moon"}) | {"save": "1"}
        ).content.decode()

        assert "Row 1, environments: A list of environments" in shown
        assert not RoutePolicy.objects.exists()

    def test_shows_versions_with_few_queries(
        self, app: App, cast: Cast, client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        for number in range(4):
            save(app, cast.creator, Row("small", tokens_below=512 + number), Row("auto"))
        client.force_login(cast.creator)

        # Half of them load the snapshots of offers and routes, which a transaction does not keep.
        with django_assert_max_num_queries(24):
            shown = client.get(self.PATH).content.decode()

        assert "under 515 tokens" in shown
        assert "any call -&gt; auto" in shown

    def test_is_ended(self, app: App, cast: Cast, client: Client) -> None:
        save(app, cast.creator)
        client.force_login(cast.creator)

        client.post(f"{self.PATH}end/")

        assert RoutePolicy.objects.get().state == "ended"

    @pytest.mark.parametrize("who", ["stranger", "consumer"])
    def test_is_unknown_to_others(self, app: App, cast: Cast, client: Client, who: str) -> None:
        client.force_login(getattr(cast, who))

        assert client.get(self.PATH).status_code == 404
        assert client.post(self.PATH, form() | {"save": "1"}).status_code == 404
        assert client.post(f"{self.PATH}end/").status_code == 404


class TestOverview:
    def test_shows_policies_and_sets_what_is_dear(self, app: App, cast: Cast, client: Client) -> None:
        save(app, cast.creator, Row("small"))
        client.force_login(cast.operator)

        assert "any call -&gt; small" in client.get("/operator/routing/").content.decode()
        typed = {"model_classes": ["large"], "output_per_mtok_from": "5", "reason": "Dear."}
        assert client.post("/operator/routing/", typed).status_code == 302
        rule = DearRule.objects.get()
        assert (rule.model_classes, rule.output_per_mtok_from) == (["large"], Decimal(5))

    @pytest.mark.parametrize("who", ["stranger", "creator"])
    def test_is_of_the_platform(self, db: None, cast: Cast, client: Client, who: str) -> None:
        client.force_login(getattr(cast, who))

        assert client.get("/operator/routing/").status_code == 403


class TestApi:
    @pytest.fixture
    def call(self, client: Client) -> Any:
        def send(person: User, path: str, body: Any = None, *, status: int = 200) -> Any:
            client.force_login(person)
            address = f"/api/v1/{path}"
            answer = (
                client.get(address)
                if body is None
                else client.post(address, body, content_type="application/json")
            )
            assert answer.status_code == status, answer.content
            return answer.json() if answer.content else None

        return send

    def test_tries_saves_lists_and_ends(self, app: App, cast: Cast, call: Any) -> None:
        assert call(cast.creator, "route-policies/dry-run", BODY)["moved"] == 0
        made = call(cast.creator, "route-policies", BODY, status=201)
        assert (made["number"], made["state"], made["rows"]) == (1, "in_force", BODY["rows"])
        assert call(cast.operator, "route-policies?app=where2eat")["results"][0]["id"] == made["id"]
        call(cast.creator, "route-policies/end", {"app": "where2eat"}, status=204)
        assert call(cast.creator, f"route-policies/{made['id']}")["state"] == "ended"

    def test_says_when_a_copy_is_still_right(self, app: App, cast: Cast, client: Client) -> None:
        client.force_login(cast.creator)
        kept = client.get("/api/v1/route-policies?app=where2eat")["ETag"]

        assert client.get("/api/v1/route-policies?app=where2eat", HTTP_IF_NONE_MATCH=kept).status_code == 304
        save(app, cast.creator)
        assert client.get("/api/v1/route-policies?app=where2eat", HTTP_IF_NONE_MATCH=kept).status_code == 200

    def test_names_fields_that_are_wrong(self, app: App, cast: Cast, call: Any) -> None:
        body = {"app": "where2eat", "rows": [{"use": "huge"}], "percent": 5, "quality_floor": 3}

        found = call(cast.creator, "route-policies", body, status=400)

        assert {one["field"] for one in found["errors"]} == {"rows[0].use", "percent", "quality_floor"}

    def test_decides_on_dear_models(self, app: App, cast: Cast, call: Any) -> None:
        body = {"app": "where2eat", "model": "llm-70b", "reason": "Needed."}
        asked = call(cast.creator, "dear-models", body, status=201)
        call(cast.creator, f"dear-models/{asked['id']}/approve", {}, status=403)
        assert call(cast.approver, f"dear-models/{asked['id']}/approve", {})["state"] == "approved"
        assert call(cast.approver, f"dear-models/{asked['id']}/end", {"note": "Over."})["state"] == "ended"

    @pytest.mark.parametrize("who", ["stranger", "consumer"])
    def test_is_blind_for_others(self, app: App, cast: Cast, call: Any, who: str) -> None:
        policy = save(app, cast.creator)
        person = getattr(cast, who)

        assert call(person, "route-policies")["results"] == []
        call(person, f"route-policies/{policy.pk}", status=404)
        call(person, "route-policies", BODY, status=404)
        call(person, "dear-models", {"app": "where2eat", "model": "llm-8b", "reason": "x"}, status=404)


class TestEventPage:
    def test_tells_why_this_model(
        self, app: App, cast: Cast, subscription: Subscription, client: Client
    ) -> None:
        event_id = used(subscription, 1, model="llm-8b", tags={"halfpenny.route": "row 1: any call -> small"})
        client.force_login(cast.creator)

        shown = client.get(f"/usage/events/where2eat/{event_id}/").content.decode()

        assert "How its model was chosen" in shown
        assert "row 1: any call -&gt; small" in shown
