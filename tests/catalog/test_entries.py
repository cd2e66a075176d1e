"""Search entries: whatever changes what they say, the database renews them in the same transaction."""

from decimal import Decimal

import pytest
from django.db import IntegrityError, connection, transaction

from marketplace.catalog import entries, listings, measured
from marketplace.catalog.discovery_models import SearchEntry
from marketplace.catalog.measured import Measured
from marketplace.catalog.models import App, Listing, Plan, SmokeRun, Subscription, Version
from marketplace.catalog.plan_terms import PlanTerms
from marketplace.catalog.rating_models import Rating
from tests.conftest import Cast
from tests.factories import NOW, make_app, make_plan, make_subscription, make_user, make_version


@pytest.fixture
def app(cast: Cast) -> App:
    app = make_app(cast.creator_team, slug="rewriter", name="Rewriter")
    listings.publish(app, version=make_version(app), at=NOW)
    return app


def entry(app: App) -> SearchEntry:
    return SearchEntry.objects.get(pk=app.pk)


def rate(app: App, cast: Cast, stars: int) -> Rating:
    fields = {"team": cast.consumer_team, "created_at": NOW, "updated_at": NOW}
    return Rating.objects.create(app=app, person=make_user(), stars=stars, **fields)


class TestEntries:
    def test_are_there_as_long_as_the_version_is_listed(self, app: App) -> None:
        version = app.versions.get()

        Version.objects.filter(pk=version.pk).update(state="suspended")
        assert not SearchEntry.objects.exists()

        Version.objects.filter(pk=version.pk).update(state="listed")
        assert entry(app).name == "Rewriter"

    def test_go_with_the_listing(self, app: App) -> None:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM catalog_listing WHERE app_id = %s", [app.pk])

        assert not SearchEntry.objects.exists()
        assert not Listing.objects.exists()

    def test_follow_the_app(self, cast: Cast, app: App) -> None:
        App.objects.filter(pk=app.pk).update(
            name="Softener", category="support", is_public=False, owner_team=cast.stranger_team
        )

        found = entry(app)
        assert (found.name, found.category, found.is_public) == ("Softener", "support", False)
        assert (found.team, found.organization_id) == (cast.stranger_team, cast.stranger_team.organization_id)
        assert "'soften':1A" in found.search

    def test_follow_what_is_offered(self, app: App) -> None:
        plan = make_plan(app, charges=[])
        make_plan(app)
        # free 1, fee plus usage 8
        assert entry(app).price_models == 9

        Plan.objects.filter(pk=plan.pk).update(is_offered=False)
        assert entry(app).price_models == 8

        Plan.objects.filter(app=app).delete()
        assert (entry(app).price_models, entry(app).monthly_price) == (0, None)

    def test_price_a_month_as_plans_do(self, app: App) -> None:
        measured.note([Measured(app.pk, 10, Decimal("0.4"), None, 0)], at=NOW)
        terms = PlanTerms(
            fee=Decimal(50), free_calls=100, price_per_call=Decimal("0.02"), markup=Decimal("0.30")
        )
        make_plan(app, charges=terms.charges)

        # 50 + (1,000 - 100) x 0.02 + 0.4 x 1.3 = 68.52
        assert entry(app).monthly_price == Decimal("68.52")
        assert terms.price_of_month(1_000, cost_per_call=Decimal("0.0004")) == Decimal("68.52")

    def test_count_subscribers_in_production(self, cast: Cast, app: App) -> None:
        make_plan(app)
        subscription = make_subscription(app, cast.consumer_team)
        make_subscription(app, cast.consumer_team, environment="sandbox")
        assert entry(app).subscribers == 1

        Subscription.objects.filter(pk=subscription.pk).update(state="canceled", ends_at=NOW)
        assert entry(app).subscribers == 0

    def test_are_verified_by_a_check_that_passed(self, app: App) -> None:
        run = SmokeRun.objects.create(version=app.versions.get(), created_at=NOW)
        assert not entry(app).is_verified

        SmokeRun.objects.filter(pk=run.pk).update(state="passed", mean_cost=Decimal("0.02"))

        # 1,000 calls cost 20: the last band.
        assert (entry(app).is_verified, entry(app).cost_band) == (True, 4)

    @pytest.mark.parametrize(
        ("cost", "band"), [(None, 0), ("0.10", 1), ("0.11", 2), ("1", 2), ("10", 3), ("10.000001", 4)]
    )
    def test_sort_costs_into_bands(self, app: App, cost: str | None, band: int) -> None:
        measured.note([Measured(app.pk, 1, Decimal(cost) if cost else None, None, 0)], at=NOW)

        assert entry(app).cost_band == band


