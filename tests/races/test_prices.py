"""Deciding on prices at once, and recording meanwhile."""

import threading
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.db.models import F, Q

from marketplace.accounts.access import Actor, actor_for
from marketplace.core.models import AuditEntry
from marketplace.core.transitions import IllegalTransition
from metering import ingest, proposals
from metering.attribution import Dimensions
from metering.models import RateCard, RateProposal, UsageEvent
from metering.proposals import SOON, ProposedMeanwhile
from tests import factories
from tests.conftest import Cast
from tests.factories import NOW
from tests.metering.conftest import make_usage
from tests.metering.test_proposals import make_proposal

pytestmark = [pytest.mark.race, pytest.mark.django_db(transaction=True)]


def at_once(works: list[Callable[[], Any]]) -> tuple[list[Any], list[Exception]]:
    """Do all of it in threads with connections of their own, starting together; give results and errors."""
    done: list[Any] = []
    errors: list[Exception] = []
    barrier = threading.Barrier(len(works))

    def run(work: Callable[[], Any]) -> None:
        barrier.wait()
        try:
            done.append(work())
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return done, errors


@pytest.fixture
def operator(cast: Cast) -> Actor:
    return actor_for(cast.operator)


@pytest.fixture
def deciders(cast: Cast) -> list[Actor]:
    people = [cast.finance, *(factories.make_user(f"operator-{number}@demo.example") for number in range(3))]
    for person in people[1:]:
        factories.join(person, None, "operator", organization=cast.company)
    return [actor_for(person) for person in people]


class TestDeciders:
    @pytest.mark.parametrize("starts_at", [None, NOW + timedelta(days=1)])
    def test_at_once_decide_once(self, operator: Actor, deciders: list[Actor], starts_at: Any) -> None:
        factories.make_model("llm-8b")
        asked = proposals.propose(make_proposal(starts_at=starts_at), by=operator, at=NOW)

        def decide(number: int, by: Actor) -> Any:
            proposal = RateProposal.objects.get(pk=asked.pk)
            at = NOW + timedelta(seconds=number)
            if number % 2:
                return proposals.reject(proposal, by=by, at=at, note="No.")
            return proposals.approve(proposal, by=by, at=at)

        done, errors = at_once(
            [lambda n=n, by=by: decide(n, by) for n, by in enumerate(deciders)]  # type: ignore[misc]
        )

        assert len(done) == 1
        assert [type(error) for error in errors] == [IllegalTransition] * 3
        made = RateProposal.objects.get()
        is_approved = made.state == "approved"
        assert RateCard.objects.count() == 1 + is_approved
        decided = AuditEntry.objects.filter(
            action__in=["metering.rate_proposal.approved", "metering.rate_proposal.rejected"]
        )
        assert [entry.actor_id for entry in decided] == [made.decided_by_id]


class TestProposers:
    def test_at_once_leave_one_open(self, cast: Cast, deciders: list[Actor]) -> None:
        factories.make_model("llm-8b")
        operators = [actor_for(cast.operator), *deciders[1:]]

        done, errors = at_once(
            [lambda by=by: proposals.propose(make_proposal(), by=by, at=NOW) for by in operators]  # type: ignore[misc]
        )

        assert len(done) + len(errors) == 4
        assert all(isinstance(error, ProposedMeanwhile | IllegalTransition) for error in errors)
        assert RateProposal.objects.filter(state="proposed").count() == 1


class TestRecording:
    def test_while_a_price_begins_rates_each_event_at_the_price_of_its_time(
        self, operator: Actor, deciders: list[Actor], who: Dimensions
    ) -> None:
        asked = proposals.propose(
            make_proposal(starts_at=NOW + SOON, input_per_mtok=Decimal(4)), by=operator, at=NOW
        )

        def record(seed: int) -> None:
            for number in range(40):
                # As reports may come: from an hour ago to just before five minutes ahead.
                at = NOW + timedelta(seconds=(seed * 97 + number * 89) % 3900 - 3601)
                ingest.record([make_usage(who, f"{seed}-{number}", at=at)], at=NOW)

        done, errors = at_once(
            [
                lambda: proposals.approve(asked, by=deciders[0], at=NOW),
                *[lambda seed=seed: record(seed) for seed in range(3)],  # type: ignore[misc, list-item]
            ]
        )
        ingest.record([make_usage(who, "at last", at=NOW + SOON)], at=NOW)

        assert errors == []
        assert len(done) == 4
        begins = Q(rate_card_id__in=RateCard.objects.filter(starts_at=NOW + SOON).values("pk"))
        assert UsageEvent.objects.filter(begins).count() == 1
        assert not UsageEvent.objects.filter(occurred_at__gte=NOW + SOON).exclude(begins).exists()
        assert UsageEvent.objects.count() == 121
        assert not RateCard.objects.filter(ends_at__lte=F("starts_at")).exists()
