"""Apps as tools for a model: which of them a key may call, under which names, with which input and output."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from marketplace.accounts import access, keys
from marketplace.accounts.access import Role
from marketplace.accounts.keys import BadKey
from marketplace.accounts.models import ApiKey
from marketplace.catalog.models import App, Environment, Subscription, Version
from marketplace.gateway.directory import Caller, caller_of_id

MOST_DESCRIBED = 1_200
MAX_NAME = 64


@dataclass(frozen=True, slots=True)
class AppTool:
    """One subscription as a tool. ``is_remote``: it answers at its creator's endpoint."""

    name: str
    title: str
    description: str
    input_schema: dict[str, Any]
    is_remote: bool
    subscription_id: UUID
    key_id: UUID
    key_kind: str

    @property
    def output_schema(self) -> dict[str, Any]:
        """Describe the answer: what a plain call of the app answers, usage and cost included."""
        output: dict[str, Any] = {} if self.is_remote else {"type": "string"}
        text = {"type": "string"}
        return {
            "type": "object",
            "properties": {
                "output": output | {"description": "What the app answers."},
                "usage": {"type": "object", "description": "Tokens that were used."},
                "cost": text | {"description": "What the call cost the platform, as a decimal."},
                "model": text,
                "request_id": text,
            },
            "required": ["output", "usage", "cost", "model", "request_id"],
        }


def authenticate(presented: str, *, at: datetime) -> ApiKey:
    """Return the key if it may call apps as tools. Raises BadKey."""
    key = keys.authenticate(presented, at=at)
    is_persons = key.kind == ApiKey.Kind.PAT and key.user is not None and key.user.is_active
    if key.kind != ApiKey.Kind.SUB and not is_persons:
        raise BadKey
    return key


def tools_of(presented: str, *, at: datetime) -> list[AppTool]:
    """Return what a key may call: its subscription, or every one of a person's teams for a personal key.

    Raises BadKey. A personal key reaches what its person could make a key for: active subscriptions in production
    of the teams in which they are a consumer.
    """
    key = authenticate(presented, at=at)
    keys.touch(key.pk, at=at)
    listed = Version.State.LISTED
    found = list(_subscriptions(key).filter(app__listing__version__state=listed).order_by("pk"))
    return [_tool(one, name=name, key=key) for one, name in zip(found, _names(found), strict=True)]


def caller_again(presented: str, subscription_id: UUID, *, at: datetime) -> Caller:
    """Return a personal key as the caller of one of its tools. Raises BadKey, NotFound, AppPaused.

    The key is looked at after the epoch that the caller carries was read: one that is revoked in between makes the
    admission stale, and the next look finds it revoked.
    """
    caller = caller_of_id(subscription_id)
    key = authenticate(presented, at=at)
    access.get(_subscriptions(key), pk=subscription_id)
    return replace(caller, who=caller.who._replace(key_id=key.pk))


def _subscriptions(key: ApiKey) -> QuerySet[Subscription]:
    related = Subscription.objects.select_related("app__listing__version", "team")
    if key.kind == ApiKey.Kind.SUB:
        return related.filter(key_links__key=key)
    assert key.user is not None
    teams = access.actor_for(key.user).teams_as(Role.CONSUMER)
    return related.filter(team__in=teams, state=Subscription.State.ACTIVE, environment=Environment.PRODUCTION)


def _names(found: Sequence[Subscription]) -> list[str]:
    """Name tools by their apps; an app that several teams have is told apart by the end of the subscription's id."""
    times = Counter(one.app.slug for one in found)
    return [
        one.app.slug if times[one.app.slug] == 1 else f"{one.app.slug[: MAX_NAME - 9]}-{one.pk.hex[-8:]}"
        for one in found
    ]


def _tool(subscription: Subscription, *, name: str, key: ApiKey) -> AppTool:
    app = subscription.app
    is_own_name = name == app.slug
    return AppTool(
        name=name,
        title=app.name if is_own_name else f"{app.name} ({subscription.team.name})",
        description=_described(app),
        input_schema=app.listing.version.input_schema,
        is_remote=app.kind == App.Kind.HTTP,
        subscription_id=subscription.pk,
        key_id=key.pk,
        key_kind=key.kind,
    )


def _described(app: App) -> str:
    text = f"{app.summary}\n\n{app.description}".strip()
    return text if len(text) <= MOST_DESCRIBED else text[: MOST_DESCRIBED - 1].rstrip() + "…"
