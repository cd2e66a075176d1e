"""Money to creators and back: plain functions, each once for its key, booked when the processor has done it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Sum

from billing.ledger import chart, journal
from billing.ledger.journal import Fact, Leg
from billing.models import ConnectedAccount, JournalEntry, Payout, Transfer, TransferReversal
from billing.payments.attempts import KEYS_ARE_SURE_FOR, LONGEST
from billing.payments.processor import Processor, ProcessorRefused
from billing.posting_months import running_month
from marketplace.accounts.models import Team, User
from marketplace.core.errors import Conflict, InvalidInput
from marketplace.core.money import format_money
from marketplace.core.transitions import IllegalTransition, move

State = Transfer.State


class NoConnectedAccount(Conflict):
    """Nobody is paid before the processor knows who they are."""

    code = "no_connected_account"

    def __init__(self, team: Team) -> None:
        self.team = team
        super().__init__(f"{team} has no connected account that is ready.")


# What payouts take: the entry with the processor's name of it, or why it failed.
Sent = tuple[JournalEntry, str] | str


class TransferKeyReused(Conflict):
    """A key names one transfer or reversal, and this is another."""

    code = "transfer_key_reused"

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(f"The key {key} names another transfer.")


def ready_account(team: Team) -> ConnectedAccount | None:
    """Return the account that a team can be paid to, if there is one."""
    return ConnectedAccount.objects.filter(team=team, state=ConnectedAccount.State.READY).first()


def transfer(
    team: Team,
    *,
    key: str,
    amount_minor: int,
    currency: str,
    memo: str,
    processor: Processor,
    at: datetime,
    by: User | None = None,
    debits: Sequence[Leg] | None = None,
) -> Transfer:
    """Send money to a team's connected account and book it: what is payable to creators falls, so does our balance.

    The same key again carries on with the first transfer, whatever happened to it. What the processor refuses is a
    transfer that failed, with its reason; it takes another key to try again. `debits` are the postings against our
    balance where they are others than one of `creator_payable` for the team; they are needed again when it is repeated.
    Call it outside of a transaction. Raises InvalidInput, NoConnectedAccount, TransferKeyReused, ProcessorAway (then nobody
    knows yet; call again).
    """
    if amount_minor <= 0:
        raise InvalidInput("amount", "must be more than zero")
    account = ConnectedAccount.objects.filter(team=team).select_related("team").first()
    if account is None:
        raise NoConnectedAccount(team)
    sent, is_new = Transfer.objects.get_or_create(
        key=key,
        defaults={
            "account": account,
            "amount_minor": amount_minor,
            "currency": currency,
            "memo": memo,
            "created_by": by,
            "created_at": at,
        },
    ) if account.state == ConnectedAccount.State.READY else (_known(key, team), False)  # fmt: skip
    if not is_new and (sent.account_id, sent.amount_minor, sent.currency) != (
        account.pk,
        amount_minor,
        currency,
    ):
        raise TransferKeyReused(key)
    return (
        _carry_out(sent, debits=debits, processor=processor, at=at) if sent.state == State.CREATED else sent
    )


def pay(payout: Payout, *, processor: Processor, at: datetime) -> Sent:
    """Send a payout, once for each of its attempts; returns its entry and reference, or the reason why it failed.

    Call it outside of a transaction. Raises ProcessorAway (then nobody knows yet; call again).
    """
    try:
        sent = transfer(
            payout.team,
            key=f"payout:{payout.pk}:{payout.attempts}",
            amount_minor=payout.amount_minor,
            currency=payout.currency,
            memo=f"Payout of {payout.due_date}",
            processor=processor,
            at=at,
        )
    except NoConnectedAccount as error:
        return error.message
    if sent.state == State.FAILED:
        return sent.failure
    return JournalEntry.objects.get(idempotency_key=f"transfer:{sent.pk}"), str(sent.transfer_id)


def _known(key: str, team: Team) -> Transfer:
    """Return a transfer that was begun while the account was still ready."""
    found = Transfer.objects.filter(key=key).first()
    if found is None:
        raise NoConnectedAccount(team)
    return found


def _carry_out(
    sent: Transfer, *, debits: Sequence[Leg] | None, processor: Processor, at: datetime
) -> Transfer:
    try:
        made = _made_before(sent, processor=processor, at=at) or processor.write(
            "transfers.create",
            key=f"transfer:{sent.pk}",
            amount=sent.amount_minor,
            currency=sent.currency.lower(),
            destination=str(sent.account.account_id),
            description=sent.memo,
            metadata={"transfer": str(sent.pk), "for": sent.key},
        )
    except ProcessorRefused as error:
        _move(sent, State.FAILED, at=at, changes={"failure": error.message[:LONGEST], "ended_at": at})
        return sent
    with transaction.atomic():
        if _move(sent, State.DONE, at=at, changes={"transfer_id": made["id"], "ended_at": at}):
            journal.post(_fact(sent, debits or [_payable(sent, sent.amount_minor)], at=at), at=at)
    return sent


def _made_before(sent: Transfer, *, processor: Processor, at: datetime) -> dict[str, Any] | None:
    """Find a transfer whose key the processor may have forgotten."""
    if at - sent.created_at < KEYS_ARE_SURE_FOR:
        return None
    since = {"gte": int(sent.created_at.timestamp())}
    for found in processor.pages("transfers.list", destination=str(sent.account.account_id), created=since):
        if found["metadata"].get("transfer") == str(sent.pk):
            return found
    return None


def _move(sent: Transfer, to: str, *, at: datetime, changes: dict[str, Any]) -> bool:
    try:
        move(sent, Transfer.TRANSITIONS, to=to, action=f"billing.transfer.{to}", at=at, changes=changes)
    except IllegalTransition:
        sent.refresh_from_db()
        return False
    return True


def _payable(sent: Transfer, amount_minor: int) -> Leg:
    return Leg(chart.CREATOR_PAYABLE, amount_minor, sent.currency, team_id=sent.account.team_id)


def _fact(sent: Transfer, debits: Sequence[Leg], *, at: datetime) -> Fact:
    return Fact(
        key=f"transfer:{sent.pk}",
        kind="billing.transfer",
        memo=f"Transfer {sent.transfer_id}: {sent.memo}",
        legs=[*debits, _balance(sent, -sent.amount_minor)],
        period=running_month(at),
    )


def _balance(sent: Transfer, amount_minor: int) -> Leg:
    organization_id = sent.account.team.organization_id
    return Leg(chart.PROCESSOR_BALANCE, amount_minor, sent.currency, organization_id=organization_id)


def left_minor(sent: Transfer) -> int:
    """Return what of a transfer has not come back."""
    back = sent.reversals.filter(failure="").aggregate(total=Sum("amount_minor", default=0))["total"]
    return sent.amount_minor - int(back)


def reverse(
    sent: Transfer,
    *,
    key: str,
    processor: Processor,
    at: datetime,
    amount_minor: int | None = None,
    by: User | None = None,
    credits_to: Sequence[Leg] | None = None,
) -> TransferReversal:
    """Take back a part of a transfer, or all that is left of it, and book it: we owe the team that again.

    The same key again carries on with the first reversal. What the processor refuses is kept with its `failure`.
    `credits_to` are the postings where they are others than one of `creator_payable` for the team. Call it outside of a
    transaction. Raises InvalidInput, TransferKeyReused, ProcessorAway.
    """
    back = TransferReversal.objects.filter(key=key).first() or _begin_reversal(
        sent, key=key, amount_minor=amount_minor, by=by, at=at
    )
    if back.transfer_id != sent.pk or amount_minor not in (None, back.amount_minor):
        raise TransferKeyReused(key)
    if back.reversal_id or back.failure:
        return back
    try:
        made = processor.write(
            "transfers.reversals.create",
            str(sent.transfer_id),
            key=f"reversal:{back.pk}",
            amount=back.amount_minor,
            metadata={"reversal": str(back.pk)},
        )
    except ProcessorRefused as error:
        TransferReversal.objects.filter(pk=back.pk).update(failure=error.message[:LONGEST])
        back.failure = error.message[:LONGEST]
        return back
    with transaction.atomic():
        if TransferReversal.objects.filter(pk=back.pk, reversal_id=None).update(reversal_id=made["id"]):
            back.reversal_id = made["id"]
            journal.post(_reversed(sent, back, credits_to, at=at), at=at)
    return back


def _begin_reversal(
    sent: Transfer, *, key: str, amount_minor: int | None, by: User | None, at: datetime
) -> TransferReversal:
    with transaction.atomic():
        sent = Transfer.objects.select_for_update(of=("self",)).get(pk=sent.pk)
        most = left_minor(sent) if sent.state == State.DONE else 0
        asked = most if amount_minor is None else amount_minor
        if not 0 < asked <= most:
            limit = format_money(most, sent.currency)
            raise InvalidInput(
                "amount", f"must be more than zero and at most {limit}, what is left", limit=most
            )
        back, _ = TransferReversal.objects.get_or_create(
            key=key,
            defaults={"transfer": sent, "amount_minor": asked, "created_by": by, "created_at": at},
        )
    return back


def _reversed(
    sent: Transfer, back: TransferReversal, credits_to: Sequence[Leg] | None, *, at: datetime
) -> Fact:
    return Fact(
        key=f"transfer-reversal:{back.pk}",
        kind="billing.transfer_reversal",
        memo=f"Reversal {back.reversal_id} of {sent.memo}",
        legs=[_balance(sent, back.amount_minor), *(credits_to or [_payable(sent, -back.amount_minor)])],
        period=running_month(at),
    )
