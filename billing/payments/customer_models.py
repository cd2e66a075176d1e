"""Who pays by card or debit, and by which ways."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from marketplace.core.ids import uuid7
from marketplace.core.transitions import Transitions


class PaymentCustomer(models.Model):
    """An organization as the processor knows it; one for each, made when it first pays or adds a way to pay."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.OneToOneField(
        "accounts.Organization", models.PROTECT, related_name="payment_customer"
    )
    name = models.CharField(max_length=160, help_text="As it was sent first: a repeated call sends the same.")
    customer_id = models.CharField(max_length=80, null=True, blank=True, unique=True)
    is_automatic = models.BooleanField(
        default=False, help_text="Invoices are collected when they are issued."
    )
    agreed_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")
    agreed_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(is_automatic=False) | Q(agreed_by__isnull=False, agreed_at__isnull=False),
                name="payment_customer_automatic_is_agreed",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class PaymentMethod(models.Model):
    """A card or account that an organization pays with. Of its number only the end is known here."""

    class Kind(models.TextChoices):
        CARD = "card", "Card"
        SEPA_DEBIT = "sepa_debit", "SEPA debit"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey("billing.PaymentCustomer", models.PROTECT, related_name="methods")
    method_id = models.CharField(max_length=80, unique=True)
    kind = models.CharField(max_length=10, choices=Kind)
    brand = models.CharField(max_length=40)
    last4 = models.CharField(max_length=4)
    expires_year = models.PositiveSmallIntegerField(null=True, blank=True)
    expires_month = models.PositiveSmallIntegerField(null=True, blank=True)
    is_default = models.BooleanField(default=False)
    added_at = models.DateTimeField()
    removed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["customer"], condition=Q(is_default=True), name="payment_method_one_default"
            ),
            models.CheckConstraint(
                condition=Q(is_default=False) | Q(removed_at__isnull=True),
                name="payment_method_default_is_there",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.brand} …{self.last4}"


class MethodSetup(models.Model):
    """A visit to the processor's page on which somebody adds a way to pay."""

    class State(models.TextChoices):
        OPEN = "open"
        DONE = "done"
        EXPIRED = "expired"

    TRANSITIONS: ClassVar[Transitions] = {
        "open": frozenset({"done", "expired"}),
        "expired": frozenset(),
        "done": frozenset(),
    }

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    customer = models.ForeignKey("billing.PaymentCustomer", models.PROTECT, related_name="setups")
    session_id = models.CharField(max_length=120, null=True, blank=True, unique=True)
    page_url = models.TextField(blank=True)
    return_path = models.CharField(
        max_length=200, blank=True, help_text="Where the person goes on afterwards."
    )
    state = models.CharField(max_length=7, choices=State, default=State.OPEN)
    method = models.ForeignKey(
        "billing.PaymentMethod", models.PROTECT, null=True, blank=True, related_name="+"
    )
    created_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.customer}: {self.state}"
