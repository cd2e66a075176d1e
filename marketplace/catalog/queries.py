"""What can be found in the catalogue, and by whom."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.contrib.postgres.search import SearchQuery, SearchRank, TrigramWordSimilarity
from django.db.models import Case, CharField, Count, F, Prefetch, Q, QuerySet, Value, When
from django.db.models.functions import Concat, Greatest

from marketplace.accounts import access
from marketplace.accounts.access import Actor
from marketplace.catalog import about
from marketplace.catalog.listings import SEARCH_CONFIG
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

# How alike words must be to what was typed. "tikcet" and "Ticket" are 0.29; in a longer summary some word
# reaches that by chance.
NAME_LIKENESS, SUMMARY_LIKENESS = 0.25, 0.4
MAX_WORDS, MAX_WORD_LENGTH = 12, 40

PRICE_MODELS = {
    "free": "Free",
    "per_use": "Pay per use",
    "subscription": "Monthly fee",
    "two_part": "Fee plus usage",
}
SORTS = {"relevance": "Best first", "popular": "Most subscribed", "newest": "Newest", "name": "Name"}
IN_THE_MAKING = ("draft", "submitted", "checking", "in_review", "changes_requested")
FACETS = ("category", "price", "team")


# Annotated on the way: the type checker does not follow annotations through functions.
Rows = QuerySet[Any]


@dataclass(frozen=True)
class Filters:
    """What somebody asked the catalogue for; several values of one facet mean any of them."""

    text: str = ""
    category: tuple[str, ...] = ()
    price: tuple[str, ...] = ()
    team: tuple[str, ...] = ()
    sort: str = ""

    def without(self, facet: str) -> "Filters":
        """Return the same wish without one facet, or without its words (``text``)."""
        nothing: dict[str, Any] = {facet: "" if facet == "text" else ()}
        return replace(self, **nothing)

    def has_facets(self) -> bool:
        return bool(self.category or self.price or self.team)

    def is_empty(self) -> bool:
        return not (self.text or self.has_facets())

    def choices(self) -> dict[str, Any]:
        """Return the facets and the order as ``search`` takes them, beside the words."""
        return {"category": self.category, "price": self.price, "team": self.team, "sort": self.sort}


@dataclass(frozen=True)
class FacetValue:
    """One choice of a facet, and how many listings it would show."""

    value: str
    label: str
    count: int
    is_chosen: bool


@dataclass(frozen=True)
class Found:
    """The listings found, best first; close ones when nothing matched word by word."""

    listings: QuerySet[Listing]
    is_close_match: bool = False
    facets: Mapping[str, Sequence[FacetValue]] = field(default_factory=dict)


def visible_listings(actor: Actor) -> QuerySet[Listing]:
    """Listings that are public or of the actor's organizations; all of them for the platform's own roles."""
    shown = Listing.objects.filter(version__state__in=[Version.State.LISTED, Version.State.DEPRECATED])
    if actor.is_platform(*access.PLATFORM_ROLES):
        return shown
    return shown.filter(Q(app__is_public=True) | Q(app__owner_team__organization__in=actor.organization_ids))


def search(
    text: str = "",
    *,
    actor: Actor,
    category: Sequence[str] = (),
    price: Sequence[str] = (),
    team: Sequence[str] = (),
    sort: str = "",
    with_facets: bool = False,
) -> Found:
    """Find listings by words and facets, with what a card or an API row shows.

    ``price`` holds keys of PRICE_MODELS, ``team`` texts such as "demo/team-ux", ``sort`` a key of SORTS.
    Words match by stem and by beginning; when none do, names and summaries that look alike are found.
    """
    filters = Filters(text.strip(), tuple(category), tuple(price), tuple(team), sort)
    base = visible_listings(actor).filter(version__state=Version.State.LISTED).alias(owner=_owner())
    matching, is_close_match = _matching(base, filters.text)
    found = _narrow(matching, filters)
    return Found(
        listings=_ordered(found, filters)
        .select_related("version", "app__owner_team__organization")
        .prefetch_related(Prefetch("app__plans", _offered().order_by("id"), to_attr="offered_plans")),
        is_close_match=is_close_match,
        facets=_facets(matching, filters) if with_facets else {},
    )


def droppable(filters: Filters, *, actor: Actor) -> list[tuple[str, int]]:
    """For a search that found nothing: how many listings there are without one filter, most first."""
    counts = []
    for facet in ("text", *FACETS):
        if getattr(filters, facet):
            rest = filters.without(facet)
            listings = search(rest.text, actor=actor, **rest.choices()).listings
            counts.append((facet, listings.count()))
    return sorted([(facet, count) for facet, count in counts if count], key=lambda pair: -pair[1])


def listing_for(actor: Actor, *, slug: str) -> Listing:
    """Return one listing by its app's slug; raises NotFound for what the actor may not see."""
    shown = visible_listings(actor).select_related("version", "app__owner_team__organization")
    return access.get(shown, app__slug=slug)


def may_manage(subscription: Subscription, *, actor: Actor) -> bool:
    """Tell whether the actor is a consumer of the subscription's team, and so may act on it."""
    return subscription.team_id in actor.teams_as(access.Role.CONSUMER)


