from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from marketplace.core.epochs import read_epochs
from marketplace.core.ids import uuid7
from metering import ingest
from metering.attribution import Dimensions
from metering.models import UsageEvent
from metering.rating import Quantities
from quotas import admission, holds
from quotas.admission import Admitted, Estimate, HoldRequest, Refused, Settlement
from quotas.models import Hold, Limit, LimitCounter, OverrunEntry
from tests.factories import LONG_AGO, NOW
from tests.metering.conftest import make_usage


def limit(who: Dimensions, **fields: Any) -> Limit:
    """Replace the default limits of the cast by one."""
    Limit.objects.update(ends_at=LONG_AGO)
    values = {
        "subscription_id": who.subscription_id,
        "measure": "requests",
        "window": "day",
        "limit_value": 2,
    }
    values |= {"starts_at": LONG_AGO}
    return Limit.objects.create(**values | fields)


def request(who: Dimensions, *, tokens: int = 1000, cost: str = "0.01") -> HoldRequest:
    hold_id = uuid7()
    usage = make_usage(who, str(hold_id), tokens=100)
    return HoldRequest(hold_id, usage, Estimate(tokens, Decimal(cost)), NOW + timedelta(minutes=5))


def counter(of: Limit) -> tuple[Decimal, Decimal, Decimal]:
    row = LimitCounter.objects.get(limit=of)
    return row.spent, row.held, row.overrun


class TestReserve:
    def test_holds_and_refuses_with_the_limit_that_says_no(self, who: Dimensions) -> None:
        daily = limit(who)

        answers = admission.reserve([request(who) for _ in range(3)], at=NOW)

        assert [type(a) for a in answers] == [Admitted, Admitted, Refused]
        refused = answers[2]
        assert isinstance(refused, Refused)
        assert (refused.standing.limit.id, refused.standing.used) == (daily.pk, 2)
        assert refused.standing.resets_at == NOW.replace(day=16, hour=0)
        assert counter(daily) == (0, 2, 0)
        assert Hold.objects.count() == 2

    def test_names_a_window_before_calls_at_a_time(self, who: Dimensions) -> None:
        at_a_time = limit(who, measure="concurrency", window="minute", limit_value=0)
        daily = Limit.objects.create(
            subscription_id=who.subscription_id,
            measure="requests",
            window="day",
            limit_value=0,
            starts_at=LONG_AGO,
        )

        refused = admission.reserve([request(who)], at=NOW)[0]

        # A call may end at any moment, the day ends at midnight: that is how long it takes until both admit.
        assert isinstance(refused, Refused)
        assert refused.standing.limit.id == daily.pk != at_a_time.pk

    def test_holds_nothing_when_one_limit_of_the_chain_refuses(self, who: Dimensions) -> None:
        daily = limit(who, limit_value=10)
        Limit.objects.create(
            organization_id=who.organization_id,
            measure="cost",
            window="month",
            currency="USD",
            limit_value=Decimal("0.005"),
            starts_at=LONG_AGO,
        )

        answer = admission.reserve([request(who, cost="0.01")], at=NOW)[0]

        assert isinstance(answer, Refused)
        assert answer.standing.limit.measure == "cost"
        assert counter(daily) == (0, 0, 0)
        assert not Hold.objects.exists()

    def test_counts_what_came_over_the_limit(self, who: Dimensions) -> None:
        tokens = limit(who, measure="tokens", limit_value=100)
        asked = request(who, tokens=60)
        admission.reserve([asked], at=NOW)
        admission.report([make_usage(who, "a", tokens=80)], at=NOW)
        admission.settle([Settlement(asked.id, None)], at=NOW)
        assert counter(tokens) == (40, 0, 40)

        # 80 of 100 are used
        assert isinstance(admission.reserve([request(who, tokens=21)], at=NOW)[0], Refused)
        assert isinstance(admission.reserve([request(who, tokens=20)], at=NOW)[0], Admitted)

    def test_starts_anew_in_the_next_window(self, who: Dimensions) -> None:
        limit(who, limit_value=1)
        admission.reserve([request(who)], at=NOW)

        assert isinstance(admission.reserve([request(who)], at=NOW)[0], Refused)
        assert isinstance(admission.reserve([request(who)], at=NOW + timedelta(days=1))[0], Admitted)

    def test_admits_over_a_soft_limit(self, who: Dimensions) -> None:
        limit(who, limit_value=0, mode="soft")

        assert isinstance(admission.reserve([request(who)], at=NOW)[0], Admitted)

    def test_follows_a_raised_and_a_lowered_limit(self, who: Dimensions) -> None:
        daily = limit(who, limit_value=1)
        admission.reserve([request(who)], at=NOW)

        Limit.objects.filter(pk=daily.pk).update(limit_value=2)
        assert isinstance(admission.reserve([request(who)], at=NOW)[0], Admitted)
        Limit.objects.filter(pk=daily.pk).update(limit_value=1)
        assert isinstance(admission.reserve([request(who)], at=NOW)[0], Refused)

    def test_follows_a_limit_that_becomes_hard_when_more_is_held(self, who: Dimensions) -> None:
        tokens = limit(who, measure="tokens", limit_value=10, mode="soft")
        small, large = request(who, tokens=20), request(who, tokens=500)
        admission.reserve([small, large], at=NOW)
        Limit.objects.filter(pk=tokens.pk).update(mode="hard")

        admission.settle([Settlement(small.id, None)], at=NOW)

        assert counter(tokens) == (0, 500, 0)
        assert isinstance(admission.reserve([request(who, tokens=1)], at=NOW)[0], Refused)

    def test_does_not_count_the_sandbox_against_other_limits(self, who: Dimensions) -> None:
        limit(who, limit_value=0)

        answer = admission.reserve([request(who._replace(environment="sandbox"))], at=NOW)[0]

        assert isinstance(answer, Admitted)


