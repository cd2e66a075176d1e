"""The terms of this installation, read from the settings for views, API, tasks and commands."""

from datetime import datetime, timedelta
from decimal import Decimal

from django.conf import settings

from billing import legal_entities
from billing.collecting_terms import CollectingTerms
from billing.creators.bank_files import Debtor
from billing.creators.terms import PayoutTerms
from billing.terms import ShareTerms, Terms


def house_terms() -> Terms:
    """Build the terms out of the settings; domain functions get them as an argument."""
    return Terms(
        legal_entity=settings.LEGAL_ENTITY,
        default_share=ShareTerms(Decimal(settings.DEFAULT_REVENUE_SHARE)),
        currency=settings.CURRENCY,
        credit_alone_up_to=settings.CREDIT_ALONE_UP_TO,
        grace=timedelta(days=settings.GRACE_DAYS) if settings.GRACE_DAYS >= 0 else None,
    )


def collecting_terms() -> CollectingTerms:
    """Build the terms of what is given up out of the settings."""
    return CollectingTerms(
        currency=settings.CURRENCY,
        write_off_alone_up_to=settings.WRITE_OFF_ALONE_UP_TO,
        small_difference_up_to=settings.SMALL_DIFFERENCE_UP_TO,
        creators_bear_losses=settings.CREATORS_BEAR_LOSSES,
    )


def payout_terms() -> PayoutTerms:
    """Build the terms of paying creators out of the settings."""
    return PayoutTerms(
        currency=settings.CURRENCY,
        alone_up_to=settings.PAYOUT_ALONE_UP_TO,
        least_hold_days=settings.PAYOUT_HOLD_DAYS,
        bears_negatives=settings.PLATFORM_BEARS_NEGATIVES,
    )


def debtor(*, at: datetime) -> Debtor:
    """Say from which account creators are paid: that of the legal entity that issues invoices."""
    facts = legal_entities.sellers(at=at, house_name=settings.LEGAL_ENTITY).house.facts
    return Debtor(facts["name"], facts.get("iban", ""), facts.get("bic", ""))
