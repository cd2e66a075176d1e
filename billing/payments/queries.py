"""What pages and the API show of payments, narrowed to what a person may see."""

from dataclasses import dataclass
from typing import Any

from django.db.models import Count, OuterRef, Q, QuerySet, Subquery, Sum

from billing.dues import is_open
from billing.ledger import chart
from billing.models import (
    BalanceTransaction,
    ConnectedAccount,
    Invoice,
    JournalEntry,
    MethodSetup,
    PaymentAttempt,
    PaymentDispute,
    PaymentMethod,
    Posting,
    ProcessorEvent,
)
from billing.queries import invoices as visible_invoices
from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import Organization, Team


def paying_organizations(actor: Actor) -> QuerySet[Organization]:
    """Organizations that the person pays for."""
    return Organization.objects.filter(pk__in=actor.organizations_as(Role.FINANCE)).order_by("name")


def methods(actor: Actor) -> QuerySet[PaymentMethod]:
    """Ways to pay of those organizations, that are still there."""
    found = PaymentMethod.objects.filter(
        customer__organization__in=actor.organizations_as(Role.FINANCE), removed_at=None
    )
    return found.select_related("customer__organization").order_by("-is_default", "-added_at", "-pk")


def setups(actor: Actor) -> QuerySet[MethodSetup]:
    """Visits to the processor's page that the person began."""
    return MethodSetup.objects.filter(created_by=actor.user).select_related(
        "customer__organization", "method"
    )


def payable_invoices(actor: Actor) -> QuerySet[Invoice]:
    """Invoices of organizations that the person pays for."""
    payers = actor.organizations_as(Role.FINANCE)
    return visible_invoices(actor).filter(kind=Invoice.Kind.INVOICE, organization__in=payers)


def may_pay(invoice: Invoice, *, actor: Actor) -> bool:
    """Tell whether a person pays for whom an invoice is to, and something of it waits for money."""
    return is_open(invoice) and invoice.organization_id in actor.organizations_as(Role.FINANCE)


def attempts(actor: Actor) -> QuerySet[PaymentAttempt]:
    """Payments of those organizations, or all for the marketplace's finance, with their fee once it is known."""
    found = PaymentAttempt.objects.select_related("invoice__organization", "customer", "method")
    if not actor.is_platform(Role.FINANCE):
        found = found.filter(invoice__organization__in=actor.organizations_as(Role.FINANCE))
    fees = BalanceTransaction.objects.filter(source_id=OuterRef("charge_id")).exclude(source_id="")
    fee = fees.order_by().values("source_id").annotate(total=Sum("fee_minor")).values("total")
    return found.annotate(fee_minor=Subquery(fee)).order_by("-created_at", "-pk")


def own_attempts(actor: Actor) -> QuerySet[PaymentAttempt]:
    """Payments of organizations that the person pays for."""
    return attempts(actor).filter(invoice__organization__in=actor.organizations_as(Role.FINANCE))


def creator_teams(actor: Actor) -> QuerySet[Team]:
    """Teams whose connected account the person may open: they make apps there, or do the finance of its organization."""
    served = actor.organizations_as(Role.FINANCE)
    found = Team.objects.filter(Q(pk__in=actor.teams_as(Role.CREATOR)) | Q(organization__in=served))
    return found.select_related("organization", "connected_account").order_by("organization__name", "name")


def connected_accounts() -> QuerySet[ConnectedAccount]:
    """Connected accounts, for the marketplace's finance."""
    return ConnectedAccount.objects.select_related("team__organization").order_by("team__name")


def disputes() -> QuerySet[PaymentDispute]:
    """Disputes, those first whose evidence is due next."""
    found = PaymentDispute.objects.select_related("attempt__invoice__organization", "answered_by")
    return found.order_by("ended_at", "evidence_due_at", "-opened_at")


def events(*, state: str = "", kind: str = "") -> QuerySet[ProcessorEvent]:
    """What the processor told, newest first, without the bodies."""
    found = ProcessorEvent.objects.defer("payload").order_by("-received_at", "-pk")
    found = found.filter(state=state) if state in ProcessorEvent.State.values else found
    return found.filter(type__startswith=kind) if kind else found


@dataclass(frozen=True)
class Collected:
    """What came in by the processor in one currency, in minor units."""

    currency: str
    count: int
    amount_minor: int
    refunded_minor: int
    fee_minor: int


def collected(found: QuerySet[PaymentAttempt]) -> list[Collected]:
    """Sum what succeeded, by currency (three queries)."""
    succeeded = PaymentAttempt.objects.filter(pk__in=found.order_by().values("pk"), state="succeeded")
    rows = (
        succeeded.values("currency")
        .annotate(count=Count("pk"), amount=Sum("amount_minor"))
        .order_by("currency")
    )
    refunded = dict(
        succeeded.filter(refunds__state__in=("pending", "succeeded"))
        .values_list("currency")
        .annotate(total=Sum("refunds__amount_minor"))
    )
    charges = succeeded.exclude(charge_id="").values("charge_id")
    fees = dict(
        BalanceTransaction.objects.filter(source_id__in=charges)
        .values_list("currency")
        .annotate(total=Sum("fee_minor"))
    )
    return [
        Collected(
            row["currency"], row["count"], int(row["amount"]),
            int(refunded.get(row["currency"], 0)), int(fees.get(row["currency"], 0)),
        )
        for row in rows
    ]  # fmt: skip


@dataclass(frozen=True)
class Balance:
    """One currency: what our books say is at the processor, and what its own account of it sums to."""

    currency: str
    booked_minor: int
    told_minor: int

    @property
    def difference_minor(self) -> int:
        return self.booked_minor - self.told_minor


def balances() -> list[Balance]:
    """Compare by currency (two queries)."""
    account = Posting.objects.filter(account=chart.PROCESSOR_BALANCE.code)
    booked = dict(account.values_list("currency").annotate(total=Sum("amount_minor")))
    told = dict(BalanceTransaction.objects.values_list("currency").annotate(total=Sum("net_minor")))
    return [
        Balance(currency, int(booked.get(currency, 0)), int(told.get(currency, 0)))
        for currency in sorted({*booked, *told})
    ]


def transactions(*, only_differing: bool = False, kind: str = "") -> QuerySet[BalanceTransaction]:
    """Lines of the processor's account, newest first."""
    found = BalanceTransaction.objects.order_by("-happened_at", "-pk")
    found = found.exclude(difference="") if only_differing else found
    return found.filter(kind=kind) if kind else found


def unmatched_entries() -> QuerySet[Any]:
    """Entries of our books that move money at the processor and stand in no line of its account."""
    moved = Posting.objects.filter(account=chart.PROCESSOR_BALANCE.code).values("entry")
    amount = Posting.objects.filter(entry=OuterRef("pk"), account=chart.PROCESSOR_BALANCE.code).values(
        "amount_minor", "currency"
    )[:1]
    return (
        JournalEntry.objects.filter(pk__in=moved, balance_transactions=None)
        .annotate(moved_minor=Subquery(amount.values("amount_minor")), moved_currency=Subquery(amount.values("currency")))
        .order_by("-posted_at", "-pk")
    )  # fmt: skip


def entries_of(dispute: PaymentDispute) -> QuerySet[JournalEntry]:
    """Entries of the books that a dispute has made, oldest first."""
    steps = ("withdrawn", "reinstated", "lost")
    keys = [f"payment-dispute-{step}:{dispute.pk}" for step in steps]
    return JournalEntry.objects.filter(idempotency_key__in=keys).order_by("posted_at", "pk")
