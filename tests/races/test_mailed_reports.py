"""Two routines that look at once for reports to mail."""

from datetime import UTC, datetime

import pytest

from marketplace.core.models import Job
from metering.kept import schedules
from tests.conftest import Cast
from tests.factories import NOW
from tests.races.test_prices import at_once

pytestmark = [pytest.mark.race, pytest.mark.django_db(transaction=True)]
MONDAY = datetime(2026, 11, 16, 7, tzinfo=UTC)


class TestQueueDue:
    def test_sends_once_when_two_beats_meet(self, cast: Cast) -> None:
        for query in ("group_by=team", "group_by=app", "group_by=model"):
            schedules.subscribe(cast.finance, name="Usage", query=query, cadence="weekly", at=NOW)

        done, errors = at_once([lambda: schedules.queue_due(at=MONDAY) for _ in range(4)])

        assert errors == []
        assert sum(done) == 3
        assert Job.objects.filter(name=schedules.SEND_SCHEDULED).count() == 3


class TestSubscribe:
    def test_begins_once_when_it_is_asked_twice(self, cast: Cast) -> None:
        done, errors = at_once(
            [
                lambda: schedules.subscribe(
                    cast.finance, name="Usage", query="group_by=team", cadence="monthly", at=NOW
                )
                for _ in range(4)
            ]
        )

        assert errors == []
        assert len({schedule.pk for schedule in done}) == 1
