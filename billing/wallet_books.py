"""What moves in wallets, in the books.

Money paid ahead is owed to its payer until it pays a bill (``prepaid``) or expires (``expired_prepaid``, income). Credit
that was given is a cost when it is given (``promotions``); what expires of it takes that cost back.
"""

from collections.abc import Iterable
from datetime import datetime

from billing.ledger import chart, journal
from billing.ledger.chart import Account
from billing.ledger.journal import Fact, Leg
from billing.models import ReceivedPayment, Wallet, WalletCredit
from billing.posting_months import running_month
from billing.wallet_order import Taken

OWED = {WalletCredit.Kind.PAID: chart.PREPAID, WalletCredit.Kind.PROMOTIONAL: chart.PROMOTIONAL_CREDIT}
CAME_FROM = {WalletCredit.Kind.PAID: chart.BANK, WalletCredit.Kind.PROMOTIONAL: chart.PROMOTIONS}
GOES_TO = {WalletCredit.Kind.PAID: chart.EXPIRED_PREPAID, WalletCredit.Kind.PROMOTIONAL: chart.PROMOTIONS}


def post_credit(credit: WalletCredit, *, at: datetime) -> None:
    """Book what went into a wallet."""
    kind = WalletCredit.Kind(credit.kind)
    legs = _legs(credit.wallet, CAME_FROM[kind], OWED[kind], credit.amount_minor)
    _post(credit.wallet, f"wallet-credit:{credit.pk}", "billing.wallet_credit", str(credit), legs, at=at)


def post_expiry(credit: WalletCredit, amount_minor: int, *, at: datetime) -> None:
    """Book what a credit had left when it expired."""
    kind = WalletCredit.Kind(credit.kind)
    legs = _legs(credit.wallet, OWED[kind], GOES_TO[kind], amount_minor)
    _post(
        credit.wallet,
        f"wallet-expiry:{credit.pk}",
        "billing.wallet_expiry",
        f"Expired: {credit}",
        legs,
        at=at,
    )


def post_refund(wallet: Wallet, reference: str, amount_minor: int, *, at: datetime) -> None:
    """Book money that went back to who had paid it ahead."""
    legs = _legs(wallet, chart.PREPAID, chart.BANK, amount_minor)
    key = f"wallet-refund:{wallet.pk}:{reference}"
    _post(wallet, key, "billing.wallet_refund", f"Paid back: {reference}", legs, at=at)


def post_applied(
    payment: ReceivedPayment, wallet: Wallet, parts: Iterable[Taken[WalletCredit]], *, at: datetime
) -> None:
    """Book that a wallet paid a bill: what was owed to the payer is set against what the payer owes."""
    invoice = payment.invoice
    owes = chart.COST_CENTER_CHARGE if invoice.cost_center_id else chart.RECEIVABLE
    legs = [_leg(wallet, owes, -payment.amount_minor)]
    legs += [_leg(wallet, OWED[WalletCredit.Kind(one.credit.kind)], one.amount_minor) for one in parts]
    fact = Fact(
        key=f"payment:{payment.pk}",
        kind="billing.wallet_applied",
        memo=f"{wallet} pays {invoice}",
        legs=legs,
        period=running_month(at),
        invoice=invoice,
    )
    journal.post(fact, at=at)


def _post(wallet: Wallet, key: str, kind: str, memo: str, legs: list[Leg], *, at: datetime) -> None:
    fact = Fact(key=key, kind=kind, memo=f"{wallet}: {memo}", legs=legs, period=running_month(at))
    journal.post(fact, at=at)


def _legs(wallet: Wallet, debit: Account, credit: Account, amount_minor: int) -> list[Leg]:
    return [_leg(wallet, debit, amount_minor), _leg(wallet, credit, -amount_minor)]


def _leg(wallet: Wallet, account: Account, amount_minor: int) -> Leg:
    return Leg(
        account,
        amount_minor,
        wallet.currency,
        organization_id=wallet.organization_id,
        cost_center_id=wallet.cost_center_id,
    )
