"""A correction of a closed month, from the wrong report to the books: closed, amended, rated anew, closed again."""

from datetime import UTC, date, datetime
from decimal import Decimal
from io import StringIO

from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from billing.ledger.balances import trial_balance
from billing.models import Invoice, Posting
from marketplace.accounts.access import actor_for
from marketplace.catalog import subscriptions
from metering import corrected
from metering.corrections import Change
from metering.models import UsageEvent
from quotas import corrections
from tests import factories
from tests.conftest import Cast
from tests.journeys.test_month_end import CHARGES, Clock, call, clock, unremembered
from tests.metering.rerated_world import DOUBLE, rerate

__all__ = ["clock", "unremembered"]


def verified() -> str:
    out = StringIO()
    call_command("verify", stdout=out)
    return out.getvalue()


def test_from_a_wrong_report_to_the_books(cast: Cast, clock: Clock, client: Client) -> None:
    factories.make_model("llm-8b", input_price="0.20")
    app = factories.make_listed_app(cast.creator_team, name="Where2Eat", slug="where2eat")
    plan = factories.make_plan(app, code="two-part", charges=CHARGES)
    subscription = subscriptions.start(
        app,
        plan=plan,
        team=cast.consumer_team,
        cost_center=cast.cost_center,
        by=cast.consumer,
        at=clock.set(2026, 10, 1),
    )

    # In October 3,000 calls at 0.01 each; finance closes it: 50 + 30 x 1.3 = 89.
    for event_id, day, calls in (("wrong", 5, 1_000), ("never", 6, 500), ("right", 7, 1_500)):
        at = clock.set(2026, 10, day)
        call(subscription, event_id=event_id, calls=calls, at=at, received=at)
    clock.set(2026, 11, 2)
    call_command("close_period", "2026-10", stdout=StringIO())
    october = Invoice.objects.get(period="2026-10")
    assert october.total_minor == 8_900

    # In November it turns out that one report said ten times too much, and another one should not be there at all.
    by = actor_for(cast.creator)
    now = clock.set(2026, 11, 20)
    wrong = corrected.find_event(by, slug="where2eat", event_id="wrong")
    change = Change({"requests": 100, "input_tokens": 5_000_000})
    amended = corrections.amend(wrong, change=change, reason="A factor of ten.", by=by, at=now)
    never = corrected.find_event(by, slug="where2eat", event_id="never")
    corrections.void(never, reason="It was a test.", by=by, at=now)
    assert (amended.cost_difference, amended.correction.period) == (Decimal(-9), date(2026, 11, 1))
    call(subscription, event_id="november", calls=200, at=now, received=now)

    # November: 50 + 2 x 1.3 = 52.60, and for October 14 x 1.3 = 18.20 less.
    clock.set(2026, 12, 2)
    call_command("close_period", "2026-11", stdout=StringIO())
    november = Invoice.objects.get(period="2026-11")
    assert [(line.is_correction, line.amount_minor) for line in november.lines.all()] == [
        (False, 5_000),
        (False, 260),
        (True, -1_820),
    ]
    assert november.total_minor == 3_440
    line = november.lines.get(is_correction=True)
    assert line.service_starts_at == datetime(2026, 10, 1, tzinfo=UTC)
    assert line.platform_cost == -14
    # The creator gives back 0.8 x (18.20 - 14): what one bill for the right usage would have given.
    assert line.creator_minor == -336
    assert "agree to the last unit" in verified()

    # In December the price of October and November turns out to have been half of what it was.
    clock.set(2026, 12, 10)
    made = rerate(
        cast, at=clock.now, starts_at=datetime(2026, 10, 1, tzinfo=UTC), ends_at=datetime(2026, 12, 1, tzinfo=UTC),
        **{name: price / 4 for name, price in DOUBLE.items()},
    )  # fmt: skip
    # 16 + 2 at half the price; what was taken back costs nothing either way.
    assert (made.applied_events, made.applied_difference) == (3, Decimal(-9))

    # December: a fee of 50 alone, and less for October (8 x 1.3 = 10.40) and November (1 x 1.3 = 1.30).
    clock.set(2027, 1, 2)
    call_command("close_period", "2026-12", stdout=StringIO())
    december = Invoice.objects.get(period="2026-12")
    assert [line.amount_minor for line in december.lines.all()] == [5_000, -1_040, -130]
    assert december.total_minor == 3_830

    # All three together: 3 x 50 + 9 x 1.3 = 161.70, as if everything had been right at once.
    assert sum(Invoice.objects.values_list("total_minor", flat=True)) == 16_170
    owed = Posting.objects.filter(account="creator_payable", team=cast.creator_team)
    # 0.8 x (161.70 - 9)
    assert -sum(owed.values_list("amount_minor", flat=True)) == 12_216
    assert sum(UsageEvent.objects.values_list("cost", flat=True)) == Decimal(9)
    ((_, debit, credit),) = trial_balance().totals
    assert debit == credit
    assert "agree to the last unit" in verified()

    client.force_login(cast.consumer)
    for address in ("billing:invoice", "billing:invoice-csv", "billing:invoice-pdf"):
        assert client.get(reverse(address, args=[november.number])).status_code == 200


def test_a_month_may_end_with_a_credit(cast: Cast, clock: Clock, client: Client) -> None:
    """On a plan without a fee, what is taken back can be more than what was used."""
    factories.make_model("llm-8b", input_price="0.20")
    app = factories.make_listed_app(cast.creator_team, name="Where2Eat", slug="where2eat")
    plan = factories.make_plan(app, code="cost", charges=CHARGES[1:])
    subscription = subscriptions.start(
        app,
        plan=plan,
        team=cast.consumer_team,
        cost_center=cast.cost_center,
        by=cast.consumer,
        at=clock.set(2026, 10, 1),
    )
    at = clock.set(2026, 10, 5)
    call(subscription, event_id="never", calls=1_000, at=at, received=at)
    clock.set(2026, 11, 2)
    call_command("close_period", "2026-10", stdout=StringIO())
    assert Invoice.objects.get(period="2026-10").total_minor == 1_300

    by = actor_for(cast.creator)
    event = corrected.find_event(by, slug="where2eat", event_id="never")
    corrections.void(event, reason="It was a test.", by=by, at=clock.set(2026, 11, 20))
    clock.set(2026, 12, 2)
    call_command("close_period", "2026-11", stdout=StringIO())

    november = Invoice.objects.get(period="2026-11")
    assert november.total_minor == -1_300
    assert [line.creator_minor for line in november.lines.all()] == [-240]
    assert "agree to the last unit" in verified()
    client.force_login(cast.finance)
    page = client.get(reverse("billing:invoice", args=[november.number])).content.decode()
    assert "-$13.00" in page
    assert client.get(reverse("billing:invoice-pdf", args=[november.number])).status_code == 200
