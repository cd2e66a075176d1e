"""Forms of apps that somebody has begun and not saved: what was typed, so that it is there again."""

from django.db import models


class UnfinishedForm(models.Model):
    """What a person has typed into the form of an app, complete or not. Theirs alone; nothing is made of it by itself."""

    id = models.UUIDField(primary_key=True, editable=False)
    person = models.ForeignKey("accounts.User", models.CASCADE, related_name="+")
    template = models.CharField(max_length=40, blank=True, help_text="Of a new app.")
    version = models.ForeignKey("catalog.Version", models.CASCADE, null=True, blank=True, related_name="+")
    data = models.JSONField(help_text="Fields and their values, as a browser sends them.")
    saved_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(template="", version__isnull=False)
                | (~models.Q(template="") & models.Q(version__isnull=True)),
                name="unfinished_form_of_template_or_version",
            ),
        ]
        indexes = [models.Index(fields=["person", "-saved_at"], name="unfinished_of_person")]

    def __str__(self) -> str:
        return self.name

    @property
    def name(self) -> str:
        """What the app is called so far."""
        return str((self.data.get("name") or [""])[0]).strip()[:80] or "An app without a name"
