"""What went wrong with usage and was put right: an event amended, one taken back, half a day rated anew."""

from datetime import timedelta
from decimal import Decimal

from marketplace.accounts.access import actor_for
from marketplace.accounts.models import User
from marketplace.config.demo.people import Cast
from marketplace.config.demo.timeline import Timeline
from marketplace.core import audit
from marketplace.core.transitions import move
from metering import corrected
from metering.corrections import Change
from metering.models import Rerating, UsageEvent
from metering.proposals import TOKEN_PRICES
from metering.reratings import applying, previewing
from metering.reratings.proposing import prices_as_text
from quotas import corrections

APP = "where2eat"
WRONG_DAYS_AGO = 6
RERATED_MODEL = "embed-small"
RERATED_DAYS_AGO = 12
# Read as 0.02 from a list that says 0.025.
RIGHT_PRICES = ("0.025", "0.025", "0.025", "0", "0")


def correct(cast: Cast, timeline: Timeline) -> None:
    """Put it right, through the same functions as everybody; needs the closed months, which bill it later."""
    operator, finance = (cast.person(role) for role in ("operator", "finance"))
    _correct_events(operator, timeline)
    _rate_anew(operator, finance, timeline)


def _correct_events(operator: User, timeline: Timeline) -> None:
    found = UsageEvent.objects.filter(
        app__slug=APP,
        occurred_at__gte=timeline.ago(WRONG_DAYS_AGO, 0),
        occurred_at__lt=timeline.at - timedelta(days=1),
        corrects=None,
        requests__gt=0,
    )
    by = actor_for(operator)
    events = [
        corrected.find_event(by, slug=APP, event_id=event_id)
        for event_id in found.order_by("occurred_at", "event_id").values_list("event_id", flat=True)[:2]
    ]
    for event in events[:1]:
        change = Change({"input_tokens": event.input_tokens * 2, "output_tokens": event.output_tokens // 2})
        reason = "The counter took a part of the answer for the question."
        at = timeline.at - timedelta(hours=20)
        corrections.amend(event, change=change, reason=reason, by=by, at=at)
    for event in events[1:]:
        at = timeline.at - timedelta(hours=19)
        corrections.void(event, reason="A load test of ours, reported as production.", by=by, at=at)


def _rate_anew(operator: User, finance: User, timeline: Timeline) -> None:
    """Told by hand and not through the queue: its jobs would run at the time of the load, not of the story."""
    proposed_at = timeline.ago(RERATED_DAYS_AGO - 2, 9)
    decided_at = timeline.ago(RERATED_DAYS_AGO - 3, 11)
    rerating = Rerating.objects.create(
        kind=Rerating.Kind.MODEL,
        subject=RERATED_MODEL,
        starts_at=timeline.ago(RERATED_DAYS_AGO, 0),
        ends_at=timeline.ago(RERATED_DAYS_AGO, 12),
        currency="USD",
        reason="For half a day the provider charged 0.025 a million; its notice came late.",
        proposed_by=operator,
        proposed_at=proposed_at,
        **dict(zip(TOKEN_PRICES, map(Decimal, RIGHT_PRICES), strict=True)),
    )
    audit.record(
        "metering.rerating.proposed",
        subject=rerating,
        at=proposed_at,
        by=operator,
        new=prices_as_text(rerating) | {"subject": rerating.subject},
        reason=rerating.reason,
    )
    rerating = previewing.work_out(rerating.pk, at=proposed_at + timedelta(minutes=1))
    note = "Seen the notice."
    move(
        rerating,
        Rerating.TRANSITIONS,
        to=Rerating.State.APPROVED,
        action="metering.rerating.approved",
        at=decided_at,
        by=finance,
        reason=note,
        changes={"decided_by": finance, "decided_at": decided_at, "decision_note": note},
    )
    applying.apply(rerating.pk, at=decided_at + timedelta(minutes=1))
