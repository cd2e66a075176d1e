"""One account: every posting with the balance after it, and what it stood at before."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import F, QuerySet, Sum, Window

from billing.ledger.chart import Account
from billing.models import Posting


@dataclass(frozen=True)
class Standing:
    """What an account comes to in one currency, debits less credits, in minor units."""

    currency: str
    postings: int
    balance_minor: int


def standings(account: Account, *, until: datetime | None = None) -> list[Standing]:
    """Sum an account by currency, up to a moment, which is excluded (one query)."""
    rows = _postings(account, until).order_by().values("currency")
    summed = rows.annotate(total=Sum("amount_minor"), count=Sum(F("pk") * 0 + 1)).order_by("currency")
    return [Standing(row["currency"], int(row["count"]), int(row["total"])) for row in summed]


def running(account: Account, *, currency: str, until: datetime | None = None) -> QuerySet[Posting]:
    """List an account's postings in one currency, newest first, each with `balance_minor` as it was after it."""
    after = Window(Sum("amount_minor"), order_by=[F("entry__posted_at").asc(), F("pk").asc()])
    found = _postings(account, until).filter(currency=currency).annotate(balance_minor=after)
    named = found.select_related("entry", "entry__invoice", "organization", "cost_center", "team", "app")
    return named.order_by("-entry__posted_at", "-pk")


def _postings(account: Account, until: datetime | None) -> QuerySet[Posting]:
    found = Posting.objects.filter(account=account.code)
    return found.filter(entry__posted_at__lt=until) if until else found
