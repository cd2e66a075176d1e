"""The payment processor of this installation, by its settings: Stripe, the fake in the demo, or none."""

from functools import lru_cache

from django.conf import settings

from billing.payments.fake.delivering import announcing
from billing.payments.fake.world import FAKE_SECRET
from billing.payments.processor import Processor, of_fake, of_stripe
from marketplace.core.errors import Unavailable


class NoProcessor(Unavailable):
    """This installation takes no cards: it has no key of a payment processor, and is no demo."""

    code = "no_payment_processor"

    def __init__(self) -> None:
        super().__init__("Payments by card or debit are not set up here. Please pay by bank transfer.")


def has_processor() -> bool:
    """Tell whether payments by card or debit are possible at all."""
    return bool(settings.STRIPE_SECRET_KEY) or settings.DEMO


def house_processor() -> Processor:
    """Return the processor that the settings name; raises NoProcessor."""
    if settings.STRIPE_SECRET_KEY:
        return _stripe(settings.STRIPE_SECRET_KEY, settings.STRIPE_WEBHOOK_SECRET)
    if settings.DEMO:
        return of_fake(announcing(), webhook_secret=FAKE_SECRET)
    raise NoProcessor


@lru_cache(maxsize=1)
def _stripe(key: str, webhook_secret: str) -> Processor:
    # One for each process: it keeps connections.
    return of_stripe(key, webhook_secret=webhook_secret)
