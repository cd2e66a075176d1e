"""What is done about an app that runs away: told, slowed, stopped, and resumed by somebody who does not own it.

An incident moves by conditional UPDATE; what it does to calls is written in the same transaction: a limit of requests a
minute slows, the state ``paused`` makes the gateway answer 503, a limit of cost a day is the ceiling after it was resumed.
All three hold from the next batch on in every process, by the epochs of limits and directory.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.urls import reverse

from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import Team, User
from marketplace.catalog.models import App, Environment, Subscription
from marketplace.core import audit
from marketplace.core.errors import InvalidInput, NotAllowed
from marketplace.core.money import to_text
from marketplace.core.notices import Kind as NoticeKind
from marketplace.core.notices import notify
from marketplace.core.transitions import move
from quotas.incident_models import ExpectedUsage, Incident, IncidentLimit
from quotas.models import Limit

State = Incident.State
LONGEST_CEILING_HOURS = 336
LONGEST_EXPECTED = timedelta(days=92)
MOST_RATE = 1_000_000
MOST_AMOUNT = Decimal(10) ** 15
# Who is told anew when nobody acts: wider with every step, and then no further.
CIRCLES = (
    (Role.OPERATOR,),
    (Role.OPERATOR, Role.APPROVER),
    (Role.OPERATOR, Role.APPROVER, Role.FINANCE),
)


class OwnApp(NotAllowed):
    """Whoever owns the app neither resumes it nor says that its cost is as it should be."""

    code = "own_app"

    def __init__(self, app: App) -> None:
        super().__init__(f"{app.name} is of your own team. Somebody who does not own it has to do this.")


def may_stop(actor: Actor, app: App) -> bool:
    """Tell whether somebody may look after an incident, slow the app and pause it: operators, and the app's makers."""
    return actor.is_platform(Role.OPERATOR) or app.owner_team_id in actor.teams_as(Role.CREATOR)


def may_resume(actor: Actor, app: App) -> bool:
    """Tell whether somebody may let the app go on, close its incident and call its cost expected."""
    return actor.is_platform(Role.OPERATOR) and app.owner_team_id not in actor.team_ids


def acknowledge(incident: Incident, *, by: Actor, at: datetime, note: str = "") -> None:
    """Say that somebody looks after it; nobody else is told any more. Again by another person changes nothing.

    A notice becomes acknowledged; what is throttled or paused stays so. Raises NotAllowed.
    """
    _require_may_stop(incident, by)
    with transaction.atomic():
        first = Incident.objects.filter(~Q(state=State.CLOSED), pk=incident.pk, acknowledged_at=None)
        if not first.update(acknowledged_at=at, acknowledged_by=by.user):
            incident.refresh_from_db()
            return
        incident.acknowledged_at, incident.acknowledged_by = at, by.user
        if incident.state == State.OPEN:
            _move(incident, to=State.ACKNOWLEDGED, by=by, at=at, reason=note)
        else:
            audit.record("quotas.incident.acknowledged", subject=incident, at=at, by=by.user, reason=note)


def throttle(
    incident: Incident, *, requests_per_minute: int, by: Actor | None, at: datetime, reason: str
) -> Limit:
    """Slow the app to so many requests a minute, all its subscribers together; the sandbox apart.

    Calls beyond it answer 429 with Retry-After. ``by`` is None for the detector. Raises InvalidInput, NotAllowed, and
    IllegalTransition.
    """
    _require_may_stop(incident, by)
    _require_reason(reason)
    if not 0 < requests_per_minute <= MOST_RATE:
        raise InvalidInput("requests_per_minute", f"Give a number from 1 to {MOST_RATE:,}.", limit=MOST_RATE)
    with transaction.atomic():
        _move(incident, to=State.THROTTLED, by=by, at=at, reason=reason, **_stopped(incident, at))
        _end_limits(incident, by=by, at=at)
        limit = _add_limit(
            incident,
            IncidentLimit.Purpose.THROTTLE,
            by=by,
            at=at,
            measure=Limit.Measure.REQUESTS,
            window=Limit.Window.MINUTE,
            limit_value=Decimal(requests_per_minute),
            note="slowed by an incident",
        )
        _tell_of(
            incident,
            "throttled",
            f"{incident.app.name} is slowed to {requests_per_minute:,} request{'s'[: requests_per_minute > 1]} a minute.",
            at,
        )
    return limit


