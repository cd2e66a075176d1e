"""Invoices whose day has passed, and sums of what is due by age."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet, Sum
from django.urls import reverse

from billing.dues import OPEN_STATES, with_due
from billing.models import Invoice
from billing.notified import payers_people
from marketplace.core.money import format_money
from marketplace.core.notices import Kind as NoticeKind
from marketplace.core.notices import notify
from marketplace.core.transitions import IllegalTransition, move

State = Invoice.State
DAYS_OF_SALES = 90


def mark_overdue(*, at: datetime) -> int:
    """Call invoices overdue whose day has passed, and tell who pays; returns how many. Safe to run twice."""
    late = Invoice.objects.filter(kind=Invoice.Kind.INVOICE, state=State.FINALIZED, due_at__lte=at)
    return sum(_mark(invoice, at=at) for invoice in with_due(late).order_by("pk"))


def _mark(invoice: Any, *, at: datetime) -> bool:
    """Move one invoice, unless somebody paid it meanwhile."""
    try:
        with transaction.atomic():
            move(invoice, Invoice.TRANSITIONS, to=State.OVERDUE, action="billing.invoice.overdue", at=at)
            due = format_money(invoice.due_minor, invoice.currency)
            notify(
                payers_people(invoice),
                text=f"{invoice} is overdue: {due} were due on {invoice.due_at:%d %B %Y}.",
                at=at,
                key=f"invoice-overdue:{invoice.pk}",
                path=reverse("billing:invoice", args=[invoice.number]),
                kind=NoticeKind.BILLING,
                organization_id=invoice.organization_id,
            )
    except IllegalTransition:
        return False
    return True


@dataclass(frozen=True)
class Aged:
    """What is due in one currency, by how long its day has passed, in minor units."""

    currency: str
    not_due_minor: int = 0
    to_30_minor: int = 0
    to_60_minor: int = 0
    older_minor: int = 0

    @property
    def overdue_minor(self) -> int:
        return self.to_30_minor + self.to_60_minor + self.older_minor

    @property
    def total_minor(self) -> int:
        return self.not_due_minor + self.to_30_minor + self.to_60_minor + self.older_minor


def open_invoices(invoices: QuerySet[Invoice]) -> Any:
    """Narrow to invoices that wait for money, the longest waiting first, with what is due."""
    waiting = invoices.filter(kind=Invoice.Kind.INVOICE, state__in=OPEN_STATES)
    return with_due(waiting).filter(due_minor__gt=0).order_by("due_at", "number")


def aged(invoices: Iterable[Any], *, at: datetime) -> list[Aged]:
    """Sum open invoices by currency and age."""
    sums: dict[str, dict[str, int]] = {}
    for one in invoices:
        of_currency = sums.setdefault(one.currency, {})
        age = age_of(one.due_at, at=at)
        of_currency[age] = of_currency.get(age, 0) + one.due_minor
    return [Aged(currency, **found) for currency, found in sorted(sums.items())]


def age_of(due_at: datetime, *, at: datetime) -> str:
    """Name the column of `Aged` that an invoice belongs to."""
    days = (at - due_at).days
    if at < due_at:
        return "not_due_minor"
    return "to_30_minor" if days < 30 else "to_60_minor" if days < 60 else "older_minor"


@dataclass(frozen=True)
class SalesOutstanding:
    """How many days of sales wait for money: what is due, by what was invoiced in the last 90 days, times 90."""

    currency: str
    due_minor: int
    invoiced_minor: int

    @property
    def days(self) -> int | None:
        """Return whole days, half up; None without sales to compare with."""
        if self.invoiced_minor <= 0:
            return None
        return (2 * self.due_minor * DAYS_OF_SALES + self.invoiced_minor) // (2 * self.invoiced_minor)


def sales_outstanding(
    invoices: QuerySet[Invoice], sums: Iterable[Aged], *, at: datetime
) -> list[SalesOutstanding]:
    """Compare what is due with the sales of the last 90 days, by currency (one query)."""
    recent = Invoice.objects.filter(
        pk__in=invoices.order_by().values("pk"),
        kind=Invoice.Kind.INVOICE,
        issued_at__gt=at - timedelta(days=DAYS_OF_SALES),
    )
    invoiced = dict(recent.values_list("currency").annotate(total=Sum("total_minor")).order_by())
    return [
        SalesOutstanding(one.currency, one.total_minor, int(invoiced.get(one.currency, 0))) for one in sums
    ]
