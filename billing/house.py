"""The terms of this installation, read from the settings for views, API, tasks and commands."""

from datetime import timedelta
from decimal import Decimal

from django.conf import settings

from billing.collecting_terms import CollectingTerms
from billing.terms import ShareTerms, Terms


def house_terms() -> Terms:
    """Build the terms out of the settings; domain functions get them as an argument."""
    return Terms(
        legal_entity=settings.LEGAL_ENTITY,
        default_share=ShareTerms(Decimal(settings.DEFAULT_REVENUE_SHARE)),
        currency=settings.CURRENCY,
        credit_alone_up_to=settings.CREDIT_ALONE_UP_TO,
        dispute_days=settings.DISPUTE_DAYS,
        decide_days=settings.DISPUTE_DECISION_DAYS,
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
