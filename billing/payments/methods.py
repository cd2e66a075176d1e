"""Ways to pay: added on the processor's page, so that no number of a card ever comes here; one is the default."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.db import transaction

from billing.models import MethodSetup, PaymentCustomer, PaymentMethod
from billing.payments.customers import customer_of, known, require_payer
from billing.payments.processor import Processor, ProcessorRefused
from marketplace.accounts.access import Actor
from marketplace.accounts.models import Organization
from marketplace.core import audit
from marketplace.core.errors import Conflict
from marketplace.core.transitions import IllegalTransition, move

Urls = Callable[[MethodSetup], tuple[str, str]]
GONE = ("payment_method_unexpected_state", "resource_missing")


class MethodGone(Conflict):
    """A way to pay that was removed is no choice any more."""

    code = "payment_method_gone"

    def __init__(self, method: PaymentMethod) -> None:
        self.method = method
        super().__init__(f"{method} was removed.")


def begin_setup(
    organization: Organization,
    *,
    processor: Processor,
    urls: Urls,
    by: Actor,
    at: datetime,
    return_path: str = "",
) -> MethodSetup:
    """Open the processor's page on which somebody adds a way to pay; `urls` gives where it leads back to.

    Raises NotAllowed, ProcessorAway, ProcessorRefused.
    """
    require_payer(organization, by=by)
    customer = customer_of(organization, at=at)
    setup = MethodSetup.objects.create(
        customer=customer, created_by=by.user, created_at=at, return_path=return_path
    )
    success_url, cancel_url = urls(setup)
    session = processor.write(
        "checkout.sessions.create",
        key=f"setup:{setup.pk}",
        mode="setup",
        customer=known(customer, processor=processor),
        currency=organization.currency.lower(),
        success_url=success_url,
        cancel_url=cancel_url,
        metadata={"setup": str(setup.pk)},
    )
    MethodSetup.objects.filter(pk=setup.pk).update(session_id=session["id"], page_url=session["url"])
    setup.session_id, setup.page_url = session["id"], session["url"]
    return setup


def finish_setup(setup: MethodSetup, *, processor: Processor, at: datetime) -> MethodSetup:
    """Look what became of a visit to the processor's page, and keep the way to pay; safe to repeat.

    Raises ProcessorAway, ProcessorRefused.
    """
    if setup.state != MethodSetup.State.OPEN or setup.session_id is None:
        return setup
    session = processor.read("checkout.sessions.retrieve", setup.session_id)
    if session["status"] == "expired":
        _move(setup, to=MethodSetup.State.EXPIRED, at=at)
    elif session["status"] == "complete":
        intent = processor.read("setup_intents.retrieve", session["setup_intent"])
        method = keep(setup.customer, intent["payment_method"], processor=processor, at=at)
        _move(setup, to=MethodSetup.State.DONE, at=at, changes={"method": method})
    return setup


def _move(setup: MethodSetup, *, to: str, at: datetime, changes: dict[str, Any] | None = None) -> None:
    try:
        move(
            setup,
            MethodSetup.TRANSITIONS,
            to=to,
            action=f"billing.method_setup.{to}",
            at=at,
            changes=changes,
        )
    except IllegalTransition:
        # The person came back and the event came in at once: both saw the same.
        setup.refresh_from_db()


def keep(customer: PaymentCustomer, method_id: str, *, processor: Processor, at: datetime) -> PaymentMethod:
    """Note down a way to pay that the processor has for a customer; the first one is the default. Safe to repeat."""
    facts = _facts(processor.read("payment_methods.retrieve", method_id))
    with transaction.atomic():
        PaymentCustomer.objects.select_for_update(of=("self",)).get(pk=customer.pk)
        has_default = customer.methods.filter(is_default=True).exists()
        method, is_new = PaymentMethod.objects.get_or_create(
            method_id=method_id,
            defaults={**facts, "customer": customer, "is_default": not has_default, "added_at": at},
        )
        if is_new:
            audit.record("billing.payment_method.added", subject=method, at=at, new={"shown": str(method)})
    return method


def _facts(found: dict[str, Any]) -> dict[str, Any]:
    kind = PaymentMethod.Kind(found["type"])
    inner = found[kind.value]
    return {
        "kind": kind,
        "brand": str(inner.get("brand") or "SEPA").replace("_", " ").title()
        if kind == "card"
        else "SEPA debit",
        "last4": inner["last4"],
        "expires_year": inner.get("exp_year"),
        "expires_month": inner.get("exp_month"),
    }


def make_default(method: PaymentMethod, *, by: Actor, at: datetime) -> None:
    """Pay with this one from now on. Raises NotAllowed, MethodGone."""
    require_payer(method.customer.organization, by=by)
    with transaction.atomic():
        PaymentCustomer.objects.select_for_update(of=("self",)).get(pk=method.customer_id)
        method.refresh_from_db()
        if method.removed_at:
            raise MethodGone(method)
        if not method.is_default:
            method.customer.methods.filter(is_default=True).update(is_default=False)
            PaymentMethod.objects.filter(pk=method.pk).update(is_default=True)
            audit.record("billing.payment_method.made_default", subject=method, at=at, by=by.user)


def remove(method: PaymentMethod, *, processor: Processor, by: Actor, at: datetime) -> None:
    """Forget a way to pay, here at once and at the processor; the newest other one becomes the default.

    Raises NotAllowed, ProcessorAway (then it is removed here, and the call may be repeated).
    """
    require_payer(method.customer.organization, by=by)
    forget(method, at=at, by=by)
    try:
        processor.write("payment_methods.detach", method.method_id, key=f"detach:{method.pk}")
    except ProcessorRefused as error:
        if error.reason not in GONE:
            raise


def forget(method: PaymentMethod, *, at: datetime, by: Actor | None = None) -> None:
    """Note down that a way to pay is gone. Without any left, nothing is collected by itself any more."""
    with transaction.atomic():
        customer = PaymentCustomer.objects.select_for_update(of=("self",)).get(pk=method.customer_id)
        method.refresh_from_db()
        if method.removed_at:
            return
        PaymentMethod.objects.filter(pk=method.pk).update(removed_at=at, is_default=False)
        audit.record("billing.payment_method.removed", subject=method, at=at, by=by.user if by else None)
        if not method.is_default:
            return
        next_one = customer.methods.filter(removed_at=None).order_by("-added_at", "-pk").first()
        if next_one:
            PaymentMethod.objects.filter(pk=next_one.pk).update(is_default=True)
        else:
            PaymentCustomer.objects.filter(pk=customer.pk).update(
                is_automatic=False, agreed_by=None, agreed_at=None
            )


def refresh(method: PaymentMethod, *, processor: Processor, at: datetime) -> None:
    """Read a way to pay anew: banks replace cards, and people remove them elsewhere."""
    found = processor.read("payment_methods.retrieve", method.method_id)
    if not found["customer"]:
        forget(method, at=at)
        return
    PaymentMethod.objects.filter(pk=method.pk).update(**_facts(found))
