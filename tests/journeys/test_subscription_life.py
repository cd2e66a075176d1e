"""A subscription from its trial to its end, with a moving clock; every bill worked out by hand."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from billing import lifecycle, subscribing
from billing.close import close_period
from billing.ledger.verify import verify
from billing.models import Invoice, InvoiceLine
from billing.subscribing import NOW, PERIOD_END
from billing.terms import ShareTerms, Terms
from marketplace.accounts.access import actor_for
from marketplace.catalog import pauses
from marketplace.catalog.models import Plan, Subscription
from marketplace.core.models import Notice
from tests import factories
from tests.billing.usage import use
from tests.conftest import Cast

pytestmark = pytest.mark.django_db
HOUSE = Terms("House Ltd.", ShareTerms(Decimal("0.2")), "USD")
UNIT = {"code": "calls", "model": "per_unit", "unit_amount": "0.01"}


def on(month: int, day: int, hour: int = 10) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=UTC)


def fee(amount: str) -> dict[str, object]:
    return {"code": "fee", "model": "flat", "amount": amount, "prorate": True}


def close(month: int) -> tuple[list[tuple[str, int]], int]:
    """Close a month; give its lines by plan and code, and its total."""
    name = f"2026-{month:02d}"
    close_period(name, at=on(month + 1, 2), terms=HOUSE)
    invoice = Invoice.objects.get(period=name)
    lines = InvoiceLine.objects.filter(invoice=invoice).select_related("plan").order_by("position")
    shown = sorted((f"{one.plan} {one.code}", one.amount_minor) for one in lines if one.plan)
    return shown, invoice.subtotal_minor


def test_from_trial_to_end(cast: Cast) -> None:
    organization = cast.consumer_team.organization
    organization.billing = "invoice"
    organization.save(update_fields=["billing"])
    app = factories.make_listed_app(cast.creator_team, name="Brief")
    Plan.objects.filter(app=app).update(is_offered=False)
    small = factories.make_plan(app, code="small", name="Small", charges=[fee("30"), UNIT], trial_days=14)
    large = factories.make_plan(app, code="large", name="Large", charges=[fee("90"), UNIT])
    by, center = actor_for(cast.consumer), cast.cost_center

    # 20 April: a trial of 14 days, until 4 May. No fee in April; calls are billed from the first.
    start = subscribing.money_of_start(small, at=on(4, 20), team=cast.consumer_team)
    assert (start.total_minor, start.whole_month_minor, start.free_until) == (0, 3_000, on(5, 4, 0))
    subscription = subscribing.start(
        app,
        plan=small,
        team=cast.consumer_team,
        cost_center=center,
        agreed=start.digest,
        by=by,
        at=on(4, 20),
    )
    use(subscription, requests=500, cost="1", at=on(4, 21))
    assert close(4) == ([("Brief: Small calls", 500)], 500)

    # 1 May: told three days before, once.
    for _ in range(2):
        lifecycle.tend(at=on(5, 1))
    told = Notice.objects.get(recipient=cast.consumer, text__startswith="The trial")
    assert told.text == (
        "The trial of Brief ends on 4 May 2026. From then on Small costs $30.00 a month; you can end it before."
    )
    lifecycle.tend(at=on(5, 4))

    # 16 May, an upgrade at once: Small from 4 to 15 May is 12 of 31 days, Large 16 of 31.
    subscription = Subscription.objects.get()
    money = subscribing.money_of_change(subscription, large, at=on(5, 16))
    assert subscribing.usual_time(small, large, at=on(5, 16)) == NOW
    # Without it 28 of 31 days of 30.00 = 27.10; with it 11.61 + 46.45.
    assert [(one.name, one.days, one.amount_minor) for one in money.parts] == [
        ("Small", 16, -1_549),
        ("Large", 16, 4_645),
    ]
    subscribing.change_plan(subscription, plan=large, agreed=money.digest, by=by, at=on(5, 16))
    agreed_minor = money.total_minor

    # Paused from 20 May to 3 June: 21 to 31 May are free, 11 days; Large is charged for 5 of 31 days.
    pauses.pause(subscription, by=by.user, at=on(5, 20))
    assert agreed_minor == 1_161 + 4_645
    assert close(5) == ([("Brief: Large fee", 1_452), ("Brief: Small fee", 1_161)], 2_613)

    # June: free on 1 and 2, so 28 of 30 days of 90.00 = 84.00. On 10 June a downgrade for the month's end.
    pauses.resume(subscription, by=by.user, at=on(6, 3))
    assert subscribing.usual_time(large, small, at=on(6, 10)) == PERIOD_END
    money = subscribing.money_of_change(subscription, small, at=on(6, 10), when=PERIOD_END)
    assert (money.total_minor, money.parts, money.whole_month_minor) == (8_400, (), 3_000)
    subscribing.change_plan(
        subscription, plan=small, agreed=money.digest, by=by, at=on(6, 10), when=PERIOD_END
    )
    assert Subscription.objects.get().plan == large
    lifecycle.tend(at=on(7, 1, 0))
    assert close(6) == ([("Brief: Large fee", 8_400)], 8_400)

    # July: Small from the 1st, ended on the 16th at once: 15 of 31 days of 30.00 = 14.52; 300 calls.
    subscription = Subscription.objects.get()
    assert subscription.plan == small
    use(subscription, requests=300, cost="1", at=on(7, 5))
    money = subscribing.money_of_cancel(subscription, at=on(7, 16))
    assert [(one.days, one.amount_minor) for one in money.parts] == [(16, -1_548)]
    subscribing.cancel(subscription, agreed=money.digest, by=by, at=on(7, 16))
    assert close(7) == ([("Brief: Small calls", 300), ("Brief: Small fee", 1_452)], 1_752)
    assert [one.what for verdict in verify() for one in verdict.findings if not one.is_ok] == []
