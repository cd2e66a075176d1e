"""The same usage sent by four processes, and months that close while it comes in."""

from collections import Counter
from datetime import date

import pytest
from django.db import transaction

from metering import periods, rollups, staging
from metering.attribution import Dimensions
from metering.models import Attribution, EventConflict, UsageEvent
from tests.races.processes import Processes, until
from tests.races.recording import NOVEMBER

pytestmark = [pytest.mark.race, pytest.mark.django_db(transaction=True)]


class TestRecord:
    # Up to which size a batch is an argument, and by which size all new is a guess worth trying: for none, all, some.
    @pytest.mark.parametrize(("few", "many"), [(0, 1), (staging.FEW, staging.MANY), (40, 75)])
    def test_counts_each_event_once_whoever_sends_it_in_whatever_order(
        self, processes: Processes, who: Dimensions, few: int, many: int
    ) -> None:
        told = processes.run(
            "tests.races.recording:send_all",
            [
                {"who": who, "count": 1500, "contested": 0, "seed": seed, "few": few, "many": many}
                for seed in range(4)
            ],
        )

        accepted = [event_id for each in told for event_id in each["accepted"]]
        assert len(accepted) == len(set(accepted)) == 1500
        assert sum(len(each["conflict"]) for each in told) == 0
        # a process sends 1,500 events and again every 7th, 8th, 9th, 10th of them: 215 + 188 + 167 + 150
        assert sum(len(each["duplicate"]) for each in told) == 4 * 1500 + 720 - 1500
        self._expect_events_and_rollups(1500)

    def test_keeps_one_of_several_contents_and_calls_the_others_conflicts(
        self, processes: Processes, who: Dimensions
    ) -> None:
        told = processes.run(
            "tests.races.recording:send_all",
            [
                {"who": who, "count": 300, "contested": 100, "seed": seed, "few": 20, "many": 40}
                for seed in range(4)
            ],
        )

        accepted = [event_id for each in told for event_id in each["accepted"]]
        conflicts = Counter(event_id for each in told for event_id in each["conflict"])
        assert len(accepted) == len(set(accepted)) == 300
        # of four contents one stays, so each of the 100 ids has at least three conflicts (more where it came twice)
        assert set(conflicts) == {f"event-{number}" for number in range(100)}
        assert min(conflicts.values()) == 3
        assert EventConflict.objects.count() == sum(conflicts.values())
        self._expect_events_and_rollups(300)

    def _expect_events_and_rollups(self, count: int) -> None:
        events, rolled = rollups.totals()
        assert events == rolled
        assert events.values["events"] == UsageEvent.objects.count() == count
        assert rollups.differences() == []


class TestResolve:
    def test_makes_one_row_for_each_combination(self, processes: Processes, who: Dimensions) -> None:
        found = processes.run(
            "tests.races.recording:resolve", [{"who": who, "seed": seed} for seed in range(4)]
        )

        assert found[0] == found[1] == found[2] == found[3]
        assert Attribution.objects.count() == 50


class TestClose:
    def test_lets_no_event_into_the_month_afterwards(self, processes: Processes, who: Dimensions) -> None:
        october = date(2026, 10, 1)

        recording = processes.start(
            "tests.races.recording:record_until_closed",
            [{"who": who, "month": october, "seed": seed, "more": 5} for seed in range(4)],
        )
        until(lambda: UsageEvent.objects.count() >= 200)
        with transaction.atomic():
            assert periods.close(october, at=NOVEMBER)
            at_close = UsageEvent.objects.filter(period=october).count()
            assert UsageEvent.objects.count() == at_close
        told = sum((future.result(60) for future in recording), Counter())

        assert UsageEvent.objects.filter(period=october).count() == at_close
        later = UsageEvent.objects.exclude(period=october)
        assert set(later.values_list("period", flat=True)) == {date(2026, 11, 1)}
        assert later.count() >= 4 * 10  # each process has sent at least a batch that found the month closed
        assert told == {"accepted": UsageEvent.objects.count()}
        assert {event.occurred_at.month for event in later} == {10}
        assert rollups.differences() == []

    def test_is_done_by_one_of_several(self, processes: Processes, who: Dimensions) -> None:
        done = processes.run("tests.races.recording:close", [{"month": date(2026, 10, 1)}] * 4)

        assert sorted(done) == [False, False, False, True]
