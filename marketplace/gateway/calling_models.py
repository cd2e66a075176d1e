"""How the calls of an app are handled beyond what its version says."""

from django.db import models

from marketplace.core import epochs


class AppCalling(models.Model):
    """What an app wants of its calls. Without a row, or where it says nothing, what the platform sets is done."""

    class Leaving(models.TextChoices):
        CANCEL = "cancel", "End the answer and pay for what was delivered"
        DRAIN = "drain", "Let the answer come to its end and pay for all of it"

    app = models.OneToOneField("catalog.App", models.CASCADE, primary_key=True, related_name="calling")
    when_caller_leaves = models.CharField(
        max_length=6,
        choices=Leaving.choices,
        blank=True,
        help_text="When a caller leaves in the middle of a stream.",
    )

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(when_caller_leaves__in=["", "cancel", "drain"]),
                name="app_calling_leaving_is_known",
            )
        ]
        triggers = [epochs.raise_epoch(epochs.DIRECTORY, name="epoch_of_app_calling")]

    def __str__(self) -> str:
        return str(self.app)
