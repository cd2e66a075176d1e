from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from unittest import mock

import pytest
from django.db import IntegrityError, transaction

from marketplace.accounts.access import actor_for
from marketplace.core import jobs
from marketplace.core.errors import InvalidInput, NotAllowed
from marketplace.core.models import AuditEntry, Job, Notice
from marketplace.core.transitions import IllegalTransition
from metering import corrected, ingest, periods, tasks
from metering.attribution import Dimensions
from metering.models import ArchivedPeriod, Correction, RateCard, Rerating, ReratingPart, UsageEvent
from metering.partitions import PeriodArchived
from metering.rating import Quantities
from metering.reratings import applying, previewing, proposing
from metering.reratings.applying import NotApproved
from metering.reratings.proposing import OpenAlready, OwnRerating
from metering.rollups import rebuild
from tests import factories
from tests.conftest import Cast
from tests.factories import LONG_AGO, NOW
from tests.metering.corrected_world import amend, find, record, rolled_up, void
from tests.metering.rerated_world import LATER, approve, propose, rerate, unsaved

OCTOBER = datetime(2026, 10, 12, 9, 30, tzinfo=UTC)
ONE = Quantities(input_tokens=1_000_000)


@pytest.fixture(autouse=True)
def event(who: Dimensions) -> None:
    """An event of a million input tokens: 0.20, and 0.40 at the right price."""
    record(who, quantities=ONE)


def archive_november() -> None:
    ArchivedPeriod.objects.create(
        period=date(2026, 11, 1), archived_at=NOW, folder="/nowhere", manifest={}, manifest_sha256=""
    )


class TestPropose:
    def test_works_out_what_would_change(self, cast: Cast, who: Dimensions) -> None:
        record(who, "e2", quantities=ONE)
        record(who, "october", at=OCTOBER, quantities=ONE)

        made = propose(cast)

        part = ReratingPart.objects.get()
        assert made.state == "proposed"
        assert (part.app_id, part.organization_id) == (who.app_id, cast.company.pk)
        assert (part.cost_center, part.period, part.events) == (cast.cost_center, date(2026, 11, 1), 2)
        assert (part.old_cost, part.new_cost) == (Decimal("0.4"), Decimal("0.8"))
        assert not Correction.objects.exists()

    def test_sums_by_the_month_that_bills_the_difference(self, cast: Cast, who: Dimensions) -> None:
        record(who, "october", at=OCTOBER, quantities=ONE)
        record(who, "september", at=OCTOBER - timedelta(days=30), quantities=ONE)
        with transaction.atomic():
            periods.close(date(2026, 9, 1), at=NOW)

        propose(cast, starts_at=LONG_AGO)

        found = ReratingPart.objects.order_by("period").values_list("period", "events")
        assert list(found) == [(date(2026, 10, 1), 2), (date(2026, 11, 1), 1)]

    def test_leaves_out_what_would_not_change(self, cast: Cast, who: Dimensions) -> None:
        record(who, "nothing", quantities=Quantities())
        void(cast.creator)

        propose(cast)

        assert not ReratingPart.objects.exists()

    def test_tells_those_who_may_decide(self, cast: Cast) -> None:
        propose(cast)

        assert {notice.recipient for notice in Notice.objects.all()} == {cast.finance}

    def test_queues_the_job_that_works_it_out(self, cast: Cast) -> None:
        proposing.propose(unsaved(), by=actor_for(cast.operator), at=LATER)

        job = Job.objects.get()
        assert job.name == proposing.PREVIEW
        assert tasks.preview_rerating  # registers the work
        assert jobs.run(job.pk, at=LATER).state == "done"  # type: ignore[union-attr]
        assert Rerating.objects.get().state == "proposed"

    def test_is_worked_out_once(self, cast: Cast) -> None:
        made = propose(cast)

        previewing.work_out(made.pk, at=LATER)

        assert ReratingPart.objects.count() == 1

    def test_may_be_taken_back_while_it_is_worked_out(self, cast: Cast) -> None:
        made = proposing.propose(unsaved(), by=actor_for(cast.operator), at=LATER)
        parts = previewing._parts

        def slow(*args: Any, **kwargs: Any) -> Any:
            proposing.withdraw(Rerating.objects.get(), by=actor_for(cast.operator), at=LATER)
            return parts(*args, **kwargs)

        with mock.patch.object(previewing, "_parts", slow):
            assert previewing.work_out(made.pk, at=LATER).state == "withdrawn"
        assert not ReratingPart.objects.exists()

    def test_takes_the_prices_of_a_rate_card(self, cast: Cast) -> None:
        right = factories.make_model("right", input_price="0.50")

        made = propose(cast, rate_card=RateCard.objects.get(model=right))

        assert made.input_per_mtok == Decimal("0.50")
        assert ReratingPart.objects.get().new_cost == Decimal("0.5")

    def test_includes_usage_under_the_name_while_it_was_unknown(self, cast: Cast, who: Dimensions) -> None:
        factories.make_model("unknown", input_price="9", is_ceiling=True, is_active=False)
        usage = ingest.Usage("asked", NOW, who, "llm-new", ONE)
        ingest.record([usage], at=NOW)
        factories.make_model("llm-new")

        propose(cast, subject="llm-new")

        part = ReratingPart.objects.get()
        assert (part.old_cost, part.new_cost) == (9, Decimal("0.4"))

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"ends_at": datetime(2026, 10, 1, tzinfo=UTC)}, "ends_at"),
            ({"ends_at": LATER + timedelta(seconds=1)}, "ends_at"),
            ({"subject": "llm-9b"}, "subject"),
            ({"subject": ""}, "subject"),
            ({"reason": " "}, "reason"),
            ({"input_per_mtok": None}, "input_per_mtok"),
            ({"input_per_mtok": Decimal(-1)}, "input_per_mtok"),
            ({"kind": "instance_type", "subject": "g4", "price_per_hour": Decimal(1)}, "subject"),
        ],
    )
    def test_names_the_field_that_is_wrong(self, cast: Cast, fields: dict[str, Any], field: str) -> None:
        with pytest.raises(InvalidInput) as error:
            propose(cast, **fields)

        assert field in [one.field for one in error.value.errors]

    def test_is_one_at_a_time(self, cast: Cast) -> None:
        propose(cast)

        with pytest.raises(OpenAlready):
            propose(cast)

    def test_needs_its_months_in_the_table(self, cast: Cast) -> None:
        archive_november()

        with pytest.raises(PeriodArchived):
            propose(cast)

    @pytest.mark.parametrize("name", ["creator", "consumer", "approver", "finance", "stranger"])
    def test_is_for_operators_of_the_platform(self, cast: Cast, name: str) -> None:
        with pytest.raises(NotAllowed):
            proposing.propose(unsaved(), by=actor_for(getattr(cast, name)), at=LATER)


