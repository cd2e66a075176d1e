"""Usage that names something unknown: kept before the answer, counted once a rule says whose it is."""

import json
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any
from unittest import mock

import pytest
import urllib3
from django.db import OperationalError
from django.utils import timezone

from marketplace.accounts.access import actor_for
from marketplace.catalog import ownership
from marketplace.catalog.owning import AppOwnership
from marketplace.config.celery import app as celery
from marketplace.core import jobs
from marketplace.core.epochs import DIRECTORY, read_epochs
from marketplace.core.models import Job
from metering import attribution_rules, rollups
from metering.inbox_models import AttributionRule, Inbox, KeptEvent, UnattributedGroup
from metering.models import UsageEvent, UsageRollup
from tests import factories
from tests.conftest import Cast
from tests.gateway.live import World, make_world, running_application

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]
JSON = "application/json"


@pytest.fixture
def world(transactional_db: None, cast: Cast) -> Iterator[World]:
    celery.loader.import_default_modules()
    factories.make_model("llm-8b", input_price="0.20", output_price="0.60")
    with running_application() as url:
        yield make_world(cast, url)


def post(world: World, *events: dict[str, Any]) -> urllib3.BaseHTTPResponse:
    body = [{"app_id": "where2eat", "model": "llm-8b", "tokens": 1_000_000, **event} for event in events]
    return urllib3.request(
        "POST",
        f"{world.url}/meter",
        body=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {world.app_key}", "Content-Type": JSON},
        retries=False,
    )


def send(world: World, *events: dict[str, Any]) -> dict[str, Any]:
    answer = post(world, *events)
    assert answer.status in (200, 207), answer.data
    found: dict[str, Any] = answer.json()
    return found


def rule_for(group: UnattributedGroup, cast: Cast, **fields: Any) -> AttributionRule:
    """Put a rule for a group in force and run its job."""
    values = {"target": "as_unnamed", "app": group.app, "organization": cast.company}
    rule = AttributionRule(field=group.field, value=group.value, **values | fields)
    attribution_rules.make(rule, by=actor_for(cast.creator), at=timezone.now())
    job = Job.objects.get(idempotency_key=attribution_rules.job_key(rule))
    jobs.run(job.pk, at=timezone.now())
    return rule


