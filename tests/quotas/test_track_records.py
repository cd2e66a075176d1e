from datetime import date, timedelta
from decimal import Decimal

from marketplace.accounts.access import actor_for
from metering import ingest
from quotas import increase_decisions, track_records
from quotas.increase_models import IncreaseRequest
from quotas.owners import Owner
from quotas.track_records import Used
from tests.conftest import Cast
from tests.factories import NOW
from tests.metering.usage_world import used
from tests.quotas.increase_world import DAY, make_request, make_wish

D = Decimal
FIRST = date(2026, 11, 1)


def days(*costs: str) -> dict[date, Used]:
    """Days of ten calls of a hundred tokens each."""
    return {FIRST + timedelta(number): Used(D(10), D(1000), D(cost)) for number, cost in enumerate(costs)}


def granted(**fields: object) -> IncreaseRequest:
    values = {"measure": "requests", "window": "day", "granted": D(40), "monthly_cost": D(30)}
    return IncreaseRequest(**values | fields)


class TestOutcome:
    def test_scales_to_a_month_and_compares_with_what_was_said(self) -> None:
        # Ten days of 2.00: 60 a month, twice the 30 that were declared. Ten of forty calls: a quarter.
        found = track_records.outcome(
            granted(), label="x", used=days(*["2.00"] * 10), first=FIRST, end=FIRST + timedelta(10)
        )

        assert (found.days, found.cost, found.calls) == (10, D(60), D(300))
        assert (found.cost_error_percent, found.peak_percent) == (100, 25)

    def test_counts_days_without_use(self) -> None:
        found = track_records.outcome(
            granted(), label="x", used=days(*["2.00"] * 5), first=FIRST, end=FIRST + timedelta(10)
        )

        assert (found.cost, found.cost_error_percent) == (D(30), 0)

    def test_of_a_month_is_judged_by_its_pace(self) -> None:
        # 10 calls a day are 300 in thirty days, of 400.
        found = track_records.outcome(
            granted(window="month", granted=D(400)),
            label="x",
            used=days(*["1"] * 10),
            first=FIRST,
            end=FIRST + timedelta(10),
        )

        assert found.peak_percent == 75

    def test_is_too_early_before_a_week(self) -> None:
        found = track_records.outcome(
            granted(), label="x", used=days(*["2.00"] * 6), first=FIRST, end=FIRST + timedelta(6)
        )

        assert (found.days, found.cost, found.peak_percent) == (6, None, None)


class TestTrackRecord:
    def test_measures_what_happened_after_the_grant(
        self, cast: Cast, owner: Owner, subscription: object
    ) -> None:
        """Granted twenty days ago; nineteen full days since, each of a million tokens for 0.20: 6.00 in thirty."""
        at = NOW - 20 * DAY
        first = make_request(owner, cast.consumer, at=at, wish=make_wish(ends_at=NOW + DAY))
        increase_decisions.approve(first, by=actor_for(cast.finance), at=at)
        increase_decisions.approve(first, by=actor_for(cast.operator), at=at)
        events = [
            used(owner.instance, f"day-{day}", at=NOW - day * DAY, input_tokens=1_000_000)
            for day in range(1, 20)
        ]
        ingest.record(events, at=NOW)
        second = make_request(owner, cast.consumer, wish=make_wish(9000))

        record = track_records.track_record(second, visible=IncreaseRequest.objects.all(), at=NOW)

        assert (record.granted, record.denied, record.other) == (1, 0, 0)
        one = record.outcomes[0]
        assert (one.days, one.calls) == (19, D(30))
        # 80 were declared; 6 are 92 % less, cut towards zero.
        assert (one.cost, one.cost_error_percent) == (D(6), -92)
        assert record.mean_cost_error_percent == 92

    def test_of_a_first_request_is_empty(self, cast: Cast, owner: Owner) -> None:
        request = make_request(owner, cast.consumer)

        record = track_records.track_record(request, visible=IncreaseRequest.objects.all(), at=NOW)

        assert record.is_empty
