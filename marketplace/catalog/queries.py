"""What can be seen of the catalogue, and by whom. How it is searched: ``catalog.searching``."""

from django.db.models import OuterRef, Q, QuerySet, Subquery

from marketplace.accounts import access
from marketplace.accounts.access import Actor
from marketplace.catalog.models import (
    App,
    Environment,
    Listing,
    Plan,
    Review,
    Subscription,
    SubscriptionKey,
    Version,
)
from marketplace.catalog.version_models import Deprecation

# Not ended, nor stopped by somebody else: a paused one is resumed by its own team.
RUNNING = (Subscription.State.ACTIVE, Subscription.State.PAUSED)
IN_THE_MAKING = ("draft", "submitted", "checking", "in_review", "changes_requested")


def visible_listings(actor: Actor | None) -> QuerySet[Listing]:
    """Listings that are public or of the actor's organizations; all of them for the platform's own roles.

    Nobody (None) is a guest, who sees public ones where the installation lets guests in at all.
    """
    shown = Listing.objects.filter(version__state__in=[Version.State.LISTED, Version.State.DEPRECATED])
    if actor is None:
        return shown.filter(app__is_public=True)
    if actor.is_platform(*access.PLATFORM_ROLES):
        return shown
    return shown.filter(Q(app__is_public=True) | Q(app__owner_team__organization__in=actor.organization_ids))


def listing_for(actor: Actor | None, *, slug: str) -> Listing:
    """Return one listing by its app's slug; raises NotFound for what the actor may not see.

    It comes with ``ends_at`` and ``successor_slug`` where the end of the app is announced.
    """
    ending = Deprecation.objects.filter(app=OuterRef("app"), state=Deprecation.State.ANNOUNCED)
    shown = visible_listings(actor).select_related("version", "app__owner_team__organization")
    shown = shown.annotate(
        ends_at=Subquery(ending.values("ends_at")[:1]),
        successor_slug=Subquery(ending.values("successor__slug")[:1]),
    )
    return access.get(shown, app__slug=slug)


def may_manage(subscription: Subscription, *, actor: Actor) -> bool:
    """Tell whether the actor is a consumer of the subscription's team, and so may act on it."""
    return subscription.team_id in actor.teams_as(access.Role.CONSUMER)


def subscriptions_shown(subscriptions: QuerySet[Subscription], which: str) -> QuerySet[Subscription]:
    """Narrow to ``active`` (production), ``sandbox``, or ``ended`` (suspended ones too)."""
    active = subscriptions.filter(state__in=RUNNING)
    if which == "sandbox":
        return active.filter(environment=Environment.SANDBOX)
    if which == "ended":
        return subscriptions.exclude(state__in=RUNNING)
    return active.exclude(environment=Environment.SANDBOX)


def key_links(subscription: Subscription) -> QuerySet[SubscriptionKey]:
    """The keys of a subscription, newest first, ended ones included."""
    links = subscription.key_links.select_related(
        "key", "subscription__app", "subscription__team__organization"
    )
    return links.order_by("-key__created_at", "-key")


def listed_version(app: App) -> Version | None:
    """Return the version the catalogue shows of an app, None when it shows none."""
    return Version.objects.filter(pk__in=Listing.objects.filter(app=app).values("version")).first()


def offered_plans(app: App) -> QuerySet[Plan]:
    """Plans that can be subscribed to now, in the order they were made."""
    return offered_now().filter(app=app).order_by("id")


def visible_subscriptions(actor: Actor) -> QuerySet[Subscription]:
    """Subscriptions of the teams the actor belongs to or serves."""
    return Subscription.objects.filter(team__in=access.teams(actor)).select_related(
        "app__owner_team", "plan", "team__organization", "cost_center"
    )


def versions_in_the_making(actor: Actor) -> QuerySet[Version]:
    """Versions of the actor's own teams that are not listed yet and wait for somebody, oldest first."""
    return (
        Version.objects.filter(
            app__owner_team__in=actor.teams_as(access.Role.CREATOR), state__in=IN_THE_MAKING
        )
        .select_related("app")
        .order_by("created_at", "pk")
    )


def listed_apps(actor: Actor) -> QuerySet[App]:
    """Apps of the actor's own teams that the catalogue shows, the newest first."""
    own = App.objects.filter(owner_team__in=actor.teams_as(access.Role.CREATOR))
    return own.filter(listing__isnull=False).order_by("-listing__listed_at", "pk")


def open_reviews(actor: Actor) -> QuerySet[Review]:
    """Reviews the actor may decide, the most urgent first; never one of their own."""
    reviews = Review.objects.filter(state=Review.State.OPEN).exclude(submitted_by=actor.user)
    if not actor.is_platform(access.Role.APPROVER):
        organizations = actor.organizations_as(access.Role.APPROVER)
        reviews = reviews.filter(version__app__owner_team__organization__in=organizations)
    return reviews.select_related("version__app", "submitted_by").order_by("due_at", "pk")


def offered_now() -> QuerySet[Plan]:
    """Plans of all apps that can be subscribed to."""
    return Plan.objects.filter(is_offered=True)