class TestSettle:
    def test_books_what_was_used_and_gives_the_rest_back(self, who: Dimensions) -> None:
        tokens = limit(who, measure="tokens", limit_value=5000)
        asked = request(who, tokens=1000)
        admission.reserve([asked], at=NOW)

        settled = admission.settle([Settlement(asked.id, asked.usage)], at=NOW)[0]

        assert settled.has_ended
        assert counter(tokens) == (100, 0, 0)
        assert Hold.objects.get().state == "settled"
        assert UsageEvent.objects.get().event_id == str(asked.id)

    def test_changes_nothing_the_second_time(self, who: Dimensions) -> None:
        requests = limit(who)
        asked = request(who)
        admission.reserve([asked], at=NOW)
        end = Settlement(asked.id, asked.usage)

        first = admission.settle([end, end], at=NOW)
        second = admission.settle([end], at=NOW)

        assert [s.receipt.status for s in first if s.receipt] == ["accepted", "duplicate"]
        assert [s.has_ended for s in first] == [True, False]
        assert not second[0].has_ended
        assert counter(requests) == (1, 0, 0)

    def test_ends_a_hold_as_the_first_of_two_in_a_batch_says(self, who: Dimensions) -> None:
        requests = limit(who)
        asked = request(who)
        admission.reserve([asked], at=NOW)

        ends = admission.settle([Settlement(asked.id, None), Settlement(asked.id, asked.usage)], at=NOW)

        assert [end.has_ended for end in ends] == [True, False]
        assert Hold.objects.get().state == "released"
        assert counter(requests) == (0, 0, 0)
        assert not UsageEvent.objects.exists()

    def test_charges_nothing_for_a_hold_that_was_released(self, who: Dimensions) -> None:
        requests = limit(who)
        asked = request(who)
        admission.reserve([asked], at=NOW)
        admission.settle([Settlement(asked.id, None)], at=NOW)

        late = admission.settle([Settlement(asked.id, asked.usage)], at=NOW)[0]

        assert (late.has_ended, late.receipt) == (False, None)
        assert counter(requests) == (0, 0, 0)
        assert not UsageEvent.objects.exists()

    def test_keeps_the_others_of_a_batch_apart_from_a_released_one(self, who: Dimensions) -> None:
        requests = limit(who)
        released, used = request(who), request(who)
        admission.reserve([released, used], at=NOW)
        admission.settle([Settlement(released.id, None)], at=NOW)

        outcome = admission.commit(
            settlements=[Settlement(released.id, released.usage), Settlement(used.id, used.usage)],
            reports=[ingest.draft_at([make_usage(who, "reported")], read_epochs())],
            at=NOW,
        )

        assert [end.has_ended for end in outcome.settlements] == [False, True]
        assert [receipt.event_id for receipt in outcome.reports] == ["reported"]
        assert counter(requests) == (2, 0, 0)
        assert set(UsageEvent.objects.values_list("event_id", flat=True)) == {str(used.id), "reported"}

    def test_releases_a_failed_call_without_a_trace_of_cost(self, who: Dimensions) -> None:
        requests = limit(who)
        asked = request(who)
        admission.reserve([asked], at=NOW)

        admission.settle([Settlement(asked.id, None)], at=NOW)

        assert counter(requests) == (0, 0, 0)
        assert not UsageEvent.objects.exists()

    def test_books_more_than_was_held_as_overrun_when_the_limit_is_full(self, who: Dimensions) -> None:
        tokens = limit(who, measure="tokens", limit_value=50)
        asked = request(who, tokens=50)
        admission.reserve([asked], at=NOW)
        used = make_usage(who, str(asked.id), quantities=Quantities(input_tokens=80))

        admission.settle([Settlement(asked.id, used)], at=NOW)

        assert counter(tokens) == (50, 0, 30)
        assert OverrunEntry.objects.get().amount == 30
        assert isinstance(admission.reserve([request(who, tokens=1)], at=NOW)[0], Refused)


