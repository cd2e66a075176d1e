"""What a month's tiers and guarantee add to what the lines gave: worked out from the books, posted by difference.

Worked out anew while the month can still be credited, so that credit notes change it, too; each change is a row and an
entry of its own.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Q, Sum

from billing.agreed_terms import tiers_of
from billing.ledger import chart, journal
from billing.ledger.journal import Fact, Leg
from billing.models import (
    BillingPeriod,
    CreditNote,
    CreditNoteLine,
    Invoice,
    InvoiceLine,
    RevenueShareAgreement,
    ShareTrueUp,
)
from billing.posting_months import running_month
from billing.queries import POSTED
from billing.revenue_share import TopUp, guarantee_top_up, tier_top_up
from marketplace.catalog.owning import AppOwnership
from marketplace.core.periods import Period, parse_month

Kind = ShareTrueUp.Kind
# Credit notes of a month this long ago do not change its tiers any more.
MONTHS_BACK = 13


@dataclass(frozen=True)
class Brought:
    """What the lines of an app brought, less what was given back, in minor units."""

    revenue_minor: int = 0
    creator_minor: int = 0


def post_due(*, at: datetime) -> int:
    """Post what tiers and guarantees of closed months add, or change; returns how many entries. Safe to run twice."""
    closed = BillingPeriod.objects.filter(state=BillingPeriod.State.CLOSED).order_by("-name")[:MONTHS_BACK]
    agreements = list(
        RevenueShareAgreement.objects.filter(~Q(tiers=[]) | Q(guarantee_minor__gt=0)).order_by("pk")
    )
    return sum(
        _post(agreement, period, at=at)
        for period in sorted(closed, key=lambda one: one.name)
        for agreement in agreements
        if _holds(agreement, parse_month(period.name))
    )


def _holds(agreement: RevenueShareAgreement, month: Period) -> bool:
    return agreement.starts_at <= month.starts_at and (
        agreement.ends_at is None or month.starts_at < agreement.ends_at
    )


def _post(agreement: RevenueShareAgreement, period: BillingPeriod, *, at: datetime) -> int:
    """Post the differences of one month of one agreement. Locks the agreement, so that two workers take turns."""
    with transaction.atomic():
        agreement = RevenueShareAgreement.objects.select_for_update(of=("self",)).get(pk=agreement.pk)
        wanted = top_ups(agreement, parse_month(period.name))
        return sum(_post_one(agreement, period, kind, found, at=at) for kind, found in wanted.items())


def top_ups(agreement: RevenueShareAgreement, month: Period) -> dict[str, TopUp]:
    """Work out what tiers, and after them the guarantee, add to a month as things stand."""
    currency = agreement.currency
    brought = _brought(agreement.app_id, currency, [month.name])
    before = Brought()
    if agreement.tier_window == RevenueShareAgreement.Window.YEAR:
        names = [f"{month.starts_at.year}-{number:02d}" for number in range(1, month.starts_at.month)]
        before = _brought(agreement.app_id, currency, names)
    tiers = tier_top_up(
        tiers_of(agreement.tiers),
        base_share=agreement.share,
        before_minor=before.revenue_minor,
        revenue_minor=brought.revenue_minor,
        creator_minor=brought.creator_minor,
        currency=currency,
    )
    guarantee = guarantee_top_up(
        agreement.guarantee_minor, given_minor=brought.creator_minor + tiers.amount_minor, currency=currency
    )
    return {Kind.TIERS: tiers, Kind.GUARANTEE: guarantee}


def _brought(app_id: int, currency: str, months: Iterable[str]) -> Brought:
    names = list(months)
    posted = Invoice.objects.filter(POSTED, period__in=names, currency=currency).exclude(
        state=Invoice.State.DRAFT
    )
    billed = InvoiceLine.objects.filter(app=app_id, invoice__in=posted.values("pk")).aggregate(
        revenue=Sum("amount_minor", default=0), creator=Sum("creator_minor", default=0)
    )
    back = CreditNoteLine.objects.filter(
        credit_note__state=CreditNote.State.ISSUED,
        line__app=app_id,
        line__invoice__currency=currency,
        line__invoice__period__in=names,
    ).aggregate(revenue=Sum("net_minor", default=0), creator=Sum("creator_minor", default=0))
    return Brought(
        int(billed["revenue"]) - int(back["revenue"]), int(billed["creator"]) - int(back["creator"])
    )


def _post_one(
    agreement: RevenueShareAgreement, period: BillingPeriod, kind: str, found: TopUp, *, at: datetime
) -> bool:
    earlier = ShareTrueUp.objects.filter(agreement=agreement, period=period, kind=kind)
    before = int(earlier.aggregate(total=Sum("amount_minor", default=0))["total"])
    change_minor = found.amount_minor - before
    if not change_minor:
        return False
    number = earlier.count() + 1
    entry = journal.post(
        Fact(
            key=f"share-true-up:{agreement.pk}:{period.name}:{kind}:{number}",
            kind="billing.share_true_up",
            memo=f"{Kind(kind).label} of {agreement.app} for {period.name}",
            legs=[
                Leg(chart.PLATFORM_REVENUE, change_minor, agreement.currency, app_id=agreement.app_id),
                Leg(
                    chart.CREATOR_PAYABLE,
                    -change_minor,
                    agreement.currency,
                    app_id=agreement.app_id,
                    team_id=_owner_at(agreement.app_id, period.ends_at),
                ),
            ],
            period=running_month(at),
        ),
        at=at,
    )
    assert entry is not None  # a change is not zero
    ShareTrueUp.objects.create(
        agreement=agreement,
        period=period,
        kind=kind,
        currency=agreement.currency,
        number=number,
        amount_minor=change_minor,
        explanation=list(found.explanation),
        entry=entry,
    )
    return True


def _owner_at(app_id: int, at: datetime) -> int:
    """Return the team that owned an app when a month ended."""
    owned = AppOwnership.objects.filter(app=app_id, starts_at__lt=at).order_by("-starts_at").first()
    owned = owned or AppOwnership.objects.filter(app=app_id).order_by("starts_at").get()
    return owned.team_id
