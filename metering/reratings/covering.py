"""Which re-rating an event has behind it: the newest one of its subject and time that came past it.

Also one that changed nothing about it: should the event be amended later, it is rated at the price that is right.
"""

from django.db import connection

from metering.models import Rerating, UsageEvent

_SUBJECT = {
    Rerating.Kind.MODEL: "(x.subject = m.name OR m.is_ceiling AND x.subject = a.model_asked)",
    Rerating.Kind.INSTANCE_TYPE: "x.subject = a.instance_type",
}
_NEWEST = """
SELECT x.* FROM metering_attribution a
LEFT JOIN metering_languagemodel m ON m.id = a.model_id
JOIN metering_rerating x ON x.kind = '{kind}' AND {subject}
WHERE a.id = {event}.attribution_id AND x.currency = {event}.currency
    AND x.starts_at <= {event}.occurred_at AND {event}.occurred_at < x.ends_at AND {event}.received_at <= x.previewed_at
    AND (
        x.state = 'applied' OR x.state = 'approved'
        AND ({event}.app_id, {event}.occurred_at, {event}.event_id) <= (x.done_app_id, x.done_at, x.done_event_id)
    )
ORDER BY x.id DESC LIMIT 1
"""
_OF_EVENT = """
SELECT x.id FROM metering_usageevent e, LATERAL ({newest}) x
WHERE e.app_id = %s AND e.occurred_at = %s AND e.event_id = %s
"""


def newest(kind: Rerating.Kind, *, event: str) -> str:
    """Return the query of the newest re-rating of a kind that is behind an event, which has that name in the query."""
    return _NEWEST.format(kind=kind.value, subject=_SUBJECT[kind], event=event)


def behind(event: UsageEvent, kind: Rerating.Kind) -> Rerating | None:
    """Return the newest re-rating of a kind that is behind an event."""
    with connection.cursor() as cursor:
        cursor.execute(
            _OF_EVENT.format(newest=newest(kind, event="e")),
            [event.app_id, event.occurred_at, event.event_id],
        )
        row = cursor.fetchone()
    return Rerating.objects.get(pk=row[0]) if row else None