def pause(incident: Incident, *, by: Actor | None, at: datetime, reason: str) -> None:
    """Stop the app: calls answer 503 ``app_paused`` until somebody who does not own it resumes it; the sandbox apart.

    Raises InvalidInput, NotAllowed, IllegalTransition.
    """
    _require_may_stop(incident, by)
    _require_reason(reason)
    with transaction.atomic():
        _move(incident, to=State.PAUSED, by=by, at=at, reason=reason, **_stopped(incident, at))
        _end_limits(incident, by=by, at=at)
        _tell_of(
            incident,
            "paused",
            f"{incident.app.name} is paused. Calls of it are refused and cost nothing.",
            at,
        )


def resume(
    incident: Incident, *, ceiling: Decimal, hours: int, by: Actor, at: datetime, reason: str
) -> Limit:
    """Let the app go on, for so many hours at a ceiling of cost a day, then without it.

    The ceiling counts from now: what ran away today is not held against it. Raises InvalidInput, OwnApp, NotAllowed,
    IllegalTransition.
    """
    _require_may_resume(incident, by)
    _require_reason(reason)
    if not 0 < ceiling <= MOST_AMOUNT:
        raise InvalidInput(
            "ceiling", f"Give an amount above zero and at most {MOST_AMOUNT:,}.", limit=MOST_AMOUNT
        )
    if not 0 < hours <= LONGEST_CEILING_HOURS:
        raise InvalidInput(
            "hours", f"Give a number of hours from 1 to {LONGEST_CEILING_HOURS}.", limit=LONGEST_CEILING_HOURS
        )
    with transaction.atomic():
        _move(
            incident, to=State.RESUMED, by=by, at=at, reason=reason, resumed_at=at, resumed_by=by.user,
            **_looked_after(incident, by, at),
        )  # fmt: skip
        _end_limits(incident, by=by, at=at)
        limit = _add_limit(
            incident,
            IncidentLimit.Purpose.CEILING,
            by=by,
            at=at,
            measure=Limit.Measure.COST,
            window=Limit.Window.DAY,
            currency=currency_of(incident),
            limit_value=ceiling,
            ends_at=at + timedelta(hours=hours),
            note="ceiling after an incident",
        )
        _tell_of(
            incident,
            "resumed",
            f"{incident.app.name} runs again, at a ceiling until {limit.ends_at:%Y-%m-%d %H:%M} UTC.",
            at,
        )
    return limit


def close(incident: Incident, *, by: Actor | None, at: datetime, explanation: str) -> None:
    """End an incident and the ceiling that it left; ``by`` is None for one that ended by itself.

    One that is throttled or paused has to be resumed first. Raises InvalidInput, OwnApp, NotAllowed, IllegalTransition.
    """
    if by is not None:
        _require_may_resume(incident, by)
    if not explanation.strip():
        raise InvalidInput("reason", "Say what it was: the next incident of this app is judged by it.")
    with transaction.atomic():
        person = {"closed_by": by.user, **_looked_after(incident, by, at)} if by else {}
        _move(
            incident, to=State.CLOSED, by=by, at=at, reason=explanation, closed_at=at, explanation=explanation,
            **person,
        )  # fmt: skip
        _end_limits(incident, by=by, at=at)
        if by is not None:
            _tell_of(incident, "closed", f"The incident of {incident.app.name} is closed: {explanation}", at)


