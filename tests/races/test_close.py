import threading
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.db import connection

from billing.close import Closed, close_period
from billing.ledger.verify import verify
from billing.models import BillingPeriod, Invoice, InvoiceLine, JournalEntry
from billing.terms import ShareTerms, Terms
from marketplace.accounts.models import Organization
from marketplace.catalog.models import Subscription
from marketplace.core.models import AuditEntry
from metering import attribution, ingest
from metering.attribution import Dimensions
from metering.models import UsageEvent
from metering.rating import Quantities
from tests import factories
from tests.billing.usage import use

TERMS = Terms(legal_entity="Test Company", default_share=ShareTerms(Decimal("0.20")), currency="USD")
AT = datetime(2026, 11, 2, 8, tzinfo=UTC)
PAYERS = 12
CLOSERS = 4

pytestmark = [pytest.mark.race, pytest.mark.django_db(transaction=True)]


def subscribe(company: Organization) -> Subscription:
    center = factories.make_cost_center(company, mode="chargeback")
    team = factories.make_team(company, cost_center=center)
    return factories.make_subscription(factories.make_listed_app(team), team)


def close_at_once(names: list[str]) -> tuple[list[Closed], list[Exception]]:
    """Close months from as many threads, each with a connection of its own, all starting together."""
    done: list[Closed] = []
    errors: list[Exception] = []
    barrier = threading.Barrier(len(names))

    def run(name: str) -> None:
        barrier.wait()
        try:
            done.append(close_period(name, at=AT, terms=TERMS))
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return done, errors


class TestClosersAtOnce:
    def test_issue_everything_once_and_without_gaps(self) -> None:
        company = factories.make_organization(is_platform=True)
        for _ in range(PAYERS):
            use(subscribe(company), requests=200, cost="1.5")

        done, errors = close_at_once(["2026-10"] * CLOSERS)

        assert errors == []
        assert [one.is_new for one in done].count(True) == 1
        numbers = sorted(str(one.number) for one in Invoice.objects.all())
        assert numbers == [f"ST-2026-{place:06d}" for place in range(1, PAYERS + 1)]
        # An entry for each statement, and one for what the models cost.
        assert JournalEntry.objects.count() == PAYERS + 1
        assert AuditEntry.objects.filter(action="billing.period.closed").count() == 1
        assert BillingPeriod.objects.get().state == "closed"
        assert all(verdict.is_ok for verdict in verify())

    def test_of_different_months_take_turns_or_are_refused(self) -> None:
        company = factories.make_organization(is_platform=True)
        use(subscribe(company), requests=200, cost="1.5")

        done, errors = close_at_once(["2026-09", "2026-10"])

        assert len(done) + len(errors) == 2
        assert {getattr(error, "code", "") for error in errors} <= {"other_month_closing"}
        assert not BillingPeriod.objects.filter(state="closing").exists()
        assert all(verdict.is_ok for verdict in verify())


class TestRecordingDuringAClose:
    def test_is_billed_in_the_month_or_the_next_but_never_lost(self) -> None:
        attribution.forget()
        company = factories.make_organization(is_platform=True)
        subscription = subscribe(company)
        factories.make_model()
        stop, sent = threading.Event(), [0, 0, 0]

        def record(place: int) -> None:
            while not stop.is_set():
                usage = october_usage(subscription, f"{place}-{sent[place]}")
                ingest.record([usage], at=AT)
                sent[place] += 1
            connection.close()

        threads = [threading.Thread(target=record, args=(place,)) for place in range(len(sent))]
        for thread in threads:
            thread.start()
        while sum(sent) < 30:
            stop.wait(0.01)
        close_period("2026-10", at=AT, terms=TERMS)
        before = sum(sent)
        while sum(sent) < before + 30:
            stop.wait(0.01)
        stop.set()
        for thread in threads:
            thread.join()
        attribution.forget()

        in_october = UsageEvent.objects.filter(period=date(2026, 10, 1)).count()
        in_november = UsageEvent.objects.filter(period=date(2026, 11, 1)).count()
        assert in_october + in_november == sum(sent)
        assert in_october >= 30
        assert in_november > 0
        calls = InvoiceLine.objects.get(code="calls")
        assert calls.quantity == in_october
        assert all(verdict.is_ok for verdict in verify())


def october_usage(subscription: Subscription, event_id: str) -> ingest.Usage:
    assert subscription.plan is not None
    return ingest.Usage(
        event_id=event_id,
        occurred_at=datetime(2026, 10, 31, 23, 30, tzinfo=UTC),
        who=Dimensions(
            app_id=subscription.app_id,
            owner_team_id=subscription.app.owner_team_id,
            organization_id=subscription.team.organization_id,
            team_id=subscription.team_id,
            cost_center_id=subscription.cost_center_id,
            subscription_id=subscription.pk,
            plan_id=subscription.plan.pk,
            key_id=None,
            environment="production",
            model_id=None,
            model_asked="llm-8b",
            instance_type="",
            feature="",
        ),
        model="llm-8b",
        quantities=Quantities(input_tokens=1_000, output_tokens=100),
    )
