"""Whose a limit is: organization, cost center, team, app, subscription or key; found by id, narrowed to what one may see."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet

from marketplace.accounts import access
from marketplace.accounts.access import PLATFORM_ROLES, Actor
from marketplace.accounts.models import ApiKey, Team
from marketplace.catalog.models import App, Environment, Subscription
from marketplace.catalog.queries import visible_subscriptions
from marketplace.core.errors import InvalidInput, NotFound
from metering.queries import watched_apps
from quotas.models import OWNER_KINDS, Limit

OwnerKey = tuple[str, Any]
TITLES = {
    "organization": "Organization",
    "cost_center": "Cost center",
    "team": "Team",
    "app": "App",
    "subscription": "Subscription",
    "key": "Key",
}
# What a page of many limits shows of their owners, without a query for each.
RELATED = (
    "organization", "cost_center", "team", "app", "subscription__app", "subscription__team", "key",
)  # fmt: skip
_RELATED_OF = {
    "cost_center": ("organization",),
    "team": ("organization", "cost_center"),
    "app": ("owner_team",),
    "subscription": ("app__owner_team", "team", "cost_center"),
    "key": ("organization", "subscription_key__subscription__team", "subscription_key__subscription__app",
            "app_key__app__owner_team"),
}  # fmt: skip


@dataclass(frozen=True)
class Owner:
    """Somebody or something limits are set for. ``id`` is how the API writes it, ``pk`` how the database does."""

    kind: str
    pk: Any
    id: str
    label: str
    instance: Any

    @property
    def title(self) -> str:
        return TITLES[self.kind]

    @property
    def qualified_id(self) -> str:
        """The id that is unique over all organizations."""
        if self.kind in ("team", "cost_center"):
            return f"{self.instance.organization.slug}/{self.id}"
        return self.id

    @property
    def subscription(self) -> Subscription | None:
        """The subscription, also of a key that calls for one."""
        if self.kind == "subscription":
            found: Subscription = self.instance
            return found
        link = getattr(self.instance, "subscription_key", None) if self.kind == "key" else None
        return link.subscription if link else None

    @property
    def app(self) -> App | None:
        """The app, also of a key that reports for one."""
        if self.kind == "app":
            found: App = self.instance
            return found
        link = getattr(self.instance, "app_key", None) if self.kind == "key" else None
        return link.app if link else None

    @property
    def team(self) -> Team | None:
        """The team it is, or that owns the app or holds the subscription; None for what is above teams."""
        if self.kind == "team":
            found: Team = self.instance
            return found
        if self.subscription is not None:
            return self.subscription.team
        return self.app.owner_team if self.app is not None else None

    @property
    def environment(self) -> str:
        """What limits of this owner count: the sandbox alone for a sandbox, else all but it (empty)."""
        subscription = self.subscription
        is_sandbox = subscription is not None and subscription.environment == Environment.SANDBOX
        return Environment.SANDBOX.value if is_sandbox else ""

    @property
    def organization_id(self) -> int:
        """The organization that answers for what is used here."""
        if self.kind == "organization":
            return int(self.pk)
        if self.kind == "app":
            return int(self.instance.owner_team.organization_id)
        if self.kind == "subscription":
            return int(self.instance.team.organization_id)
        return int(self.instance.organization_id)

    @property
    def chain(self) -> tuple[OwnerKey, ...]:
        """The owners whose limits a call of this one meets, as far as they are certain from here."""
        subscription = self.subscription
        if subscription is not None:
            chain: list[OwnerKey] = [
                ("organization", subscription.team.organization_id),
                ("cost_center", subscription.cost_center_id),
                ("team", subscription.team_id),
                ("app", subscription.app_id),
                ("subscription", subscription.pk),
            ]
            return (*chain, ("key", self.pk)) if self.kind == "key" else tuple(chain)
        return tuple(_chain_without_subscription(self))


def find_owner(actor: Actor, kind: str, id_: str, *, field: str = "owner") -> Owner:
    """Return an owner the actor may know of, by slug, code, UUID or primary key.

    A team or cost center of a name that several organizations use is written with its organization: "demo/team-ux".
    Raises InvalidInput for a kind that there is not, NotFound.
    """
    if kind not in OWNER_KINDS:
        raise InvalidInput(f"{field}.kind", f"{kind!r} is not one of {', '.join(OWNER_KINDS)}")
    visible = VISIBLE[kind](actor)
    found = list(visible.filter(_named(kind, id_)).select_related(*_RELATED_OF.get(kind, ()))[:2])
    if not found:
        raise NotFound(kind.replace("_", " "), id_)
    if len(found) > 1:
        hint = f"Several organizations have a {kind.replace('_', ' ')} {id_!r}; write organization/{id_}."
        raise InvalidInput(f"{field}.id", hint, code="ambiguous")
    return owner_of(kind, found[0])


def owner_of(kind: str, instance: Model) -> Owner:
    """Return a model instance as an owner of limits."""
    id_, label = _NAMES[kind](instance)
    return Owner(kind, instance.pk, id_, label, instance)


def owners_in(chain: Sequence[OwnerKey]) -> list[Owner]:
    """Return the owners of a chain in its order (a query for each)."""
    models: dict[str, Any] = {kind: Limit._meta.get_field(kind).related_model for kind in OWNER_KINDS}
    return [
        owner_of(kind, models[kind].objects.select_related(*_RELATED_OF.get(kind, ())).get(pk=pk))
        for kind, pk in chain
    ]


def owner_of_limit(limit: Limit) -> Owner:
    """Return whose a limit is; no query when the limit came with RELATED."""
    return owner_of(limit.owner_kind, getattr(limit, limit.owner_kind))


def visible_limits(actor: Actor) -> QuerySet[Limit]:
    """Limits of everything the actor may know of."""
    limits = Limit.objects.select_related(*RELATED)
    if actor.is_platform(*PLATFORM_ROLES):
        return limits
    visible = Q()
    for kind, narrowed in VISIBLE.items():
        visible |= Q(**{f"{kind}__in": narrowed(actor).order_by().values("pk")})
    return limits.filter(visible)


def _organizations(actor: Actor) -> QuerySet[Any]:
    """What a whole organization uses is for those who answer for it, not for each of its people."""
    organizations = access.organizations(actor)
    if actor.is_platform(*PLATFORM_ROLES):
        return organizations
    return organizations.filter(pk__in=actor.organizations_as(*PLATFORM_ROLES))


def _keys(actor: Actor) -> QuerySet[Any]:
    """Keys of subscriptions and apps; a person's own key is not limited."""
    of_subscription = Q(subscription_key__subscription__in=visible_subscriptions(actor).values("pk"))
    of_app = Q(app_key__app__in=watched_apps(actor).values("pk"))
    return ApiKey.objects.filter(of_subscription | of_app)


