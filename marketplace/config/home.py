"""The page at `/`: what this is, for whoever comes by; what is due, for people who are signed in.

It shows things of several apps side by side, so it lives in the one place that may know them all.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from billing.queries import Month, months
from marketplace.accounts.access import Actor
from marketplace.accounts.models import Membership
from marketplace.accounts.requests import PersonRequest
from marketplace.catalog import queries
from marketplace.catalog.models import App, Review, Subscription, Version
from marketplace.config.context import ROLE_ICONS
from marketplace.core.models import Job

Role = Membership.Role
SHOWN, SHOWN_SUBSCRIPTIONS, SHOWN_MONTHS = 5, 3, 3

TOURS: tuple[dict[str, Any], ...] = (
    {
        "role": Role.CREATOR,
        "begins_at": "catalog:creator-templates",
        "title": "List an app and be paid for it",
        "steps": (
            "Start from a template: a prompt that we run, or an endpoint of your own.",
            "Set a price and see the worked bill while you type.",
            "Submit. A real trial run measures what a call costs.",
        ),
    },
    {
        "role": Role.CONSUMER,
        "begins_at": "catalog:listings",
        "title": "Find an app, try it, subscribe",
        "steps": (
            "Search the catalogue and try an app in its page, on sandbox credit.",
            "Subscribe with a team and a cost center, and make a key.",
            "Call it with any OpenAI client and watch usage against your limits.",
        ),
    },
    {
        "role": Role.APPROVER,
        "begins_at": "catalog:reviews",
        "title": "Decide with the cost in view",
        "steps": (
            "Open the oldest review: what changed, and what a call costs.",
            "Compare the measured cost with the declared price.",
            "Approve, and find the app in the catalogue at once.",
        ),
    },
    {
        "role": Role.FINANCE,
        "begins_at": "billing:overview",
        "title": "Close the month to the last cent",
        "steps": (
            "See what was used, by cost center, app and team.",
            "Close the month: invoices, statements and creators' shares.",
            "Follow any line down to the calls it is made of.",
        ),
    },
    {
        "role": Role.OPERATOR,
        "begins_at": "gateway:today",
        "title": "Keep it running, and within limits",
        "steps": (
            "See who spends most, and what is refused.",
            "Follow background jobs and repeat what failed.",
            "Set limits and prices of models.",
        ),
    },
)


@dataclass
class Start:
    """What is due for one person: only the parts that belong to their roles are filled."""

    subscriptions: list[Subscription] = field(default_factory=list)
    versions: list[Version] = field(default_factory=list)
    listed_apps: list[App] = field(default_factory=list)
    reviews: list[Review] = field(default_factory=list)
    months: list[Month] = field(default_factory=list)
    unfinished_jobs: list[Job] = field(default_factory=list)


@require_safe
def home(request: PersonRequest) -> HttpResponse:
    """Explain the product to guests; show everybody else what is due."""
    if not request.user.is_authenticated:
        return render(request, "config/landing.html", {"tours": _tours(Role.values)})
    roles = request.actor.roles
    context = {"start": _start(request.actor, at=timezone.now()), "roles": roles, "tours": _tours(roles)}
    return render(request, "config/start.html", context)


def _start(actor: Actor, *, at: datetime) -> Start:
    start = Start(subscriptions=list(_subscriptions(actor)))
    if Role.CREATOR in actor.roles:
        start.versions = list(queries.versions_in_the_making(actor)[:SHOWN])
        start.listed_apps = list(queries.listed_apps(actor)[:SHOWN])
    if Role.APPROVER in actor.roles:
        start.reviews = list(queries.open_reviews(actor)[:SHOWN])
    if Role.FINANCE in actor.roles:
        start.months = months(at=at)[:SHOWN_MONTHS]
    if actor.is_platform(Role.OPERATOR):
        unfinished = Job.objects.exclude(state__in=[Job.State.DONE, Job.State.CANCELED])
        start.unfinished_jobs = list(unfinished.order_by("-created_at")[:SHOWN])
    return start


def _subscriptions(actor: Actor) -> Any:
    """Only the person's own teams: finance and operators see everybody's, but on pages of their own."""
    active = queries.visible_subscriptions(actor).filter(
        team__in=actor.team_ids, state=Subscription.State.ACTIVE, environment="production"
    )
    return active.order_by("-starts_at")[:SHOWN_SUBSCRIPTIONS]


def _tours(roles: Collection[str]) -> list[dict[str, Any]]:
    """Give the demo's tours of these roles, each with the address of its first step."""
    if not settings.DEMO:
        return []
    return [
        tour
        | {
            "name": str(tour["role"]).capitalize(),
            "icon": ROLE_ICONS[tour["role"]],
            "url": reverse(tour["begins_at"]),
        }
        for tour in TOURS
        if tour["role"] in roles
    ]
