"""SIGKILL in the midst of a batch, again and again: the next worker goes on where it ended, nothing is charged twice."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from marketplace.gateway import background
from marketplace.gateway.batch_models import Batch
from marketplace.gateway.batches import lines
from metering import rollups
from metering.models import UsageEvent
from quotas.models import Hold
from tests import factories
from tests.conftest import Cast
from tests.gateway.batching import chat_line, make_batch, read, work
from tests.gateway.conftest import demo_provider
from tests.gateway.live import make_models
from tests.races.killing import run_until_killed, wait_until_let_go

__all__ = ["demo_provider"]

pytestmark = [pytest.mark.race, pytest.mark.django_db(transaction=True)]
KILLED, ENDED = -9, 0
# Words to PostgreSQL after which a worker dies: in its first line, between lines, in its recovery of the one before.
LASTS = (9, 14, 19, 24, 29, 33, 37, 41, 46, 52, 60, 75)


class TestKilled:
    def test_answers_and_charges_each_line_once(self, cast: Cast, demo_provider: str) -> None:
        make_models(demo_provider)
        app = factories.make_listed_app(cast.creator_team, slug="where2eat")
        subscription = factories.make_subscription(app, cast.consumer_team)
        names = [f"line-{number}" for number in range(1, 6)]
        batch = make_batch(subscription.pk, [chat_line(name) for name in names])
        database = str(connection.settings_dict["NAME"])
        codes = []

        for last in LASTS:
            codes.append(run_until_killed("tests.races.batching:work", database=database, last=last))
            wait_until_let_go()
            # What is on disk may wait for the next worker, but never says more than was settled.
            Batch.objects.update(locked_until=timezone.now() - timedelta(seconds=1))
        work(batch)
        background.close()

        assert codes.count(KILLED) >= len(LASTS) // 2
        assert (batch.state, batch.total_lines, batch.done_lines) == ("completed", 5, 5)
        answers = read(batch.output_file)
        assert [one["custom_id"] for one in answers] == names
        events = UsageEvent.objects.all()
        assert {event.event_id for event in events} == {one["response"]["request_id"] for one in answers}
        assert batch.cost == sum(event.cost for event in events)
        assert {str(lines.call_id(line)) for line in batch.lines.all()} == {one.event_id for one in events}
        assert not Hold.objects.exclude(state__in=["settled", "released"]).exists()
        assert rollups.differences() == []
