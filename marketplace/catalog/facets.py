"""The facets of the catalogue: which values each has, how they are called, and the condition that each stands for."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.db.models import F, Q

from marketplace.catalog import about
from marketplace.catalog.entries import PRICE_BITS

PRICE_MODELS = {
    "free": "Free",
    "per_use": "Pay per use",
    "subscription": "Monthly fee",
    "two_part": "Fee plus usage",
}
KINDS = {"hosted": "Stays here: prompt run by us", "http": "Goes to its maker's server"}
COSTS = {
    "1": "Up to 0.10 for 1,000 calls",
    "2": "Up to 1",
    "3": "Up to 10",
    "4": "More than 10",
    "0": "Not known yet",
}
SLOS = {"1": "Within 1 second", "2": "Within 3 seconds", "3": "Within 10 seconds", "4": "Longer"}
STARS = {"4": "4 stars and more", "3": "3 stars and more"}
VERIFIED = {"yes": "Trial run passed"}


@dataclass(frozen=True)
class FacetValue:
    """One choice of a facet, and how many listings it would show."""

    value: str
    label: str
    count: int
    is_chosen: bool


@dataclass(frozen=True)
class Facet:
    """One way to narrow. ``column`` is what entries are counted by, ``values_of`` the values an entry of it has.

    ``labels`` None: any text is a value, as of categories and teams.
    """

    name: str
    title: str
    column: str
    condition: Callable[[Sequence[str]], Q]
    values_of: Callable[[object], Iterable[str]]
    labels: Mapping[str, str] | None = None


def is_one_of(column: str) -> Callable[[Sequence[str]], Q]:
    """Build the condition that a column has one of the values."""
    return lambda values: Q(**{f"{column}__in": list(values)})


def _offers(values: Sequence[str]) -> Q:
    """Say that one of some bits is set, as the list of the combinations that have it."""
    mask = sum(PRICE_BITS[value] for value in set(values))
    return Q(price_models__in=[bits for bits in range(16) if bits & mask])


def _rated(values: Sequence[str]) -> Q:
    """Say that the mean is at least the lowest of some numbers of stars; multiplied, for a mean of integers is cut."""
    return Q(ratings__gt=0, stars__gte=F("ratings") * min(map(int, values)))


def _prices_of(bits: object) -> list[str]:
    return [name for name, bit in PRICE_BITS.items() if int(str(bits)) & bit]


def _stars_of(band: object) -> list[str]:
    return [value for value in STARS if int(str(band)) >= int(value)]


def category_label(category: str) -> str:
    """Name a category; one that an older app has and no template offers any more names itself."""
    return about.CATEGORIES.get(category, category.replace("-", " ").capitalize())


def _itself(value: object) -> list[str]:
    return [str(value)]


# Teams are counted by id and told by name; ``searching`` translates both ways.
FACETS: Mapping[str, Facet] = {
    facet.name: facet
    for facet in (
        Facet("category", "Category", "category", is_one_of("category"), _itself),
        Facet("price", "Price", "price_models", _offers, _prices_of, PRICE_MODELS),
        Facet("kind", "Your data", "kind", is_one_of("kind"), _itself, KINDS),
        Facet("slo", "Answers, as promised", "slo_band", is_one_of("slo_band"), _itself, SLOS),
        Facet("cost", "What models cost", "cost_band", is_one_of("cost_band"), _itself, COSTS),
        Facet("rating", "Rating", "stars_band", _rated, _stars_of, STARS),
        Facet(
            "verified",
            "Checked",
            "is_verified",
            lambda values: Q(is_verified=True),
            lambda verified: ["yes"] if verified else [],
            VERIFIED,
        ),
        Facet("team", "Owner", "team_id", is_one_of("team_id"), _itself),
    )
}
