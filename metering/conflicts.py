"""Reports that came under a known id with other content: kept for the makers of the app, who are told of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.db.models import Count, F, QuerySet
from django.db.models.functions import TruncDate
from django.urls import reverse

from marketplace.accounts.access import Role
from marketplace.accounts.models import User
from marketplace.catalog.models import App
from marketplace.core.money import to_text
from marketplace.core.notices import Kind, notify
from metering.models import EventConflict, EventKey, UsageEvent

KEPT_FOR = timedelta(days=90)
# Longer than the hour between two looks; nobody is told twice of one day.
LOOK_BACK = timedelta(hours=25)
PURGED_AT_ONCE = 10_000
LABELS = {
    "environment": "Environment",
    "model": "Model",
    "requests": "Requests",
    "input_tokens": "Input tokens",
    "cached_input_tokens": "Cached input tokens",
    "cache_write_tokens": "Cache-write tokens",
    "output_tokens": "Output tokens",
    "reasoning_tokens": "Reasoning tokens",
    "duration_ms": "Duration, ms",
    "latency_ms": "Latency, ms",
    "instance_type": "Instance type",
    "feature": "Feature",
    "provider_cost": "Provider cost",
    "tags": "Tags",
    "timestamp": "Occurred",
}


@dataclass(frozen=True)
class Changed:
    """One field of two reports; ``old`` is what counts."""

    label: str
    old: str
    new: str


@dataclass(frozen=True)
class Conflict:
    """A later report under the id of an event; ``changes`` is empty where the event is in the archive."""

    id: int
    app_slug: str
    app_name: str
    event_id: str
    received_at: datetime
    occurred_at: datetime | None
    second: Mapping[str, Any]
    first: Mapping[str, Any] | None
    is_of_other_subscription: bool

    @property
    def changes(self) -> tuple[Changed, ...]:
        return compare(self.first, self.second) if self.first else ()


@dataclass(frozen=True)
class _Told:
    """Conflicts of an app on a day."""

    app_id: int
    day: Any
    count: int


def of_apps(apps: QuerySet[App]) -> QuerySet[EventConflict]:
    """Conflicts of these apps, the newest first."""
    return EventConflict.objects.filter(app__in=apps.order_by().values("pk")).order_by("-received_at", "-pk")


def describe(rows: Sequence[EventConflict]) -> list[Conflict]:
    """Set each beside the event that counts (two queries); ``app`` must be loaded."""
    firsts = _firsts(rows)
    return [_describe(row, firsts.get((row.app_id, row.event_id))) for row in rows]


def of_event(event: UsageEvent, app: App, *, limit: int) -> list[Conflict]:
    """Return what came later under the id of an event, the newest first (one query)."""
    rows = EventConflict.objects.filter(app=app, event_id=event.event_id).order_by("-received_at", "-pk")
    found = []
    for row in rows[:limit]:
        row.app = app
        found.append(_describe(row, event))
    return found


def compare(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[Changed, ...]:
    """Set two reports side by side, field by field, without what both leave out."""
    rows = [
        Changed(label, _text(name, first.get(name)), _text(name, second[name]))
        for name, label in LABELS.items()
        if name in second
    ]
    return tuple(row for row in rows if not {row.old, row.new} <= {"", "0"})


def tell_makers(*, at: datetime) -> int:
    """Tell the creators of each app's team of conflicts since a day ago, once for each app and day in UTC; returns
    how many days of apps there were."""
    found = _days(at)
    apps = App.objects.in_bulk({one.app_id for one in found})
    for one in found:
        app = apps[one.app_id]
        many = "report of" if one.count == 1 else "reports of"
        notify(
            User.objects.filter(
                memberships__team=app.owner_team_id, memberships__role=Role.CREATOR, is_active=True
            ).distinct(),
            text=f"{one.count:,} {many} {app.name} on {one.day:%Y-%m-%d} came under known ids with other content. The first ones stay; look whether ids are made twice.",
            at=at,
            key=f"event-conflicts:{one.app_id}:{one.day:%Y-%m-%d}",
            path=f"{reverse('metering:conflicts')}?{urlencode({'app': app.slug})}",
            kind=Kind.USAGE,
            team=app.owner_team,
        )
    return len(found)


def purge(*, at: datetime) -> int:
    """Delete what is older than ninety days, some thousand rows a statement; returns how many there were."""
    old = EventConflict.objects.filter(received_at__lt=at - KEPT_FOR).order_by("received_at")
    gone = 0
    while ids := list(old.values_list("pk", flat=True)[:PURGED_AT_ONCE]):
        gone += EventConflict.objects.filter(pk__in=ids).delete()[0]
    return gone


def _days(at: datetime) -> list[_Told]:
    since = at.replace(minute=0, second=0, microsecond=0) - LOOK_BACK
    rows: QuerySet[Any, Any] = (
        EventConflict.objects.filter(received_at__gte=since)
        .values(one_app=F("app_id"), day=TruncDate("received_at"))
        .annotate(count=Count("pk"))
        .order_by("one_app", "day")
    )
    return [_Told(row["one_app"], row["day"], row["count"]) for row in rows]


def _firsts(rows: Iterable[EventConflict]) -> dict[tuple[int, str], UsageEvent]:
    wanted = [(row.app_id, row.event_id) for row in rows]
    if not wanted:
        return {}
    keys = EventKey.objects.filter(pk__in=wanted).values_list("app_id", "occurred_at", "event_id")
    events = UsageEvent.objects.filter(pk__in=list(keys)).select_related("attribution__model")
    return {(event.app_id, event.event_id): event for event in events}


def _describe(row: EventConflict, first: UsageEvent | None) -> Conflict:
    second = dict(row.body)
    subscription = second.pop("subscription", None)
    own = first.attribution.subscription_id if first else None
    return Conflict(
        id=row.pk,
        app_slug=row.app.slug,
        app_name=row.app.name,
        event_id=row.event_id,
        received_at=row.received_at,
        occurred_at=first.occurred_at if first else None,
        second=second,
        first=body_of(first) if first else None,
        is_of_other_subscription=bool(
            first and "subscription" in row.body and str(own or "") != (subscription or "")
        ),
    )


def body_of(event: UsageEvent) -> dict[str, Any]:
    """Write an event as ``metering.ingest`` writes a conflict."""
    belongs = event.attribution
    return {
        "timestamp": event.occurred_at.isoformat(),
        "environment": belongs.environment,
        "model": belongs.model_asked or (belongs.model.name if belongs.model else ""),
        "requests": event.requests,
        "input_tokens": event.input_tokens,
        "output_tokens": event.output_tokens,
        "cached_input_tokens": event.cached_input_tokens,
        "cache_write_tokens": event.cache_write_tokens,
        "reasoning_tokens": event.reasoning_tokens,
        "duration_ms": event.duration_ms,
        "latency_ms": event.latency_ms,
        "instance_type": belongs.instance_type,
        "feature": belongs.feature,
        "provider_cost": None if event.provider_cost is None else to_text(event.provider_cost),
        "tags": event.tags,
    }


def _text(name: str, value: Any) -> str:
    if name == "timestamp":
        return f"{datetime.fromisoformat(value).astimezone(UTC):%-d %b %Y, %H:%M:%S}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={text}" for name, text in sorted(value.items()))
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else str(value)
