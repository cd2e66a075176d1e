"""What the books take of money for an invoice that had been written off: the mirror of the write-off, in part.

Tax that was taken back is due again, creators are owed their part again, and the rest is recovered debt.
"""

from fractions import Fraction

from django.db.models import Sum

from billing.ledger import chart
from billing.ledger.journal import Leg
from billing.models import Posting, ReceivedPayment, WriteOff
from marketplace.core.money import apportion


def recovered_legs(payment: ReceivedPayment, *, is_back: bool = False) -> list[Leg]:
    """Mirror as much of the write-off's entry as a payment recovers; ``is_back`` for one that goes back as a whole.

    Parts are counted from the beginning, so several payments never bring back more than was given up, and the last one
    brings exactly what is left.
    """
    invoice = payment.invoice
    write_off = WriteOff.objects.get(invoice=invoice, state=WriteOff.State.POSTED)
    if is_back:
        posted = Posting.objects.filter(entry__idempotency_key=f"payment:{payment.pk}")
        return [_leg(one, -one.amount_minor) for one in posted.order_by("pk") if not _is_money(one, payment)]
    given_up = [
        one
        for one in Posting.objects.filter(entry__idempotency_key=f"write-off:{write_off.pk}").order_by("pk")
        if one.account != chart.RECEIVABLE.code
    ]
    before = _recovered_before(payment)
    until = _parts(given_up, before + payment.amount_minor, write_off.amount_minor)
    earlier = _parts(given_up, before, write_off.amount_minor)
    return [_leg(one, -(now - then)) for one, now, then in zip(given_up, until, earlier, strict=True)]


def _is_money(posting: Posting, payment: ReceivedPayment) -> bool:
    """Tell the leg of the account that the money came into: the only debit of a recovery."""
    return posting.amount_minor == payment.amount_minor


def _recovered_before(payment: ReceivedPayment) -> int:
    earlier = payment.invoice.payments.filter(is_recovery=True).exclude(pk=payment.pk)
    came = earlier.aggregate(total=Sum("amount_minor", default=0))["total"]
    back = payment.invoice.payment_reversals.filter(payment__is_recovery=True)
    return int(came) - int(back.aggregate(total=Sum("amount_minor", default=0))["total"])


def _parts(given_up: list[Posting], recovered_minor: int, whole_minor: int) -> list[int]:
    shares = [Fraction(one.amount_minor * recovered_minor, whole_minor) for one in given_up]
    return apportion(recovered_minor, shares)


def _leg(posting: Posting, amount_minor: int) -> Leg:
    account = (
        chart.RECOVERED_DEBT if posting.account == chart.BAD_DEBT.code else chart.BY_CODE[posting.account]
    )
    return Leg(
        account,
        amount_minor,
        posting.currency,
        organization_id=posting.organization_id,
        team_id=posting.team_id,
        app_id=posting.app_id,
    )
