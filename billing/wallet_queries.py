"""What wallets hold, as pages and the API show it."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet, Sum

from billing.models import Wallet, WalletCredit, WalletMovement
from billing.wallet_order import in_order
from marketplace.core.csv import Cell
from marketplace.core.money import from_minor

COLUMNS = (
    "moved_at", "kind", "credit_kind", "amount", "balance", "currency", "reference", "invoice", "moved_by",
)  # fmt: skip


def credits_left(wallet: Wallet, *, at: datetime) -> list[WalletCredit]:
    """List what is left in a wallet, in the order in which it is used."""
    return in_order(wallet.credits.filter(left_minor__gt=0), at=at)


def movements_of(wallet: Wallet) -> QuerySet[WalletMovement]:
    """Return the movements of a wallet, the newest first."""
    return wallet.movements.select_related("invoice", "moved_by", "credit").order_by("-moved_at", "-pk")


def with_paid_left(wallets: QuerySet[Wallet]) -> Any:
    """Add `paid_minor` and `given_minor`, what is left of either, in the same query."""
    left = Sum("credits__left_minor", filter=Q(credits__kind=WalletCredit.Kind.PAID), default=0)
    given = Sum("credits__left_minor", filter=Q(credits__kind=WalletCredit.Kind.PROMOTIONAL), default=0)
    shown = wallets.annotate(paid_minor=left, given_minor=given)
    return shown.order_by("organization__name", "cost_center__code", "currency")


def movement_rows(movements: Iterable[WalletMovement], *, currency: str) -> Iterator[tuple[Cell, ...]]:
    """Give a row of COLUMNS for each movement."""
    for one in movements:
        yield (
            one.moved_at,
            one.kind,
            one.credit.kind,
            from_minor(one.amount_minor, currency),
            from_minor(one.balance_minor, currency),
            currency,
            one.reference,
            one.invoice.number if one.invoice else None,
            str(one.moved_by) if one.moved_by else None,
        )