def expect(
    incident: Incident, *, until: datetime, up_to: Decimal, by: Actor, at: datetime, reason: str
) -> ExpectedUsage:
    """Say that so much a day is as it should be until a time: detectors keep quiet about the app up to that amount.

    Closes a notice, and one that was resumed; what is throttled or paused stays so until it is resumed. Raises
    InvalidInput, OwnApp, NotAllowed.
    """
    _require_may_resume(incident, by)
    _require_reason(reason)
    if not at < until <= at + LONGEST_EXPECTED:
        raise InvalidInput(
            "until", f"must lie ahead, at most {LONGEST_EXPECTED.days} days", limit=LONGEST_EXPECTED.days
        )
    if not 0 < up_to <= MOST_AMOUNT:
        raise InvalidInput(
            "up_to", f"Give an amount above zero and at most {MOST_AMOUNT:,}.", limit=MOST_AMOUNT
        )
    with transaction.atomic():
        marked = ExpectedUsage.objects.create(
            app=incident.app, incident=incident, starts_at=at, ends_at=until, up_to=up_to,
            currency=incident.currency, reason=reason, marked_by=by.user,
        )  # fmt: skip
        audit.record(
            "quotas.incident.expected", subject=incident, at=at, by=by.user, reason=reason,
            new={"until": until.isoformat(), "up_to": to_text(up_to)},
        )  # fmt: skip
        if State.CLOSED in Incident.TRANSITIONS[incident.state]:
            close(incident, by=by, at=at, explanation=f"Expected: {reason}")
    return marked


def contact_owner(incident: Incident, *, by: Actor, at: datetime, message: str) -> None:
    """Write to the people who make the app; what was written stands in the incident's timeline."""
    _require_may_stop(incident, by)
    if not message.strip():
        raise InvalidInput("reason", "Write what the owner should know or do.")
    with transaction.atomic():
        entry = audit.record(
            "quotas.incident.owner_contacted", subject=incident, at=at, by=by.user, reason=message
        )
        notify(
            makers_of(incident.app),
            text=f"About the incident of {incident.app.name}: {message}",
            at=at,
            key=f"incident:{incident.pk}:contact:{entry.pk}",
            path=path_of(incident),
            kind=NoticeKind.INCIDENTS,
            team=incident.app.owner_team,
        )


def escalate(*, at: datetime, after: timedelta) -> int:
    """Tell wider circles of incidents that nobody has acknowledged, a step each time; returns how many there were."""
    told = 0
    waiting = Incident.objects.filter(
        ~Q(state=State.CLOSED), acknowledged_at=None, escalations__lt=len(CIRCLES) - 1
    )
    for incident in waiting.select_related("app").order_by("pk"):
        step = incident.escalations + 1
        if incident.opened_at + after * step > at:
            continue
        with transaction.atomic():
            # Of two that look at once, the row count says which one tells.
            mine = Incident.objects.filter(pk=incident.pk, acknowledged_at=None, escalations=step - 1)
            if not mine.update(escalations=step):
                continue
            audit.record("quotas.incident.escalated", subject=incident, at=at, new={"step": step})
            notify(
                access.platform_people(*CIRCLES[step]),
                text=f"Nobody looks after the incident of {incident.app.name} yet.",
                at=at,
                key=f"incident:{incident.pk}:escalated:{step}",
                path=path_of(incident),
                kind=NoticeKind.INCIDENTS,
                is_of_platform=True,
            )
        told += 1
    return told


def tell_of_opening(incident: Incident, *, text: str, at: datetime) -> None:
    """Tell makers and operators, once."""
    _tell_of(incident, "opened", text, at)


def currency_of(incident: Incident) -> str:
    """Return the currency a ceiling is in: that of the usage, else of the organization that owns the app."""
    return incident.currency or incident.app.owner_team.organization.currency


def path_of(incident: Incident) -> str:
    return reverse("quotas:incident", args=[incident.pk])


def makers_of(app: App) -> QuerySet[User]:
    """People who make the app, to be told."""
    makers = User.objects.filter(
        memberships__team=app.owner_team_id, memberships__role=Role.CREATOR, is_active=True
    )
    return makers.distinct()


