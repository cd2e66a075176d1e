"""Who is told of an app's checks: who makes it, and who decides on it."""

from django.db.models import Q, QuerySet

from marketplace.accounts.access import Role
from marketplace.accounts.models import User
from marketplace.catalog.models import App


def makers_of(app: App) -> QuerySet[User]:
    """Creators of the team that owns an app."""
    return User.objects.filter(
        memberships__team=app.owner_team_id, memberships__role=Role.CREATOR, is_active=True
    ).distinct()


def approvers_of(app: App) -> QuerySet[User]:
    """Approvers of an app's organization and of the platform's own."""
    served = Q(memberships__organization=app.owner_team.organization_id) | Q(
        memberships__organization__is_platform=True
    )
    return User.objects.filter(served, memberships__role=Role.APPROVER, is_active=True).distinct()
