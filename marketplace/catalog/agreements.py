"""Keeping what was agreed: which plan, which terms, which amounts were on the page."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from marketplace.accounts.models import User
from marketplace.catalog import queries, terms
from marketplace.catalog.agreement_models import SubscriptionAgreement
from marketplace.catalog.models import Subscription

Step = SubscriptionAgreement.Step


def keep(
    subscription: Subscription, step: str, *, shown: Mapping[str, Any], by: User, at: datetime
) -> SubscriptionAgreement | None:
    """Write down a step of a subscription, in the transaction of the caller; a sandbox has nothing to agree to."""
    if subscription.plan_id is None:
        return None
    return SubscriptionAgreement.objects.create(
        subscription=subscription,
        step=step,
        plan_id=subscription.plan_id,
        version=queries.listed_version(subscription.app),
        terms_version=terms.CURRENT.version,
        terms_digest=terms.CURRENT.digest,
        shown=dict(shown),
        agreed_by=by,
        agreed_at=at,
    )


def agreements_of(subscription: Subscription) -> QuerySet[SubscriptionAgreement]:
    """Return the steps of a subscription, the newest first."""
    return subscription.agreements.select_related("plan", "version", "agreed_by").order_by(
        "-agreed_at", "-pk"
    )
