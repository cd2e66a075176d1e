"""Legal entities that issue invoices, and what was said of each from a date."""

from typing import ClassVar

from django.db import models
from django.db.models import Q
from pgtrigger import Delete, Protect, Update


class LegalEntity(models.Model):
    """A company of the platform's that issues invoices, with number series of its own.

    Series begin with ``number_prefix``: INV-2026-000001 where it is empty, DEINV-2026-000001 where it is DE.
    """

    code = models.SlugField(max_length=20, unique=True)
    number_prefix = models.CharField(max_length=6, blank=True, unique=True)
    is_default = models.BooleanField(default=False, help_text="Issues for whoever has no other one.")
    created_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "legal entities"
        constraints = [
            models.UniqueConstraint(
                fields=["is_default"], condition=Q(is_default=True), name="legal_entity_one_default"
            ),
            models.CheckConstraint(
                condition=Q(number_prefix__regex="^[A-Z]*$"), name="legal_entity_prefix_is_letters"
            ),
        ]
        triggers = [Protect(name="legal_entity_stays", operation=Delete)]

    def __str__(self) -> str:
        return self.code


class LegalEntityFacts(models.Model):
    """What is printed of a legal entity from a date. Never changed: new facts are a new row."""

    FIELDS: ClassVar[tuple[str, ...]] = (
        "name", "street", "postal_code", "city", "country", "tax_number", "vat_id", "registration", "email", "phone",
        "bank_name", "iban", "bic",
    )  # fmt: skip

    entity = models.ForeignKey("billing.LegalEntity", models.PROTECT, related_name="facts")
    starts_at = models.DateTimeField()
    name = models.CharField(max_length=160)
    street = models.CharField(max_length=160, blank=True)
    postal_code = models.CharField(max_length=20, blank=True)
    city = models.CharField(max_length=80, blank=True)
    country = models.CharField(max_length=2, blank=True)
    tax_number = models.CharField(max_length=30, blank=True)
    vat_id = models.CharField(max_length=20, blank=True)
    registration = models.CharField(
        max_length=60, blank=True, help_text="Number in the register of companies."
    )
    email = models.EmailField(blank=True)
    phone = models.CharField(max_length=30, blank=True)
    bank_name = models.CharField(max_length=80, blank=True)
    iban = models.CharField(max_length=34, blank=True)
    bic = models.CharField(max_length=11, blank=True)
    set_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")
    set_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["entity", "starts_at"], name="legal_entity_facts_once_a_moment"),
            models.CheckConstraint(condition=~Q(name=""), name="legal_entity_has_name"),
        ]
        triggers = [Protect(name="append_only", operation=Update | Delete)]

    def __str__(self) -> str:
        return self.name
