from datetime import timedelta
from typing import Any

import msgspec
import pytest
from django.db import IntegrityError, transaction

from marketplace.accounts.access import actor_for
from marketplace.catalog.models import App
from marketplace.core.errors import InvalidInput, NotAllowed
from marketplace.core.models import AuditEntry, Job, Notice
from marketplace.gateway import kept_usage
from metering import attribution_rules, inbox_routine, keeping, periods, unattributed
from metering.attribution_rules import RuleEnded, RuleInForce
from metering.inbox_models import AttributionRule, Inbox, KeptEvent, UnattributedGroup
from metering.models import UsageEvent, UsageRollup
from quotas import admission
from tests import factories
from tests.conftest import Cast
from tests.factories import NOW
from tests.gateway.reporting import report

pytestmark = pytest.mark.django_db


def rule(of: App, /, **fields: Any) -> AttributionRule:
    values = {
        "organization": of.owner_team.organization,
        "app": of,
        "field": "cost_center",
        "value": "cc100",
        "target": "as_unnamed",
    }
    return AttributionRule(**values | fields)


def make(cast: Cast, made: AttributionRule, *, who: str = "creator") -> AttributionRule:
    return attribution_rules.make(made, by=actor_for(getattr(cast, who)), at=NOW)


def run(made: AttributionRule) -> dict[str, int]:
    job = Job.objects.get(idempotency_key=attribution_rules.job_key(made))
    return kept_usage.count(job=job, rule_id=str(made.pk))


@pytest.fixture
def group(app: App) -> UnattributedGroup:
    report(app, {"id": "e1", "cost_center": "cc100"}, {"id": "e2", "cost_center": "cc100"}, at=NOW)
    return UnattributedGroup.objects.get()


class TestMake:
    def test_queues_the_counting_of_what_is_kept(
        self, cast: Cast, app: App, group: UnattributedGroup
    ) -> None:
        made = make(cast, rule(app, target="cost_center", cost_center=cast.cost_center))

        assert AuditEntry.objects.get(action="metering.attribution_rule.made").new["cost_center"] == "CC-100"
        assert run(made) == {"counted": 2, "left": 0}
        assert run(made) == {"counted": 0, "left": 0}
        assert UsageRollup.objects.get().events == 2

    @pytest.mark.parametrize("who", ["consumer", "approver", "stranger"])
    def test_is_for_who_looks_after_the_app(self, cast: Cast, app: App, who: str) -> None:
        with pytest.raises(NotAllowed):
            make(cast, rule(app), who=who)

    def test_for_an_organization_is_for_its_finance(self, cast: Cast, app: App) -> None:
        for who in ("creator", "stranger"):
            with pytest.raises(NotAllowed):
                make(cast, rule(app, app=None, organization=cast.company), who=who)

        made = make(cast, rule(app, app=None, organization=cast.company), who="finance")
        assert made.pk

    def test_is_done_once_for_a_name(self, cast: Cast, app: App) -> None:
        make(cast, rule(app))

        with pytest.raises(RuleInForce):
            make(cast, rule(app))

    @pytest.mark.parametrize(
        ("fields", "wrong"),
        [
            ({"field": "model"}, "field"),
            ({"value": "x" * 81}, "value"),
            ({"field": "owner", "target": "cost_center"}, "target"),
            ({"target": "subscription"}, "target"),
            ({"target": "cost_center"}, "cost_center"),
            ({"field": "subscription", "target": "subscription"}, "subscription"),
        ],
    )
    def test_says_which_field_is_wrong(
        self, cast: Cast, app: App, fields: dict[str, Any], wrong: str
    ) -> None:
        with pytest.raises(InvalidInput) as refused:
            make(cast, rule(app, **fields))

        assert refused.value.field == wrong

    def test_books_on_nothing_of_others(self, cast: Cast, app: App) -> None:
        foreign = cast.stranger_team.cost_center
        with pytest.raises(InvalidInput):
            make(cast, rule(app, target="cost_center", cost_center=foreign))
        other = factories.make_listed_app(cast.stranger_team)
        of_other = factories.make_subscription(other, cast.stranger_team)
        with pytest.raises(InvalidInput):
            make(cast, rule(app, field="subscription", target="subscription", subscription=of_other))

    def test_holds_for_all_apps_of_an_organization(self, cast: Cast, app: App) -> None:
        other = factories.make_listed_app(cast.consumer_team)
        make(cast, rule(app, app=None, target="cost_center", cost_center=cast.cost_center), who="finance")

        reading, _ = report(other, {"cost_center": "cc100"}, at=NOW)

        assert reading.rejections == {}

    def test_of_an_app_goes_before_that_of_its_organization(self, cast: Cast, app: App) -> None:
        own = factories.make_cost_center(cast.company, code="CC-500")
        make(cast, rule(app, app=None, target="cost_center", cost_center=cast.cost_center), who="finance")
        make(cast, rule(app, target="cost_center", cost_center=own))

        reading, _ = report(app, {"cost_center": "cc100"}, at=NOW)

        assert reading.usages[0] is not None
        assert reading.usages[0].who.cost_center_id == own.pk


