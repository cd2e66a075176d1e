"""Reminding customers of overdue invoices, step by step as their policy says, up to stopping their calls.

Each step of an invoice is taken once (constraint `dunning_notice_once`), one at a time, under the lock of the invoice:
a payment that came first ends it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Prefetch, QuerySet
from django.urls import reverse

from billing import (
    billing_profiles,
    dunning_charges,
    dunning_pauses,
    dunning_schedule,
    dunning_words,
    suspending,
)
from billing.document_mails import SOURCES
from billing.dues import with_due
from billing.dunning_models import DunningNotice, DunningPause, DunningPolicy, DunningStep
from billing.dunning_policies import PolicyBook
from billing.dunning_schedule import Planned, Step, Taken
from billing.models import Invoice
from billing.notified import payers_people
from billing.settling import locked
from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import User
from marketplace.core import audit
from marketplace.core.errors import Conflict
from marketplace.core.money import format_money
from marketplace.core.notices import Kind as NoticeKind
from marketplace.core.notices import mail_to, notify
from quotas.payment_stop_models import PaymentStop


class NothingToRemind(Conflict):
    """No reminder of this invoice may be sent now by hand."""

    code = "nothing_to_remind"

    def __init__(self, invoice: Invoice, why: str) -> None:
        self.invoice = invoice
        super().__init__(f"{invoice}: {why}")


@dataclass(frozen=True)
class Outlook:
    """An overdue invoice (with what is due) and the steps that are left for it, in order."""

    invoice: Any
    policy: DunningPolicy
    ahead: tuple[Planned, ...]
    pause: DunningPause | None

    @property
    def next(self) -> Planned | None:
        return self.ahead[0] if self.ahead else None

    @property
    def stop(self) -> Planned | None:
        """When calls will be stopped for it, as things stand."""
        return next((one for one in self.ahead if one.stops_calls), None)

    @property
    def next_step(self) -> DunningStep | None:
        return self.step(self.next) if self.next else None

    @property
    def next_text(self) -> str:
        """What the next reminder will say, if it goes out when it is due."""
        return self.text(self.next, at=self.next.at) if self.next else ""

    def step(self, planned: Planned) -> DunningStep:
        return next(one for one in self.policy.steps.all() if one.position == planned.position)

    def text(self, planned: Planned, *, at: datetime) -> str:
        """Write what a step says when it is taken at a time."""
        invoice, stop = self.invoice, self.stop
        values = {
            "invoice": str(invoice.number),
            "due": format_money(invoice.due_minor, invoice.currency),
            "due_date": f"{invoice.due_at:%d %B %Y}",
            "days": str((at - invoice.due_at).days),
            "organization": invoice.organization.name,
            "stopped_on": f"{stop.at:%d %B %Y}" if stop else "a later day",
        }
        return dunning_words.fill(self.step(planned).text, values)


def overdue() -> Any:
    """Return overdue invoices with what is due, the longest waiting first, ready for ``outlooks``."""
    found = Invoice.objects.filter(kind=Invoice.Kind.INVOICE, state=Invoice.State.OVERDUE)
    found = found.select_related("organization__dunning_member").prefetch_related(
        Prefetch("dunning_notices", DunningNotice.objects.select_related("step").order_by("-position"))
    )
    return with_due(found).filter(due_minor__gt=0).order_by("due_at", "pk")


def outlooks(invoices: Iterable[Any], *, at: datetime) -> list[Outlook]:
    """Say what comes next for overdue invoices (from ``overdue``), in a fixed number of queries."""
    invoices = list(invoices)
    book = PolicyBook()
    pauses = _pauses(invoices, at=at)
    found = []
    for invoice in invoices:
        policy = book.policy_for(invoice)
        if policy is not None:
            found.append(_outlook(invoice, policy, pauses))
    return found


def _pauses(invoices: Iterable[Any], *, at: datetime) -> list[DunningPause]:
    """Read the pauses in force of the customers of these invoices (one query)."""
    concerned = {invoice.organization_id for invoice in invoices}
    return list(DunningPause.objects.filter(dunning_pauses.in_force(at), organization__in=concerned))


def _outlook(invoice: Any, policy: DunningPolicy, pauses: Iterable[DunningPause]) -> Outlook:
    own = [
        one
        for one in pauses
        if one.organization_id == invoice.organization_id and one.invoice_id in (None, invoice.pk)
    ]
    pause = max(own, key=lambda one: one.ends_at, default=None)
    last = next(iter(invoice.dunning_notices.all()), None)
    ahead = dunning_schedule.ahead(
        [Step(one.position, one.days_after_due, one.stops_calls) for one in policy.steps.all()],
        due_at=invoice.due_at,
        last=Taken(last.position, last.step.days_after_due, last.sent_at) if last else None,
        rests_until=pause.ends_at if pause else None,
        spares_weekends=policy.spares_weekends,
    )
    return Outlook(invoice, policy, tuple(ahead), pause)


def run(*, at: datetime) -> int:
    """Take every step whose time has come, one for each invoice, and review every stop; returns how many were taken.

    Safe to run twice and at once: each step is taken under the lock of its invoice, once.
    """
    coming = outlooks(overdue(), at=at)
    taken = sum(advance(one.invoice, at=at) for one in coming if one.next and one.next.at <= at)
    concerned = {one.invoice.organization_id for one in coming}
    concerned |= set(PaymentStop.objects.filter(ended_at=None).values_list("organization", flat=True))
    for organization_id in sorted(concerned):
        suspending.review(organization_id, at=at)
    return taken


def advance(invoice: Invoice, *, at: datetime) -> bool:
    """Take the next step of an overdue invoice if its time has come; tells whether it did."""
    with transaction.atomic():
        outlook = _locked_outlook(invoice, at=at)
        if outlook is None or outlook.next is None or outlook.next.at > at:
            return False
        if outlook.next.stops_calls and outlook.policy.spares_weekends and _is_weekend(at):
            return False
        _take(outlook, outlook.next, at=at)
    return True


def _is_weekend(at: datetime) -> bool:
    return dunning_schedule.after_weekend(at) != at


def _locked_outlook(invoice: Invoice, *, at: datetime) -> Outlook | None:
    locked(invoice)
    return next(iter(outlooks(overdue().filter(pk=invoice.pk), at=at)), None)


def remind(invoice: Invoice, *, by: Actor, at: datetime) -> DunningNotice:
    """Send the next reminder of an overdue invoice now, before its day; stopping calls stays with the policy.

    Raises NotAllowed for who is not of finance, NothingToRemind.
    """
    access.require_platform(by, Role.FINANCE)
    with transaction.atomic():
        outlook = _locked_outlook(invoice, at=at)
        if outlook is None or outlook.next is None:
            raise NothingToRemind(invoice, "nothing is left to remind of, or no policy holds for it.")
        if outlook.pause:
            raise NothingToRemind(invoice, f"reminders rest until {outlook.pause.ends_at:%d %B %Y}.")
        if outlook.next.stops_calls:
            raise NothingToRemind(invoice, "the next step stops calls, and waits for its day.")
        return _take(outlook, outlook.next, at=at, by=by.user)


def _take(outlook: Outlook, planned: Planned, *, at: datetime, by: User | None = None) -> DunningNotice:
    invoice = outlook.invoice
    notice = DunningNotice.objects.create(
        invoice_id=invoice.pk,
        step=outlook.step(planned),
        position=planned.position,
        stops_calls=planned.stops_calls,
        text=outlook.text(planned, at=at)[:300],
        due_minor=invoice.due_minor,
        sent_at=at,
        sent_by=by,
    )
    dunning_charges.ask(notice, at=at)
    new = {"step": planned.position, "due_minor": invoice.due_minor}
    audit.record("billing.invoice.reminded", subject=invoice, at=at, by=by, new=new, reason=notice.text)
    notify(
        payers_people(invoice),
        text=notice.text,
        at=at,
        key=f"dunning:{invoice.pk}:{planned.position}",
        path=reverse("billing:bill", args=[invoice.number]),
        kind=NoticeKind.BILLING,
        organization_id=invoice.organization_id,
    )
    _mail(notice, invoice, at=at)
    if planned.stops_calls:
        suspending.review(invoice.organization_id, at=at, by=by)
    return notice


def _mail(notice: DunningNotice, invoice: Invoice, *, at: datetime) -> None:
    """Mail a reminder to the billing addresses, with the invoice attached; each gets it once."""
    profile = billing_profiles.profile_of(invoice.organization)
    for address in profile.emails if profile else ():
        mail_to(
            address,
            subject=f"Reminder: {invoice.number}",
            body=notice.text,
            at=at,
            key=f"dunning:{invoice.pk}:{notice.position}",
            attached=[(SOURCES[Invoice], str(invoice.pk))],
        )


def notices_of(invoice: Invoice) -> QuerySet[DunningNotice]:
    """Return the reminders of an invoice with their charges, the newest first."""
    found = invoice.dunning_notices.select_related("step", "sent_by").prefetch_related("charges")
    return found.order_by("-position")
