"""Bills before a month's end against the month's bill, and wallets against the books."""

from collections.abc import Iterator

from django.db.models import Case, F, Q, Sum, Value, When

from billing.ledger import chart
from billing.models import BillingPeriod, InvoiceLine, Posting, WalletCredit

OWED = (chart.PREPAID.code, chart.PROMOTIONAL_CREDIT.code)


def differing(*, limit: int) -> Iterator[tuple[str, list[str]]]:
    """Yield each comparison in words with what differs, at most so many each."""
    yield "months that were billed before their end and not taken off again", _left_over()[:limit]
    yield "wallets that are not what the books owe", _wrong_wallets()[:limit]


def _left_over() -> list[str]:
    """Find closed months in which lines of bills before the end and their mirrors do not come to nothing."""
    lines = InvoiceLine.objects.filter(
        kind=InvoiceLine.Kind.PROGRESSIVE, invoice__period__state=BillingPeriod.State.CLOSED
    )
    sums = lines.values("invoice__period", "subscription").annotate(
        amount=Sum("amount_minor"), creator=Sum("creator_minor"), cost=Sum("platform_cost")
    )
    wrong = sums.exclude(amount=0, creator=0, cost=0).order_by("invoice__period", "subscription")
    return [f"{one['invoice__period']}, subscription {one['subscription']}" for one in wrong]


def _wrong_wallets() -> list[str]:
    """Compare what credits have left, by payer, currency and kind, with what the books say is owed."""
    account = Case(
        When(kind=WalletCredit.Kind.PAID, then=Value(chart.PREPAID.code)),
        default=Value(chart.PROMOTIONAL_CREDIT.code),
    )
    left = WalletCredit.objects.annotate(
        account=account,
        organization=F("wallet__organization"),
        cost_center=F("wallet__cost_center"),
        currency=F("wallet__currency"),
    )
    keys = ("account", "organization", "cost_center", "currency")
    held = {tuple(row[:4]): row[4] for row in left.values_list(*keys).annotate(Sum("left_minor"))}
    booked = Posting.objects.filter(Q(account__in=OWED)).values_list(*keys).annotate(Sum("amount_minor"))
    owed = {tuple(row[:4]): -row[4] for row in booked if row[4]}
    held = {key: value for key, value in held.items() if value}
    return [str(key) for key in held.keys() | owed.keys() if held.get(key, 0) != owed.get(key, 0)]
