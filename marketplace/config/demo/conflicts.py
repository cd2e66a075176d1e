"""Reports that came twice with other content: a job of the creator's app made its ids anew after a restart."""

from collections.abc import Sequence
from datetime import timedelta

from django.urls import reverse

from marketplace.catalog.models import App
from marketplace.config.demo.chronicle import Chronicle
from marketplace.config.demo.people import Cast
from marketplace.config.demo.timeline import Timeline
from marketplace.core.notice_kinds import Kind as NoticeKind
from metering.conflicts import body_of
from metering.models import EventConflict, UsageEvent

DAYS_AGO = 2
# How many tokens more the second report tells; None tells another feature instead.
TOLD_AGAIN = (64, 512, None, 7)


def report_twice(cast: Cast, apps: dict[str, App], timeline: Timeline, chronicle: Chronicle) -> None:
    """Write the second reports of some events, and the notice of them; needs the events."""
    app = apps["where2eat"]
    events = _events(app, timeline)
    EventConflict.objects.bulk_create(
        _conflict(event, more_tokens=more) for event, more in zip(events, TOLD_AGAIN, strict=False)
    )
    if events:
        day = timeline.ago(DAYS_AGO).date()
        chronicle.tell(
            [cast.person("creator")],
            f"{len(events)} reports of {app.name} on {day} came under known ids with other content.",
            at=timeline.ago(DAYS_AGO, 17),
            path=f"{reverse('metering:conflicts')}?app={app.slug}",
            key=f"event-conflicts:{app.pk}:{day}",
            kind=NoticeKind.USAGE,
        )


def _events(app: App, timeline: Timeline) -> Sequence[UsageEvent]:
    """The last events of an afternoon."""
    before = timeline.ago(DAYS_AGO, 16)
    rows = UsageEvent.objects.filter(
        app=app, occurred_at__lt=before, occurred_at__gte=before - timedelta(days=5)
    )
    return list(
        rows.select_related("attribution__model").order_by("-occurred_at", "event_id")[: len(TOLD_AGAIN)]
    )


def _conflict(event: UsageEvent, *, more_tokens: int | None) -> EventConflict:
    body = body_of(event)
    if more_tokens is None:
        body["feature"] = "suggest-again"
    else:
        body["output_tokens"] += more_tokens
    at = event.occurred_at + timedelta(minutes=20)
    return EventConflict(app_id=event.app_id, event_id=event.event_id, received_at=at, body=body)