VISIBLE: dict[str, Callable[[Actor], QuerySet[Any]]] = {
    "organization": _organizations,
    "cost_center": access.cost_centers,
    "team": access.teams,
    "app": watched_apps,
    "subscription": visible_subscriptions,
    "key": _keys,
}
_NAMES: dict[str, Callable[[Any], tuple[str, str]]] = {
    "organization": lambda one: (one.slug, one.name),
    "cost_center": lambda one: (one.code, str(one)),
    "team": lambda one: (one.slug, one.name),
    "app": lambda one: (one.slug, one.name),
    "subscription": lambda one: (str(one.pk), f"{one.app.name} for {one.team.name}"),
    "key": lambda one: (str(one.pk), f"{one.name or 'Key'} {one}"),
}


def _named(kind: str, id_: str) -> Q:
    if kind in ("subscription", "key"):
        return _by_uuid(id_)
    name = {"cost_center": "code"}.get(kind, "slug")
    organization, slash, text = id_.rpartition("/")
    named = Q(**{name: text})
    if slash:
        return named & Q(organization__slug=organization) if kind in ("team", "cost_center") else Q(pk__in=[])
    # A code may consist of digits alone, so a number means the key of a row only where no name is like it.
    return named | Q(pk=int(id_)) if id_.isascii() and id_.isdigit() and len(id_) < 19 else named


def _by_uuid(id_: str) -> Q:
    try:
        return Q(pk=UUID(id_))
    except (ValueError, ValidationError):
        return Q(pk__in=[])


def _chain_without_subscription(owner: Owner) -> list[OwnerKey]:
    instance = owner.instance
    if owner.kind == "cost_center":
        return [("organization", instance.organization_id), ("cost_center", owner.pk)]
    if owner.kind == "team":
        return _chain_of_team(instance)
    if owner.kind == "key" and (link := getattr(instance, "app_key", None)):
        return [*_chain_of_team(link.app.owner_team), ("app", link.app_id), ("key", owner.pk)]
    return [(owner.kind, owner.pk)]


def _chain_of_team(team: Any) -> list[OwnerKey]:
    return [
        ("organization", team.organization_id),
        ("cost_center", team.cost_center_id),
        ("team", team.pk),
    ]
