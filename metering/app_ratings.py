"""Who may rate an app: people whose team has called it, as the roll-ups say."""

from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet

from marketplace.accounts.access import Actor
from marketplace.accounts.models import Team
from marketplace.catalog import ratings
from marketplace.catalog.models import App
from marketplace.catalog.rating_models import Rating
from metering.models import DailyRollup


def calling_teams(app: App, *, by: Actor) -> QuerySet[Team]:
    """Teams of the person that have called an app, in the sandbox too; never its owner (one query)."""
    called = DailyRollup.objects.filter(
        attribution__app=app, attribution__team__in=by.team_ids, requests__gt=0
    ).values("attribution__team")
    return Team.objects.filter(pk__in=called).exclude(pk=app.owner_team_id).order_by("name", "pk")


def rate(app: App, *, stars: int, text: str, by: Actor, at: datetime) -> Rating:
    """Rate an app when the roll-ups of this transaction know of calls of the person's team.

    Raises what ``ratings.record`` raises.
    """
    with transaction.atomic():
        teams = list(calling_teams(app, by=by))
        return ratings.record(app, stars=stars, text=text, by=by, calling_teams=teams, at=at)
