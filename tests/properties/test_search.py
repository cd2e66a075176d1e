"""Laws of searching: counts are what the filter returns, and nobody finds what they may not see."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from marketplace.accounts.access import actor_for
from marketplace.catalog import queries
from marketplace.catalog.facets import FACETS
from marketplace.catalog.searching import Filters, search
from tests import factories

WORDS = ("mail", "contract", "rewriter", "mial", "contrct", "")
CHOICES = {
    "category": ("writing", "data"),
    "price": ("free", "two_part"),
    "kind": ("hosted", "http"),
    "slo": ("1", "2", "4"),
    "verified": ("yes",),
    "team": ("home/one", "home/two"),
}
wishes = st.builds(
    lambda text, chosen: Filters.of(text, **{name: sorted(values) for name, values in chosen.items()}),
    st.sampled_from(WORDS),
    st.fixed_dictionaries(
        {}, optional={name: st.sets(st.sampled_from(values), min_size=1) for name, values in CHOICES.items()}
    ),
)


@pytest.mark.django_db
class TestSearch(TestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        home = factories.make_organization(slug="home")
        teams = [factories.make_team(home, slug=slug) for slug in ("one", "two")]
        away = factories.make_team(factories.make_organization())
        people = [factories.make_user() for _ in range(2)]
        factories.join(people[0], teams[0], "consumer")
        factories.join(people[1], away, "consumer")
        cls.actors = [*map(actor_for, people), None]
        kinds = product(("writing", "data"), ("hosted", "http"), (True, False), (500, 2500))
        for n, (category, kind, is_public, slo) in enumerate(kinds):
            app = factories.make_app(
                teams[n % 2],
                name=f"{WORDS[n % 3]} {n}",
                category=category,
                kind=kind,
                is_public=is_public,
            )
            version = factories.make_version(app, slo_latency_ms=slo)
            factories.make_plan(app, charges=[] if n % 3 else factories.make_plan(app).charges)
            factories.Listing.objects.create(
                app=app, version=version, listed_at=factories.NOW, updated_at=factories.NOW
            )

    @settings(max_examples=40)
    @given(wish=wishes, who=st.integers(0, 2))
    def test_counts_what_a_choice_would_show(self, wish: Filters, who: int) -> None:
        actor = self.actors[who]
        found = search(wish, actor=actor, with_facets=True)

        assert len(list(found.listings)) == found.listings.count()
        for name, values in found.facets.items():
            for value in values:
                chosen = {**wish.without(name).chosen, name: (value.value,)}
                assert search(Filters.of(wish.text, **chosen), actor=actor).listings.count() == value.count, (
                    name
                )

    @settings(max_examples=40)
    @given(wish=wishes, who=st.integers(0, 2))
    def test_finds_nothing_that_may_not_be_seen(self, wish: Filters, who: int) -> None:
        actor = self.actors[who]
        visible = set(queries.visible_listings(actor).values_list("pk", flat=True))

        found = search(wish, actor=actor, with_facets=True)

        assert {listing.pk for listing in found.listings} <= visible
        assert all(value.count <= len(visible) for name in FACETS for value in found.facets[name])
