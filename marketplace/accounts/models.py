"""People, organizations, and the keys that machines and scripts act with."""

from datetime import datetime
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser, BaseUserManager
from django.db import models
from django.db.models import Q
from pgtrigger import Delete, UpdateOf

from marketplace.core import epochs
from marketplace.core.ids import uuid7

KEY_FACTS = UpdateOf("expires_at", "revoked_at", "secret_hash", "scopes")


class UserManager(BaseUserManager["User"]):
    """Creates people, who are known by their mail address."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)


class User(AbstractUser):
    """A person. The mail address is the name to sign in with."""

    username = None  # type: ignore[assignment]
    email = models.EmailField("mail address", unique=True)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []
    objects: ClassVar[UserManager] = UserManager()  # type: ignore[assignment]

    def __str__(self) -> str:
        return self.get_full_name() or self.email


class Organization(models.Model):
    """A company or department: the tenant. Nothing of one organization is visible to another unless listed publicly."""

    class Billing(models.TextChoices):
        INVOICE = "invoice", "Invoice to the organization"
        CHARGEBACK = "chargeback", "Statements per cost center"

    slug = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=120)
    is_platform = models.BooleanField(
        default=False, help_text="Runs this marketplace: its approvers, finance and operators act for all."
    )
    billing = models.CharField(max_length=12, choices=Billing, default=Billing.CHARGEBACK)
    currency = models.CharField(max_length=3, default="USD")
    legal_name = models.CharField(max_length=160, blank=True)
    address = models.TextField(blank=True)
    vat_id = models.CharField(max_length=20, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["is_platform"], condition=Q(is_platform=True), name="organization_one_platform"
            ),
            models.CheckConstraint(
                condition=Q(currency__regex="^[A-Z]{3}$"), name="organization_currency_is_iso"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class CostCenter(models.Model):
    """Where an organization books what its teams use."""

    class Mode(models.TextChoices):
        SHOWBACK = "showback", "Showback: statement only"
        PARALLEL = "parallel", "Parallel run: charge computed, statement shown"
        CHARGEBACK = "chargeback", "Chargeback: posted and debited"

    organization = models.ForeignKey("accounts.Organization", models.PROTECT, related_name="cost_centers")
    code = models.CharField(max_length=20)
    name = models.CharField(max_length=120)
    owner = models.ForeignKey("accounts.User", models.PROTECT, related_name="owned_cost_centers")
    mode = models.CharField(max_length=10, choices=Mode, default=Mode.SHOWBACK)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "code"], name="cost_center_code_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.code} {self.name}"


class Team(models.Model):
    """A group of people inside an organization; owns apps and subscribes to them."""

    organization = models.ForeignKey("accounts.Organization", models.PROTECT, related_name="teams")
    slug = models.SlugField(max_length=60)
    name = models.CharField(max_length=120)
    cost_center = models.ForeignKey("accounts.CostCenter", models.PROTECT, related_name="teams")
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "slug"], name="team_slug_unique"),
        ]

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """A role of a person: in one team, or (team empty) in the whole organization."""

    class Role(models.TextChoices):
        CREATOR = "creator"
        CONSUMER = "consumer"
        APPROVER = "approver"
        FINANCE = "finance"
        OPERATOR = "operator"

    user = models.ForeignKey("accounts.User", models.CASCADE, related_name="memberships")
    organization = models.ForeignKey("accounts.Organization", models.CASCADE, related_name="memberships")
    team = models.ForeignKey(
        "accounts.Team", models.CASCADE, null=True, blank=True, related_name="memberships"
    )
    role = models.CharField(max_length=10, choices=Role)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user", "organization", "team", "role"],
                name="membership_unique",
                nulls_distinct=False,
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} is {self.role} in {self.team or self.organization}"


class ApiKey(models.Model):
    """A key for machines and scripts. Only the hash of its secret is kept; it is shown once, when it is made.

    What an ``app`` key or a ``sub`` key belongs to is said by the row that points to it (catalog.AppKey,
    catalog.SubscriptionKey); a ``pat`` key acts with the rights of its person.
    """

    class Kind(models.TextChoices):
        APP = "app", "App"
        SUB = "sub", "Subscription"
        PAT = "pat", "Person"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(max_length=3, choices=Kind)
    prefix = models.CharField(max_length=16, unique=True)
    secret_hash = models.BinaryField(max_length=32)
    name = models.CharField(max_length=80, blank=True)
    scopes = models.JSONField(default=list)
    organization = models.ForeignKey("accounts.Organization", models.PROTECT, related_name="api_keys")
    user = models.ForeignKey("accounts.User", models.CASCADE, null=True, blank=True, related_name="api_keys")
    created_by = models.ForeignKey("accounts.User", models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(kind="pat", user__isnull=False) | Q(kind__in=["app", "sub"], user__isnull=True),
                name="api_key_person_has_user",
            ),
        ]
        triggers = [
            epochs.raise_epoch(epochs.DIRECTORY, name="epoch_of_keys", operation=KEY_FACTS | Delete),
        ]

    def __str__(self) -> str:
        return f"hp_{self.kind}_{self.prefix}_…"

    def is_valid(self, at: datetime) -> bool:
        """Tell whether the key may be used at this time."""
        return (self.revoked_at is None or self.revoked_at > at) and (
            self.expires_at is None or self.expires_at > at
        )
