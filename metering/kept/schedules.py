"""Usage that is mailed every week or month, and who has ended that."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from django.core import signing
from django.db import transaction
from django.db.models import Q, QuerySet

from marketplace.accounts.models import User
from marketplace.core import audit, jobs
from marketplace.core.errors import InvalidInput, NotFound
from metering.models import ReportSchedule

SEND_SCHEDULED = "metering.send_scheduled_report"
Cadence = ReportSchedule.Cadence
MOST_SCHEDULES = 20
# The hour in UTC before which nothing is sent: what was used at midnight has been reported by then.
FROM_HOUR = 6
_SALT = "metering.report_schedules"


@dataclass(frozen=True)
class Days:
    """The days a mail tells of, both included."""

    first: date
    last: date


def subscribe(person: User, *, name: str, query: str, cadence: str, at: datetime) -> ReportSchedule:
    """Mail a question from the next Monday or 1st on; asked again, the first schedule is returned. Raises InvalidInput."""
    if cadence not in Cadence.values:
        raise InvalidInput("cadence", f"{cadence!r} is not one of {', '.join(Cadence.values)}")
    open_ones = ReportSchedule.objects.filter(person=person, ended_at=None)
    known = open_ones.filter(cadence=cadence, query=query).first()
    if known is None and open_ones.count() >= MOST_SCHEDULES:
        message = f"There is room for {MOST_SCHEDULES} mailed reports; stop one first."
        raise InvalidInput("cadence", message, limit=MOST_SCHEDULES)
    with transaction.atomic():
        schedule, is_new = ReportSchedule.objects.get_or_create(
            person=person,
            cadence=cadence,
            query=query,
            ended_at=None,
            defaults={"name": name[:80], "created_at": at, "sent_for": newest_date(cadence, at=at)},
        )
        if is_new:
            new = {"cadence": cadence, "query": query}
            audit.record("metering.report_schedule.started", subject=schedule, at=at, by=person, new=new)
    return schedule


def stop(schedule: ReportSchedule, *, at: datetime, by: User | None) -> bool:
    """End a schedule; False when it had ended before."""
    with transaction.atomic():
        is_ended = bool(ReportSchedule.objects.filter(pk=schedule.pk, ended_at=None).update(ended_at=at))
        if is_ended:
            audit.record("metering.report_schedule.stopped", subject=schedule, at=at, by=by)
    return is_ended


def schedules_of(person: User) -> QuerySet[ReportSchedule]:
    """Schedules of a person that have not ended, the newest first."""
    return ReportSchedule.objects.filter(person=person, ended_at=None).order_by("-created_at", "-pk")


def newest_date(cadence: str, *, at: datetime) -> date:
    """Return the last Monday or 1st that has come, in UTC."""
    day = at.astimezone(UTC).date()
    return day - timedelta(days=day.weekday()) if cadence == Cadence.WEEKLY else day.replace(day=1)


def days_before(cadence: str, on: date) -> Days:
    """Return the week or month that ended before a Monday or 1st."""
    last = on - timedelta(days=1)
    return Days(on - timedelta(days=7) if cadence == Cadence.WEEKLY else last.replace(day=1), last)


def queue_due(*, at: datetime) -> int:
    """Queue the mails that are due, each once for each schedule and date; returns how many were queued.

    A conditional UPDATE decides which of two routines queues: it moves the date on, in the transaction of the job. What was
    missed while nothing ran is sent once, for the newest date.
    """
    reached = at - timedelta(hours=FROM_HOUR)
    return sum(_queue(schedule, at=at, reached=reached) for schedule in _due(reached))


def _due(reached: datetime) -> Sequence[ReportSchedule]:
    due = Q()
    for cadence in Cadence.values:
        due |= Q(cadence=cadence, sent_for__lt=newest_date(cadence, at=reached))
    return list(ReportSchedule.objects.filter(due, ended_at=None).order_by("pk"))


def _queue(schedule: ReportSchedule, *, at: datetime, reached: datetime) -> bool:
    on = newest_date(schedule.cadence, at=reached)
    with transaction.atomic():
        is_ours = ReportSchedule.objects.filter(pk=schedule.pk, ended_at=None, sent_for__lt=on).update(
            sent_for=on
        )
        if is_ours:
            jobs.enqueue(
                SEND_SCHEDULED,
                idempotency_key=f"{SEND_SCHEDULED}:{schedule.pk}:{on}",
                at=at,
                schedule_id=str(schedule.pk),
                on=str(on),
            )
    return bool(is_ours)


def token_of(schedule: ReportSchedule) -> str:
    """Return what ends a schedule without signing in; it stands in its mails and never expires."""
    return signing.Signer(salt=_SALT).sign(str(schedule.pk))


def by_token(token: str) -> ReportSchedule:
    """Return the schedule of a token, ended or not; raises NotFound."""
    try:
        pk = signing.Signer(salt=_SALT).unsign(token)
        return ReportSchedule.objects.select_related("person").get(pk=pk)
    except (signing.BadSignature, ReportSchedule.DoesNotExist) as error:
        raise NotFound("mailed report", token) from error
