"""How an organization wants its invoices, and certificates by which it pays no tax."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q


class BillingProfile(models.Model):
    """Whom invoices of an organization are made out to, in which language, and where they are sent."""

    class Language(models.TextChoices):
        EN = "en", "English"
        DE = "de", "German"

    FIELDS: ClassVar[tuple[str, ...]] = (
        "legal_name", "street", "postal_code", "city", "country", "vat_id", "language", "emails", "purchase_order",
        "buyer_reference",
    )  # fmt: skip

    organization = models.OneToOneField(
        "accounts.Organization", models.PROTECT, related_name="billing_profile"
    )
    legal_name = models.CharField(max_length=160)
    street = models.CharField(max_length=160, blank=True)
    postal_code = models.CharField(max_length=20, blank=True)
    city = models.CharField(max_length=80, blank=True)
    country = models.CharField(max_length=2, blank=True)
    vat_id = models.CharField(max_length=20, blank=True)
    language = models.CharField(max_length=2, choices=Language, default=Language.EN)
    emails = ArrayField(models.EmailField(), default=list, blank=True)
    purchase_order = models.CharField(max_length=40, blank=True)
    buyer_reference = models.CharField(max_length=60, blank=True, help_text="Such as a routing id.")
    payment_days = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="Agreed; else the house's."
    )
    entity = models.ForeignKey(
        "billing.LegalEntity", models.PROTECT, null=True, blank=True, related_name="profiles"
    )
    updated_at = models.DateTimeField()
    updated_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(language__in=["en", "de"]), name="billing_profile_language_known"
            ),
            models.CheckConstraint(
                condition=Q(payment_days__isnull=True) | Q(payment_days__lte=180),
                name="billing_profile_terms_bounded",
            ),
        ]

    def __str__(self) -> str:
        return self.legal_name


class ExemptionCertificate(models.Model):
    """What an organization shows to pay no tax: a number and a reason, from a day to a day."""

    organization = models.ForeignKey(
        "accounts.Organization", models.PROTECT, related_name="exemption_certificates"
    )
    number = models.CharField(max_length=60)
    reason = models.CharField(max_length=200, help_text="Printed on invoices, such as the clause of the law.")
    starts_date = models.DateField()
    ends_date = models.DateField(help_text="The last day on which it holds.")
    recorded_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    recorded_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(ends_date__gte=F("starts_date")), name="exemption_ends_after_start"
            ),
            models.UniqueConstraint(fields=["organization", "number"], name="exemption_certificate_once"),
        ]

    def __str__(self) -> str:
        return self.number
