"""A payer with an invoice of 50.00, finance, and a processor: the fake, or Stripe's test mode where a key is given."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest

from billing.models import Invoice, PaymentMethod
from billing.payments import methods
from billing.payments.customers import customer_of, known
from billing.payments.fake.transport import FakeTransport
from billing.payments.fake.world import FAKE_SECRET
from billing.payments.processor import Processor, of_fake, of_stripe
from marketplace.accounts.access import Actor, actor_for
from tests.billing.test_close import FEE, close, subscribe
from tests.billing.usage import use
from tests.conftest import Cast

AT = datetime(2026, 11, 10, 9, tzinfo=UTC)
BACK = "https://example.test/back/"
TEST_KEY = os.environ.get("STRIPE_TEST_KEY", "")
VISA, DECLINES, POOR = (
    "pm_card_visa",
    "pm_card_chargeCustomerFail",
    "pm_card_visa_chargeDeclinedInsufficientFunds",
)
AUTHENTICATES, DISPUTES = "pm_card_authenticationRequired", "pm_card_createDispute"


@pytest.fixture
def fake() -> FakeTransport:
    return FakeTransport(clock=lambda: AT)


@pytest.fixture
def processor(fake: FakeTransport) -> Processor:
    return of_fake(fake, webhook_secret=FAKE_SECRET)


@pytest.fixture(
    params=[
        "fake",
        pytest.param(
            "stripe",
            marks=pytest.mark.skipif(
                not TEST_KEY, reason="STRIPE_TEST_KEY holds no key of Stripe's test mode"
            ),
        ),
    ]
)
def either(request: pytest.FixtureRequest, processor: Processor) -> Processor:
    """The fake, and Stripe's test mode: what holds with one has to hold with the other."""
    if request.param == "fake":
        return processor
    assert TEST_KEY.startswith(("sk_test_", "rk_test_")), "tests move no real money"
    return of_stripe(TEST_KEY, webhook_secret=FAKE_SECRET)


@pytest.fixture
def invoice(cast: Cast) -> Invoice:
    """An invoice of 50.00 to the other company."""
    use(subscribe(cast, [FEE], team=cast.stranger_team), requests=1, cost="0")
    (found,) = close()
    return found


@pytest.fixture
def payer(cast: Cast) -> Actor:
    """Who does the finance of the company that pays."""
    return actor_for(cast.stranger)


@pytest.fixture
def finance(cast: Cast) -> Actor:
    return actor_for(cast.finance)


@dataclass
class Cards:
    """Gives a company cards by the tokens that Stripe has for tests."""

    processor: Processor

    def add(self, organization: Any, token: str = VISA) -> PaymentMethod:
        customer = customer_of(organization, at=AT)
        found = self.processor.write(
            "payment_methods.attach", token, key=f"test-{next(_numbers)}-{os.urandom(8).hex()}",
            customer=known(customer, processor=self.processor),
        )  # fmt: skip
        return methods.keep(customer, found["id"], processor=self.processor, at=AT)


_numbers = count()


@pytest.fixture
def cards() -> Callable[[Processor], Cards]:
    return Cards
