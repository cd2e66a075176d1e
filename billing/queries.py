"""Answers about periods, invoices, statements and earnings; every page, file and API answer is made of these."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db.models import Count, Exists, Max, Min, OuterRef, Prefetch, Q, QuerySet, Sum

from billing.ledger.chart import CREATOR_PAYABLE
from billing.models import BillingPeriod, Invoice, InvoiceLine, JournalEntry, Posting
from marketplace.accounts.access import Actor
from marketplace.accounts.models import CostCenter, Membership
from marketplace.core.periods import Period, month_of, parse_month
from metering.models import UsageRollup

Role = Membership.Role
ISSUED = ~Q(state=Invoice.State.DRAFT)
# What the books take: showback and parallel statements are for reading only.
POSTED = Q(kind=Invoice.Kind.INVOICE) | Q(mode=CostCenter.Mode.CHARGEBACK)


@dataclass(frozen=True)
class Month:
    """A month as the overview shows it; `period` is None while nobody has started to close it."""

    month: Period
    state: str
    closed_at: datetime | None
    closed_by: str
    is_over: bool

    @property
    def name(self) -> str:
        return self.month.name

    @property
    def title(self) -> str:
        return f"{self.month.starts_at:%B %Y}"

    @property
    def can_close(self) -> bool:
        return self.is_over and self.state != BillingPeriod.State.CLOSED


@dataclass(frozen=True)
class IssuedTotal:
    """The sum of finalized invoices or statements, in minor units; `posted_minor` is what the books took."""

    kind: str
    currency: str
    count: int
    subtotal_minor: int
    tax_minor: int
    total_minor: int
    posted_minor: int


def months(*, at: datetime) -> list[Month]:
    """List every month from the first usage to now, newest first (two queries)."""
    known = {period.name: period for period in BillingPeriod.objects.select_related("closed_by")}
    used = UsageRollup.objects.aggregate(first=Min("period"), last=Max("period"))
    firsts = [parse_month(name) for name in known]
    firsts += [month_of(datetime(day.year, day.month, 1, tzinfo=UTC)) for day in used.values() if day]
    current = month_of(at)
    month, found = min([*firsts, current]), []
    while month <= max([*firsts, current]):
        found.append(_month(month, known.get(month.name), at=at))
        month = month.next()
    return found[::-1]


def month_called(name: str, *, at: datetime) -> Month:
    """Give one month, known or not yet; raises InvalidInput for something that is no month."""
    month = parse_month(name)
    period = BillingPeriod.objects.select_related("closed_by").filter(pk=name).first()
    return _month(month, period, at=at)


def _month(month: Period, period: BillingPeriod | None, *, at: datetime) -> Month:
    return Month(
        month=month,
        state=period.state if period else BillingPeriod.State.OPEN,
        closed_at=period.closed_at if period else None,
        closed_by=str(period.closed_by or "") if period else "",
        is_over=month.ends_at <= at,
    )


def is_finance(actor: Actor) -> bool:
    """Tell whether a person does the finance of the marketplace or of some organization."""
    return actor.is_platform(Role.FINANCE) or bool(actor.organizations_as(Role.FINANCE))


def invoices(actor: Actor) -> QuerySet[Invoice]:
    """Issued invoices and statements that a person may see.

    Finance sees those of its organization, the platform's own finance all; anybody sees the statements of a cost
    center that they own or that one of their teams books on.
    """
    return _visible(Invoice.objects.filter(ISSUED), actor)


def drafts(actor: Actor) -> QuerySet[Invoice]:
    """Bills that are drafts, which a person may see: the same people as see them when they are issued."""
    return _visible(Invoice.objects.exclude(ISSUED), actor)


def _visible(found: QuerySet[Invoice], actor: Actor) -> QuerySet[Invoice]:
    found = found.select_related("organization", "cost_center", "period")
    if actor.is_platform(Role.FINANCE):
        return found
    centers = Q(cost_center__owner=actor.user) | Q(cost_center__teams__in=actor.team_ids)
    return found.filter(Q(organization__in=actor.organizations_as(Role.FINANCE)) | centers).distinct()


def issued_totals(period: str, *, of: QuerySet[Invoice] | None = None) -> list[IssuedTotal]:
    """Sum issued invoices and statements of a month by kind and currency (one query)."""
    issued = (Invoice.objects.filter(ISSUED) if of is None else of).filter(period=period)
    return totals(issued)


def totals(issued: QuerySet[Invoice]) -> list[IssuedTotal]:
    """Sum invoices by kind and currency (one query). Totals are sums of rounded lines, so nothing is rounded."""
    return [_issued_total(row) for row in _summed(issued, "kind", "currency")]


def totals_by_period(issued: QuerySet[Invoice]) -> dict[str, list[IssuedTotal]]:
    """Sum invoices by month, kind and currency (one query)."""
    found: dict[str, list[IssuedTotal]] = defaultdict(list)
    for row in _summed(issued, "period_id", "kind", "currency"):
        found[row["period_id"]].append(_issued_total(row))
    return found


def _summed(issued: QuerySet[Invoice], *by: str) -> Iterable[Mapping[str, Any]]:
    # By primary key: `invoices` may have joined rows that a sum would count twice.
    return (
        Invoice.objects.filter(pk__in=issued.order_by().values("pk"))
        .values(*by)
        .annotate(
            count=Count("pk"),
            subtotal=Sum("subtotal_minor"),
            tax=Sum("tax_minor"),
            total=Sum("total_minor"),
            posted=Sum("total_minor", filter=POSTED, default=0),
        )
        .order_by(*by)
    )


def _issued_total(row: Mapping[str, Any]) -> IssuedTotal:
    return IssuedTotal(
        kind=row["kind"],
        currency=row["currency"],
        count=row["count"],
        subtotal_minor=int(row["subtotal"]),
        tax_minor=int(row["tax"]),
        total_minor=int(row["total"]),
        posted_minor=int(row["posted"]),
    )


def lines(invoice: Invoice) -> QuerySet[InvoiceLine]:
    """Lines of an invoice in order, with what a page or file shows beside them."""
    return invoice.lines.select_related("app", "plan", "subscription__team").order_by("position")


def entries(
    *, period: str = "", kind: str = "", account: str = "", words: str = ""
) -> QuerySet[JournalEntry]:
    """Journal entries, newest first, with their postings and what these name; narrowed by what is given."""
    named = Posting.objects.select_related("team", "app", "organization", "cost_center").order_by("pk")
    found = JournalEntry.objects.prefetch_related(Prefetch("postings", named)).select_related("invoice")
    if account:
        found = found.filter(Exists(Posting.objects.filter(entry=OuterRef("pk"), account=account)))
    if words:
        found = found.filter(memo__icontains=words)
    asked = {name: value for name, value in (("period", period), ("kind", kind)) if value}
    return found.filter(**asked).order_by("-posted_at", "-id")


def postings(*, period: str = "") -> QuerySet[Posting]:
    """Postings in the order of their entries, for the journal export."""
    found = Posting.objects.select_related("entry__invoice", "organization", "cost_center", "team", "app")
    found = found.filter(entry__period=period) if period else found
    return found.order_by("entry__posted_at", "entry_id", "pk")


def earning_postings(actor: Actor) -> QuerySet[Posting]:
    """What creators were credited, of the person's teams, of their organization for its finance, or of all."""
    credits_ = Posting.objects.filter(account=CREATOR_PAYABLE.code)
    if actor.is_platform(Role.FINANCE):
        return credits_
    served = actor.organizations_as(Role.FINANCE)
    return credits_.filter(Q(team__in=actor.teams_as(Role.CREATOR)) | Q(team__organization__in=served))


def shares(invoice: Invoice) -> dict[str, int]:
    """Sum the parts of creators and platform over the lines of an invoice (one query)."""
    sums: dict[str, int] = invoice.lines.aggregate(
        creator=Sum("creator_minor", default=0), platform=Sum("platform_minor", default=0)
    )
    return sums
