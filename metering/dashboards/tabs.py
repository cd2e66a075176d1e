"""The ways between pages of usage, and to the page of one thing."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.urls import NoReverseMatch, reverse

from marketplace.accounts.access import PLATFORM_ROLES, Actor, Role
from marketplace.accounts.models import Team

# Who may look at the whole platform.
PLATFORM_READERS = (Role.FINANCE, Role.OPERATOR)
MOST_TEAMS = 3
# The pages of one thing, by the dimension whose ids they take.
BOARDS = {
    "app": "metering:app-usage",
    "team": "metering:team-board",
    "cost_center": "metering:cost-center-board",
    "model": "metering:model-board",
}


def sections(actor: Actor, *, current: str) -> list[dict[str, Any]]:
    """List the pages of usage of a person: exploring, the platform, their first teams, what is kept (no query)."""
    found = [("explore", "Explore", reverse("metering:usage"))]
    if actor.is_platform(*PLATFORM_READERS):
        found.append(("platform", "Platform", reverse("metering:platform-board")))
    teams = {one.team_id: one.team for one in actor.memberships if one.team is not None}
    for team in list(teams.values())[:MOST_TEAMS]:
        found.append((f"team-{team.pk}", team.name, _team_url(team, actor)))
    found.append(("limits", "Against limits", reverse("quotas:my-usage")))
    found.append(("kept", "Saved and mailed", reverse("metering:kept")))
    return [{"label": label, "url": url, "is_current": name == current} for name, label, url in found]


def board_of(dimension: str, id_: str | None) -> str:
    """Return the page of one thing; empty where there is none."""
    if dimension not in BOARDS or id_ is None:
        return ""
    try:
        return reverse(BOARDS[dimension], args=[id_])
    except NoReverseMatch:
        return ""


def board_of_filters(filters: Mapping[str, Sequence[str]], *, actor: Actor) -> str:
    """Return the page of the one thing that a question is about; empty when it is about more, or not for the person.

    Models have a page for everybody; for the others only those who see everything are sure to be let in (no query).
    """
    if len(filters) != 1:
        return ""
    ((dimension, values),) = filters.items()
    is_let_in = dimension == "model" or actor.is_platform(*PLATFORM_ROLES)
    return board_of(dimension, values[0]) if len(values) == 1 and is_let_in else ""


def _team_url(team: Team, actor: Actor) -> str:
    """The memberships of an actor came with their organizations, their teams did not."""
    slugs = {one.organization_id: one.organization.slug for one in actor.memberships}
    return reverse("metering:team-board", args=[f"{slugs[team.organization_id]}/{team.slug}"])
