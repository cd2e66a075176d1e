"""Laws of batches: whatever order, crash or repetition of lines, each is answered once and costs what its events cost."""

from datetime import timedelta
from decimal import Decimal
from itertools import count

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marketplace.catalog.models import Subscription
from marketplace.gateway import kept_calls
from marketplace.gateway.batch_models import Batch, BatchLine
from marketplace.gateway.batches import finishing, lines, recovery, taking, working
from marketplace.gateway.batches.lines import Cost, Failure
from marketplace.gateway.directory import caller_of_id
from metering.ingest import Usage
from metering.models import UsageEvent
from metering.rating import Quantities
from quotas import admission, holds
from quotas.admission import Estimate, HoldRequest, Settlement
from quotas.models import Hold
from tests import factories
from tests.conftest import Cast
from tests.gateway.batching import BOUNDS, chat_line, make_batch, means, read

pytestmark = pytest.mark.django_db

# How far a worker comes with a line before it dies, or what else becomes of it.
BEGUN, HELD, KEPT, SETTLED, ENDED, FAILED, SWEPT, RELEASED = range(8)
rounds = st.lists(
    st.lists(st.integers(BEGUN, RELEASED), min_size=1, max_size=4),
    max_size=5,
)
_tokens = count(100)


@pytest.fixture
def subscription(cast: Cast) -> Subscription:
    factories.make_model("llm-8b")
    app = factories.make_listed_app(cast.creator_team)
    return factories.make_subscription(app, cast.consumer_team)


def hold(batch: Batch, line: BatchLine) -> None:
    call_id, at = lines.call_id(line), timezone.now()
    who = caller_of_id(batch.subscription_id).who
    usage = Usage(str(call_id), at, who, "llm-8b", Quantities(input_tokens=50), is_batch=True)
    request = HoldRequest(call_id, usage, Estimate(500, Decimal("0.001")), at + timedelta(hours=2))
    admission.reserve([request], at=at)


def used(tokens: int) -> dict[str, object]:
    zero = dict.fromkeys(("cached_input_tokens", "cache_write_tokens", "reasoning_tokens"), 0)
    about = {"model": "llm-8b", "latency_ms": 5, "provider_cost": None, "is_estimated": False}
    return {**about, **zero, "input_tokens": tokens, "output_tokens": 7}


def come(batch: Batch, line: BatchLine, *, far: int) -> None:
    """Do with a line what a worker does, as far as it comes."""
    at = timezone.now()
    if far == FAILED:
        lines.fail(line, Failure("invalid_request", "Not like this.", 400, b"{}"), at=at)
    if far in (BEGUN, FAILED):
        return
    hold(batch, line)
    if far == SWEPT:
        holds.sweep(at=at + timedelta(days=1))
    if far == RELEASED:
        admission.settle([Settlement(lines.call_id(line), None)], at=at)
    if far in (HELD, SWEPT, RELEASED):
        return
    told = used(next(_tokens))
    lines.keep(line, body=b'{"id": "x"}', status=200, used=told)
    if far == KEPT:
        return
    line.used = told
    stored = admission.settle([Settlement(lines.call_id(line), usage_of(line))], at=at)
    if far == ENDED:
        receipt = stored[0].receipt
        assert receipt is not None
        lines.end(line, Cost(receipt.rated.cost, receipt.rated.cost, "USD", "llm-8b", 1, 7), at=at)


def usage_of(line: BatchLine) -> Usage:
    found = Hold.objects.get(pk=lines.call_id(line))
    assert line.used is not None
    return kept_calls.usage_of(found, line.used)


def next_worker(batch: Batch) -> Batch:
    Batch.objects.filter(pk=batch.pk).update(locked_until=None, run_at=timezone.now())
    taken = taking.take(at=timezone.now(), at_once=1)
    assert taken is not None
    recovery.recover(taken, at=timezone.now())
    return taken


class TestLines:
    @settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(rounds=rounds)
    def test_are_answered_once_and_cost_what_their_events_cost(
        self, subscription: Subscription, rounds: list[list[int]]
    ) -> None:
        names = ["a", "b", "c", "d"]
        batch = make_batch(subscription.pk, [chat_line(name) for name in names])
        working.work_once(means=means())
        ids = set()
        for fars in rounds:
            batch = next_worker(batch)
            begun = lines.begin(batch, most=len(fars), at=timezone.now())
            for line, far in zip(reversed(begun), fars, strict=False):
                ids.add(str(lines.call_id(line)))
                come(batch, line, far=far)
        batch = next_worker(batch)
        for line in lines.begin(batch, most=10, at=timezone.now()):
            ids.add(str(lines.call_id(line)))
            come(batch, line, far=ENDED)
        Batch.objects.filter(pk=batch.pk).update(state="finalizing")
        batch.refresh_from_db()
        finishing.finish(batch, bounds=BOUNDS, at=timezone.now())
        batch.refresh_from_db()

        told = [one["custom_id"] for one in (*read(batch.output_file), *read(batch.error_file))]
        assert sorted(told) == names
        events = UsageEvent.objects.filter(event_id__in=ids)
        assert batch.cost == sum((event.cost for event in events), Decimal(0))
        assert batch.cost == sum((line.cost for line in batch.lines.all()), Decimal(0))
        assert not Hold.objects.filter(state="held").exists()