class TestDecide:
    def test_needs_a_second_person(self, cast: Cast) -> None:
        made = propose(cast)

        with pytest.raises(OwnRerating):
            proposing.approve(made, by=actor_for(cast.operator), at=LATER)
        with pytest.raises(IntegrityError, match="rerating_four_eyes"), transaction.atomic():
            Rerating.objects.update(decided_by=cast.operator)

    def test_queues_the_job_that_writes_it(self, cast: Cast) -> None:
        made = approve(cast, propose(cast))

        job = Job.objects.get(name=proposing.APPLY)
        assert jobs.run(job.pk, at=LATER).state == "done"  # type: ignore[union-attr]
        made.refresh_from_db()
        assert (made.state, made.applied_events, made.applied_difference) == ("applied", 1, Decimal("0.2"))

    def test_is_made_once(self, cast: Cast) -> None:
        made = approve(cast, propose(cast))

        with pytest.raises(IllegalTransition):
            proposing.reject(made, by=actor_for(cast.finance), at=LATER, note="No.")

    def test_waits_for_what_it_is_about(self, cast: Cast) -> None:
        made = proposing.propose(unsaved(), by=actor_for(cast.operator), at=LATER)

        with pytest.raises(IllegalTransition):
            proposing.approve(made, by=actor_for(cast.finance), at=LATER)

    def test_rejects_with_a_reason(self, cast: Cast) -> None:
        made = propose(cast)
        with pytest.raises(InvalidInput):
            proposing.reject(made, by=actor_for(cast.finance), at=LATER, note=" ")

        proposing.reject(made, by=actor_for(cast.finance), at=LATER, note="The list was right.")

        with pytest.raises(NotApproved):
            applying.apply(made.pk, at=LATER)
        assert Notice.objects.filter(recipient=cast.operator, text__contains="The list was right.").exists()

    def test_is_taken_back_by_who_proposed_it(self, cast: Cast) -> None:
        made = propose(cast)
        with pytest.raises(NotAllowed):
            proposing.withdraw(made, by=actor_for(cast.finance), at=LATER)

        proposing.withdraw(made, by=actor_for(cast.operator), at=LATER)

        assert propose(cast).state == "proposed"

    @pytest.mark.parametrize("name", ["creator", "consumer", "approver", "stranger"])
    def test_is_for_operators_and_finance_of_the_platform(self, cast: Cast, name: str) -> None:
        made = propose(cast)

        with pytest.raises(NotAllowed):
            proposing.approve(made, by=actor_for(getattr(cast, name)), at=LATER)


