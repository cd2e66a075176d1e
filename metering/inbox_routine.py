"""What a routine does for inboxes: tells owners what came, counts what a rule is for, ends and deletes what is over."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Sum
from django.urls import reverse

from marketplace.accounts.access import Role
from marketplace.accounts.models import Team, User
from marketplace.core.notices import Kind, notify
from metering import attribution_rules, keeping
from metering.inbox_models import AttributionRule, KeptEvent, UnattributedGroup


@dataclass(frozen=True)
class Grown:
    """What came into the inbox of an app today and is still open."""

    app: str
    app_id: int
    team_id: int
    events: int
    tokens: int


def tend(*, at: datetime) -> None:
    """Do all of it."""
    keeping.end_overlooked(at=at)
    keeping.purge(at=at)
    count_overlooked(at=at)
    tell_owners(at=at)


def grown(*, at: datetime) -> list[Grown]:
    """Find the apps whose inbox has grown today, in UTC (one query)."""
    today = at.replace(hour=0, minute=0, second=0, microsecond=0)
    rows: QuerySet[Any, Any] = (
        KeptEvent.objects.filter(received_at__gte=today, state=KeptEvent.State.OPEN)
        .values("app_id", name=F("app__name"), team_id=F("app__owner_team_id"))
        .annotate(events=Count("pk"), tokens=Sum("tokens"))
        .order_by("app_id")
    )
    return [
        Grown(row["name"], row["app_id"], row["team_id"], row["events"], int(row["tokens"])) for row in rows
    ]


def tell_owners(*, at: datetime) -> int:
    """Tell the creators of each app whose inbox has grown, once a day; returns how many apps there are."""
    found = grown(at=at)
    for one in found:
        creators = User.objects.filter(
            memberships__team=one.team_id, memberships__role=Role.CREATOR, is_active=True
        )
        notify(
            creators.distinct(),
            text=f"{one.events:,} events of {one.app} ({one.tokens:,} tokens) wait for somebody to say whose they are.",
            at=at,
            key=f"inbox:{one.app_id}:{at:%Y-%m-%d}",
            path=reverse("metering:inbox"),
            kind=Kind.USAGE,
            team=Team.objects.get(pk=one.team_id),
        )
    return len(found)


def count_overlooked(*, at: datetime) -> int:
    """Queue the counting of events that were kept while their rule was made; returns of how many rules."""
    same = Q(field=OuterRef("field"), value=OuterRef("value"))
    own = same & Q(app=OuterRef("app"))
    wide = same & Q(app__owner_team__organization=OuterRef("organization"))
    untried = UnattributedGroup.objects.filter(
        Exists(KeptEvent.objects.filter(group=OuterRef("pk"), state=KeptEvent.State.OPEN, trouble=""))
    )
    overlooked = AttributionRule.objects.filter(ends_at=None).filter(
        Exists(untried.filter(own)) | (Q(app=None) & Exists(untried.filter(wide)))
    )
    found = list(overlooked)
    for rule in found:
        attribution_rules.count_kept(rule, at=at, again=f"{at:%Y-%m-%dT%H}")
    return len(found)
