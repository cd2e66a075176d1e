"""A usage report as a mail: the groups as text and as a table, all rows as a CSV beside it.

The person's access is judged when the mail is made, and the numbers come from the same function as everywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from hashlib import sha256
from smtplib import SMTPException
from uuid import UUID

from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.urls import reverse

from marketplace.accounts.access import actor_for
from marketplace.accounts.models import User
from marketplace.core import jobs
from marketplace.core.csv import to_csv
from marketplace.core.errors import InvalidInput, Unavailable
from marketplace.core.models import Job
from marketplace.core.notices import Kind, notify
from metering import queries, usage_addresses, usage_files
from metering.comparing import ComparedRow, compare_groups, sum_rows
from metering.forms import COMPARED
from metering.kept import schedules
from metering.kept.schedules import Days
from metering.models import ReportSchedule
from metering.scopes import UsageScope
from metering.usage_reports import UsageReport

SEND_REPORT = "metering.send_report"
MOST_ROWS = 50
RETRY_S = 300


@dataclass(frozen=True)
class Letter:
    """What a mail says."""

    subject: str
    text: str
    html: str
    file_name: str
    csv: str


@dataclass(frozen=True)
class Sender:
    """Who sends, and under which address and name the marketplace is known. ``currency`` stands in for no usage."""

    address: str
    public_url: str
    brand: str
    currency: str


def request(person: User, *, name: str, query: str, at: datetime) -> Job:
    """Queue a mail of a question to the person who asks; within the same minute once."""
    digest = sha256(query.encode()).hexdigest()[:32]
    return jobs.enqueue(
        SEND_REPORT,
        idempotency_key=f"{SEND_REPORT}:{person.pk}:{at:%Y%m%dT%H%M}:{digest}",
        at=at,
        by=person,
        person_id=person.pk,
        title=name,
        query=query,
    )


def send(person: User, *, name: str, query: str, at: datetime, sender: Sender) -> bool:
    """Mail a question of now; False when it cannot be answered, which the person is told. Raises Unavailable."""
    if not person.is_active:
        return False
    try:
        letter = write(person, name=name, query=query, at=at, sender=sender)
    except InvalidInput as error:
        _tell(person, name=name, query=query, error=error, at=at)
        return False
    _post(person, letter, sender=sender)
    return True


def send_scheduled(schedule_id: UUID, *, on: date, at: datetime, sender: Sender) -> bool:
    """Mail the week or month before a date; False when nobody wants it any more or it cannot be answered. Raises Unavailable.

    A worker that dies between the mail and the end of its job sends once more.
    """
    schedule = ReportSchedule.objects.select_related("person").filter(pk=schedule_id, ended_at=None).first()
    if schedule is None:
        return False
    if not schedule.person.is_active:
        schedules.stop(schedule, at=at, by=None)
        return False
    stop_path = stop_path_of(schedule)
    person, name, query = schedule.person, schedule.name, schedule.query
    days = schedules.days_before(schedule.cadence, on)
    try:
        letter = write(person, name=name, query=query, at=at, sender=sender, days=days, stop_path=stop_path)
    except InvalidInput as error:
        _tell(person, name=name, query=query, error=error, at=at)
        return False
    _post(person, letter, sender=sender, stop_path=stop_path)
    return True


def stop_path_of(schedule: ReportSchedule) -> str:
    """Return the path that ends a schedule."""
    return reverse("metering:report-unsubscribe", args=[schedules.token_of(schedule)])


def write(
    person: User,
    *,
    name: str,
    query: str,
    at: datetime,
    sender: Sender,
    days: Days | None = None,
    stop_path: str = "",
) -> Letter:
    """Ask the question with what the person may see now. Raises InvalidInput when it cannot be answered (any more)."""
    first, last = (days.first, days.last) if days else (None, None)
    form = usage_addresses.read(query, at=at, first=first, last=last)
    report = queries.usage(**form.asked_for_file(), visible=UsageScope.of(actor_for(person)))
    rows = _groups(report)
    context = {
        "name": name,
        "report": report,
        "rows": rows,
        "total": usage_files.total_row(report),
        "currency": report.currency or sender.currency,
        "group_title": dict(form.fields["group_by"].choices)[form.cleaned_data["group_by"]],  # type: ignore[attr-defined]
        "compared_with": COMPARED[form.cleaned_data["compare"]] if report.before else "",
        "first_day": form.first_day,
        "last_day": form.last_day,
        "filters": [(form.fields[key].label, ", ".join(values)) for key, values in form.filters.items()],
        "page_url": f"{sender.public_url}{usage_addresses.of_fixed_days(form)}",
        "stop_url": f"{sender.public_url}{stop_path}" if stop_path else "",
        "brand": sender.brand,
    }
    return Letter(
        subject=f"{name}: {form.first_day:%-d %b} to {form.last_day:%-d %b %Y}",
        text=render_to_string("metering/mail/report.txt", context),
        html=render_to_string("metering/mail/report.html", context),
        file_name=f"{usage_files.file_name(report)}.csv",
        csv="".join(to_csv(usage_files.columns(report), usage_files.csv_rows(report))),
    )


def _groups(report: UsageReport) -> Sequence[ComparedRow]:
    """List the groups, the dearest first; what is beyond fifty is one row, so that rows and totals agree."""
    if not report.group_by:
        return []
    rows = compare_groups(report) if report.before else usage_files.folded_rows(report)
    shown, rest = list(rows[:MOST_ROWS]), rows[MOST_ROWS:]
    return [*shown, sum_rows(rest, label=f"{len(rest):,} more")] if rest else shown


def _tell(person: User, *, name: str, query: str, error: InvalidInput, at: datetime) -> None:
    text = f"The report {name} could not be mailed: {error.message}"
    key = f"report-not-mailed:{sha256(query.encode()).hexdigest()[:32]}:{at:%Y%m%d}"
    notify([person], text=text, at=at, key=key, path=reverse("metering:kept"), kind=Kind.USAGE)


def _post(person: User, letter: Letter, *, sender: Sender, stop_path: str = "") -> None:
    headers = {}
    if stop_path:
        # One click in the program that reads the mail, RFC 8058.
        headers = {
            "List-Unsubscribe": f"<{sender.public_url}{stop_path}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        }
    mail = EmailMultiAlternatives(
        letter.subject, letter.text, sender.address, [person.email], headers=headers
    )
    mail.attach_alternative(letter.html, "text/html")
    mail.attach(letter.file_name, letter.csv, "text/csv")
    try:
        mail.send()
    except (OSError, SMTPException) as error:
        raise Unavailable(f"The mail server does not take mails: {error}", retry_after_s=RETRY_S) from error
