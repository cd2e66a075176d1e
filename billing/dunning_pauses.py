"""Letting reminders rest: a customer promises or disputes, finance grants time, ends it, or lets calls go on."""

from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.urls import reverse

from billing import suspending
from billing.dues import is_open
from billing.dunning_models import DunningPause
from billing.dunning_policies import PolicyBook
from billing.models import Invoice
from billing.notified import payers_people
from billing.settling import locked
from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import Organization
from marketplace.core import audit
from marketplace.core.errors import Conflict, InvalidInput
from marketplace.core.notices import Kind as NoticeKind
from marketplace.core.notices import notify

Kind = DunningPause.Kind
LONGEST_NOTE = 500
MOST_DAYS = 180
USUAL_DAYS = 14


class SaidBefore(Conflict):
    """An invoice can be promised once, and has one open dispute at a time."""

    code = "said_before"

    def __init__(self, invoice: Invoice, kind: str) -> None:
        self.invoice = invoice
        what = "was promised before" if kind == Kind.PROMISE else "is disputed already"
        super().__init__(f"{invoice} {what}. Write to finance if there is more to say.")


class NothingToPutOff(Conflict):
    """Only what waits for money can be promised or disputed."""

    code = "nothing_to_put_off"

    def __init__(self, invoice: Invoice) -> None:
        self.invoice = invoice
        super().__init__(f"{invoice} does not wait for money.")


def in_force(at: datetime) -> Q:
    """Narrow to pauses that hold at a time."""
    return Q(ended_at=None, starts_at__lte=at, ends_at__gt=at)


def of_invoice(invoice: Invoice) -> QuerySet[DunningPause]:
    """Return the pauses that concern an invoice: its own and its customer's, the newest first."""
    found = DunningPause.objects.filter(
        Q(invoice=invoice) | Q(invoice=None), organization=invoice.organization_id
    )
    return found.select_related("made_by", "ended_by").order_by("-starts_at", "-pk")


def grant(
    organization: Organization,
    *,
    days: int,
    note: str,
    by: Actor,
    at: datetime,
    invoice: Invoice | None = None,
    kind: str = Kind.COURTESY,
    lifts_stop: bool = False,
) -> DunningPause:
    """Let reminders of an invoice, or of a customer, rest for some days; with `lifts_stop` calls go on meanwhile.

    Raises NotAllowed for who is not of finance, InvalidInput by field.
    """
    access.require_platform(by, Role.FINANCE)
    if not 0 < days <= MOST_DAYS:
        raise InvalidInput("days", f"has to be 1 to {MOST_DAYS}", limit=MOST_DAYS)
    with transaction.atomic():
        pause = _create(
            organization,
            invoice,
            kind,
            note,
            by=by,
            at=at,
            ends_at=at + timedelta(days=days),
            lifts_stop=lifts_stop,
        )
        suspending.review(organization.pk, at=at, by=by.user)
    return pause


def say(
    invoice: Invoice, *, kind: str, note: str, by: Actor, at: datetime, until: datetime | None = None
) -> DunningPause:
    """Take a customer's promise to pay, or dispute, of an invoice: reminders rest and finance is told.

    They rest until the promised day, and as long as the policy says at most. Calls that are stopped stay so. Raises
    NotAllowed for who is not of the customer's finance, InvalidInput by field, NothingToPutOff, SaidBefore.
    """
    access.require(
        may_say(invoice, actor=by), message="This is for the finance of the organization that pays."
    )
    if kind not in (Kind.PROMISE, Kind.DISPUTE):
        raise InvalidInput("kind", "has to be promise or dispute")
    with transaction.atomic():
        invoice = locked(invoice)
        if not is_open(invoice):
            raise NothingToPutOff(invoice)
        latest = at + timedelta(days=_most_days(invoice))
        if kind == Kind.PROMISE and (until is None or not at < until <= latest):
            message = f"has to be a day from tomorrow to {latest:%d %B %Y}"
            raise InvalidInput("until", message, limit=f"{latest:%Y-%m-%d}")
        ends_at = until if kind == Kind.PROMISE and until else latest
        try:
            with transaction.atomic():
                pause = _create(
                    invoice.organization,
                    invoice,
                    kind,
                    note,
                    by=by,
                    at=at,
                    ends_at=ends_at,
                    is_by_customer=True,
                )
        except IntegrityError as error:
            raise SaidBefore(invoice, kind) from error
        _tell_finance(pause, invoice, at=at)
    return pause


