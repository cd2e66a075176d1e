"""What the books say, as projections of postings."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, QuerySet, Sum

from billing.ledger.chart import BY_CODE, CREATOR_PAYABLE, Account
from billing.models import Posting


@dataclass(frozen=True)
class Balance:
    """An account in a currency: what was debited and credited, in minor units, both positive."""

    account: Account
    currency: str
    debit_minor: int
    credit_minor: int

    @property
    def balance_minor(self) -> int:
        return self.debit_minor - self.credit_minor


@dataclass(frozen=True)
class TrialBalance:
    """Every account that has postings; debits and credits agree per currency, or the books are broken."""

    rows: tuple[Balance, ...]
    totals: tuple[tuple[str, int, int], ...]

    @property
    def is_balanced(self) -> bool:
        return all(debit == credit for _, debit, credit in self.totals)


@dataclass(frozen=True)
class Earning:
    """What a team was credited for an app in a month; positive when the creator is owed."""

    team: str
    app: str
    app_slug: str
    period: str
    currency: str
    credited_minor: int


def trial_balance(*, period: str = "", until: datetime | None = None) -> TrialBalance:
    """Sum postings by account and currency (one query): of all time, of one month, or up to a moment, which is excluded."""
    postings = Posting.objects.filter(entry__period=period) if period else Posting.objects.all()
    if until is not None:
        postings = postings.filter(entry__posted_at__lt=until)
    found = postings.values("account", "currency").annotate(
        debit=Sum("amount_minor", filter=Q(amount_minor__gt=0), default=0),
        credit=Sum("amount_minor", filter=Q(amount_minor__lt=0), default=0),
    )
    order = {code: place for place, code in enumerate(BY_CODE)}
    rows = tuple(
        Balance(BY_CODE[row["account"]], row["currency"], int(row["debit"]), -int(row["credit"]))
        for row in sorted(found, key=lambda row: (row["currency"], order[row["account"]]))
    )
    currencies = dict.fromkeys(row.currency for row in rows)
    totals = tuple(
        (
            currency,
            sum(row.debit_minor for row in rows if row.currency == currency),
            sum(row.credit_minor for row in rows if row.currency == currency),
        )
        for currency in currencies
    )
    return TrialBalance(rows, totals)


def earnings(postings: QuerySet[Posting] | None = None) -> list[Earning]:
    """List what creators were credited by team, app and month, newest month first (one query).

    `postings` narrows to what the reader may see.
    """
    rows = (
        (Posting.objects.all() if postings is None else postings)
        .filter(account=CREATOR_PAYABLE.code)
        .values("team__name", "app__name", "app__slug", "entry__period_id", "currency")
        .annotate(total=Sum("amount_minor"))
        .order_by("-entry__period_id", "team__name", "app__name", "currency")
    )
    return [
        Earning(
            team=row["team__name"] or "",
            app=row["app__name"] or "",
            app_slug=row["app__slug"] or "",
            period=row["entry__period_id"] or "",
            currency=row["currency"],
            credited_minor=-int(row["total"]),
        )
        for row in rows
    ]
