"""Reading events: each names a thing, and what that thing is now is asked of the processor.

So the order in which events come, and how often, does not matter: a payload is never taken for the present.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet

from billing.models import ConnectedAccount, MethodSetup, PaymentAttempt, PaymentMethod, ProcessorEvent
from billing.payments import accounts, attempts, balance, disputes, methods, refunds
from billing.payments.processor import Processor, ProcessorRefused
from marketplace.core.transitions import move

M = TypeVar("M", bound=Model)
State = ProcessorEvent.State
# Gives False when the thing is none of ours.
Reader = Callable[[dict[str, Any], Processor, datetime], bool]


def read(event: ProcessorEvent, *, processor: Processor, at: datetime) -> ProcessorEvent:
    """Do what an event asks for; unknown types, and things that are not ours, are kept and left alone.

    Safe to repeat. Raises ProcessorAway.
    """
    reader = _reader_of(event.type)
    thing = event.payload["data"]["object"]
    try:
        is_ours = reader is not None and reader(thing, processor, at)
    except ProcessorRefused as error:
        return _end(event, State.FAILED, error.message, at=at)
    if is_ours:
        return _end(event, State.DONE, "", at=at)
    note = "It is about nothing of ours." if reader else "Nothing follows from events of this type."
    return _end(event, State.IGNORED, note, at=at)


def fail(event: ProcessorEvent, *, why: str, at: datetime) -> ProcessorEvent:
    """Note down that an event could not be read."""
    return _end(event, State.FAILED, why, at=at)


def _end(event: ProcessorEvent, to: str, note: str, *, at: datetime) -> ProcessorEvent:
    changes = {"note": note[:300], "ended_at": at}
    move(
        event,
        ProcessorEvent.TRANSITIONS,
        to=to,
        action=f"billing.processor_event.{to}",
        at=at,
        changes=changes,
    )
    return event


def _payment(intent: dict[str, Any], processor: Processor, at: datetime) -> bool:
    attempt = attempts.attempt_of_intent(intent["id"], intent.get("metadata") or {})
    if attempt is None:
        return False
    attempts.apply(attempt, processor.read("payment_intents.retrieve", intent["id"]), at=at)
    return True


def _session(session: dict[str, Any], processor: Processor, at: datetime) -> bool:
    told = session.get("metadata") or {}
    setup = _ours(MethodSetup.objects.select_related("customer"), session["id"], told.get("setup"))
    if setup is not None:
        methods.finish_setup(setup, processor=processor, at=at)
        return True
    attempt = _ours(PaymentAttempt.objects.select_related("invoice"), session["id"], told.get("attempt"))
    if attempt is None:
        return False
    attempts.refresh(attempt, processor=processor, at=at)
    _keep_method(attempt, processor, at)
    return True


def _ours(found: QuerySet[M], session_id: str, key: str | None) -> M | None:
    """Find what a session was opened for, also when the answer of its call got lost."""
    if one := found.filter(session_id=session_id).first():
        return one
    try:
        lost = found.filter(pk=key, session_id=None)
        return found.get(session_id=session_id) if key and lost.update(session_id=session_id) else None
    except ValidationError:
        return None


def _keep_method(attempt: PaymentAttempt, processor: Processor, at: datetime) -> None:
    """Keep what somebody paid with on the processor's page, so that the next time needs no page."""
    if attempt.intent_id is None or attempt.state not in ("succeeded", "processing"):
        return
    intent = processor.read("payment_intents.retrieve", attempt.intent_id)
    if intent.get("payment_method"):
        methods.keep(attempt.customer, intent["payment_method"], processor=processor, at=at)


def _method(found: dict[str, Any], processor: Processor, at: datetime) -> bool:
    method = PaymentMethod.objects.filter(method_id=found["id"]).first()
    if method is not None:
        methods.refresh(method, processor=processor, at=at)
    return method is not None


def _refund(found: dict[str, Any], processor: Processor, at: datetime) -> bool:
    refund = refunds.refund_of(found["id"], found.get("metadata") or {})
    if refund is not None:
        refunds.apply(refund, processor.read("refunds.retrieve", found["id"]), at=at)
    return refund is not None


def _dispute(found: dict[str, Any], processor: Processor, at: datetime) -> bool:
    return disputes.refresh(found["id"], processor=processor, at=at) is not None


def _account(found: dict[str, Any], processor: Processor, at: datetime) -> bool:
    account = ConnectedAccount.objects.filter(account_id=found["id"]).first()
    if account is not None:
        accounts.refresh(account, processor=processor, at=at)
    return account is not None


def _balance(found: dict[str, Any], processor: Processor, at: datetime) -> bool:
    balance.sync(processor=processor, at=at)
    return True


READERS: dict[str, Reader] = {
    "payment_intent.": _payment,
    "checkout.session.": _session,
    "payment_method.": _method,
    "refund.": _refund,
    "charge.refund.": _refund,
    "charge.dispute.": _dispute,
    "account.updated": _account,
    "payout.paid": _balance,
    "payout.failed": _balance,
    "topup.succeeded": _balance,
    "topup.reversed": _balance,
    "balance.available": _balance,
}


def _reader_of(event_type: str) -> Reader | None:
    exact = READERS.get(event_type)
    if exact is not None or event_type.endswith("."):
        return exact
    return next(
        (reader for start, reader in READERS.items() if start.endswith(".") and event_type.startswith(start)),
        None,
    )
