import threading
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.db import connection

from billing import credit_notes
from billing.close import close_period
from billing.credit_asks import Ask
from billing.ledger.verify import verify
from billing.models import CreditNote, Invoice
from billing.terms import ShareTerms, Terms
from marketplace.accounts.access import Actor, actor_for
from marketplace.core.errors import HalfpennyError
from tests import factories
from tests.billing.usage import use

TERMS = Terms(legal_entity="Test Company", default_share=ShareTerms(Decimal("0.20")), currency="USD")
AT = datetime(2026, 11, 2, 8, tzinfo=UTC)

pytestmark = [pytest.mark.race, pytest.mark.django_db(transaction=True)]


class TestPeopleWhoCreditTheSameLineAtOnce:
    def test_never_give_back_more_than_it_has(self) -> None:
        company = factories.make_organization(is_platform=True)
        center = factories.make_cost_center(company, mode="chargeback")
        team = factories.make_team(company, cost_center=center)
        app = factories.make_app(team)
        plan = factories.make_plan(app, charges=[{"code": "fee", "model": "flat", "amount": "50"}])
        use(factories.make_subscription(app, team, plan=plan), requests=1, cost="0")
        close_period("2026-10", at=AT, terms=TERMS)
        invoice = Invoice.objects.get()
        people = [factories.make_user(f"finance-{place}@demo.example") for place in range(4)]
        for person in people:
            factories.join(person, None, "finance", organization=company)
        actors = [actor_for(person) for person in people]
        refused: list[HalfpennyError] = []
        barrier = threading.Barrier(len(actors))

        def credit(by: Actor) -> None:
            barrier.wait()
            try:
                # 20.00 of 50.00: the third finds 10.00 left.
                ask = Ask(lines={1: 2_000})
                credit_notes.propose(invoice, ask=ask, reason="Twice.", by=by, at=AT, terms=TERMS)
            except HalfpennyError as error:
                refused.append(error)
            finally:
                connection.close()

        threads = [threading.Thread(target=credit, args=(by,)) for by in actors]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert [error.code for error in refused] == ["out_of_range", "out_of_range"]
        numbers = sorted(CreditNote.objects.values_list("number", flat=True))
        assert numbers == ["CN-2026-000001", "CN-2026-000002"]
        assert all(verdict.is_ok for verdict in verify())