class TestEnd:
    def test_is_done_once(self, cast: Cast, app: App) -> None:
        made = make(cast, rule(app))
        attribution_rules.end(made, by=actor_for(cast.finance), at=NOW)

        with pytest.raises(RuleEnded):
            attribution_rules.end(made, by=actor_for(cast.creator), at=NOW)
        make(cast, rule(app))

    def test_is_not_for_strangers(self, cast: Cast, app: App) -> None:
        with pytest.raises(NotAllowed):
            attribution_rules.end(make(cast, rule(app)), by=actor_for(cast.stranger), at=NOW)


class TestDismiss:
    def test_counts_nothing_and_leaves_the_events(
        self, cast: Cast, app: App, group: UnattributedGroup
    ) -> None:
        count = attribution_rules.dismiss(group, by=actor_for(cast.creator), at=NOW, reason="A load test.")

        assert (count, Inbox.objects.get().open_events) == (2, 0)
        assert set(KeptEvent.objects.values_list("state", flat=True)) == {"dismissed"}
        assert run(make(cast, rule(app))) == {"counted": 0, "left": 0}
        row = unattributed.row(group)
        assert row is not None
        assert (row.open, row.dismissed) == (0, 2)

    def test_wants_a_reason_of_who_looks_after_it(self, cast: Cast, group: UnattributedGroup) -> None:
        with pytest.raises(InvalidInput):
            attribution_rules.dismiss(group, by=actor_for(cast.creator), at=NOW, reason=" ")
        with pytest.raises(NotAllowed):
            attribution_rules.dismiss(group, by=actor_for(cast.stranger), at=NOW, reason="Why not?")


class TestHandTo:
    def test_tells_the_person(self, cast: Cast, group: UnattributedGroup) -> None:
        attribution_rules.hand_to(group, cast.finance, by=actor_for(cast.creator), at=NOW)

        assert UnattributedGroup.objects.get().assignee == cast.finance
        assert Notice.objects.get(recipient=cast.finance).path == f"/usage/inbox/{group.pk}/"

    def test_takes_nobody_who_may_not_see_it(self, cast: Cast, group: UnattributedGroup) -> None:
        for who in (cast.stranger, cast.consumer):
            with pytest.raises(InvalidInput):
                attribution_rules.hand_to(group, who, by=actor_for(cast.creator), at=NOW)