def subscribers_of(app: App) -> QuerySet[User]:
    """People who call the app for a team that is subscribed; those who only try it are left out."""
    teams = Subscription.objects.filter(app=app, state=Subscription.State.ACTIVE).exclude(
        environment=Environment.SANDBOX
    )
    people = User.objects.filter(
        memberships__team__in=teams.values("team"), memberships__role=Role.CONSUMER, is_active=True
    )
    return people.distinct()


def _tell_of(incident: Incident, what: str, text: str, at: datetime) -> None:
    """Tell makers and operators, and subscribers of what changes their calls; once for each change of state."""
    key = f"incident:{incident.pk}:{what}"
    if what != "opened":
        key += f":{at.isoformat()}"
    operators = access.platform_people(Role.OPERATOR)
    team = incident.app.owner_team
    _notify_once({*makers_of(incident.app), *operators}, text, at, key, path_of(incident), team=team)
    if what in ("throttled", "paused", "resumed"):
        listing = reverse("catalog:listing", args=[incident.app.slug])
        _notify_once(set(subscribers_of(incident.app)), text, at, key, listing)


def _notify_once(
    people: Iterable[User], text: str, at: datetime, key: str, path: str, *, team: Team | None = None
) -> None:
    """Tell people, and with the app's team the channels of that team and of the platform."""
    notify(
        sorted(people, key=lambda one: one.pk),
        text=text,
        at=at,
        key=key,
        path=path,
        kind=NoticeKind.INCIDENTS,
        team=team,
        is_of_platform=team is not None,
    )


def _move(
    incident: Incident, *, to: str, by: Actor | None, at: datetime, reason: str, **changes: Any
) -> None:
    move(
        incident,
        Incident.TRANSITIONS,
        to=to,
        action=f"quotas.incident.{to}",
        at=at,
        by=by.user if by else None,
        reason=reason,
        changes=changes,
    )


def _stopped(incident: Incident, at: datetime) -> dict[str, datetime]:
    return {} if incident.is_stopped else {"stopped_at": at}


def _looked_after(incident: Incident, by: Actor, at: datetime) -> dict[str, Any]:
    """Whoever decides has looked at it, whether they said so before or not."""
    return {} if incident.acknowledged_at else {"acknowledged_at": at, "acknowledged_by": by.user}


def _add_limit(incident: Incident, purpose: str, *, by: Actor | None, at: datetime, **terms: Any) -> Limit:
    """Make a hard limit of the app that counts from now on."""
    limit = Limit.objects.create(
        app=incident.app,
        mode=Limit.Mode.HARD,
        starts_at=at,
        created_by=by.user if by else None,
        is_brake=True,
        **terms,
    )
    IncidentLimit.objects.create(incident=incident, limit=limit, purpose=purpose)
    facts = {"limit": to_text(limit.limit_value), "measure": limit.measure, "window": limit.window}
    audit.record(
        "quotas.limit.set", subject=limit, at=at, by=by.user if by else None, new=facts, reason=limit.note
    )
    return limit


def _end_limits(incident: Incident, *, by: Actor | None, at: datetime) -> None:
    """End what the incident did to calls so far; in the order of their keys, as everybody locks limits."""
    running = Limit.objects.filter(Q(ends_at=None) | Q(ends_at__gt=at), of_incident__incident=incident)
    for limit in running.order_by("pk"):
        Limit.objects.filter(pk=limit.pk).update(ends_at=max(at, limit.starts_at))
        audit.record(
            "quotas.limit.ended",
            subject=limit,
            at=at,
            by=by.user if by else None,
            reason="its incident went on",
        )


def _require_reason(reason: str) -> None:
    if not reason.strip():
        raise InvalidInput(
            "reason", "Give a reason: owner and subscribers ask for it, and it stays in the audit trail."
        )


def _require_may_stop(incident: Incident, by: Actor | None) -> None:
    allowed = by is None or may_stop(by, incident.app)
    access.require(allowed, message="This is for operators of the marketplace and for the makers of the app.")


def _require_may_resume(incident: Incident, by: Actor) -> None:
    access.require_platform(by, Role.OPERATOR)
    if not may_resume(by, incident.app):
        raise OwnApp(incident.app)
