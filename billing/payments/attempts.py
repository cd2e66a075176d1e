"""Paying an invoice: an attempt is written down, carried out at the processor, and settles what it took, once."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction

from billing import balances, settling
from billing.ledger import chart
from billing.models import Invoice, PaymentAttempt, PaymentCustomer, PaymentMethod, ReceivedPayment
from billing.payments import background
from billing.payments.customers import customer_of, known, require_payer
from billing.payments.methods import MethodGone
from billing.payments.processor import Declined, Processor, ProcessorRefused
from billing.payments.telling import tell_of_failure
from marketplace.accounts.access import Actor
from marketplace.core.errors import Conflict
from marketplace.core.transitions import IllegalTransition, move

State = PaymentAttempt.State
# Stripe remembers idempotency keys for a day. Before a call is repeated after so long, we look whether it was made.
KEYS_ARE_SURE_FOR = timedelta(hours=20)
OF_INTENT = {
    "succeeded": State.SUCCEEDED,
    "processing": State.PROCESSING,
    "requires_action": State.REQUIRES_ACTION,
    "canceled": State.CANCELED,
}
LONGEST = 300
# Stands in the address to return to for the attempt, which is not known before it is made.
ATTEMPT = "{attempt}"


class PaymentUnderWay(Conflict):
    """One payment of an invoice ends before the next one begins."""

    code = "payment_under_way"

    def __init__(self, invoice: Invoice) -> None:
        self.invoice = invoice
        super().__init__(f"A payment of {invoice} is under way.")


class NothingDue(Conflict):
    """What is paid, given back or written off takes no payment."""

    code = "nothing_due"

    def __init__(self, invoice: Invoice) -> None:
        self.invoice = invoice
        super().__init__(f"Nothing is due of {invoice}.")


def pay(
    invoice: Invoice, *, method: PaymentMethod | None, return_url: str, by: Actor, at: datetime
) -> PaymentAttempt:
    """Begin to pay all that is due of an invoice, by a way to pay that is known or, without one, on the processor's page.

    The payer comes back to `return_url`, in which ``{attempt}`` becomes the attempt's id.
    Nobody is called yet: `carry_out` does that, here or by the job that is queued along. Locks the invoice.
    Raises NotAllowed, NothingDue, MethodGone, PaymentUnderWay.
    """
    require_payer(invoice.organization, by=by)
    customer = customer_of(invoice.organization, at=at)
    if method is not None and (method.removed_at or method.customer_id != customer.pk):
        raise MethodGone(method)
    return begin(invoice, customer=customer, method=method, return_url=return_url, by=by, at=at)


def begin(
    invoice: Invoice,
    *,
    customer: PaymentCustomer,
    method: PaymentMethod | None,
    at: datetime,
    return_url: str = "",
    by: Actor | None = None,
) -> PaymentAttempt:
    """Write an attempt down with the job that carries it out. Without `by` it is an automatic one."""
    try:
        with transaction.atomic():
            invoice = settling.locked(invoice)
            due_minor = settling.due_of(invoice).minor
            if not settling.is_open(invoice) or due_minor <= 0:
                raise NothingDue(invoice)
            attempt = PaymentAttempt(
                invoice=invoice,
                customer=customer,
                method=method,
                amount_minor=due_minor,
                currency=invoice.currency,
                is_automatic=by is None,
                created_by=by.user if by else None,
                created_at=at,
            )
            attempt.return_url = return_url.replace(ATTEMPT, str(attempt.pk))
            attempt.save(force_insert=True)
            background.queue_attempt(attempt, at=at)
    except IntegrityError as error:
        raise PaymentUnderWay(invoice) from error
    return attempt


def carry_out(attempt: PaymentAttempt, *, processor: Processor, at: datetime) -> PaymentAttempt:
    """Ask the processor for the payment, once however often this is repeated, and note down what became of it.

    Raises ProcessorAway; whether the payment was made is then unknown, and known after the next repetition.
    """
    if attempt.state != State.CREATED:
        return (
            refresh(attempt, processor=processor, at=at)
            if attempt.state in PaymentAttempt.ACTIVE
            else attempt
        )
    if attempt.session_id:
        return refresh(attempt, processor=processor, at=at)
    if attempt.method is None:
        return _open_page(attempt, processor=processor)
    intent = _made_before(attempt, processor=processor, at=at)
    try:
        intent = intent or _create_intent(attempt, attempt.method, processor=processor)
    except Declined as error:
        if error.facts:
            return apply(attempt, error.facts, at=at)
        return _fail(attempt, code=error.reason, message=error.message, at=at)
    except ProcessorRefused as error:
        return _fail(attempt, code=error.reason, message=error.message, at=at)
    return apply(attempt, intent, at=at)


def _made_before(attempt: PaymentAttempt, *, processor: Processor, at: datetime) -> dict[str, Any] | None:
    """Find the intent of an attempt whose key the processor may have forgotten."""
    if at - attempt.created_at < KEYS_ARE_SURE_FOR:
        return None
    since = {"gte": int(attempt.created_at.timestamp())}
    customer = known(attempt.customer, processor=processor)
    for intent in processor.pages("payment_intents.list", customer=customer, created=since):
        if intent["metadata"].get("attempt") == str(attempt.pk):
            return intent
    return None


def _create_intent(attempt: PaymentAttempt, method: PaymentMethod, *, processor: Processor) -> dict[str, Any]:
    presence = {"off_session": True} if attempt.is_automatic else {"return_url": attempt.return_url}
    return processor.write(
        "payment_intents.create",
        key=f"attempt:{attempt.pk}",
        amount=attempt.amount_minor,
        currency=attempt.currency.lower(),
        customer=known(attempt.customer, processor=processor),
        payment_method=method.method_id,
        payment_method_types=[method.kind],
        confirm=True,
        description=str(attempt.invoice.number),
        metadata=_metadata(attempt),
        **presence,
    )


def _metadata(attempt: PaymentAttempt) -> dict[str, str]:
    return {"attempt": str(attempt.pk), "invoice": str(attempt.invoice.number)}


def _open_page(attempt: PaymentAttempt, *, processor: Processor) -> PaymentAttempt:
    """Open the processor's page on which the payer chooses how to pay, and keeps that for the next time."""
    item = {
        "quantity": 1,
        "price_data": {
            "currency": attempt.currency.lower(),
            "unit_amount": attempt.amount_minor,
            "product_data": {"name": f"Invoice {attempt.invoice.number}"},
        },
    }
    session = processor.write(
        "checkout.sessions.create",
        key=f"attempt-page:{attempt.pk}",
        mode="payment",
        customer=known(attempt.customer, processor=processor),
        line_items=[item],
        success_url=attempt.return_url,
        cancel_url=attempt.return_url,
        metadata=_metadata(attempt),
        payment_intent_data={"metadata": _metadata(attempt), "setup_future_usage": "off_session"},
    )
    changes = {"session_id": session["id"], "page_url": session["url"]}
    PaymentAttempt.objects.filter(pk=attempt.pk).update(**changes)
    attempt.session_id, attempt.page_url = session["id"], session["url"]
    return attempt


