"""Back to a version that was approved before, in one step."""

from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet
from django.urls import reverse

from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.catalog import check_states, publishing, searching, takedowns
from marketplace.catalog.app_people import approvers_of, makers_of
from marketplace.catalog.models import App, Version
from marketplace.catalog.reviews import ChecksNotPassed, NotFoundAfterPublishing
from marketplace.catalog.takedown_models import Takedown
from marketplace.core import proposing
from marketplace.core.errors import Conflict
from marketplace.core.notices import notify


@transaction.atomic
def roll_back(version: Version, *, by: Actor, at: datetime, reason: str) -> None:
    """Put an earlier version live again in the place of the one that is; the price stays as it is offered now.

    For the app's makers and its approvers. Raises NotAllowed, InvalidInput without a reason, NotLive when nothing is
    live (an app that was taken down does not come back this way), ChecksNotPassed when the earlier version does not
    pass today's rules, Conflict for one that was never live and while a takedown is open.
    """
    reason = proposing.require_reason(reason, who="The log keeps it, and its makers read it.")
    access.require(may_roll_back(version.app, by), message="This is for the app's makers and approvers.")
    rows = Version.objects.select_for_update(of=("self",)).filter(app=version.app_id).order_by("pk")
    versions = list(rows.select_related("app__owner_team__organization"))
    target = next(one for one in versions if one.pk == version.pk)
    live = next((one for one in versions if one.state == Version.State.LISTED), None)
    if live is None:
        raise takedowns.NotLive(version.app)
    if target.state != Version.State.DEPRECATED:
        raise Conflict("Only a version that was live before can come back.", code="never_live")
    if Takedown.objects.filter(app=version.app_id, state__in=Takedown.OPEN).exists():
        raise Conflict(
            "A takedown is under way. A new version that is approved ends it.", code="takedown_open"
        )
    if titles := check_states.blocking(target, at=at):
        raise ChecksNotPassed(titles)
    publishing.put_live(target, by=by.user, at=at, reason=f"Rolled back from version {live.number}: {reason}")
    if not searching.finds(target.app, text=target.app.name, actor=by):
        raise NotFoundAfterPublishing(target)
    version.refresh_from_db()
    text = f"{by.user} rolled {target.app} back from version {live.number} to {target.number}: {reason}"
    people = (makers_of(target.app) | approvers_of(target.app)).distinct().exclude(pk=by.user.pk)
    notify(
        people,
        text=text,
        at=at,
        key=f"roll-back:{target.pk}:{at.isoformat()}",
        path=reverse("catalog:lifecycle", args=[target.app.slug]),
    )


def earlier(app: App) -> QuerySet[Version]:
    """Return the versions that can come back, the newest first."""
    return app.versions.filter(state=Version.State.DEPRECATED).order_by("-number")


def may_roll_back(app: App, actor: Actor) -> bool:
    """Tell whether this person makes the app or is an approver for it."""
    return app.owner_team_id in actor.teams_as(Role.CREATOR) or takedowns.is_approver(app, actor)
