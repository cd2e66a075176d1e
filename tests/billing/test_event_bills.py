from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from billing import queries
from billing.event_bills import BillState, bill_of
from billing.models import Invoice
from marketplace.accounts.access import actor_for
from metering.models import UsageEvent
from tests import factories
from tests.billing.test_close import COST, DECEMBER, FEE, close, subscribe
from tests.billing.usage import OCTOBER, use, use_own
from tests.conftest import Cast

CALLS = {"code": "calls", "model": "per_unit", "unit_amount": "0.02"}


def bill(*, visible: Any = None, **event: Any) -> Any:
    row = UsageEvent.objects.get(**event)
    return bill_of(
        attribution_id=row.attribution_id,
        occurred_at=row.occurred_at,
        period=row.period,
        visible=Invoice.objects.all() if visible is None else visible,
    )


class TestBillOf:
    def test_is_unbilled_until_its_month_is_closed(self, cast: Cast) -> None:
        use(subscribe(cast, [FEE, COST]), requests=10_000, cost="100")

        assert bill().state == BillState.UNBILLED
        (statement,) = close()
        found = bill()

        assert (found.state, found.period) == (BillState.BILLED, date(2026, 10, 1))
        assert (found.line.invoice, found.line.code, found.line.amount_minor) == (statement, "cost", 13_000)

    def test_is_the_line_of_calls_where_cost_is_not_charged(self, cast: Cast) -> None:
        use(subscribe(cast, [FEE, CALLS]), requests=100, cost="1")
        close()

        assert (bill().line.code, bill().line.amount_minor) == ("calls", 200)

    def test_tells_subscriptions_and_own_use_of_one_app_apart(self, cast: Cast) -> None:
        first, second = subscribe(cast, [COST]), subscribe(cast, [COST], team=cast.creator_team)
        use(first, requests=1, cost="10")
        use(second, requests=2, cost="20")
        use_own(first.app, requests=3, cost="30")
        close()

        lines = {requests: bill(requests=requests).line for requests in (1, 2, 3)}
        assert {requests: line.subscription for requests, line in lines.items()} == {
            1: first,
            2: second,
            3: None,
        }
        # 10 x 1.3, 20 x 1.3, and own use at cost.
        assert [line.amount_minor for line in lines.values()] == [1_300, 2_600, 3_000]

    def test_tells_cost_centers_of_one_subscription_apart(self, cast: Cast) -> None:
        other = factories.make_cost_center(cast.company, code="CC-900", mode="chargeback")
        subscription = subscribe(cast, [COST])
        use(subscription, requests=1, cost="10")
        use(subscription, requests=2, cost="20", cost_center=other)
        close()

        assert bill(requests=1).line.invoice.cost_center == cast.cost_center
        assert bill(requests=2).line.invoice.cost_center == other

    def test_of_late_usage_is_a_correction_line_of_the_next_bill(self, cast: Cast) -> None:
        subscription = subscribe(cast, [COST])
        use(subscription, requests=1, cost="10")
        close()
        use(subscription, requests=2, cost="20", period=date(2026, 11, 1))
        use(subscription, requests=4, cost="40", at=datetime(2026, 11, 3, tzinfo=UTC))
        assert bill(requests=2).state == BillState.UNBILLED
        close("2026-11", at=DECEMBER)

        lines = [bill(requests=requests).line for requests in (1, 2, 4)]
        assert [(line.invoice.period_id, line.is_correction) for line in lines] == [
            ("2026-10", False),
            ("2026-11", True),
            ("2026-11", False),
        ]

    def test_follows_a_plan_that_was_changed(self, cast: Cast) -> None:
        subscription = subscribe(cast, [COST])
        other = factories.make_plan(subscription.app, charges=[CALLS], code="calls")
        use(subscription, requests=1, cost="10")
        use(subscription, requests=2, cost="20", plan=other)
        close()

        assert bill(requests=1).line.plan == subscription.plan
        assert bill(requests=2).line.plan == other

    def test_of_the_sandbox_is_none(self, cast: Cast) -> None:
        sandbox = subscribe(cast, [COST], environment="sandbox", sandbox_credit=Decimal(1))
        use(sandbox, requests=1, cost="1")
        close()

        assert bill().state == BillState.NEVER_BILLED

    @pytest.mark.parametrize(("person", "sees"), [("finance", True), ("consumer", True), ("stranger", False)])
    def test_names_the_line_to_those_who_see_the_bill(self, cast: Cast, person: str, sees: bool) -> None:
        use(subscribe(cast, [COST]), requests=1, cost="10", at=OCTOBER)
        close()

        found = bill(visible=queries.invoices(actor_for(getattr(cast, person))))

        assert found.state == BillState.BILLED
        assert (found.line is not None) == sees
