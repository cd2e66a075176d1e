from typing import Any

import pytest

from marketplace.accounts.access import Actor, actor_for
from marketplace.catalog import listings
from marketplace.catalog.models import App
from marketplace.catalog.searching import Filters, Found, droppable, search
from tests.conftest import Cast
from tests.factories import NOW, make_app, make_plan, make_subscription, make_version

FEE = {"code": "fee", "model": "flat", "amount": "50", "prorate": True}
CALLS = {"code": "calls", "model": "per_unit", "unit_amount": "0.02", "free_units": "100"}
MARKUP = {"code": "cost", "model": "cost_plus", "markup": "0.30"}


def list_app(
    cast: Cast, name: str, *, charges: Any = (FEE, CALLS), state: str = "listed", **fields: Any
) -> App:
    team = fields.pop("team", cast.creator_team)
    app = make_app(team, name=name, slug=name.lower().replace(" ", "-"), **fields)
    make_plan(app, charges=list(charges))
    listings.publish(app, version=make_version(app, state=state), at=NOW)
    return app


def names(found: Found) -> list[str]:
    return [listing.app.name for listing in found.listings]


@pytest.fixture
def consumer(cast: Cast) -> Actor:
    return actor_for(cast.consumer)


@pytest.fixture
def stranger(cast: Cast) -> Actor:
    return actor_for(cast.stranger)


class TestSearch:
    def test_finds_by_stem_and_ranks_the_name_before_the_description(
        self, cast: Cast, consumer: Actor
    ) -> None:
        list_app(cast, "Mail helper", description="Translates mails.")
        list_app(cast, "Translator")
        list_app(cast, "Summarizer")

        assert names(search(Filters.of("translating"), actor=consumer)) == ["Translator", "Mail helper"]

    def test_finds_while_a_word_is_still_being_typed(self, cast: Cast, consumer: Actor) -> None:
        list_app(cast, "Polite rewriter")

        assert names(search(Filters.of("rewr"), actor=consumer)) == ["Polite rewriter"]

    @pytest.mark.parametrize(
        ("typed", "name"),
        [("rewirter", "Polite rewriter"), ("sumarize", "Summarizer"), ("tikcet", "Ticket router")],
    )
    def test_forgives_a_typo_and_says_so(self, cast: Cast, consumer: Actor, typed: str, name: str) -> None:
        for listed in ("Polite rewriter", "Summarizer", "Ticket router", "Where to eat"):
            list_app(cast, listed)

        found = search(Filters.of(typed), actor=consumer)

        assert names(found) == [name]
        assert found.is_close_match

    @pytest.mark.parametrize("text", ["'; drop table", "a & | !", "(((", "\\", "%_", "x" * 5000, "😀"])
    def test_takes_any_text(self, cast: Cast, consumer: Actor, text: str) -> None:
        list_app(cast, "Polite rewriter")

        assert names(search(Filters.of(text), actor=consumer)) in ([], ["Polite rewriter"])

    def test_does_not_let_a_stranger_find_a_private_app(self, cast: Cast, stranger: Actor) -> None:
        list_app(cast, "Secret tool", is_public=False)

        assert names(search(Filters.of("secret"), actor=stranger)) == []

    def test_narrows_by_several_facets(self, cast: Cast, consumer: Actor) -> None:
        list_app(cast, "Alpha", category="writing", charges=[])
        list_app(cast, "Beta", category="writing", charges=[FEE, CALLS])
        list_app(cast, "Gamma", category="data", charges=[])

        assert names(search(Filters.of(category=["writing"], price=["free"]), actor=consumer)) == ["Alpha"]

    def test_sorts_by_subscribers_name_and_day(self, cast: Cast, consumer: Actor) -> None:
        list_app(cast, "Alpha")
        beta = list_app(cast, "Beta")
        make_subscription(beta, cast.consumer_team)
        make_subscription(beta, cast.consumer_team, environment="sandbox")

        assert names(search(Filters(), actor=consumer)) == ["Beta", "Alpha"]
        assert names(search(Filters.of(sort="name"), actor=consumer)) == ["Alpha", "Beta"]
        assert search(Filters(), actor=consumer).listings[0:1][0].entry.subscribers == 1


class TestFacets:
    def test_counts_each_facet_under_the_other_facets(self, cast: Cast, consumer: Actor) -> None:
        list_app(cast, "Alpha", category="writing", charges=[])
        list_app(cast, "Beta", category="writing", charges=[FEE, MARKUP])
        list_app(cast, "Gamma", category="data", charges=[CALLS])

        facets = search(Filters.of(category=["writing"]), actor=consumer, with_facets=True).facets

        assert [(v.value, v.count, v.is_chosen) for v in facets["category"]] == [
            ("data", 1, False),
            ("writing", 2, True),
        ]
        assert [(v.value, v.count) for v in facets["price"]] == [("free", 1), ("two_part", 1)]
        assert [(v.value, v.label, v.count) for v in facets["team"]] == [("demo/team-ux", "UX", 2)]

    @pytest.mark.parametrize(
        ("charges", "model"),
        [
            ([], "free"),
            ([FEE | {"amount": "0"}], "free"),
            ([FEE], "subscription"),
            ([CALLS], "per_use"),
            ([MARKUP], "per_use"),
            ([FEE, CALLS, MARKUP], "two_part"),
            ([FEE | {"amount": "0"}, CALLS], "per_use"),
        ],
    )
    def test_classifies_a_price_by_what_is_charged(
        self, cast: Cast, consumer: Actor, charges: list[dict[str, object]], model: str
    ) -> None:
        list_app(cast, "Alpha", charges=charges)

        assert [v.value for v in search(Filters(), actor=consumer, with_facets=True).facets["price"]] == [
            model
        ]

    def test_keep_a_choice_that_fits_nothing(self, cast: Cast, consumer: Actor) -> None:
        list_app(cast, "Alpha", category="writing")

        found = search(Filters.of("alpha", category=["data"]), actor=consumer, with_facets=True)

        assert [(v.value, v.count, v.is_chosen) for v in found.facets["category"]] == [
            ("data", 0, True),
            ("writing", 1, False),
        ]


class TestDroppable:
    def test_names_the_filters_whose_removal_shows_most(self, cast: Cast, consumer: Actor) -> None:
        list_app(cast, "Alpha", category="writing", charges=[])
        list_app(cast, "Alpha two", category="writing", charges=[])
        list_app(cast, "Gamma", category="data", charges=[FEE])

        wish = Filters.of("alpha", category=["data"], price=["free"])

        # Without the category both alphas; without the words or the price nothing: no data app is free.
        assert droppable(wish, actor=consumer) == [("category", 2)]
