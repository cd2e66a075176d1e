from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.db import ProgrammingError, connection, transaction

from metering import ingest, periods, rollups, staging
from metering.attribution import Dimensions
from metering.models import DailyRollup, EventConflict, UsageEvent, UsageRollup
from metering.ratecards import UnknownPrice
from tests.factories import NOW
from tests.metering.conftest import make_usage

# Up to which number of events they are an argument, and from which number all are taken for new.
WAYS = {"few": (staging.FEW, staging.MANY), "some": (0, staging.MANY), "many": (0, 1)}


class TestRecord:
    @pytest.fixture(params=WAYS, autouse=True)
    def way(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        """Store the batches of these tests in each way."""
        few, many = WAYS[request.param]
        monkeypatch.setattr(staging, "FEW", few)
        monkeypatch.setattr(staging, "MANY", many)

    def test_rates_and_rolls_up_in_one_go(self, who: Dimensions) -> None:
        receipts = ingest.record([make_usage(who, "e1"), make_usage(who, "e2", tokens=20)], at=NOW)

        # 480 and 20 input tokens at 0.20 per million: 0.000096 + 0.000004
        assert [r.status for r in receipts] == ["accepted", "accepted"]
        assert receipts[0].rated.cost == Decimal("0.000096")
        rollup = UsageRollup.objects.get()
        assert (rollup.events, rollup.requests, rollup.input_tokens) == (2, 2, 500)
        assert rollup.cost == Decimal("0.0001")
        assert rollup.hour == NOW.replace(minute=0)
        assert rollup.period == date(2026, 11, 1)

    def test_counts_a_resent_event_once_whatever_its_time(self, who: Dimensions) -> None:
        ingest.record([make_usage(who)], at=NOW)

        receipts = ingest.record([make_usage(who, at=NOW - timedelta(hours=3))], at=NOW)

        assert [r.status for r in receipts] == ["duplicate"]
        assert UsageEvent.objects.count() == 1
        assert UsageRollup.objects.get().events == 1

    def test_keeps_the_first_of_two_contents_under_one_id(self, who: Dimensions) -> None:
        ingest.record([make_usage(who, tokens=480)], at=NOW)

        receipts = ingest.record([make_usage(who, tokens=999), make_usage(who, "e2")], at=NOW)

        assert [r.status for r in receipts] == ["conflict", "accepted"]
        assert UsageEvent.objects.get(event_id="e1").input_tokens == 480
        assert EventConflict.objects.get().body["input_tokens"] == 999
        assert rollups.differences() == []

    def test_tells_repetitions_inside_one_batch(self, who: Dimensions) -> None:
        batch = [make_usage(who), make_usage(who), make_usage(who, tokens=1)]

        receipts = ingest.record(batch, at=NOW)

        assert [r.status for r in receipts] == ["accepted", "duplicate", "conflict"]
        assert UsageRollup.objects.get().input_tokens == 480

    def test_refuses_a_model_without_a_price(self, who: Dimensions) -> None:
        usage = make_usage(who)

        with pytest.raises(UnknownPrice) as caught:
            ingest.record([ingest.Usage("e1", NOW, who, "llm-unknown", usage.quantities)], at=NOW)

        assert caught.value.field == "model"
        assert UsageEvent.objects.count() == 0

    def test_bills_late_usage_of_a_closed_month_in_the_next_open_one(self, who: Dimensions) -> None:
        october = NOW.replace(month=10)
        with transaction.atomic():
            periods.close(date(2026, 10, 1), at=NOW)

        ingest.record([make_usage(who, at=october)], at=NOW)

        rollup = UsageRollup.objects.get()
        assert (rollup.hour.month, rollup.period) == (10, date(2026, 11, 1))

    def test_keeps_text_with_tabs_and_backslashes(self, who: Dimensions) -> None:
        strange = "a\tb\\c\nd\re"

        ingest.record([make_usage(who, strange, tags={"k\t": "\\N"})], at=NOW)

        event = UsageEvent.objects.get()
        assert event.event_id == strange
        assert event.tags == {"k\t": "\\N"}


class TestUsageEvent:
    @pytest.mark.parametrize(
        "change", ["UPDATE metering_usageevent SET input_tokens = 1", "DELETE FROM metering_usageevent"]
    )
    def test_is_never_changed(self, who: Dimensions, change: str) -> None:
        ingest.record([make_usage(who)], at=NOW)

        with (
            pytest.raises(ProgrammingError, match="Cannot"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(change)


class TestRebuild:
    def test_gives_what_incremental_recording_gave(self, who: Dimensions) -> None:
        for hour in range(4):
            ingest.record(
                [make_usage(who, f"{hour}-{n}", tokens=n, at=NOW - timedelta(hours=hour)) for n in range(5)],
                at=NOW,
            )
        before = list(UsageRollup.objects.order_by("hour").values())

        rollups.rebuild()

        assert list(UsageRollup.objects.order_by("hour").values()) == before
        assert rollups.differences() == []

    def test_gives_days_the_sums_of_their_hours(self, who: Dimensions) -> None:
        for hour in range(30):
            ingest.record([make_usage(who, f"{hour}", tokens=hour, at=NOW - timedelta(hours=hour))], at=NOW)
        before = list(DailyRollup.objects.order_by("day").values())

        rollups.rebuild()

        assert list(DailyRollup.objects.order_by("day").values()) == before
        assert sum(day["input_tokens"] for day in before) == sum(range(30))
        assert rollups.differing_daily_sums() == []

    def test_finds_a_day_that_was_tampered_with(self, who: Dimensions) -> None:
        ingest.record([make_usage(who)], at=NOW)
        DailyRollup.objects.update(cost=Decimal("0.5"))

        assert rollups.differing_daily_sums() == [NOW.date()]

        rollups.rebuild(period=NOW.date().replace(day=1))

        assert rollups.differing_daily_sums() == []

    def test_finds_a_rollup_that_was_tampered_with(self, who: Dimensions) -> None:
        ingest.record([make_usage(who)], at=NOW)
        UsageRollup.objects.update(cost=Decimal("0.5"))

        assert len(rollups.differences()) == 1
