"""Telling people that totals differ: finance and operators of the platform, once for each difference."""

import hashlib
from collections.abc import Sequence
from datetime import datetime

from django.urls import reverse

from billing.ledger.verify import Verdict
from marketplace.accounts.models import Membership, User
from marketplace.core import notices

TOLD_ROLES = (Membership.Role.FINANCE, Membership.Role.OPERATOR)


def tell(verdicts: Sequence[Verdict], *, at: datetime) -> bool:
    """Tell of what differs; returns whether anything does. The same differences on the same day are told once."""
    wrong = [
        f"{verdict.name}: {one.what}" for verdict in verdicts for one in verdict.findings if not one.is_ok
    ]
    if not wrong:
        return False
    mark = hashlib.sha256("\n".join([f"{at:%Y-%m-%d}", *wrong]).encode()).hexdigest()[:32]
    more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
    notices.notify(
        _people(),
        text=f"Totals differ. {wrong[0]}{more}.",
        at=at,
        key=f"totals-differ:{mark}",
        path=reverse("billing:verify"),
        kind=notices.Kind.BILLING,
        is_of_platform=True,
    )
    return True


def _people() -> Sequence[User]:
    served = User.objects.filter(
        memberships__organization__is_platform=True, memberships__role__in=TOLD_ROLES, is_active=True
    )
    return list(served.distinct())
