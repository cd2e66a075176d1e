"""Organizations as customers of the payment processor, each once, and whether they agreed to be collected from."""

from datetime import datetime

from django.db import transaction

from billing.models import PaymentCustomer
from billing.payments.processor import Processor
from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import Organization
from marketplace.core import audit
from marketplace.core.errors import Conflict, NotAllowed


class NothingToCollectFrom(Conflict):
    """Whoever agrees to automatic collection needs a way to pay first."""

    code = "no_payment_method"

    def __init__(self) -> None:
        super().__init__("Add a card or account first.")


def require_payer(organization: Organization, *, by: Actor) -> None:
    """Raise NotAllowed unless a person pays for an organization."""
    if organization.pk not in by.organizations_as(Role.FINANCE):
        raise NotAllowed(f"This is for the finance of {organization} only.")


def customer_of(organization: Organization, *, at: datetime) -> PaymentCustomer:
    """Return the organization's customer, made when it is missing; nobody is called."""
    customer, _ = PaymentCustomer.objects.get_or_create(
        organization=organization,
        defaults={"name": organization.legal_name or organization.name, "created_at": at},
    )
    return customer


def known(customer: PaymentCustomer, *, processor: Processor) -> str:
    """Return the customer's id at the processor, which is told of it once, however many ask at once.

    Raises ProcessorAway, ProcessorRefused.
    """
    if customer.customer_id is None:
        made = processor.write(
            "customers.create",
            key=f"customer:{customer.pk}",
            name=customer.name,
            metadata={"organization": str(customer.organization_id)},
        )
        # Everybody who asked got the same one.
        PaymentCustomer.objects.filter(pk=customer.pk).update(customer_id=made["id"])
        customer.customer_id = made["id"]
    return str(customer.customer_id)


def agree(customer: PaymentCustomer, *, is_automatic: bool, by: Actor, at: datetime) -> None:
    """Agree that invoices are collected when they are issued, or take that back. Raises NotAllowed, NothingToCollectFrom."""
    require_payer(customer.organization, by=by)
    with transaction.atomic():
        customer = PaymentCustomer.objects.select_for_update(of=("self",)).get(pk=customer.pk)
        if is_automatic and not customer.methods.filter(is_default=True).exists():
            raise NothingToCollectFrom
        if customer.is_automatic == is_automatic:
            return
        PaymentCustomer.objects.filter(pk=customer.pk).update(
            is_automatic=is_automatic,
            agreed_by=by.user if is_automatic else None,
            agreed_at=at if is_automatic else None,
        )
        audit.record(
            "billing.automatic_collection.agreed" if is_automatic else "billing.automatic_collection.ended",
            subject=customer, at=at, by=by.user,
            old={"is_automatic": not is_automatic}, new={"is_automatic": is_automatic},
        )  # fmt: skip
