"""The gateway's transactions when something in them goes wrong."""

import asyncio
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from django.db import DataError, OperationalError

from marketplace.catalog.models import Subscription
from marketplace.core.epochs import DIRECTORY, read_epochs
from marketplace.core.ids import uuid7
from marketplace.gateway import books
from marketplace.gateway.books import Count, DatabaseAway, Report, Reserve
from marketplace.gateway.directory import Caller, caller_of
from marketplace.gateway.pipeline import Gateway
from metering.attribution import Dimensions
from metering.ingest import draft_at
from metering.models import UsageEvent
from metering.rating import Quantities
from quotas import admission
from quotas.admission import Admitted, Estimate, HoldRequest, Settled, Settlement
from quotas.models import Hold
from tests.factories import NOW
from tests.metering.conftest import app, make_usage, who

__all__ = ["app", "who"]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def still_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(books, "now", lambda: NOW)


def reserve(who: Dimensions) -> Reserve:
    hold_id = uuid7()
    usage = make_usage(who, str(hold_id))
    request = HoldRequest(hold_id, usage, Estimate(1000, Decimal("0.01")), NOW + timedelta(minutes=5))
    return Reserve(request, read_epochs()[DIRECTORY])


@pytest.mark.usefixtures("still_clock")
class TestCommit:
    def test_answers_what_cannot_be_stored_to_its_sender_alone(self, who: Dimensions) -> None:
        endless = Quantities(input_tokens=10**30)
        good = reserve(who)
        # In one transaction the second "fine" would be a duplicate; the first one fails with its report.
        both = [make_usage(who, "fine"), make_usage(who, "bad", quantities=endless)]
        bad = Report(draft_at(both, read_epochs()))
        fine = Report(draft_at([make_usage(who, "fine")], read_epochs()))

        answers = books.commit([good, bad, fine])

        assert isinstance(answers[0], Admitted)
        assert isinstance(answers[1], DataError)
        assert isinstance(answers[2], list)
        assert [receipt.status for receipt in answers[2]] == ["accepted"]
        assert UsageEvent.objects.get().event_id == "fine"

    def test_commits_nothing_when_the_progress_of_a_stream_cannot_be_noted(
        self, who: Dimensions, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: Any, **__: Any) -> None:
            raise OperationalError

        monkeypatch.setattr(books.holds, "count_output", fail)

        answers = books.commit([reserve(who), Count(uuid7(), 5, NOW)])

        assert [type(answer) for answer in answers] == [DatabaseAway, DatabaseAway]
        assert not Hold.objects.exists()


class LosesAnswers:
    """A commit whose answers are lost so often, after it has happened."""

    def __init__(self, times: int) -> None:
        self.times = times
        self._commit = books._commit

    def __call__(self, entries: list[books.Entry]) -> list[Any]:
        answers = self._commit(entries)
        self.times -= 1
        if self.times >= 0:
            raise OperationalError
        return answers


class TestAdmit:
    @pytest.fixture
    def caller(self, who: Dimensions) -> Caller:
        return caller_of(Subscription.objects.get(pk=who.subscription_id))

    def test_releases_a_hold_of_which_nobody_heard(
        self, caller: Caller, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(books, "_commit", LosesAnswers(1))

        async def call() -> None:
            gateway = Gateway()
            with pytest.raises(DatabaseAway):
                await gateway.admit(partial(_give, caller), lambda _: None)
            await gateway.close()

        asyncio.run(call())

        assert Hold.objects.get().state == "released"

    def test_releases_the_hold_of_a_call_that_was_canceled_while_it_waited(self, caller: Caller) -> None:
        async def call() -> None:
            gateway = Gateway()
            admitting = asyncio.ensure_future(gateway.admit(partial(_give, caller), lambda _: None))
            while not gateway.group._waiting:
                await asyncio.sleep(0)
            admitting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await admitting
            await gateway.close()

        asyncio.run(call())

        assert Hold.objects.get().state == "released"

    def test_settles_once_when_the_answer_is_lost(
        self, who: Dimensions, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def settle(settlement: Settlement) -> Settled:
            gateway = Gateway()
            settled = await gateway._end_surely(settlement)
            await gateway.close()
            return settled

        held = reserve(who).request
        admission.reserve([held], at=NOW)
        monkeypatch.setattr(books, "_commit", LosesAnswers(1))

        settled = asyncio.run(settle(Settlement(held.id, held.usage)))

        assert (settled.has_ended, settled.receipt and settled.receipt.status) == (False, "duplicate")
        assert Hold.objects.get().state == "settled"
        assert UsageEvent.objects.count() == 1


async def _give(caller: Caller) -> Caller:
    return caller
