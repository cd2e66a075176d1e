"""Wallets: opened, filled by payment or as a gift, paid back, and emptied by time. Bills are paid by ``wallet_spending``."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.urls import reverse

from billing import wallet_books
from billing.models import Invoice, Wallet, WalletCredit, WalletMovement
from billing.wallet_order import Taken, in_order
from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import CostCenter, Membership, Organization, User
from marketplace.core import audit
from marketplace.core.errors import Conflict, InvalidInput
from marketplace.core.money import format_money
from marketplace.core.notices import Kind as NoticeKind
from marketplace.core.notices import notify

Kind = WalletCredit.Kind
MOST_MINOR = 10**13
LONGEST_REFERENCE = 100
INTO = {Kind.PAID: WalletMovement.Kind.TOP_UP, Kind.PROMOTIONAL: WalletMovement.Kind.GRANT}


class ReferenceUsed(Conflict):
    """A reference names one movement of a wallet, and this is another."""

    code = "reference_used"

    def __init__(self, reference: str) -> None:
        self.reference = reference
        super().__init__(f"The reference {reference} was recorded for this wallet with other terms.")


@dataclass(frozen=True)
class NewCredit:
    """What is to go into a wallet; without ``expires_at`` it never expires."""

    kind: str
    amount_minor: int
    reference: str
    expires_at: datetime | None = None

    def check(self, *, at: datetime) -> None:
        """Raise InvalidInput that names the first wrong field."""
        if not 0 < self.amount_minor <= MOST_MINOR:
            raise InvalidInput("amount", f"must be more than zero and at most {MOST_MINOR}", limit=MOST_MINOR)
        _check_reference(self.reference)
        if self.expires_at is not None and self.expires_at <= at:
            raise InvalidInput("expires_at", "must lie in the future")


def visible(actor: Actor) -> QuerySet[Wallet]:
    """Return the wallets that somebody may see: finance of the marketplace all, of an organization its own, owners of cost centers theirs."""
    found = Wallet.objects.select_related("organization", "cost_center")
    if actor.is_platform(Role.FINANCE, Role.OPERATOR):
        return found
    finance = Q(organization__in=actor.organizations_as(Role.FINANCE))
    return found.filter(finance | Q(cost_center__owner=actor.user.pk))


def open_wallet(
    organization: Organization,
    *,
    cost_center: CostCenter | None = None,
    currency: str,
    by: Actor,
    at: datetime,
) -> Wallet:
    """Return the wallet of a payer in a currency, made when there is none. Raises NotAllowed, InvalidInput."""
    access.require_platform(by, Role.FINANCE)
    if cost_center is not None and cost_center.organization_id != organization.pk:
        raise InvalidInput("cost_center", "belongs to another organization.")
    wallet, is_new = Wallet.objects.get_or_create(
        organization=organization, cost_center=cost_center, currency=currency, defaults={"created_at": at}
    )
    if is_new:
        audit.record("billing.wallet.opened", subject=wallet, at=at, by=by.user, new={"currency": currency})
    return wallet


def add(wallet: Wallet, *, new: NewCredit, by: Actor, at: datetime) -> WalletCredit:
    """Put money that was paid ahead, or credit that is given, into a wallet; the same reference again adds nothing.

    Locks the wallet. Raises NotAllowed for who is not the marketplace's finance, InvalidInput, ReferenceUsed.
    """
    access.require_platform(by, Role.FINANCE)
    return receive(wallet, new=new, by=by.user, at=at)


def receive(wallet: Wallet, *, new: NewCredit, by: User, at: datetime) -> WalletCredit:
    """Put credit into a wallet for a caller who has checked the right to: a payment by card that succeeded."""
    new.check(at=at)
    with transaction.atomic():
        wallet = _locked(wallet)
        if earlier := wallet.credits.filter(reference=new.reference).first():
            if (earlier.kind, earlier.amount_minor) != (new.kind, new.amount_minor):
                raise ReferenceUsed(new.reference)
            return earlier
        credit = WalletCredit.objects.create(
            wallet=wallet,
            kind=new.kind,
            amount_minor=new.amount_minor,
            left_minor=new.amount_minor,
            expires_at=new.expires_at,
            reference=new.reference,
            granted_by=by,
            granted_at=at,
        )
        _move(
            wallet, credit, new.amount_minor, kind=INTO[Kind(new.kind)], reference=new.reference, at=at, by=by
        )
        wallet_books.post_credit(credit, at=at)
        facts = {"kind": new.kind, "amount_minor": new.amount_minor, "reference": new.reference}
        audit.record("billing.wallet.credited", subject=wallet, at=at, by=by, new=facts)
    return credit


def refund(wallet: Wallet, *, amount_minor: int, reference: str, by: Actor, at: datetime) -> Wallet:
    """Pay back what is left of money that was paid ahead; credit that was given is not money.

    The same reference and amount again changes nothing. Locks the wallet. Raises NotAllowed, InvalidInput, ReferenceUsed.
    """
    access.require_platform(by, Role.FINANCE)
    _check_reference(reference)
    with transaction.atomic():
        wallet = _locked(wallet)
        earlier = wallet.movements.filter(kind=WalletMovement.Kind.REFUND, reference=reference)
        if amounts := list(earlier.values_list("amount_minor", flat=True)):
            if -sum(amounts) != amount_minor:
                raise ReferenceUsed(reference)
            return wallet
        for part in _to_pay_back(wallet, amount_minor, at=at):
            move_out(wallet, part, kind="refund", reference=reference, at=at, by=by.user)
        wallet_books.post_refund(wallet, reference, amount_minor, at=at)
        facts = {"amount_minor": amount_minor, "reference": reference}
        audit.record("billing.wallet.refunded", subject=wallet, at=at, by=by.user, new=facts)
    return wallet


def _to_pay_back(wallet: Wallet, amount_minor: int, *, at: datetime) -> list[Taken[WalletCredit]]:
    """Take from what was paid last, so that what is about to expire is used and not paid back."""
    paid = in_order(wallet.credits.filter(kind=Kind.PAID, left_minor__gt=0), at=at)
    left_minor = sum(one.left_minor for one in paid)
    if not 0 < amount_minor <= left_minor:
        most = format_money(left_minor, wallet.currency)
        message = f"must be more than zero and at most {most}, what is left of money paid ahead"
        raise InvalidInput("amount", message, limit=left_minor, code="out_of_range")
    parts = []
    for credit in reversed(paid):
        part = min(credit.left_minor, amount_minor)
        amount_minor -= part
        if part:
            parts.append(Taken(credit, part))
    return parts


def expire_due(*, at: datetime) -> int:
    """Let credits go whose day has come; returns how many. Safe to run twice and on many workers."""
    due = WalletCredit.objects.filter(expires_at__lte=at, left_minor__gt=0).order_by("wallet", "pk")
    return sum(_expire(credit, at=at) for credit in due)


def _expire(credit: WalletCredit, *, at: datetime) -> bool:
    with transaction.atomic():
        wallet = _locked(credit.wallet)
        credit.refresh_from_db(fields=["left_minor"])
        left_minor = credit.left_minor
        if not left_minor:
            return False
        move_out(wallet, Taken(credit, left_minor), kind="expiry", reference=credit.reference, at=at, by=None)
        wallet_books.post_expiry(credit, left_minor, at=at)
        text = f"{format_money(left_minor, wallet.currency)} of your wallet expired: {credit.reference}."
        _tell(wallet, text, key=f"wallet-expired:{credit.pk}", at=at)
        tell_if_low(wallet, at=at)
    return True


def set_low_balance(wallet: Wallet, *, below_minor: int | None, by: Actor, at: datetime) -> None:
    """Say below which balance people are told; None for never. Raises NotAllowed, InvalidInput."""
    access.require(
        may_manage(wallet, actor=by), message="Finance, or the owner of the cost center, decides this."
    )
    if below_minor is not None and not 0 <= below_minor <= MOST_MINOR:
        raise InvalidInput("low_balance", f"must be from zero to {MOST_MINOR}", limit=MOST_MINOR)
    old = wallet.low_balance_minor
    Wallet.objects.filter(pk=wallet.pk).update(low_balance_minor=below_minor)
    wallet.low_balance_minor = below_minor
    audit.record(
        "billing.wallet.low_balance_set",
        subject=wallet,
        at=at,
        by=by.user,
        old={"below_minor": old},
        new={"below_minor": below_minor},
    )


def may_manage(wallet: Wallet, *, actor: Actor) -> bool:
    """Tell whether somebody decides when people are told of a wallet."""
    is_finance = wallet.organization_id in actor.organizations_as(Role.FINANCE)
    is_owner = wallet.cost_center is not None and wallet.cost_center.owner_id == actor.user.pk
    return actor.is_platform(Role.FINANCE) or is_finance or is_owner


def tell_if_low(wallet: Wallet, *, at: datetime) -> None:
    """Tell the wallet's people that little is left, once for what it was filled to last."""
    if wallet.low_balance_minor is None or wallet.balance_minor >= wallet.low_balance_minor:
        return
    filled = wallet.credits.order_by("-granted_at", "-pk").values_list("pk", flat=True).first()
    left = format_money(wallet.balance_minor, wallet.currency)
    _tell(wallet, f"{left} are left in your wallet.", key=f"wallet-low:{wallet.pk}:{filled}", at=at)


