"""Two at once spend one wallet: what is left pays once."""

from datetime import UTC, datetime
from decimal import Decimal
from threading import Barrier, Thread

import pytest
from django.db import connection

from billing import progressive, settling, wallet_spending, wallets
from billing.models import BillingPeriod, Invoice, Wallet, WalletMovement
from billing.terms import ShareTerms, Terms
from billing.wallets import NewCredit
from marketplace.accounts.access import actor_for
from tests import factories
from tests.billing.usage import use
from tests.conftest import Cast

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.race]
NOW = datetime(2026, 10, 6, 12, tzinfo=UTC)
HOUSE = Terms("House Ltd.", ShareTerms(Decimal("0.2")), "USD")


def at_once(*steps: object) -> None:
    barrier = Barrier(len(steps))

    def run(step: object) -> None:
        barrier.wait()
        try:
            step()  # type: ignore[operator]
        finally:
            connection.close()

    threads = [Thread(target=run, args=(step,)) for step in steps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_thresholds_and_wallet_are_used_once(cast: Cast) -> None:
    organization = cast.consumer_team.organization
    organization.billing = "invoice"
    organization.save(update_fields=["billing"])
    finance = actor_for(cast.finance)
    wallet = wallets.open_wallet(organization, currency="USD", by=finance, at=NOW)
    for _ in range(2):
        app = factories.make_listed_app(cast.creator_team)
        plan = factories.make_plan(
            app, charges=[{"code": "calls", "model": "per_unit", "unit_amount": "0.01"}]
        )
        subscription = factories.make_subscription(app, cast.consumer_team, plan=plan)
        progressive.set_thresholds(subscription, amounts_minor=[5_000], by=finance, at=NOW)
        use(subscription, requests=8_000, cost="1", at=NOW)

    # Three workers find two subscriptions beyond their threshold: each is billed once, 80.00.
    at_once(*[lambda: progressive.bill_due(at=NOW, terms=HOUSE)] * 3)

    bills = list(Invoice.objects.order_by("number"))
    assert [one.subtotal_minor for one in bills] == [8_000, 8_000]
    assert BillingPeriod.objects.get().state == "open"

    # 100.00 for bills of 160.00: both are paid for at once, and the wallet is never below zero.
    wallets.add(wallet, new=NewCredit("paid", 10_000, "B-1"), by=finance, at=NOW)
    at_once(*[lambda bill=bill: wallet_spending.pay(bill, at=NOW) for bill in [*bills, *bills]])

    assert Wallet.objects.get().balance_minor == 0
    assert sum(settling.due_of(one).minor for one in Invoice.objects.all()) == 6_000
    assert sum(WalletMovement.objects.values_list("amount_minor", flat=True)) == 0