class TestReport:
    def test_counts_reported_usage_against_the_same_limits(self, who: Dimensions) -> None:
        tokens = limit(who, measure="tokens", limit_value=500)

        admission.report([make_usage(who, "a", tokens=400), make_usage(who, "b", tokens=400)], at=NOW)
        admission.report([make_usage(who, "b", tokens=400)], at=NOW)

        assert counter(tokens) == (500, 0, 300)
        entry = OverrunEntry.objects.get()
        assert (entry.amount, entry.cause) == (300, "report")

    def test_counts_the_whole_window_in_which_a_limit_starts(self, who: Dimensions) -> None:
        tokens = limit(who, measure="tokens", limit_value=500, starts_at=NOW + timedelta(seconds=30))
        yesterday, before, after = NOW - timedelta(days=1), NOW, NOW + timedelta(seconds=50)

        admission.report(
            [
                make_usage(who, "other window", tokens=100, at=yesterday),
                make_usage(who, "before", tokens=20, at=before),
                make_usage(who, "after", tokens=7, at=after),
            ],
            at=after,
        )

        assert counter(tokens) == (27, 0, 0)

    def test_refuses_from_the_second_a_limit_starts(self, who: Dimensions) -> None:
        limit(who, limit_value=1, starts_at=NOW + timedelta(seconds=30))
        moments = [NOW, NOW, NOW + timedelta(seconds=29), NOW + timedelta(seconds=30)]

        answers = [type(admission.reserve([request(who)], at=at)[0]) for at in moments]

        # Two too many were admitted before; from its start on the limit knows them.
        assert answers == [Admitted, Admitted, Admitted, Refused]


