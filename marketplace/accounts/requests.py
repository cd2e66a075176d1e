"""Requests of signed-in people, typed: what the middleware adds to them."""

from django.http import HttpRequest
from django_htmx.middleware import HtmxDetails
from rest_framework.request import Request

from marketplace.accounts.access import Actor
from marketplace.accounts.models import User


class PersonRequest(HttpRequest):
    """A request behind ``login_required``."""

    user: User
    actor: Actor
    htmx: HtmxDetails


def actor_of(request: Request) -> Actor:
    """Return who acts in the management API, by session or by personal key."""
    actor: Actor = request._request.actor  # type: ignore[attr-defined]
    return actor