def may_say(invoice: Invoice, *, actor: Actor) -> bool:
    """Tell whether a person may promise or dispute: the finance of the organization that pays."""
    return invoice.organization_id in actor.organizations_as(Role.FINANCE)


def _most_days(invoice: Invoice) -> int:
    policy = PolicyBook().policy_for(invoice)
    return policy.promise_days if policy else USUAL_DAYS


def _create(
    organization: Organization,
    invoice: Invoice | None,
    kind: str,
    note: str,
    *,
    by: Actor,
    at: datetime,
    ends_at: datetime,
    lifts_stop: bool = False,
    is_by_customer: bool = False,
) -> DunningPause:
    note = note.strip()
    if not 0 < len(note) <= LONGEST_NOTE:
        raise InvalidInput("note", f"is needed, at most {LONGEST_NOTE} characters", limit=LONGEST_NOTE)
    pause = DunningPause.objects.create(
        organization=organization,
        invoice=invoice,
        kind=kind,
        note=note,
        lifts_stop=lifts_stop,
        is_by_customer=is_by_customer,
        starts_at=at,
        ends_at=ends_at,
        made_by=by.user,
    )
    new = {"kind": kind, "until": f"{ends_at:%Y-%m-%d}", "lifts_stop": lifts_stop}
    about = invoice or organization
    audit.record("billing.dunning.paused", subject=about, at=at, by=by.user, new=new, reason=note)
    return pause


def _tell_finance(pause: DunningPause, invoice: Invoice, *, at: datetime) -> None:
    said = "promises to pay" if pause.kind == Kind.PROMISE else "disputes"
    notify(
        access.platform_people(Role.FINANCE),
        text=f"{invoice.organization.name} {said} {invoice}: {pause.note}",
        at=at,
        key=f"dunning-pause:{pause.pk}",
        path=reverse("billing:customer", args=[invoice.organization.slug]),
        kind=NoticeKind.BILLING,
        is_of_platform=True,
    )


def end(pause: DunningPause, *, answer: str, by: Actor, at: datetime) -> None:
    """End a pause before its time, with an answer to the customer when they had asked for it. Safe to run twice.

    Raises NotAllowed for who is not of finance, InvalidInput when a customer gets no answer.
    """
    access.require_platform(by, Role.FINANCE)
    answer = answer.strip()[:LONGEST_NOTE]
    if pause.is_by_customer and not answer:
        raise InvalidInput("answer", "is needed: the customer reads it")
    with transaction.atomic():
        ended = DunningPause.objects.filter(pk=pause.pk, ended_at=None).update(
            ended_at=at, ended_by=by.user, answer=answer
        )
        if not ended:
            return
        about = pause.invoice or pause.organization
        audit.record("billing.dunning.resumed", subject=about, at=at, by=by.user, reason=answer)
        if pause.is_by_customer and pause.invoice:
            _tell_customer(pause, pause.invoice, answer, at=at)
        suspending.review(pause.organization_id, at=at, by=by.user)


def _tell_customer(pause: DunningPause, invoice: Invoice, answer: str, *, at: datetime) -> None:
    notify(
        payers_people(invoice),
        text=f"About your {pause.get_kind_display().lower()} of {invoice}: {answer}",
        at=at,
        key=f"dunning-pause:{pause.pk}:ended",
        path=reverse("billing:bill", args=[invoice.number]),
        kind=NoticeKind.BILLING,
        organization_id=invoice.organization_id,
    )