def people_of(wallet: Wallet) -> QuerySet[User]:
    """Find whom a wallet concerns: the finance of its organization, and who owns its cost center."""
    finance = Q(memberships__organization=wallet.organization_id, memberships__role=Membership.Role.FINANCE)
    owner = Q(owned_cost_centers=wallet.cost_center_id) if wallet.cost_center_id else Q()
    return User.objects.filter(finance | owner, is_active=True).distinct()


def move_out(
    wallet: Wallet,
    part: Taken[WalletCredit],
    *,
    kind: str,
    reference: str,
    at: datetime,
    by: Any,
    invoice: Invoice | None = None,
) -> None:
    """Take a part of a credit out of a wallet that the caller has locked, in the caller's transaction."""
    WalletCredit.objects.filter(pk=part.credit.pk).update(left_minor=F("left_minor") - part.amount_minor)
    _move(
        wallet, part.credit, -part.amount_minor, kind=kind, reference=reference, at=at, by=by, invoice=invoice
    )


def _move(
    wallet: Wallet,
    credit: WalletCredit,
    amount_minor: int,
    *,
    kind: str,
    reference: str,
    at: datetime,
    by: Any,
    invoice: Invoice | None = None,
) -> None:
    Wallet.objects.filter(pk=wallet.pk).update(balance_minor=F("balance_minor") + amount_minor)
    wallet.balance_minor += amount_minor
    WalletMovement.objects.create(
        wallet=wallet,
        credit=credit,
        kind=kind,
        amount_minor=amount_minor,
        balance_minor=wallet.balance_minor,
        invoice=invoice,
        reference=reference,
        moved_by=by,
        moved_at=at,
    )


def _locked(wallet: Wallet) -> Wallet:
    return (
        Wallet.objects.select_for_update(of=("self",))
        .select_related("organization", "cost_center")
        .get(pk=wallet.pk)
    )


def _check_reference(reference: str) -> None:
    if not 0 < len(reference.strip()) <= LONGEST_REFERENCE:
        message = f"is needed, at most {LONGEST_REFERENCE} characters"
        raise InvalidInput("reference", message, limit=LONGEST_REFERENCE)


def _tell(wallet: Wallet, text: str, *, key: str, at: datetime) -> None:
    notify(
        people_of(wallet),
        text=text,
        at=at,
        key=key,
        path=reverse("billing:wallet", args=[wallet.pk]),
        kind=NoticeKind.BILLING,
        organization_id=wallet.organization_id,
    )
