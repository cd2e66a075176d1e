"""What waits in the inbox of unattributed usage: groups with their sums, newest events and suggestions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
from django.db.models import Count, F, Max, Min, Q, QuerySet, Sum

from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import CostCenter
from marketplace.catalog.models import App, Subscription
from marketplace.catalog.owning import AppOwnership
from marketplace.catalog.queries import visible_subscriptions
from marketplace.core.models import Job
from metering import attribution_rules, suggestions
from metering.attribution_rules import SERVING
from metering.inbox_models import AttributionRule, Field, Inbox, KeptEvent, UnattributedGroup
from metering.models import UsageRollup
from metering.suggestions import Candidate, Suggestion

State = KeptEvent.State
ZERO = Decimal(0)
DEFAULT_DAYS = 30
MOST_GROUPS = 200


@dataclass(frozen=True)
class GroupRow:
    """A group with what is open of it, and how many of its events were counted or dismissed."""

    group: UnattributedGroup
    open: int
    counted: int
    dismissed: int
    tokens: int
    cost: Decimal
    currency: str
    occurred_from: datetime | None
    occurred_to: datetime | None


@dataclass(frozen=True)
class ByDefault:
    """Of the cost of an inbox's apps in thirty days, what was booked on the owner because nobody else was named."""

    cost: Decimal
    of: Decimal
    currency: str

    @property
    def share(self) -> Decimal | None:
        return self.cost / self.of if self.of else None


def apps(actor: Actor) -> QuerySet[App]:
    """Apps whose unattributed usage a person looks after."""
    found = App.objects.select_related("owner_team__organization")
    if actor.is_platform(*SERVING):
        return found
    return found.filter(
        Q(owner_team__in=actor.teams_as(Role.CREATOR))
        | Q(owner_team__organization__in=actor.organizations_as(*SERVING))
    )


def groups(actor: Actor) -> QuerySet[UnattributedGroup]:
    """Groups of unattributed usage that a person looks after."""
    found = UnattributedGroup.objects.select_related("app__owner_team__organization", "assignee")
    return found.filter(app__in=apps(actor).order_by().values("pk"))


def rows(found: QuerySet[UnattributedGroup], *, is_open: bool = True) -> list[GroupRow]:
    """Sum up groups, the dearest first and at most two hundred: those with open events, or those without (two queries)."""
    sums = _sums(Q(group__in=found))
    wanted = (
        sums.filter(open__gt=0).order_by("-cost", "group")
        if is_open
        else sums.filter(open=0).order_by("-group")
    )
    listed = list(wanted[:MOST_GROUPS])
    groups = found.in_bulk([row["group"] for row in listed])
    return [GroupRow(group=groups[row.pop("group")], **row) for row in listed]


def _sums(condition: Q) -> Any:
    waiting = Q(state=State.OPEN)
    return (
        KeptEvent.objects.filter(condition)
        .values("group")
        .annotate(
            open=Count("pk", filter=waiting),
            counted=Count("pk", filter=Q(state=State.COUNTED)),
            dismissed=Count("pk", filter=Q(state=State.DISMISSED)),
            tokens=Sum("tokens", filter=waiting, default=0),
            cost=Sum("estimated_cost", filter=waiting, default=ZERO),
            currency=Max("currency"),
            occurred_from=Min("occurred_at"),
            occurred_to=Max("occurred_at"),
        )
    )


def row(group: UnattributedGroup) -> GroupRow | None:
    """Sum up one group; None when nothing is kept of it any more."""
    found = UnattributedGroup.objects.filter(pk=group.pk).select_related(
        "app__owner_team__organization", "assignee"
    )
    return next(iter([*rows(found), *rows(found, is_open=False)]), None)


def newest(group: UnattributedGroup, *, most: int = 5) -> list[tuple[KeptEvent, dict[str, Any]]]:
    """Return the newest kept events of a group with what they say."""
    kept = group.events.order_by("-id")[:most]
    return [(one, msgspec.json.decode(one.body)) for one in kept]


def not_kept(actor: Actor) -> int:
    """Count what was not kept because an inbox was full, or for too long."""
    total = Inbox.objects.filter(app__in=apps(actor).order_by().values("pk")).aggregate(n=Sum("not_kept"))[
        "n"
    ]
    return int(total or 0)


def rules(actor: Actor) -> list[tuple[AttributionRule, Job | None]]:
    """List rules, those in force first, each with the job that counts what was kept (two queries)."""
    found = list(
        attribution_rules.visible_rules(actor).order_by(F("ends_at").desc(nulls_first=True), "-starts_at")[
            :100
        ]
    )
    work = Job.objects.filter(idempotency_key__in=[attribution_rules.job_key(one) for one in found])
    by_key = {job.idempotency_key: job for job in work}
    return [(one, by_key.get(attribution_rules.job_key(one))) for one in found]


