"""Telling people of limits: warn and soft ones that are reached, and usage beyond what was held. Once for each window."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Exists, F, OuterRef, Q, QuerySet, Sum
from django.urls import reverse

from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.models import User
from marketplace.core.notices import Kind, notify
from quotas import words
from quotas.budget_history import budget_limits
from quotas.lifts import lift_book
from quotas.models import Limit, LimitCounter, OverrunEntry
from quotas.owners import RELATED, Owner, owner_of_limit

LOOK_BACK = timedelta(minutes=10)
"""How long after its end a window is still looked at: a minute is over before the next round."""

AT_ONCE = 500
ZERO = Decimal(0)


def tell(*, at: datetime) -> int:
    """Tell of everything that nobody was told of yet; returns how many limits there were."""
    return tell_of_reached(at=at) + tell_of_overruns(at=at)


def tell_of_reached(*, at: datetime) -> int:
    """Tell the people of an owner once a window that a warn or soft limit of theirs is reached."""
    found = list(
        LimitCounter.objects.filter(
            noticed_at=None,
            window_ends_at__gt=at - LOOK_BACK,
            limit__mode__in=[Limit.Mode.WARN, Limit.Mode.SOFT],
            limit__starts_at__lte=at,
            limit__limit_value__lte=F("spent") + F("overrun"),
        )
        .filter(Q(limit__ends_at=None) | Q(limit__ends_at__gt=at))
        .exclude(spent=0, overrun=0)
        # Of budgets people are told by their thresholds (quotas.limit_alerts).
        .exclude(limit__in=Limit.objects.filter(budget_limits()))
        .select_related("limit", *(f"limit__{each}" for each in RELATED))
        .order_by("pk")[:AT_ONCE]
    )
    # What a grant lifts is reached where the grant says.
    lifted = lift_book.current().values(at)
    found = [one for one in found if lifted.get(one.limit_id, ZERO) <= one.spent + one.overrun]
    for counter in found:
        limit, owner = counter.limit, owner_of_limit(counter.limit)
        used = words.amount(counter.spent + counter.overrun, limit)
        text = (
            f"{owner.title} {owner.label}: {words.title(limit).lower()} reached {words.amount(max(limit.limit_value, lifted.get(limit.pk, ZERO)), limit)}; "
            f"{used} is used. Calls go on."
        )
        # A limit a minute may be reached in every one of them; a day has one notice of it.
        key = f"limit-reached:{limit.pk}:{_stretch(limit, counter.window_starts_at)}"
        notify(
            _people_of(owner, limit),
            text=text,
            at=at,
            key=key,
            path=_path(owner),
            kind=Kind.LIMITS,
            team=owner.team,
            organization_id=owner.organization_id,
        )
    LimitCounter.objects.filter(pk__in=[counter.pk for counter in found]).update(noticed_at=at)
    return len(found)


def tell_of_overruns(*, at: datetime) -> int:
    """Tell operators and the people of an owner, once a limit and window, of usage beyond what was held or allowed."""
    groups = _untold(at)
    limits = Limit.objects.select_related(*RELATED).in_bulk({group.limit_id for group in groups})
    for group in groups:
        limit = limits[group.limit_id]
        owner = owner_of_limit(limit)
        text = (
            f"{owner.title} {owner.label}: {words.amount(group.amount, limit)} came over what was held or allowed of "
            f"{words.title(limit).lower()} ({group.causes}). It is booked and counts against the limit."
        )
        key = f"limit-overrun:{limit.pk}:{_stretch(limit, group.window_starts_at)}"
        people = {*_people_of(owner, limit), *access.platform_people(Role.OPERATOR)}
        notify(
            people,
            text=text,
            at=at,
            key=key,
            path=_path(owner),
            kind=Kind.LIMITS,
            team=owner.team,
            organization_id=owner.organization_id,
        )
    for group in groups:
        OverrunEntry.objects.filter(
            noticed_at=None,
            created_at__lte=at,
            limit=group.limit_id,
            window_starts_at=group.window_starts_at,
        ).update(noticed_at=at)
    return len(groups)


@dataclass(frozen=True)
class _Untold:
    limit_id: int
    window_starts_at: datetime
    amount: Any
    causes: str


def _untold(at: datetime) -> list[_Untold]:
    """Sum what nobody was told of. What an app elsewhere uses beyond the usual matters once it is over the limit."""
    over_limit = LimitCounter.objects.filter(
        limit=OuterRef("limit"), window_starts_at=OuterRef("window_starts_at"), overrun__gt=0
    )
    rows = (
        OverrunEntry.objects.filter(
            ~Q(cause="elsewhere") | Exists(over_limit), noticed_at=None, created_at__lte=at
        )
        .values("limit_id", "window_starts_at")
        .annotate(
            total=Sum("amount"),
            calls=Sum("amount", filter=Q(cause__in=["call", "elsewhere"])),
            reports=Sum("amount", filter=Q(cause="report")),
            corrections=Sum("amount", filter=Q(cause="correction")),
        )
        .order_by("limit_id", "window_starts_at")[:AT_ONCE]
    )
    return [_Untold(row["limit_id"], row["window_starts_at"], row["total"], _causes(row)) for row in rows]


def _causes(row: Mapping[str, Any]) -> str:
    return ", ".join(cause for cause in ("calls", "reports", "corrections") if row[cause])


def _stretch(limit: Limit, starts_at: datetime) -> str:
    return f"{starts_at:%Y-%m-%d}" if limit.window == Limit.Window.MINUTE else starts_at.isoformat()


def _path(owner: Owner) -> str:
    return reverse("quotas:limits", args=[owner.kind, owner.pk])


def _people_of(owner: Owner, limit: Limit) -> QuerySet[User]:
    """Return whom an owner's limits concern: who answers for it, and who set the limit."""
    return User.objects.filter(
        Q(pk__in=_members(owner).values("pk")) | Q(pk=limit.created_by_id), is_active=True
    ).distinct()


def _members(owner: Owner) -> QuerySet[User]:
    people = User.objects.all()
    if owner.kind == "organization":
        return people.filter(
            memberships__organization=owner.pk, memberships__role__in=[Role.FINANCE, Role.OPERATOR]
        )
    if owner.kind == "cost_center":
        return people.filter(owned_cost_centers=owner.pk)
    if owner.app is not None:
        return people.filter(memberships__team=owner.app.owner_team_id, memberships__role=Role.CREATOR)
    team = owner.pk if owner.kind == "team" else owner.subscription.team_id if owner.subscription else None
    return people.filter(memberships__team=team, memberships__role=Role.CONSUMER)