def refresh(attempt: PaymentAttempt, *, processor: Processor, at: datetime) -> PaymentAttempt:
    """Ask the processor how an attempt stands, and note that down. Raises ProcessorAway, ProcessorRefused."""
    intent_id = attempt.intent_id
    if intent_id is None and attempt.session_id:
        session = processor.read("checkout.sessions.retrieve", attempt.session_id)
        intent_id = session["payment_intent"]
        if intent_id is None and session["status"] == "expired":
            _move(attempt, State.CANCELED, at=at, changes={"ended_at": at})
    if intent_id is None:
        return attempt
    return apply(attempt, processor.read("payment_intents.retrieve", intent_id), at=at)


def apply(attempt: PaymentAttempt, intent: dict[str, Any], *, at: datetime) -> PaymentAttempt:
    """Note down what the processor says of an attempt, and settle it when the money is there.

    States go forward only, so what comes late, twice or out of order changes nothing.
    """
    error = intent.get("last_payment_error") or {}
    to = OF_INTENT.get(intent["status"]) or (State.FAILED if error else None)
    if to is None or to == attempt.state:
        return attempt
    changes = {
        "intent_id": intent["id"],
        "charge_id": intent.get("latest_charge") or "",
        "page_url": _bank_page(intent),
        "failure_code": str(error.get("decline_code") or error.get("code") or "")
        if to == State.FAILED
        else "",
        "failure_message": str(error.get("message") or "")[:LONGEST] if to == State.FAILED else "",
        "ended_at": None if to in PaymentAttempt.ACTIVE else at,
    }
    if to == State.SUCCEEDED:
        return _succeed(attempt, changes, received_minor=int(intent["amount_received"]), at=at)
    _move(attempt, to, at=at, changes=changes)
    return attempt


