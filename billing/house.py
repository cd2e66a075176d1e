"""The terms of this installation, read from the settings for views, API, tasks and commands."""

from datetime import timedelta
from decimal import Decimal

from django.conf import settings

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
