"""SIGKILL between every two steps of hold, call and settle: nothing is charged twice, nothing stays held, nothing is free
that a provider was called for."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection

from marketplace.core.epochs import DIRECTORY, read_epochs
from marketplace.core.ids import uuid7
from marketplace.gateway import books
from marketplace.gateway.books import Reserve
from metering import rollups
from metering.attribution import Dimensions
from metering.ingest import Usage
from metering.models import UsageEvent
from metering.rating import Quantities
from quotas import admission, holds
from quotas.admission import Admitted, Estimate, HoldRequest, Settlement
from quotas.models import Hold, LimitCounter, OverrunEntry
from tests.factories import NOW
from tests.races.calls import COST, TOKENS
from tests.races.killing import run_together, run_until_killed, wait_until_let_go
from tests.races.test_admission import make_limit, only_limit, whos

__all__ = ["whos"]

pytestmark = [pytest.mark.race, pytest.mark.django_db(transaction=True)]

KILLED, ENDED = -9, 0
LATER = NOW + timedelta(minutes=6)
MOST_STEPS = 200


def database() -> str:
    return str(connection.settings_dict["NAME"])


def is_admitted(who: Dimensions) -> bool:
    """Ask for a hold now, through the gateway's own transaction, and give it back."""
    hold_id = uuid7()
    usage = Usage(str(hold_id), NOW, who, "llm-8b", Quantities(input_tokens=TOKENS))
    request = HoldRequest(hold_id, usage, Estimate(TOKENS, COST), LATER)
    (answer,) = books.commit([Reserve(request, read_epochs()[DIRECTORY])])
    if isinstance(answer, Admitted):
        admission.settle([Settlement(hold_id, None)], at=NOW)
    return isinstance(answer, Admitted)


class TestOneCall:
    def test_is_whole_or_booked_wherever_its_process_dies(self, whos: list[Dimensions]) -> None:
        who = whos[0]
        budget = only_limit(
            organization_id=who.organization_id, measure="tokens", limit_value=1_000 * TOKENS, window="month"
        )
        states: set[str] = set()
        steps, code, seen = 0, KILLED, 0

        while code != ENDED:
            steps += 1
            assert steps < MOST_STEPS
            code = run_until_killed(
                "tests.races.killing:one_call",
                database=database(),
                last=steps,
                who=who,
                at=NOW,
                tokens=TOKENS,
            )
            wait_until_let_go()
            holds.sweep(at=LATER)
            counter = LimitCounter.objects.filter(limit=budget).first()
            if counter is not None:
                assert counter.held == 0, steps
                assert counter.spent == UsageEvent.objects.count() * TOKENS, steps
            assert Hold.objects.count() - seen <= 1, steps
            seen = Hold.objects.count()
            states |= set(Hold.objects.values_list("state", flat=True))

        # A hold that got to the disk has its event, from its settlement or from the sweep.
        assert states == {"settled", "expired"}
        ids = {str(pk) for pk in Hold.objects.values_list("pk", flat=True)}
        assert ids == set(UsageEvent.objects.values_list("event_id", flat=True))
        # Locking, holding, booking, counting and committing, in two transactions, and the call between them.
        assert steps > 20
        assert not OverrunEntry.objects.exists()
        assert rollups.differences() == []

    def test_leaves_no_limit_closed_for_ever(
        self, whos: list[Dimensions], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        who = whos[0]
        only_limit(organization_id=who.organization_id, measure="concurrency", limit_value=1, window="minute")
        monkeypatch.setattr(books, "now", lambda: NOW)
        # Some step lies between the commit of the hold and that of its settlement.
        for last in range(5, MOST_STEPS):
            run_until_killed(
                "tests.races.killing:one_call", database=database(), last=last, who=who, at=NOW, tokens=TOKENS
            )
            wait_until_let_go()
            if Hold.objects.filter(state="held").exists():
                break

        assert not is_admitted(who)
        assert holds.sweep(at=LATER) == 1
        assert is_admitted(who)


class TestManyCalls:
    def test_add_up_when_their_processes_die_in_the_midst(self, whos: list[Dimensions]) -> None:
        limit = only_limit(organization_id=whos[0].organization_id, measure="cost", limit_value="2")
        make_limit(team_id=whos[0].team_id, measure="requests", limit_value=150)

        codes = run_together(
            "tests.races.killing:many_calls",
            database=database(),
            lasts=[30, 65, 100, 10**9],
            arguments=[{"whos": whos, "at": NOW, "seed": seed} for seed in range(4)],
        )
        wait_until_let_go()
        holds.sweep(at=LATER)

        assert codes == [KILLED, KILLED, KILLED, ENDED]
        assert not Hold.objects.filter(state="held").exists()
        counter = LimitCounter.objects.get(limit=limit)
        assert counter.held == 0
        assert counter.spent <= Decimal(2)
        cost = sum((event.cost for event in UsageEvent.objects.all()), Decimal(0))
        assert counter.spent + counter.overrun == cost
        charged = Hold.objects.exclude(state="released")
        ids = {str(pk) for pk in charged.values_list("pk", flat=True)}
        metered = UsageEvent.objects.exclude(event_id__startswith="report-")
        assert ids == set(metered.values_list("event_id", flat=True))
        assert rollups.differences() == []
