"""Fees and interest of reminders: asked for beside the invoice, paid out of the customer's balance, or waived."""

from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet

from billing import balances
from billing.dunning_models import DunningCharge, DunningNotice
from billing.dunning_schedule import interest_minor
from billing.ledger import chart, journal
from billing.ledger.journal import Fact, Leg
from billing.models import BalanceEntry, JournalEntry
from billing.posting_months import running_month
from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.core.errors import InvalidInput
from marketplace.core.transitions import move

Kind = DunningCharge.Kind
State = DunningCharge.State
LONGEST_REASON = 500


def ask(notice: DunningNotice, *, at: datetime) -> list[DunningCharge]:
    """Charge what the step of a reminder says; a fee only in the currency of its policy."""
    step, invoice = notice.step, notice.invoice
    amounts = {
        Kind.FEE: step.fee_minor if step.policy.currency == invoice.currency else 0,
        Kind.INTEREST: interest_minor(
            notice.due_minor,
            percent=step.interest_percent,
            since=_interest_since(notice),
            until=at,
            currency=invoice.currency,
        ),
    }
    return [_charge(notice, kind, amount, at=at) for kind, amount in amounts.items() if amount > 0]


def _interest_since(notice: DunningNotice) -> datetime:
    charged = DunningCharge.objects.filter(notice__invoice=notice.invoice, kind=Kind.INTEREST)
    last = charged.order_by("-made_at").first()
    due_at = notice.invoice.due_at
    assert due_at is not None  # only invoices with a day are reminded
    return last.made_at if last else due_at


def _charge(notice: DunningNotice, kind: Kind, amount_minor: int, *, at: datetime) -> DunningCharge:
    invoice = notice.invoice
    charge = DunningCharge.objects.create(
        notice=notice,
        organization_id=invoice.organization_id,
        kind=kind,
        currency=invoice.currency,
        amount_minor=amount_minor,
        made_at=at,
    )
    memo = f"{charge.get_kind_display()} of reminder {notice.position} for {invoice}"
    _post(charge, f"dunning-charge:{charge.pk}", amount_minor, memo, at=at)
    return charge


def _post(
    charge: DunningCharge,
    key: str,
    amount_minor: int,
    memo: str,
    *,
    at: datetime,
    corrects: JournalEntry | None = None,
) -> None:
    who = {"organization_id": charge.organization_id}
    journal.post(
        Fact(
            key=key,
            kind="billing.reminder_charge",
            memo=memo,
            legs=[
                Leg(chart.RECEIVABLE, amount_minor, charge.currency, **who),
                Leg(chart.REMINDER_CHARGES, -amount_minor, charge.currency, **who),
            ],
            period=running_month(at),
            corrects=corrects,
        ),
        at=at,
    )


def open_charges(organization_id: int) -> QuerySet[DunningCharge]:
    """Charges of a customer that were neither paid nor waived, the oldest first."""
    found = DunningCharge.objects.filter(organization=organization_id, state=State.OPEN)
    return found.select_related("notice__invoice").order_by("made_at", "pk")


def settle_open(organization_id: int, currency: str, *, at: datetime) -> None:
    """Pay open charges out of the customer's balance, the oldest first, each as a whole. Safe to run twice."""
    with transaction.atomic():
        left_minor = balances.locked_balance(organization_id, currency)
        for charge in open_charges(organization_id).filter(currency=currency).select_for_update(of=("self",)):
            if charge.amount_minor > left_minor:
                return
            left_minor -= charge.amount_minor
            _pay(charge, at=at)


def _pay(charge: DunningCharge, *, at: datetime) -> None:
    move(
        charge,
        DunningCharge.TRANSITIONS,
        to=State.PAID,
        action="billing.dunning_charge.paid",
        at=at,
        changes={"ended_at": at},
    )
    entry = BalanceEntry.objects.create(
        organization_id=charge.organization_id,
        currency=charge.currency,
        kind=BalanceEntry.Kind.CHARGE,
        amount_minor=-charge.amount_minor,
        reference=f"charge {charge.pk}",
        happened_on=at.date(),
        recorded_at=at,
    )
    memo = f"{charge.get_kind_display()} for {charge.notice.invoice}"
    balances.post(entry, chart.RECEIVABLE, memo, at=at)


def waive(charge: DunningCharge, *, reason: str, by: Actor, at: datetime) -> None:
    """Give a charge up with a reason. Raises NotAllowed, InvalidInput, IllegalTransition when it was paid or waived."""
    access.require_platform(by, Role.FINANCE)
    reason = reason.strip()
    if not 0 < len(reason) <= LONGEST_REASON:
        raise InvalidInput("reason", f"is needed, at most {LONGEST_REASON} characters", limit=LONGEST_REASON)
    with transaction.atomic():
        move(
            charge,
            DunningCharge.TRANSITIONS,
            to=State.WAIVED,
            action="billing.dunning_charge.waived",
            at=at,
            by=by.user,
            reason=reason,
            changes={"ended_at": at, "reason": reason},
        )
        first = JournalEntry.objects.get(idempotency_key=f"dunning-charge:{charge.pk}")
        memo = f"Waived: {reason}"
        _post(charge, f"dunning-charge:{charge.pk}:waived", -charge.amount_minor, memo, at=at, corrects=first)
