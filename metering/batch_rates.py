"""What calls of batches cost less than list prices: a rate of the platform, dated, and what it makes of a price."""

from collections.abc import Sequence
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

from django.db import transaction
from django.db.models import Q

from marketplace.accounts.access import Actor, Role, require_platform
from marketplace.core import audit
from marketplace.core.errors import InvalidInput
from marketplace.core.money import MAX_DECIMALS, exact
from metering.models import BatchRate

SETTERS = frozenset({Role.OPERATOR, Role.FINANCE})
LONGEST_REASON = 200


def put_in_force(
    off_percent: Decimal, *, starts_at: datetime | None, reason: str, by: Actor, at: datetime
) -> BatchRate:
    """Put a rate in force from a time, now when there is none; the one before it ends there, history keeps its prices.

    The prices of every model for batches follow in the same transaction. Raises InvalidInput for a time in the past or
    before a rate that is set already, NotAllowed for others than finance and operators.
    """
    require_platform(by, *sorted(SETTERS))
    begins = starts_at or at
    _check(off_percent, begins, reason, at=at)
    with transaction.atomic():
        before = BatchRate.objects.select_for_update().filter(ends_at=None).first()
        if before is not None and before.starts_at >= begins:
            raise InvalidInput(
                "starts_at", f"There is a rate from {before.starts_at:%Y-%m-%d %H:%M} UTC on already."
            )
        if before is not None:
            BatchRate.objects.filter(pk=before.pk).update(ends_at=begins)
        rate = BatchRate.objects.create(
            off_percent=off_percent, starts_at=begins, reason=reason.strip(), set_by=by.user, set_at=at
        )
        audit.record(
            "metering.batch_rate.set",
            subject=rate,
            at=at,
            by=by.user,
            old={"off_percent": str(before.off_percent) if before else None},
            new={"off_percent": str(off_percent), "starts_at": begins.isoformat()},
            reason=reason,
        )
    return rate


def _check(off_percent: Decimal, begins: datetime, reason: str, *, at: datetime) -> None:
    if not 0 <= off_percent < 100 or off_percent != off_percent.quantize(Decimal("0.01")):
        raise InvalidInput("off_percent", "must be from 0 to 99.99, with two decimals at most", limit="99.99")
    if begins < at:
        raise InvalidInput("starts_at", "must not be in the past: what was used keeps its price")
    if not reason.strip() or len(reason) > LONGEST_REASON:
        raise InvalidInput("reason", f"must say why, in at most {LONGEST_REASON} characters")


def in_force(*, at: datetime) -> BatchRate | None:
    """Return the rate in force at a time."""
    return BatchRate.objects.filter(Q(ends_at=None) | Q(ends_at__gt=at), starts_at__lte=at).first()


def history() -> Sequence[BatchRate]:
    """Return every rate, the newest first."""
    return list(BatchRate.objects.select_related("set_by").order_by("-starts_at"))


def less(rate: BatchRate | None, price: Decimal) -> Decimal:
    """Return a price less a rate, as trigger ``batch_prices`` works it out: half away from zero at 18 decimals."""
    if rate is None:
        return price
    with exact():
        reduced = price * (100 - rate.off_percent) * Decimal("0.01")
        return reduced.quantize(Decimal(1).scaleb(-MAX_DECIMALS), rounding=ROUND_HALF_UP)