class TestSweep:
    def test_books_a_hold_whose_process_died(self, who: Dimensions) -> None:
        tokens = limit(who, measure="tokens", limit_value=5000)
        asked = request(who, tokens=1000)
        admission.reserve([asked], at=NOW)
        holds.count_output([(asked.id, 40)], expires_at=NOW)

        assert holds.sweep(at=NOW + timedelta(minutes=4)) == 0
        assert holds.sweep(at=NOW + timedelta(minutes=6)) == 1

        event = UsageEvent.objects.get()
        assert (event.input_tokens, event.output_tokens, event.is_estimated) == (100, 40, True)
        assert Hold.objects.get().state == "expired"
        assert counter(tokens) == (140, 0, 0)

    def test_leaves_a_stream_that_still_delivers(self, who: Dimensions) -> None:
        asked = request(who)
        admission.reserve([asked], at=NOW)

        holds.count_output([(asked.id, 40)], expires_at=NOW + timedelta(minutes=9))

        assert holds.sweep(at=NOW + timedelta(minutes=8)) == 0
        assert holds.sweep(at=NOW + timedelta(minutes=9)) == 1

    def test_books_the_others_when_one_hold_cannot_be_booked(
        self, who: Dimensions, caplog: pytest.LogCaptureFixture
    ) -> None:
        broken, whole = request(who), request(who)
        admission.reserve([broken, whole], at=NOW)
        Hold.objects.filter(pk=broken.id).update(
            usage=Hold.objects.get(pk=broken.id).usage | {"model": "gone"}
        )

        assert holds.sweep(at=NOW + timedelta(minutes=6)) == 1

        assert Hold.objects.get(pk=whole.id).state == "expired"
        assert Hold.objects.get(pk=broken.id).state == "held"
        assert UsageEvent.objects.get().event_id == str(whole.id)
        assert f"hold {broken.id} cannot be booked" in caplog.text

    def test_books_a_hold_whose_counter_is_gone(self, who: Dimensions) -> None:
        per_minute = limit(who, measure="cost", window="minute", currency="USD", limit_value=5)
        asked = request(who, cost="0")
        admission.reserve([asked], at=NOW)
        # Nothing is held of it, so it was purged with the minutes of long ago.
        LimitCounter.objects.filter(limit=per_minute).delete()

        assert holds.sweep(at=NOW + timedelta(days=4)) == 1

        assert Hold.objects.get().state == "expired"
        assert UsageEvent.objects.get().event_id == str(asked.id)


class TestPurge:
    def test_does_not_keep_late_reports_out(self, who: Dimensions) -> None:
        per_minute = limit(who, window="minute", limit_value=5)
        admission.report([make_usage(who, "a")], at=NOW)
        later = NOW + timedelta(days=10)
        holds.purge(at=later)
        assert not LimitCounter.objects.exists()

        admission.report([make_usage(who, "b")], at=later)

        assert counter(per_minute) == (1, 0, 0)


class TestLimitCounter:
    def test_cannot_be_written_over_its_limit_by_anybody(self, who: Dimensions) -> None:
        daily = limit(who)
        admission.reserve([request(who)], at=NOW)

        with pytest.raises(IntegrityError, match="limit_counter_within_limit"), transaction.atomic():
            LimitCounter.objects.filter(limit=daily).update(held=3)


class TestDefaultLimits:
    def test_come_with_a_subscription_and_follow_its_plan(self, who: Dimensions) -> None:
        of_subscription = Limit.objects.filter(subscription_id=who.subscription_id).order_by("window")

        assert [(x.measure, x.window, x.limit_value, x.mode) for x in of_subscription] == [
            ("requests", "day", 1000, "hard"),
            ("requests", "month", 20_000, "hard"),
        ]

    def test_come_with_a_listing(self, who: Dimensions) -> None:
        of_app = Limit.objects.filter(app_id=who.app_id).order_by("window")

        assert [(x.window, x.limit_value) for x in of_app] == [("day", 10_000), ("month", 200_000)]
