import threading
from collections.abc import Callable
from datetime import UTC, date, datetime

import pytest
from django.db import connection

from billing.allocation import shared_costs
from billing.allocation.shared_costs import Entry
from billing.chargeback import batches, disputes, statements
from billing.chargeback.disputes import Claim
from billing.close import close_period
from billing.closing import marks
from billing.models import BillingPeriod, CostStatement, JournalBatch, StatementCorrection, StatementDispute
from marketplace.accounts.access import Actor, actor_for
from marketplace.core.errors import HalfpennyError
from tests import factories
from tests.billing.usage import use
from tests.journeys.test_three_closes import COST, TERMS

AT = datetime(2026, 11, 2, 8, tzinfo=UTC)
LATER = datetime(2026, 11, 12, 8, tzinfo=UTC)

pytestmark = [pytest.mark.race, pytest.mark.django_db(transaction=True)]


def at_once(acts: list[Callable[[], object]]) -> list[HalfpennyError]:
    """Let everybody act at the same moment; returns what was refused."""
    refused: list[HalfpennyError] = []
    barrier = threading.Barrier(len(acts))

    def run(act: Callable[[], object]) -> None:
        barrier.wait()
        try:
            act()
        except HalfpennyError as error:
            refused.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return refused


class TestPeopleOfFinanceAtOnce:
    def test_decide_a_dispute_once_and_post_a_month_once(self) -> None:
        company = factories.make_organization(is_platform=True)
        owner = factories.make_user("owner@demo.example")
        center = factories.make_cost_center(company, mode="chargeback", owner=owner)
        team = factories.make_team(company, cost_center=center)
        app = factories.make_app(team)
        plan = factories.make_plan(app, charges=COST)
        use(factories.make_subscription(app, team, plan=plan), requests=10, cost="10")
        people = [factories.make_user(f"finance-{place}@demo.example") for place in range(4)]
        for person in people:
            factories.join(person, None, "finance", organization=company)
        actors: list[Actor] = [actor_for(person) for person in people]
        close_period("2026-10", at=AT, terms=TERMS, by=people[0])
        statements.publish("2026-10", terms=TERMS, at=AT)
        (statement,) = CostStatement.objects.all()
        disputes.open_dispute(
            statement, claim=Claim(500, "Not ours."), by=actor_for(owner), at=AT, terms=TERMS
        )

        def decide(by: Actor) -> Callable[[], object]:
            dispute = StatementDispute.objects.select_related(
                "statement__cost_center", "statement__period"
            ).get()
            return lambda: disputes.accept(dispute, note="Right.", by=by, at=AT)

        refused = at_once([decide(by) for by in actors])

        assert [error.code for error in refused] == ["illegal_transition"] * 3
        assert [one.amount_minor for one in StatementCorrection.objects.all()] == [-500]

        period = BillingPeriod.objects.get(pk="2026-10")
        marks.accept_unreconciled(period, reason="Quarterly.", by=actors[1], at=AT)
        marks.approve(period, note="", by=actors[1], at=AT)
        refused = at_once(
            [
                lambda by=by: batches.post(period, organization=company, currency="USD", by=by, at=LATER)  # type: ignore[misc]
                for by in actors
            ]
        )

        assert [error.code for error in refused] == ["nothing_to_post"] * 3
        assert [one.debit_minor for one in JournalBatch.objects.all()] == [1_300]

        batch = JournalBatch.objects.get()
        copies = [JournalBatch.objects.get(pk=batch.pk) for _ in actors]
        refused = at_once(
            [
                lambda by=by, one=one: batches.reverse(one, reason="Wrong.", by=by, at=LATER)  # type: ignore[misc]
                for by, one in zip(actors, copies, strict=True)
            ]
        )

        assert [error.code for error in refused] == ["illegal_transition"] * 3
        assert JournalBatch.objects.filter(reverses=batch).count() == 1

    def test_close_a_month_or_enter_a_cost_into_it(self) -> None:
        company = factories.make_organization(is_platform=True)
        finance = factories.make_user("finance@demo.example")
        factories.join(finance, None, "finance", organization=company)
        entry = Entry(company, "license", "Store", 3_100, "USD", date(2026, 10, 1), date(2026, 11, 1))
        by = actor_for(finance)

        at_once(
            [
                lambda: close_period("2026-10", at=AT, terms=TERMS, by=finance),
                *(
                    lambda key=key: shared_costs.enter(entry, by=by, at=AT, source_key=key)  # type: ignore[misc]
                    for key in ("a", "b")
                ),
            ]
        )
        statements.publish("2026-10", terms=TERMS, at=AT)

        # Whoever was first: what October took is in its run, and what came after went to November.
        run = statements.newest("2026-10")
        assert run is not None
        taken = [part.amount_minor for part in shared_costs.SharedCostPart.objects.filter(period="2026-10")]
        assert sum(run.rows.values_list("amount_minor", flat=True)) == sum(taken)
