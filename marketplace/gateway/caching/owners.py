"""Whose app's saving somebody may see and set."""

from django.db.models import QuerySet

from marketplace.accounts.access import Actor, Role
from marketplace.catalog import queries_creator
from marketplace.catalog.models import App


def apps_to_save(actor: Actor) -> QuerySet[App]:
    """Apps of the teams in which the person is a creator; for the platform's operators, all."""
    if actor.is_platform(Role.OPERATOR):
        return App.objects.select_related("owner_team__organization", "listing")
    return queries_creator.owned_apps(actor)
