"""That a document was mailed to an address, each time."""

from django.db import models
from django.db.models import Q
from pgtrigger import Delete, Protect

from marketplace.core.ids import uuid7


class DocumentMail(models.Model):
    """One mail of an invoice or credit note to one address: by itself when issued (round 1), or sent again."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    invoice = models.ForeignKey(
        "billing.Invoice", models.PROTECT, null=True, blank=True, related_name="mails"
    )
    credit_note = models.ForeignKey(
        "billing.CreditNote", models.PROTECT, null=True, blank=True, related_name="mails"
    )
    address = models.EmailField()
    round = models.PositiveIntegerField()
    asked_at = models.DateTimeField()
    asked_by = models.ForeignKey("accounts.User", models.PROTECT, null=True, blank=True, related_name="+")
    # Deliveries are forgotten after a while; that the document was sent stays.
    delivery = models.ForeignKey(
        "core.NoticeDelivery", models.SET_NULL, null=True, blank=True, related_name="+"
    )

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(invoice__isnull=False, credit_note=None)
                | Q(invoice=None, credit_note__isnull=False),
                name="document_mail_of_one_document",
            ),
            models.UniqueConstraint(
                fields=["invoice", "credit_note", "address", "round"],
                name="document_mail_once_a_round",
                nulls_distinct=False,
            ),
        ]
        triggers = [Protect(name="document_mail_stays", operation=Delete)]

    def __str__(self) -> str:
        return f"{self.invoice or self.credit_note} to {self.address}"
