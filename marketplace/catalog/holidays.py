"""Days on which an organization's approvers do not work."""

from datetime import date, datetime

from django.db.models import QuerySet

from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import Organization
from marketplace.catalog.review_models import Holiday
from marketplace.core import audit
from marketplace.core.errors import InvalidInput


def days_of(organization_id: int) -> frozenset[date]:
    """Return the days, for due dates (one query)."""
    return frozenset(Holiday.objects.filter(organization=organization_id).values_list("day", flat=True))


def editable(actor: Actor) -> QuerySet[Holiday]:
    """Return the holidays of the organizations whose approver the person is."""
    found = Holiday.objects.select_related("organization").filter(organization__in=organizations(actor))
    return found.order_by("day", "organization__name")


def organizations(actor: Actor) -> QuerySet[Organization]:
    """Return the organizations whose holidays the person may set."""
    if actor.is_platform(Role.APPROVER, Role.OPERATOR):
        return Organization.objects.order_by("name")
    return Organization.objects.filter(pk__in=actor.organizations_as(Role.APPROVER)).order_by("name")


def add(organization: Organization, *, day: date, name: str, by: Actor, at: datetime) -> Holiday:
    """Add a holiday; the same day again gets the new name. Due dates of open reviews stay."""
    access.require(
        organizations(by).filter(pk=organization.pk).exists(), message="This is for its approvers only."
    )
    if not name.strip():
        raise InvalidInput("name", "Give it a name.", code="required")
    holiday, _ = Holiday.objects.update_or_create(
        organization=organization, day=day, defaults={"name": name.strip()[:80]}
    )
    audit.record("catalog.holiday.added", subject=holiday, at=at, by=by.user, new={"day": day.isoformat()})
    return holiday


def remove(holiday: Holiday, *, by: Actor, at: datetime) -> None:
    """Remove a holiday."""
    audit.record("catalog.holiday.removed", subject=holiday, at=at, by=by.user, old={"day": str(holiday.day)})
    holiday.delete()