def by_default(actor: Actor, *, at: datetime) -> ByDefault | None:
    """Tell how much of their apps' cost is booked on owners for want of a name; None when it cost nothing (one query).

    Own use on the cost center of the owning team: roll-ups do not tell whether somebody named just that one.
    """
    mine = Q(
        attribution__subscription=None, attribution__cost_center=F("attribution__owner_team__cost_center")
    )
    found: Any = (
        UsageRollup.objects.filter(
            hour__gte=at - timedelta(days=DEFAULT_DAYS),
            attribution__app__in=apps(actor).order_by().values("pk"),
        )
        .exclude(attribution__environment="sandbox")
        .values("currency")
        .annotate(of=Sum("cost"), by_default=Sum("cost", filter=mine, default=ZERO))
        .order_by("-of")
    )
    row = found.first()
    return ByDefault(row["by_default"], row["of"], row["currency"]) if row else None


def suggest(group: UnattributedGroup, *, actor: Actor) -> list[Suggestion]:
    """Suggest what the unknown name stands for; the id is that of a cost center or subscription, or None: as if it
    were not named."""
    if group.field == Field.COST_CENTER:
        return suggestions.closest(group.value, _cost_centers(group))
    if group.field == Field.SUBSCRIPTION:
        return _subscriptions(group, actor=actor)
    if group.field == Field.OWNER:
        return _owners(group)
    name = Candidate(None, f"usage of {group.app}", (group.app.slug, group.app.name))
    return suggestions.closest(group.value, [name])


def choosable_cost_centers(group: UnattributedGroup) -> QuerySet[CostCenter]:
    """Cost centers that a name may stand for."""
    return CostCenter.objects.filter(organization=group.app.owner_team.organization_id).order_by("code")


def choosable_subscriptions(group: UnattributedGroup, *, actor: Actor) -> QuerySet[Subscription]:
    """Subscriptions of the app that this person may know of."""
    return visible_subscriptions(actor).filter(app=group.app_id).order_by("team__name", "pk")


def _cost_centers(group: UnattributedGroup) -> list[Candidate]:
    return [Candidate(one.pk, str(one), (one.code, one.name)) for one in choosable_cost_centers(group)]


def _subscriptions(group: UnattributedGroup, *, actor: Actor) -> list[Suggestion]:
    """Suggest by the id, by the team that a tag or the name itself says, and by a subscription of another app."""
    known = list(choosable_subscriptions(group, actor=actor))
    named = _tags(group)
    found: dict[UUID, Suggestion] = {}
    elsewhere = _subscription_elsewhere(group.value, actor)
    for one in known:
        label = f"{one.team}" + ("" if one.state == Subscription.State.ACTIVE else f" ({one.state})")
        if elsewhere is not None and elsewhere.team_id == one.team_id:
            found[one.pk] = Suggestion(
                one.pk, label, f"It is the id of {one.team}'s subscription of {elsewhere.app}"
            )
        elif {one.team.slug, one.team.name.casefold()} & named:
            found[one.pk] = Suggestion(one.pk, label, "A tag of its events names this team")
    candidates = [
        Candidate(one.pk, str(one.team), (str(one.pk), one.team.slug, one.team.name)) for one in known
    ]
    for likely in suggestions.closest(group.value, candidates):
        found.setdefault(likely.id, likely)
    if not found and len(known) == 1:
        found[known[0].pk] = Suggestion(known[0].pk, str(known[0].team), "It is the only one of the app")
    return list(found.values())[: suggestions.MOST]


def _subscription_elsewhere(value: str, actor: Actor) -> Subscription | None:
    try:
        wanted = UUID(value)
    except ValueError:
        return None
    return visible_subscriptions(actor).filter(pk=wanted).first()


def _tags(group: UnattributedGroup) -> set[str]:
    """Collect what tags of the newest event say."""
    kept = newest(group, most=1)
    tags = kept[0][1].get("tags", {}) if kept else {}
    return {str(value).casefold() for value in tags.values()}


def _owners(group: UnattributedGroup) -> list[Suggestion]:
    """Suggest the owners that the app has, had or will have."""
    owners = AppOwnership.objects.filter(app=group.app_id).select_related("team").order_by("-starts_at")
    for one in owners:
        if suggestions.plain(group.value) == suggestions.plain(one.team.slug):
            when = f"until {one.ends_at:%Y-%m-%d}" if one.ends_at else f"from {one.starts_at:%Y-%m-%d}"
            text = f"{one.team} owns the app {when}; usage goes to the owner of its time"
            return [Suggestion(None, "the owner at its time", text)]
    names: Sequence[Candidate] = [
        Candidate(None, "the owner at its time", (one.team.slug, one.team.name)) for one in owners
    ]
    return suggestions.closest(group.value, names)[:1]