class TestRatings:
    def test_count_when_they_are_shown(self, cast: Cast, app: App) -> None:
        first, second = rate(app, cast, 5), rate(app, cast, 4)
        # (15 + 9) / (5 + 2)
        assert (entry(app).ratings, entry(app).stars, entry(app).rating_sort) == (2, 9, Decimal("3.428571"))

        Rating.objects.filter(pk=second.pk).update(
            hidden_at=NOW, hidden_by=cast.operator, hidden_reason="Rude"
        )
        assert (entry(app).ratings, entry(app).stars) == (1, 5)

        first.delete()
        assert (entry(app).ratings, entry(app).rating_sort) == (0, Decimal(3))

    def test_sort_as_the_formula_says(self, cast: Cast, app: App) -> None:
        for stars in (1, 5, 5, 2, 4, 4):
            rate(app, cast, stars)

            found = entry(app)
            assert found.rating_sort == entries.rating_sort(stars=found.stars, ratings=found.ratings)

    def test_few_high_ones_do_not_stand_above_many(self) -> None:
        assert entries.rating_sort(stars=10, ratings=2) == Decimal("3.571429")
        assert entries.rating_sort(stars=180, ratings=40) == Decimal("4.333333")

    @pytest.mark.parametrize("stars", [0, 6])
    def test_have_one_to_five_stars(self, cast: Cast, app: App, stars: int) -> None:
        with pytest.raises(IntegrityError, match="rating_one_to_five"), transaction.atomic():
            rate(app, cast, stars)

    def test_are_not_of_the_owner(self, cast: Cast, app: App) -> None:
        with pytest.raises(IntegrityError, match="the owner of app"), transaction.atomic():
            Rating.objects.create(
                app=app, person=cast.creator, team=cast.creator_team, stars=5, created_at=NOW, updated_at=NOW
            )

    def test_are_one_of_a_person(self, cast: Cast, app: App) -> None:
        first = rate(app, cast, 5)

        with pytest.raises(IntegrityError, match="rating_one_of_a_person"), transaction.atomic():
            Rating.objects.create(
                app=app, person=first.person, team=first.team, stars=1, created_at=NOW, updated_at=NOW
            )

    def test_are_hidden_with_a_reason(self, cast: Cast, app: App) -> None:
        rating = rate(app, cast, 5)

        with pytest.raises(IntegrityError, match="rating_hidden_has_reason"), transaction.atomic():
            Rating.objects.filter(pk=rating.pk).update(hidden_at=NOW, hidden_by=cast.operator)


class TestPlans:
    def test_of_twenty_thousand_listings_use_the_indexes(self, cast: Cast, app: App) -> None:
        with connection.cursor() as cursor:
            # No triggers and no foreign keys: what is looked at is the plan, not the world.
            cursor.execute("SET LOCAL session_replication_role = replica")
            cursor.execute(
                "INSERT INTO catalog_searchentry SELECT (jsonb_populate_record(e, jsonb_build_object('listing_id', 1000000 + n, "
                "'search', to_tsvector('english', 'tool number' || n || ' word' || n % 500)))).* "
                "FROM catalog_searchentry e, generate_series(1, 20000) n"
            )
            cursor.execute(
                "INSERT INTO catalog_searchword SELECT 'word' || n FROM generate_series(1, 20000) n"
            )
            cursor.execute("ANALYZE catalog_searchentry, catalog_searchword")
            cursor.execute(
                "EXPLAIN SELECT listing_id FROM catalog_searchentry WHERE search @@ to_tsquery('english', 'word7:*')"
            )
            by_words = str(cursor.fetchall())
            cursor.execute("EXPLAIN SELECT word FROM catalog_searchword ORDER BY word <-> 'wrod77' LIMIT 20")
            by_likeness = str(cursor.fetchall())

        assert "search_entry_words" in by_words
        assert "search_word_trigrams" in by_likeness
