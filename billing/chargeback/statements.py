"""Monthly statements: what each cost center used and bears, published once its month is closed."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.urls import reverse

from billing.allocation.running import allocate, newest
from billing.chargeback import switching
from billing.models import AllocationRow, AllocationRun, BillingPeriod, CostStatement, Invoice
from billing.terms import Terms
from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import CostCenter, Membership, Organization, User
from marketplace.catalog import business_days, holidays
from marketplace.core.errors import Conflict
from marketplace.core.money import format_money
from marketplace.core.notices import Kind as NoticeKind
from marketplace.core.notices import notify
from marketplace.core.periods import month_of, parse_month
from marketplace.core.transitions import move

Kind = AllocationRow.Kind
State = CostStatement.State


class MonthNotClosed(Conflict):
    """Statements say what a month came to, which nobody knows before it is closed."""

    code = "month_not_closed"

    def __init__(self, period: BillingPeriod) -> None:
        super().__init__(f"{period.name} is {period.state}; statements are published when it is closed.")


@dataclass
class _Sums:
    direct_minor: int = 0
    correction_minor: int = 0
    shared_minor: int = 0

    @property
    def total_minor(self) -> int:
        return self.direct_minor + self.correction_minor + self.shared_minor


def publish(name: str, *, terms: Terms, at: datetime, by: Any = None) -> list[CostStatement]:
    """Allocate a closed month and publish what each cost center bears; returns the statements that are new.

    A statement that came to something else than before gets a new revision with a window of its own. Published again, an
    unchanged month changes nothing. Locks the month. Raises MonthNotClosed.
    """
    with transaction.atomic():
        period = BillingPeriod.objects.select_for_update().get(pk=parse_month(name).name)
        if period.state != BillingPeriod.State.CLOSED:
            raise MonthNotClosed(period)
        run = allocate(name, terms=terms, at=at, by=by)
        sums = _sums(run)
        centers = CostCenter.objects.select_related("organization", "owner").in_bulk({key[0] for key in sums})
        switching.as_of(centers.values(), parse_month(name))
        before = _published(period)
        invoices = _invoices(period)
        new = [
            _publish(run, centers[center], currency, of_center, before, invoices, terms=terms, at=at, by=by)
            for (center, currency), of_center in sorted(sums.items())
        ]
    return [one for one in new if one is not None]


def publish_when_closed(name: str, *, terms: Terms, at: datetime, by: Any = None) -> list[CostStatement]:
    """Publish a month that is closed; nothing while its close goes on."""
    if not BillingPeriod.objects.filter(pk=name, state=BillingPeriod.State.CLOSED).exists():
        return []
    return publish(name, terms=terms, at=at, by=by)


def allocate_recent(*, terms: Terms, at: datetime) -> None:
    """Work out the running month and the two before it, as far as there are any, and publish those of them that are closed."""
    running = month_of(at)
    recent = [one.name for one in (running.previous().previous(), running.previous(), running)]
    known = BillingPeriod.objects.filter(pk__in=recent).order_by("pk").values_list("pk", flat=True)
    for name in known:
        if not publish_when_closed(name, terms=terms, at=at):
            allocate(name, terms=terms, at=at)


def _sums(run: AllocationRun) -> dict[tuple[int, str], _Sums]:
    """Sum a run by cost center of organizations that charge back; those that get invoices pay those."""
    found: dict[tuple[int, str], _Sums] = defaultdict(_Sums)
    rows = run.rows.filter(cost_center__isnull=False, organization__billing=Organization.Billing.CHARGEBACK)
    for center, currency, kind, amount_minor in rows.values_list(
        "cost_center", "currency", "kind", "amount_minor"
    ):
        sums = found[center, currency]
        if kind == Kind.DIRECT:
            sums.direct_minor += amount_minor
        elif kind == Kind.CORRECTION:
            sums.correction_minor += amount_minor
        else:
            sums.shared_minor += amount_minor
    return found


def _published(period: BillingPeriod) -> dict[tuple[int, str], CostStatement]:
    found = CostStatement.objects.filter(period=period, state=State.PUBLISHED)
    return {(one.cost_center_id, one.currency): one for one in found}


def _invoices(period: BillingPeriod) -> dict[tuple[int, str], Invoice]:
    found = Invoice.objects.filter(period=period, cost_center__isnull=False).exclude(
        state=Invoice.State.DRAFT
    )
    return {(one.cost_center_id or 0, one.currency): one for one in found}


def _publish(
    run: AllocationRun,
    center: CostCenter,
    currency: str,
    sums: _Sums,
    before: dict[tuple[int, str], CostStatement],
    invoices: dict[tuple[int, str], Invoice],
    *,
    terms: Terms,
    at: datetime,
    by: Any,
) -> CostStatement | None:
    last = before.get((center.pk, currency))
    said = (sums.direct_minor, sums.correction_minor, sums.shared_minor)
    if last is not None and said == (last.direct_minor, last.correction_minor, last.shared_minor):
        return None
    if last is not None:
        move(
            last,
            CostStatement.TRANSITIONS,
            to=State.REPLACED,
            action="billing.cost_statement.replaced",
            at=at,
            by=by,
        )
    invoice = invoices.get((center.pk, currency))
    statement = CostStatement.objects.create(
        period=run.period,
        organization=center.organization,
        cost_center=center,
        currency=currency,
        revision=last.revision + 1 if last else 1,
        mode=invoice.mode if invoice else center.mode,
        run=run,
        invoice=invoice,
        direct_minor=sums.direct_minor,
        correction_minor=sums.correction_minor,
        shared_minor=sums.shared_minor,
        total_minor=sums.total_minor,
        published_at=at,
        disputable_until=business_days.after(
            at, terms.dispute_days, holidays.days_of(center.organization_id)
        ),
    )
    _tell(statement, at=at)
    return statement


def _tell(statement: CostStatement, *, at: datetime) -> None:
    """Tell who answers for the cost center; by mail it comes as they have chosen."""
    amount = format_money(statement.total_minor, statement.currency)
    notify(
        people_of(statement),
        text=(
            f"{statement.name}: {statement.cost_center} came to {amount} ({statement.mode}). "
            f"It can be disputed until {statement.disputable_until:%d %B %Y}."
        ),
        at=at,
        key=f"cost-statement:{statement.pk}",
        path=path_of(statement),
        kind=NoticeKind.BILLING,
        organization_id=statement.organization_id,
    )


def people_of(statement: CostStatement) -> QuerySet[User]:
    """Find who is told: the owner of the cost center."""
    return User.objects.filter(pk=statement.cost_center.owner_id, is_active=True)


def path_of(statement: CostStatement) -> str:
    """Give the address of a statement's page."""
    return reverse("billing:statement", args=[statement.pk])


