"""A month from calls to books, on a moving clock: subscribe, use, close, correct late usage, close again."""

import csv
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from io import BytesIO, StringIO
from unittest import mock

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from pypdf import PdfReader

from billing.ledger.balances import trial_balance
from billing.models import Invoice, Posting
from marketplace.catalog import subscriptions
from marketplace.catalog.models import Subscription
from metering import attribution, ingest
from metering.attribution import Dimensions
from metering.models import UsageEvent
from metering.rating import Quantities
from tests import factories
from tests.conftest import Cast

CHARGES = [
    {"code": "fee", "model": "flat", "amount": "50", "prorate": True},
    {"code": "cost", "model": "cost_plus", "markup": "0.30"},
]


class Clock:
    """The time that interfaces read; the story moves it."""

    now = datetime(2026, 10, 1, tzinfo=UTC)

    def set(self, *parts: int) -> datetime:
        self.now = datetime(*parts, tzinfo=UTC)  # type: ignore[misc]
        return self.now


@pytest.fixture
def clock() -> Iterator[Clock]:
    clock = Clock()
    with mock.patch("django.utils.timezone.now", side_effect=lambda: clock.now):
        yield clock


@pytest.fixture(autouse=True)
def unremembered() -> Iterator[None]:
    attribution.forget()
    yield
    attribution.forget()


def call(subscription: Subscription, *, event_id: str, calls: int, at: datetime, received: datetime) -> None:
    """Report calls of 50,000 input tokens each: at 0.20 per million tokens a call costs 0.01."""
    who = Dimensions(
        app_id=subscription.app_id,
        owner_team_id=subscription.app.owner_team_id,
        organization_id=subscription.team.organization_id,
        team_id=subscription.team_id,
        cost_center_id=subscription.cost_center_id,
        subscription_id=subscription.pk,
        plan_id=subscription.plan_id,
        key_id=None,
        environment=subscription.environment,
        model_id=None,
        model_asked="llm-8b",
        instance_type="",
        feature="",
    )
    quantities = Quantities(requests=calls, input_tokens=50_000 * calls)
    usage = ingest.Usage(event_id=event_id, occurred_at=at, who=who, model="llm-8b", quantities=quantities)
    (receipt,) = ingest.record([usage], at=received)
    assert receipt.status == "accepted"


def test_from_calls_to_books(cast: Cast, clock: Clock, client: Client) -> None:
    factories.make_model("llm-8b", input_price="0.20")
    app = factories.make_listed_app(cast.creator_team, name="Where2Eat")
    plan = factories.make_plan(app, code="two-part", charges=CHARGES)

    # The consumer subscribes on 1 October and calls 10,000 times.
    subscription = subscriptions.start(
        app,
        plan=plan,
        team=cast.consumer_team,
        cost_center=cast.cost_center,
        by=cast.consumer,
        at=clock.set(2026, 10, 1),
    )
    for day in range(1, 11):
        at = clock.set(2026, 10, day, 12)
        call(subscription, event_id=f"october-{day}", calls=1_000, at=at, received=at)

    # On 2 November finance closes October: 50 + 100 x 1.3 = 180.
    clock.set(2026, 11, 2, 9)
    call_command("close_period", "2026-10", stdout=StringIO())
    october = Invoice.objects.get(period="2026-10")
    assert october.total_minor == 18_000
    assert [line.amount_minor for line in october.lines.all()] == [5_000, 13_000]

    # Late calls of October, and ordinary ones of November: the first are billed in November as a correction.
    late = datetime(2026, 10, 31, 23, 59, tzinfo=UTC)
    call(subscription, event_id="late", calls=100, at=late, received=clock.set(2026, 11, 3))
    at = clock.set(2026, 11, 4)
    call(subscription, event_id="november", calls=200, at=at, received=at)
    assert UsageEvent.objects.get(event_id="late").period == date(2026, 11, 1)

    # On 2 December: 50 + 2 x 1.3 = 52.60 for November, and 1 x 1.3 = 1.30 for what October forgot.
    clock.set(2026, 12, 2, 9)
    call_command("close_period", "2026-11", stdout=StringIO())
    november = Invoice.objects.get(period="2026-11")
    assert [(line.is_correction, line.amount_minor) for line in november.lines.all()] == [
        (False, 5_000),
        (False, 260),
        (True, 130),
    ]
    assert november.total_minor == 5_390
    assert [october.number, november.number] == ["ST-2026-000001", "ST-2026-000002"]

    # The creator is owed 0.8 x (180 - 100) + 0.8 x (52.60 - 2) + 0.8 x (1.30 - 1) = 64 + 40.48 + 0.24.
    owed = Posting.objects.filter(account="creator_payable", team=cast.creator_team)
    assert -sum(owed.values_list("amount_minor", flat=True)) == 10_472
    # Charged 233.90 and models for 103.00.
    assert trial_balance().totals == (("USD", 33_690, 33_690),)

    # What people see is the same everywhere: page, file and document.
    client.force_login(cast.consumer)
    page = client.get(reverse("billing:invoice", args=[november.number])).content.decode()
    file = client.get(reverse("billing:invoice-csv", args=[november.number])).content.decode()
    pdf = client.get(reverse("billing:invoice-pdf", args=[november.number])).content
    assert "$53.90" in page
    assert sum(Decimal(row["amount"]) for row in csv.DictReader(StringIO(file))) == Decimal("53.90")
    assert "$53.90" in PdfReader(BytesIO(pdf)).pages[0].extract_text()

    # And it all agrees, to the last unit.
    out = StringIO()
    call_command("verify", stdout=out)
    assert "agree to the last unit" in out.getvalue()