def subscriptions_shown(subscriptions: QuerySet[Subscription], which: str) -> QuerySet[Subscription]:
    """Narrow to ``active`` (production), ``sandbox``, or ``ended`` (suspended ones too)."""
    active = subscriptions.filter(state=Subscription.State.ACTIVE)
    if which == "sandbox":
        return active.filter(environment=Environment.SANDBOX)
    if which == "ended":
        return subscriptions.exclude(state=Subscription.State.ACTIVE)
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
    return _offered().filter(app=app).order_by("id")


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


def category_label(category: str) -> str:
    """Name a category; one that an older app has and no template offers any more names itself."""
    return about.CATEGORIES.get(category, category.replace("-", " ").capitalize())


def _price_label(model: str) -> str:
    return PRICE_MODELS.get(model, model)


def price_model_of_plan() -> Case:
    """Classify plans in the database: by what they charge, not by what they are called."""
    fee = _charges("fee") & ~Q(charges__contains=[{"code": "fee", "amount": "0"}])
    metered = _charges("calls") | _charges("cost")
    return Case(
        When(fee & metered, then=Value("two_part")),
        When(fee, then=Value("subscription")),
        When(metered, then=Value("per_use")),
        default=Value("free"),
        output_field=CharField(),
    )


def _charges(code: str) -> Q:
    return Q(charges__contains=[{"code": code}])


def _owner() -> Concat:
    parts = "app__owner_team__organization__slug", Value("/"), "app__owner_team__slug"
    return Concat(*parts, output_field=CharField())


def _matching(listings: Rows, text: str) -> tuple[Rows, bool]:
    """Narrow by words. Full text first, because it has an index; likeness only when that finds nothing."""
    words = [word[:MAX_WORD_LENGTH] for word in re.findall(r"\w+", text)[:MAX_WORDS]]
    if not words:
        return listings, False
    query = SearchQuery(" & ".join(f"{word}:*" for word in words), search_type="raw", config=SEARCH_CONFIG)
    exact = listings.filter(search=query).annotate(relevance=SearchRank(F("search"), query))
    if exact.exists():
        return exact, False
    typed = " ".join(words)
    close = listings.annotate(
        name_likeness=TrigramWordSimilarity(typed, "app__name"),
        summary_likeness=TrigramWordSimilarity(typed, "app__summary"),
        relevance=Greatest("name_likeness", "summary_likeness"),
    )
    alike = Q(name_likeness__gte=NAME_LIKENESS) | Q(summary_likeness__gte=SUMMARY_LIKENESS)
    return close.filter(alike), True


def _narrow(listings: Rows, filters: Filters) -> Rows:
    if filters.category:
        listings = listings.filter(app__category__in=filters.category)
    if filters.price:
        plans = _plans_priced().filter(price_model__in=filters.price)
        listings = listings.filter(app__in=plans.values("app"))
    if filters.team:
        listings = listings.filter(owner__in=filters.team)
    return listings


def _offered() -> QuerySet[Plan]:
    return Plan.objects.filter(is_offered=True)


def _plans_priced() -> Rows:
    return _offered().annotate(price_model=price_model_of_plan())


def _ordered(listings: Rows, filters: Filters) -> Rows:
    sort = filters.sort or ("relevance" if filters.text else "popular")
    if sort == "relevance" and "relevance" in listings.query.annotations:
        return listings.order_by("-relevance", "app__name")
    if sort == "newest":
        return listings.order_by("-listed_at", "app__name")
    if sort == "name":
        return listings.order_by("app__name", "pk")
    return listings.annotate(
        subscribers=Count(
            "app__subscriptions",
            filter=Q(app__subscriptions__state="active", app__subscriptions__environment="production"),
        )
    ).order_by("-subscribers", "app__name")


def _facets(matching: Rows, filters: Filters) -> dict[str, list[FacetValue]]:
    """Count each facet under the other facets, so a second choice in the same facet shows what it adds."""
    by_category = _narrow(matching, filters.without("category")).values_list("app__category")
    categories = [
        (name, category_label(name), count)
        for name, count in by_category.annotate(n=Count("pk")).order_by("app__category")
    ]
    listed = _narrow(matching, filters.without("price")).values("app")
    by_price = _plans_priced().filter(app__in=listed).values_list("price_model")
    counts = dict(by_price.annotate(n=Count("app", distinct=True)))
    prices = [(model, label, counts[model]) for model, label in PRICE_MODELS.items() if model in counts]
    elsewhere = _narrow(matching, filters.without("team")).annotate(owner=_owner())
    by_team = elsewhere.values_list("owner", "app__owner_team__name")
    teams = by_team.annotate(n=Count("pk")).order_by("app__owner_team__name", "owner")
    return {
        "category": _values(categories, filters.category, label=category_label),
        "price": _values(prices, filters.price, label=_price_label),
        "team": _values(teams, filters.team, label=str),
    }


def _values(
    counted: Iterable[tuple[str, str, int]], chosen: Sequence[str], *, label: Callable[[str], str]
) -> list[FacetValue]:
    """Show what was counted, and what was chosen even when it fits nothing, so that it can be unchosen."""
    values = [FacetValue(value, name, count, value in chosen) for value, name, count in counted]
    known = {value.value for value in values}
    return values + [FacetValue(value, label(value), 0, True) for value in chosen if value not in known]