def statements(actor: Actor) -> QuerySet[CostStatement]:
    """Statements that a person may see.

    The marketplace's finance sees all, another one those of its organization, anybody those of a cost center that they
    own or one of their teams books on.
    """
    found = CostStatement.objects.select_related(
        "organization", "cost_center__owner", "period", "invoice", "run"
    )
    if actor.is_platform(Role.FINANCE):
        return found
    concerned = Q(cost_center__owner=actor.user) | Q(cost_center__teams__in=actor.team_ids)
    served = Q(organization__in=actor.organizations_as(Membership.Role.FINANCE))
    return found.filter(served | concerned).distinct()


def rows(statement: CostStatement) -> QuerySet[AllocationRow]:
    """Give the rows that a statement is made of."""
    return (
        statement.run.rows.filter(cost_center=statement.cost_center_id, currency=statement.currency)
        .select_related(
            "app",
            "plan",
            "team",
            "rule",
            "shared_part__cost",
            "correction__dispute",
            "organization",
            "cost_center",
        )
        .order_by("position")
    )


def is_current(name: str) -> bool:
    """Tell whether a month's newest run is final and its statements say what it says."""
    run = newest(name)
    if run is None or not run.is_final:
        return False
    said = {
        (one.cost_center_id, one.currency): one.total_minor
        for one in CostStatement.objects.filter(period=name, state=State.PUBLISHED)
    }
    return said == {key: one.total_minor for key, one in _sums(run).items()}
