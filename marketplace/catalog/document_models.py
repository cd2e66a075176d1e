"""Texts that a hosted app answers from."""

from django.db import models
from django.db.models import Q
from pgtrigger import Protect, Update

from marketplace.core.ids import uuid7

MAX_CHARS = 400_000


class AppDocument(models.Model):
    """A document that a maker handed in with an app, as cleaned text. Never changed; the same text is kept once.

    Which documents a version has stands in ``Version.documents``, each under the name that it was given there.
    """

    class Kind(models.TextChoices):
        TEXT = "text", "Text"
        MARKDOWN = "markdown", "Markdown"
        HTML = "html", "HTML"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    app = models.ForeignKey("catalog.App", models.CASCADE, related_name="documents")
    kind = models.CharField(max_length=8, choices=Kind)
    sha256 = models.CharField(max_length=64, help_text="Of the cleaned text.")
    text = models.TextField()
    chars = models.PositiveIntegerField()
    uploaded_by = models.ForeignKey("accounts.User", models.PROTECT, related_name="+")
    uploaded_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["app", "sha256"], name="app_document_once"),
            models.CheckConstraint(
                condition=Q(chars__gt=0, chars__lte=MAX_CHARS), name="app_document_bounded"
            ),
        ]
        triggers = [Protect(name="app_document_stays", operation=Update)]

    def __str__(self) -> str:
        return f"document {self.sha256[:8]} of {self.app}"