class TestKeeping:
    @pytest.mark.parametrize(
        ("named", "code"),
        [
            ({"cost_center": "CC100"}, "unknown_cost_center"),
            ({"subscription": "nobody"}, "unknown_subscription"),
            ({"owner": "team-gone"}, "wrong_owner"),
            ({"app_id": "where-to-eat"}, "unknown_app"),
        ],
    )
    def test_is_done_before_the_answer_says_so(self, world: World, named: dict[str, str], code: str) -> None:
        answer = send(world, {"id": "e1", **named}, {"id": "e2"})

        assert (answer["accepted"], answer["rejected"]) == (1, 1)
        (error,) = [line["error"] for line in answer["results"]]
        assert error["code"] == code
        assert error["message"].endswith("It is kept in the inbox of UX.")
        kept = KeptEvent.objects.get()
        (field, value) = next(iter(named.items()))
        assert (kept.event_id, kept.group.field, kept.group.value, kept.tokens) == (
            "e1",
            field,
            value,
            1_000_000,
        )
        assert kept.estimated_cost == Decimal("0.20")
        assert Inbox.objects.get().open_events == 1

    def test_is_done_once_when_it_is_sent_again(self, world: World) -> None:
        for _ in range(3):
            answer = send(world, {"id": "e1", "cost_center": "CC100"})

        assert "kept in the inbox" in answer["results"][0]["error"]["message"]
        assert (KeptEvent.objects.count(), Inbox.objects.get().open_events) == (1, 1)

    def test_is_not_done_for_what_is_wrong_in_other_ways(self, world: World) -> None:
        old = (timezone.now() - timedelta(days=36)).isoformat()

        answer = send(
            world,
            {"id": "e1", "cost_center": "CC100", "timestamp": old},
            {"id": "e2", "cost_center": "CC100", "cached_input_tokens": 2_000_000},
            {"id": "e3", "cost_center": "CC100", "model": "no-such"},
        )

        assert answer["rejected"] == 3
        assert "kept" not in json.dumps(answer)
        assert not KeptEvent.objects.exists()

    def test_is_not_done_for_an_id_that_is_counted(self, world: World) -> None:
        send(world, {"id": "e1"})

        answer = send(world, {"id": "e1", "cost_center": "CC100"})

        assert answer["results"][0]["error"]["message"].endswith("An event of this id is counted already.")
        assert not KeptEvent.objects.exists()

    def test_takes_no_more_than_it_is_bound_to(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("metering.keeping.MOST_OPEN", 2)

        answer = send(world, *({"id": f"e{number}", "cost_center": "CC100"} for number in range(5)))

        assert sum("is full" in line["error"]["message"] for line in answer["results"]) == 3
        inbox = Inbox.objects.get()
        assert (inbox.open_events, inbox.not_kept, KeptEvent.objects.count()) == (2, 3, 2)

    def test_ends_when_the_sender_corrects_the_event(self, world: World) -> None:
        send(world, {"id": "e1", "cost_center": "CC100"})

        answer = send(world, {"id": "e1", "cost_center": "CC-100"})

        assert answer["accepted"] == 1
        kept = KeptEvent.objects.get()
        assert (kept.state, Inbox.objects.get().open_events) == ("counted", 0)
        assert kept.ended_at is not None

    def test_counts_nothing_of_a_report_when_it_fails(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What is counted and what is kept of one report is on disk together, or the answer says that nothing is."""
        events = [{"id": "e1", "cost_center": "CC100"}, {"id": "e2"}]
        with monkeypatch.context() as broken:
            broken.setattr("metering.keeping._insert", mock.Mock(side_effect=OperationalError("gone")))
            assert post(world, *events).status == 503
        assert not (UsageEvent.objects.exists() or KeptEvent.objects.exists() or Inbox.objects.exists())

        assert send(world, *events)["accepted"] == 1
        assert KeptEvent.objects.get().event_id == "e1"

    def test_disturbs_no_process_after_the_first_event(self, world: World) -> None:
        send(world, {"id": "e1", "cost_center": "CC100"})
        epoch = read_epochs()[DIRECTORY]

        send(world, {"id": "e2", "cost_center": "CC200"}, {"id": "e3", "subscription": "nobody"})

        assert read_epochs()[DIRECTORY] == epoch

    def test_costs_reports_of_other_apps_nothing(self, world: World) -> None:
        with mock.patch("metering.keeping.update") as update:
            send(world, {"id": "e1"})

        update.assert_not_called()

    def test_holds_a_value_that_no_database_text_can(self, world: World) -> None:
        send(world, {"id": "e1", "cost_center": "CC\x00100"})

        assert UnattributedGroup.objects.get().value == "CC\ufffd100"

    def test_keeps_spans_of_traces_as_well(self, world: World) -> None:
        now = int(timezone.now().timestamp() * 1e9)
        attributes = [
            {"key": "gen_ai.request.model", "value": {"stringValue": "llm-8b"}},
            {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "480"}},
        ]
        span = {
            "traceId": "0af7651916cd43dd8448eb211c80319c", "spanId": "b7ad6b7169203331", "name": "chat",
            "startTimeUnixNano": str(now - 10**9), "endTimeUnixNano": str(now), "attributes": attributes,
        }  # fmt: skip
        resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "where2eat-api"}}]}
        body = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]}

        answer = urllib3.request(
            "POST",
            f"{world.url}/otlp/v1/traces",
            body=json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {world.app_key}", "Content-Type": JSON},
            retries=False,
        )

        partial = answer.json()["partialSuccess"]
        assert (answer.status, partial["rejectedSpans"]) == (200, "1")
        assert "kept in the inbox of UX" in partial["errorMessage"]
        kept = KeptEvent.objects.get()
        assert (kept.group.code, kept.group.value, kept.tokens) == ("unknown_app", "where2eat-api", 480)


class TestRules:
    def test_count_what_is_kept_and_what_comes(self, world: World, cast: Cast) -> None:
        before = (timezone.now() - timedelta(days=3)).replace(microsecond=0)
        send(world, {"id": "e1", "cost_center": "cc100", "timestamp": before.isoformat()})
        assert not UsageRollup.objects.exists()

        rule_for(UnattributedGroup.objects.get(), cast, target="cost_center", cost_center=cast.cost_center)
        answer = send(world, {"id": "e2", "cost_center": "cc100"})

        assert answer["accepted"] == 1
        first = UsageEvent.objects.get(event_id="e1")
        assert (first.occurred_at, first.attribution.cost_center, first.cost) == (
            before,
            cast.cost_center,
            Decimal("0.20"),
        )
        assert KeptEvent.objects.get().state == "counted"
        assert Inbox.objects.get().open_events == 0
        assert rollups.differences() == []

    def test_give_what_naming_it_right_had_given(self, world: World, cast: Cast) -> None:
        send(world, {"id": "e1", "subscription": "sub-1"})
        rule_for(
            UnattributedGroup.objects.get(), cast, target="subscription", subscription=world.subscription
        )
        by_rule = UsageEvent.objects.get(event_id="e1").attribution_id

        send(world, {"id": "e2", "subscription": str(world.subscription.pk)})

        assert UsageEvent.objects.get(event_id="e2").attribution_id == by_rule

    def test_make_a_repetition_of_what_they_counted_a_duplicate(self, world: World, cast: Cast) -> None:
        send(world, {"id": "e1", "owner": "team-gone"})
        rule_for(UnattributedGroup.objects.get(), cast)

        answer = send(world, {"id": "e1", "owner": "team-gone"})

        assert (answer["duplicates"], UsageEvent.objects.count()) == (1, 1)

    def test_never_replace_a_known_name(self, world: World, cast: Cast) -> None:
        other = factories.make_cost_center(cast.company, code="CC-900")
        send(world, {"id": "e1", "cost_center": "NEW"})
        rule_for(UnattributedGroup.objects.get(), cast, target="cost_center", cost_center=cast.cost_center)
        known = factories.make_cost_center(cast.company, code="NEW")
        AppOwnership.objects.filter(pk=0).update(ends_at=None)  # raises the directory's epoch

        send(world, {"id": "e2", "cost_center": "NEW"}, {"id": "e3", "cost_center": "CC-900"})

        booked = {one.event_id: one.attribution.cost_center for one in UsageEvent.objects.all()}
        assert booked == {"e1": cast.cost_center, "e2": known, "e3": other}

    def test_move_an_event_on_that_names_two_unknown_things(self, world: World, cast: Cast) -> None:
        send(world, {"id": "e1", "owner": "team-gone", "cost_center": "CC100"})

        rule_for(UnattributedGroup.objects.get(), cast)

        kept = KeptEvent.objects.get()
        assert (kept.state, kept.group.field, kept.group.value) == ("open", "cost_center", "CC100")

    def test_say_why_an_event_cannot_be_counted(self, world: World, cast: Cast) -> None:
        foreign = factories.make_subscription(world.app, cast.stranger_team)
        send(world, {"id": "e1", "subscription": str(foreign.pk), "cost_center": "CC100"})

        rule_for(UnattributedGroup.objects.get(), cast, target="cost_center", cost_center=cast.cost_center)

        kept = KeptEvent.objects.get()
        assert (kept.state, kept.trouble) == ("open", "The payer has no such cost center.")
        assert not UsageEvent.objects.exists()

    def test_end_so_that_the_name_is_unknown_again(self, world: World, cast: Cast) -> None:
        send(world, {"id": "e1", "cost_center": "CC100"})
        rule = rule_for(
            UnattributedGroup.objects.get(), cast, target="cost_center", cost_center=cast.cost_center
        )

        attribution_rules.end(rule, by=actor_for(cast.creator), at=timezone.now())

        assert send(world, {"id": "e2", "cost_center": "CC100"})["rejected"] == 1
        assert UsageEvent.objects.count() == 1


class TestOwnersOverTime:
    def test_give_late_usage_to_the_owner_of_its_time(self, world: World, cast: Cast) -> None:
        heirs = factories.make_team(cast.company, slug="heirs")
        now = timezone.now().replace(microsecond=0)
        moved_at = now - timedelta(days=5)
        factories.hand_over(world.app, heirs, at=moved_at)

        answer = send(
            world,
            {"id": "old", "timestamp": (moved_at - timedelta(seconds=1)).isoformat()},
            {"id": "new", "timestamp": moved_at.isoformat()},
            {"id": "old named", "owner": "team-ux", "timestamp": (moved_at - timedelta(days=1)).isoformat()},
            {"id": "new named", "owner": "heirs"},
            {"id": "too late", "owner": "team-ux"},
        )

        assert (answer["accepted"], answer["results"][0]["error"]["code"]) == (4, "wrong_owner")
        owners = {one.event_id: one.attribution.owner_team.slug for one in UsageEvent.objects.all()}
        assert owners == {"old": "team-ux", "new": "heirs", "old named": "team-ux", "new named": "heirs"}
        centers = {one.event_id: one.attribution.cost_center for one in UsageEvent.objects.all()}
        assert centers["old"] == cast.cost_center
        assert centers["new"] == heirs.cost_center

    def test_need_no_routine_to_have_run(self, world: World, cast: Cast) -> None:
        assert ownership.owner_at(world.app, timezone.now()).team == cast.creator_team
        heirs = factories.make_team(cast.company, slug="heirs")
        moved_at = timezone.now()
        factories.hand_over(world.app, heirs, at=moved_at)

        send(world, {"id": "e1"})

        world.app.refresh_from_db()
        assert world.app.owner_team == cast.creator_team
        assert UsageEvent.objects.get().attribution.owner_team == heirs
