"""Stopping an organization's calls until it has paid: billing decides, every process that takes calls obeys.

The row raises the directory's epoch, so a stop holds, and ends, from the next batch of calls on in every process.
"""

from datetime import datetime
from typing import Any

from django.db import transaction

from marketplace.accounts.models import Organization
from marketplace.core import audit
from quotas.payment_stop_models import PaymentStop

LONGEST_TEXT = 400


def standing(organization_id: int) -> PaymentStop | None:
    """Return the stop that holds for an organization now (one query)."""
    return PaymentStop.objects.filter(organization=organization_id, ended_at=None).first()


def lock(organization_id: int) -> PaymentStop | None:
    """Return the stop that holds, its row held until the transaction ends: who lifts it sees what others paid."""
    held = PaymentStop.objects.select_for_update().filter(organization=organization_id, ended_at=None)
    return held.first()


def stop(organization: Organization, *, text: str, at: datetime, by: Any = None) -> PaymentStop:
    """Refuse calls of all subscriptions of an organization; while they are refused, the stop that holds is returned."""
    with transaction.atomic():
        made, is_new = PaymentStop.objects.get_or_create(
            organization=organization,
            ended_at=None,
            defaults={"text": text[:LONGEST_TEXT], "started_at": at},
        )
        if is_new:
            audit.record(
                "quotas.payment_stop.started", subject=organization, at=at, by=by, reason=text[:LONGEST_TEXT]
            )
    return made


def lift(organization: Organization, *, why: str, at: datetime, by: Any = None) -> bool:
    """Let calls go on; tells whether they were stopped."""
    with transaction.atomic():
        held = PaymentStop.objects.filter(organization=organization, ended_at=None)
        lifted = held.update(ended_at=at, ended_by=by, why_ended=why[:200])
        if lifted:
            audit.record("quotas.payment_stop.lifted", subject=organization, at=at, by=by, reason=why[:200])
    return bool(lifted)