class TestRoutine:
    def test_tells_owners_once_a_day(self, cast: Cast, group: UnattributedGroup) -> None:
        assert inbox_routine.tell_owners(at=NOW) == 1
        assert inbox_routine.tell_owners(at=NOW + timedelta(hours=1)) == 1
        assert inbox_routine.tell_owners(at=NOW + timedelta(days=1)) == 0

        notice = Notice.objects.get()
        assert (notice.recipient, notice.path) == (cast.creator, "/usage/inbox/")
        assert notice.text.startswith("2 events of")

    def test_ends_what_was_counted_behind_its_back(self, app: App, group: UnattributedGroup) -> None:
        # As a report that began before the first event was kept: it does not know that the app has an inbox.
        reading, _ = report(app, {"id": "other"}, at=NOW)
        usage = reading.usages[0]
        assert usage is not None
        admission.report([msgspec.structs.replace(usage, event_id="e1")], at=NOW)
        assert KeptEvent.objects.filter(state="open").count() == 2

        assert keeping.end_overlooked(at=NOW) == 1
        assert KeptEvent.objects.get(state="open").event_id == "e2"
        assert Inbox.objects.get().open_events == 1

    def test_counts_what_was_kept_while_its_rule_was_made(
        self, cast: Cast, app: App, group: UnattributedGroup
    ) -> None:
        made = make(cast, rule(app))

        assert inbox_routine.count_overlooked(at=NOW) == 1
        again = Job.objects.get(idempotency_key__startswith=f"{attribution_rules.job_key(made)}:")
        kept_usage.count(job=again, rule_id=str(made.pk))
        assert inbox_routine.count_overlooked(at=NOW) == 0

    def test_deletes_what_is_too_old(self, app: App, group: UnattributedGroup) -> None:
        assert keeping.purge(at=NOW + timedelta(days=400)) == 0
        assert keeping.purge(at=NOW + timedelta(days=400, seconds=1)) == 2

        inbox = Inbox.objects.get()
        assert (inbox.open_events, inbox.not_kept) == (0, 2)


class TestConstraints:
    def test_bound_the_inbox(self, group: UnattributedGroup) -> None:
        with pytest.raises(IntegrityError, match="inbox_bounded"), transaction.atomic():
            Inbox.objects.update(open_events=100_001)

    def test_keep_an_event_once(self, group: UnattributedGroup) -> None:
        kept = KeptEvent.objects.earliest("pk")
        kept.pk = None
        with pytest.raises(IntegrityError, match="kept_event_once"), transaction.atomic():
            kept.save(force_insert=True)

    def test_keep_what_was_sent(self, group: UnattributedGroup) -> None:
        with pytest.raises(Exception, match="kept_body_stays"), transaction.atomic():
            KeptEvent.objects.update(body="{}")

    def test_date_the_end(self, group: UnattributedGroup) -> None:
        with pytest.raises(IntegrityError, match="kept_event_ended_has_time"), transaction.atomic():
            KeptEvent.objects.filter(state="open").update(ended_at=NOW)

    def test_let_rules_only_end(self, cast: Cast, app: App) -> None:
        made = make(cast, rule(app))

        with pytest.raises(Exception, match="rule_stays"), transaction.atomic():
            AttributionRule.objects.update(value="other")
        with pytest.raises(Exception, match="rule_stays"), transaction.atomic():
            made.delete()
        with pytest.raises(IntegrityError, match="attribution_rule_ended_by_somebody"), transaction.atomic():
            AttributionRule.objects.update(ends_at=NOW)

    def test_give_a_rule_its_target(self, cast: Cast, app: App) -> None:
        unsaved = rule(app, target="cost_center", made_by=cast.creator, starts_at=NOW)
        with pytest.raises(IntegrityError, match="attribution_rule_has_its_target"), transaction.atomic():
            unsaved.save()

    def test_let_one_rule_of_a_name_be_in_force(self, cast: Cast, app: App) -> None:
        make(cast, rule(app))
        second = rule(app, made_by=cast.creator, starts_at=NOW)
        with pytest.raises(IntegrityError, match="attribution_rule_one_in_force"), transaction.atomic():
            second.save()


class TestUsage:
    def test_keeps_what_was_billed_of_a_closed_month(self, cast: Cast, app: App) -> None:
        before = NOW - timedelta(days=20)
        report(app, {"id": "old", "cost_center": "cc100", "timestamp": before}, at=NOW)
        with transaction.atomic():
            periods.close(periods.month(before), at=NOW)

        run(make(cast, rule(app)))

        event = UsageEvent.objects.get()
        assert (event.occurred_at, event.period) == (before, periods.month(NOW))