def _bank_page(intent: dict[str, Any]) -> str:
    redirect = (intent.get("next_action") or {}).get("redirect_to_url") or {}
    return str(redirect.get("url") or "")


def _move(attempt: PaymentAttempt, to: str, *, at: datetime, changes: dict[str, Any]) -> bool:
    """Move an attempt; False when it is further than that already."""
    try:
        with transaction.atomic():
            move(
                attempt,
                PaymentAttempt.TRANSITIONS,
                to=to,
                action=f"billing.payment.{to}",
                at=at,
                changes=changes,
            )
            if to == State.FAILED:
                tell_of_failure(attempt, at=at)
    except IllegalTransition:
        attempt.refresh_from_db()
        return False
    return True


def _fail(attempt: PaymentAttempt, *, code: str, message: str, at: datetime) -> PaymentAttempt:
    changes = {"failure_code": code[:60], "failure_message": message[:LONGEST], "ended_at": at}
    _move(attempt, State.FAILED, at=at, changes=changes)
    return attempt


def _succeed(
    attempt: PaymentAttempt, changes: dict[str, Any], *, received_minor: int, at: datetime
) -> PaymentAttempt:
    """Settle what is due with what came in; what came beyond it is the payer's balance."""
    with transaction.atomic():
        # In the order of everybody who settles: the invoice first.
        invoice = settling.locked(attempt.invoice)
        if not _move(attempt, State.SUCCEEDED, at=at, changes=changes):
            return attempt
        money: dict[str, Any] = {
            "amount_minor": received_minor,
            "reference": str(changes["intent_id"]),
            "received_date": at.date(),
            "by": attempt.created_by,
            "at": at,
            "money": chart.PROCESSOR_BALANCE,
        }
        if settling.is_payable(invoice):
            settling.book_payment(invoice, source=ReceivedPayment.Source.CARD, **money)
        else:
            balances.keep(invoice.organization_id, currency=attempt.currency, **money)
    return attempt


def cancel(attempt: PaymentAttempt, *, processor: Processor, by: Actor, at: datetime) -> PaymentAttempt:
    """Give up an attempt that waits for its payer. Raises NotAllowed, ProcessorAway, PaymentUnderWay when it is too late."""
    require_payer(attempt.invoice.organization, by=by)
    refresh(attempt, processor=processor, at=at)
    if attempt.state not in PaymentAttempt.ACTIVE:
        return attempt
    try:
        if attempt.intent_id:
            intent = processor.write(
                "payment_intents.cancel", attempt.intent_id, key=f"cancel-attempt:{attempt.pk}"
            )
            return apply(attempt, intent, at=at)
        if attempt.session_id:
            processor.write(
                "checkout.sessions.expire", attempt.session_id, key=f"cancel-attempt:{attempt.pk}"
            )
    except ProcessorRefused as error:
        raise PaymentUnderWay(attempt.invoice) from error
    _move(attempt, State.CANCELED, at=at, changes={"ended_at": at})
    return attempt


def attempt_of_intent(intent_id: str, metadata: dict[str, Any]) -> PaymentAttempt | None:
    """Find the attempt that an intent belongs to, also when the answer of its call got lost."""
    found = PaymentAttempt.objects.select_related("invoice__organization", "customer", "method")
    if one := found.filter(intent_id=intent_id).first():
        return one
    try:
        return found.filter(pk=UUID(str(metadata.get("attempt")))).first()
    except ValueError:
        return None
