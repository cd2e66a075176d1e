"""The terms of this installation, read from the settings for views, API, tasks and commands."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal

from django.conf import settings

from billing import legal_entities
from billing.collecting_terms import CollectingTerms
from billing.creators.bank_files import Debtor
from billing.creators.terms import PayoutTerms
from billing.terms import ShareTerms, Terms
from billing.thresholds import Thresholds


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


def house_thresholds() -> Thresholds:
    """Build what has to be left of prices out of the settings."""
    return Thresholds(
        settings.MARGIN_FAIL_BELOW,
        settings.MARGIN_WARN_BELOW,
        free_cost=settings.FREE_PLAN_COST,
        free_currency=settings.CURRENCY,
        free_per_paying=settings.FREE_PER_PAYING,
    )


def payout_terms() -> PayoutTerms:
    """Build the terms of paying creators out of the settings."""
    return PayoutTerms(
        currency=settings.CURRENCY,
        alone_up_to=settings.PAYOUT_ALONE_UP_TO,
        least_hold_days=settings.PAYOUT_HOLD_DAYS,
        bears_negatives=settings.PLATFORM_BEARS_NEGATIVES,
    )


def house_facts(*, at: datetime) -> Mapping[str, str]:
    """Say who the marketplace is: the legal entity that issues invoices for whoever has no other one."""
    return legal_entities.sellers(at=at, house_name=settings.LEGAL_ENTITY).house.facts


def debtor(*, at: datetime) -> Debtor:
    """Say from which account creators are paid."""
    facts = house_facts(at=at)
    return Debtor(facts["name"], facts.get("iban", ""), facts.get("bic", ""))
