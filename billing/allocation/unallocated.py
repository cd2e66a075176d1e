"""What nobody bears: its owner, its goal, and how it went month by month."""

from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

from django.db.models import F, OuterRef, Q, Subquery, Sum

from billing.models import AllocationRow, AllocationRun, UnallocatedGoal
from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import Membership, Organization, User
from marketplace.core import audit
from marketplace.core.errors import InvalidInput
from marketplace.core.money import exact

ZERO = Decimal(0)
HUNDRED = Decimal(100)
DEFAULT_TARGET = Decimal(5)


@dataclass(frozen=True)
class Unallocated:
    """What of a month nobody bears, beside everything that it came to, in minor units of one currency."""

    period: str
    currency: str
    unallocated_minor: int
    whole_minor: int

    @property
    def percent(self) -> Decimal:
        """Give the part of the whole in percent, to a tenth; nothing of nothing is nothing."""
        if not self.whole_minor:
            return ZERO
        with exact():
            part = HUNDRED * self.unallocated_minor / self.whole_minor
            return part.quantize(Decimal("0.1"), ROUND_HALF_UP)


def trend(organization: Organization, *, months: int = 12) -> list[Unallocated]:
    """List the last months of an organization, the oldest first, each as its newest run says (one query)."""
    newest = AllocationRun.objects.filter(period=OuterRef("run__period")).order_by("-number").values("pk")[:1]
    rows = (
        AllocationRow.objects.filter(organization=organization, run=Subquery(newest))
        .values("currency", period=F("run__period_id"))
        .annotate(
            unallocated=Sum("amount_minor", filter=Q(kind=AllocationRow.Kind.UNALLOCATED), default=0),
            whole=Sum("amount_minor"),
        )
        .order_by("-period", "currency")[:months]
    )
    found = [
        Unallocated(row["period"], row["currency"], int(row["unallocated"]), int(row["whole"]))
        for row in rows
    ]
    return found[::-1]


def goal_of(organization: Organization) -> UnallocatedGoal | None:
    """Return who looks after it, and how much it may be."""
    return UnallocatedGoal.objects.select_related("owner").filter(organization=organization).first()


def candidates(organization: Organization) -> list[User]:
    """List who may look after it: finance and operators of the organization, and owners of its cost centers."""
    roles = (Membership.Role.FINANCE, Membership.Role.OPERATOR)
    staff = Q(memberships__organization=organization, memberships__role__in=roles)
    found = User.objects.filter(staff | Q(owned_cost_centers__organization=organization), is_active=True)
    return list(found.distinct().order_by("email"))


def set_goal(
    organization: Organization, *, owner: User, target_percent: Decimal, by: Actor, at: datetime
) -> UnallocatedGoal:
    """Say who looks after what is unallocated and how much it may be. Raises NotAllowed, InvalidInput."""
    access.require_platform(by, Role.FINANCE)
    if not 0 <= target_percent <= HUNDRED:
        raise InvalidInput("target_percent", "must be between 0 and 100", limit=100)
    if owner not in candidates(organization):
        raise InvalidInput("owner", "serves no cost center or finance of this organization")
    values = {"owner": owner, "target_percent": target_percent, "set_by": by.user, "set_at": at}
    goal, _ = UnallocatedGoal.objects.update_or_create(organization=organization, defaults=values)
    new = {"owner": owner.email, "target_percent": f"{target_percent:f}"}
    audit.record("billing.unallocated_goal.set", subject=goal, at=at, by=by.user, new=new)
    return goal
