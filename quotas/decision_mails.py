"""The mail to everybody for whom a request waits, with a link to decide it."""

from dataclasses import dataclass
from datetime import datetime
from smtplib import SMTPException
from uuid import UUID

from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.urls import reverse

from marketplace.accounts.access import actor_for
from marketplace.accounts.models import User
from marketplace.core import jobs
from marketplace.core.errors import NotAllowed, Unavailable
from marketplace.core.notice_kinds import Cadence, Kind
from marketplace.core.notices import mail_cadences
from quotas import decision_links, deputies, increase_rights
from quotas.increase_models import IncreaseRequest
from quotas.increase_subjects import subject_of
from quotas.owners import RELATED

SEND = "quotas.mail_decider"
RETRY_S = 300


@dataclass(frozen=True)
class Sender:
    """Who sends, and under which address and name the marketplace is known."""

    address: str
    public_url: str
    brand: str


def queue(request: IncreaseRequest, *, level: str, at: datetime) -> int:
    """Queue a mail to everybody who may decide a level, and to whom they have delegated it; once each. Returns how many.

    Who wants decisions once a day or week gets them in that mail, and who wants none gets none.
    """
    people = increase_rights.deciders(request, level=level)
    delegates = deputies.deputies_of(people, level=level, at=at).exclude(pk=request.requester_id)
    ids = {*people.values_list("pk", flat=True), *delegates.values_list("pk", flat=True)}
    wanted = [
        pk for pk, cadence in mail_cadences(ids, kind=Kind.DECISIONS).items() if cadence == Cadence.INSTANT
    ]
    for person_id in sorted(wanted):
        jobs.enqueue(
            SEND,
            idempotency_key=f"{SEND}:{request.pk}:{level}:{person_id}",
            at=at,
            request_id=str(request.pk),
            person_id=person_id,
            level=level,
        )
    return len(wanted)


def send(*, request_id: UUID, person_id: int, level: str, at: datetime, sender: Sender) -> bool:
    """Mail one person; False when it does not wait for them any more. Raises Unavailable."""
    request = (
        IncreaseRequest.objects.select_related(*RELATED, "requester", "charged_cost_center")
        .filter(pk=request_id, state=level)
        .first()
    )
    person = User.objects.filter(pk=person_id, is_active=True).first()
    if request is None or person is None or not _may_decide(request, person, at=at):
        return False
    label = subject_of(request).owner.label
    link = reverse(
        "quotas:increase-by-mail", args=[decision_links.token_for(request, person=person, level=level)]
    )
    context = {
        "request": request,
        "label": label,
        "person": person,
        "level": level.replace("_", " "),
        "projection": request.verdict.get("projection") or {},
        "link": f"{sender.public_url}{link}",
        "page": f"{sender.public_url}{reverse('quotas:increase-decide', args=[request.pk])}",
        "days": decision_links.VALID.days,
        "brand": sender.brand,
    }
    mail = EmailMultiAlternatives(
        f"Waits for you: {label}",
        render_to_string("quotas/mail/decide.txt", context),
        sender.address,
        [person.email],
    )
    mail.attach_alternative(render_to_string("quotas/mail/decide.html", context), "text/html")
    try:
        mail.send()
    except (OSError, SMTPException) as error:
        raise Unavailable(f"The mail server does not take mails: {error}", retry_after_s=RETRY_S) from error
    return True


def _may_decide(request: IncreaseRequest, person: User, *, at: datetime) -> bool:
    try:
        deputies.hat_for(request, actor=actor_for(person), at=at)
    except NotAllowed:
        return False
    return True