class TestApply:
    def test_adds_a_linked_row_with_the_difference_in_cost(self, cast: Cast) -> None:
        made = rerate(cast)

        row = UsageEvent.objects.get(corrects="e1")
        original = UsageEvent.objects.get(event_id="e1")
        assert row.event_id.startswith(f"correction:rerate:{made.pk}:")
        assert (row.cost, row.requests, row.input_tokens) == (Decimal("0.2"), 0, 0)
        assert (row.occurred_at, row.attribution_id) == (original.occurred_at, original.attribution_id)
        assert rolled_up()["cost"] == Decimal("0.4")
        assert rolled_up()["input_tokens"] == 1_000_000
        (shown,) = corrected.corrections_of(original.app_id, "e1")
        assert (shown.kind, shown.by, shown.rerating_id) == ("rerate", str(cast.operator), made.pk)
        assert shown.reason == "The list was read in the wrong column."

    def test_writes_what_was_decided_on(self, cast: Cast, who: Dimensions) -> None:
        made = propose(cast)
        record(who, "late", quantities=ONE, received=LATER + timedelta(minutes=1))

        approve(cast, made)
        done = applying.apply(made.pk, at=LATER)

        part = ReratingPart.objects.get()
        assert (done.applied_events, done.applied_difference) == (part.events, part.new_cost - part.old_cost)
        assert not UsageEvent.objects.filter(corrects="late").exists()

    def test_takes_each_event_of_the_time_once(self, cast: Cast, who: Dimensions) -> None:
        for number in range(7):
            record(who, f"n{number}", quantities=ONE, at=NOW - timedelta(minutes=number % 3))
        record(who, "before", at=OCTOBER, quantities=ONE)
        record(who, "end", at=NOW + timedelta(minutes=1), quantities=ONE)

        made = rerate(cast, events_at_once=2)

        assert made.applied_events == 8
        assert set(UsageEvent.objects.exclude(corrects=None).values_list("corrects", flat=True)) == {
            "e1",
            *(f"n{number}" for number in range(7)),
        }
        assert rolled_up()["cost"] == Decimal("3.6")  # eight at 0.40, two at 0.20

    def test_goes_on_where_it_was_stopped(self, cast: Cast, who: Dimensions) -> None:
        for number in range(5):
            record(who, f"n{number}", quantities=ONE)
        made = approve(cast, propose(cast))

        class Killed(Exception):
            pass

        def die(done: int, total: int) -> None:
            if done == 4:
                raise Killed

        with pytest.raises(Killed):
            applying.apply(made.pk, at=LATER, events_at_once=2, on_progress=die)
        assert Correction.objects.count() == 4
        assert applying.apply(made.pk, at=LATER, events_at_once=2).applied_events == 6
        assert applying.apply(made.pk, at=LATER).applied_events == 6

        assert Correction.objects.count() == 6
        assert rolled_up()["cost"] == Decimal("2.4")

    def test_rates_what_earlier_corrections_left(self, cast: Cast) -> None:
        amend(cast.creator, input_tokens=500_000)

        rerate(cast)

        assert rolled_up()["cost"] == Decimal("0.2")  # half a million at 0.40
        assert [row.ordinal for row in Correction.objects.order_by("ordinal")] == [1, 2]

    def test_lets_later_amendments_be_rated_at_its_prices(self, cast: Cast) -> None:
        rerate(cast)

        made = amend(cast.creator, input_tokens=2_000_000)

        assert made.correction.new_cost == Decimal("0.8")
        void(cast.creator)
        assert rolled_up()["cost"] == 0

    def test_is_behind_events_that_it_changed_nothing_about(self, cast: Cast) -> None:
        void(cast.creator)
        assert rerate(cast).applied_events == 0

        amend(cast.creator, requests=1, input_tokens=1_000_000)

        assert rolled_up()["cost"] == Decimal("0.4")

    def test_may_be_followed_by_another(self, cast: Cast) -> None:
        rerate(cast)

        rerate(cast, input_per_mtok=Decimal("0.30"))

        assert rolled_up()["cost"] == Decimal("0.3")
        assert rerate(cast, input_per_mtok=Decimal("0.30")).applied_events == 0

    def test_of_time_leaves_the_price_of_tokens(self, cast: Cast, who: Dimensions) -> None:
        factories.make_instance_rate("g4dn.xlarge", price_per_hour="3.6")
        both = Quantities(input_tokens=1_000_000, duration_ms=1_000)
        record(who._replace(instance_type="g4dn.xlarge"), "timed", quantities=both)

        rerate(cast, kind="instance_type", subject="g4dn.xlarge", price_per_hour=Decimal("7.2"))
        # 0.20 of tokens and a thousand times 0.000002; the first event ran nowhere.
        assert corrected.standing(find(cast.creator, "timed")).cost == Decimal("0.202")
        assert corrected.standing(find(cast.creator)).cost == Decimal("0.2")

        rerate(cast)
        assert corrected.standing(find(cast.creator, "timed")).cost == Decimal("0.402")

    def test_keeps_what_the_provider_charged_beside_the_corrected_cost(
        self, cast: Cast, who: Dimensions
    ) -> None:
        record(who, "told", quantities=ONE, provider_cost=Decimal("0.41"))

        rerate(cast)

        row = UsageEvent.objects.get(corrects="told")
        assert row.provider_cost == 0
        assert UsageEvent.objects.get(corrects="e1").provider_cost is None
        assert rolled_up()["provider_cost"] == Decimal("0.41")

    def test_is_billed_in_the_months_that_are_open_when_it_is_written(
        self, cast: Cast, who: Dimensions
    ) -> None:
        record(who, "october", at=OCTOBER, quantities=ONE)
        made = approve(cast, propose(cast, starts_at=LONG_AGO))
        with transaction.atomic():
            periods.close(date(2026, 10, 1), at=LATER)

        applying.apply(made.pk, at=LATER)

        row = UsageEvent.objects.get(corrects="october")
        assert (row.period, row.occurred_at) == (date(2026, 11, 1), OCTOBER)
        assert rolled_up()["cost"] == Decimal("0.8")

    def test_stops_when_usage_was_archived_meanwhile(self, cast: Cast) -> None:
        made = approve(cast, propose(cast))
        archive_november()

        with pytest.raises(PeriodArchived):
            applying.apply(made.pk, at=LATER)

    def test_rebuilds_to_what_incremental_writing_gave(self, cast: Cast, who: Dimensions) -> None:
        record(who, "told", quantities=ONE, provider_cost=Decimal("0.41"), latency_ms=200)
        rerate(cast)
        before = rolled_up()

        rebuild()

        assert rolled_up() == before

    def test_is_told_and_kept_in_the_audit_trail(self, cast: Cast) -> None:
        rerate(cast)

        actions = AuditEntry.objects.filter(action__startswith="metering.rerating").order_by("pk")
        assert [entry.action.rsplit(".", 1)[1] for entry in actions] == [
            "proposed",
            "previewed",
            "approved",
            "applied",
        ]
        told = Notice.objects.filter(text__contains="is written: 1 events")
        assert {notice.recipient for notice in told} == {cast.operator, cast.finance}


class TestTables:
    def test_let_a_rerating_correct_an_event_once(self, cast: Cast) -> None:
        rerate(cast)
        row = Correction.objects.get()

        row.pk, row.ordinal = None, 2
        with pytest.raises(IntegrityError, match="correction_once_by_rerating"), transaction.atomic():
            row.save(force_insert=True)

    def test_keep_what_was_decided_on(self, cast: Cast) -> None:
        propose(cast)

        with pytest.raises(Exception, match="append_only"), transaction.atomic():
            ReratingPart.objects.update(events=0)

    @pytest.mark.parametrize(
        ("fields", "constraint"),
        [
            ({"state": "approved"}, "rerating_decided_has_decider"),
            ({"ends_at": LONG_AGO}, "rerating_ends_after_start"),
            ({"input_per_mtok": None}, "rerating_has_its_prices"),
        ],
    )
    def test_hold_a_rerating_together(self, cast: Cast, fields: dict[str, Any], constraint: str) -> None:
        propose(cast)

        with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
            Rerating.objects.update(**fields)
