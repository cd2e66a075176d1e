import shlex
from decimal import Decimal

import pytest

from marketplace.accounts.access import actor_for
from marketplace.catalog import listing_pages, listings
from marketplace.catalog.models import App
from tests.conftest import Cast
from tests.factories import NOW, make_app, make_listed_app, make_plan, make_subscription, make_version

FEE = {"code": "fee", "model": "flat", "amount": "50", "prorate": True}
CALLS = {"code": "calls", "model": "per_unit", "unit_amount": "0.02", "free_units": "100"}


@pytest.fixture
def app(cast: Cast) -> App:
    return make_app(cast.creator_team)


class TestPriceFrom:
    @pytest.mark.parametrize(
        ("charges", "words"),
        [
            ([], ""),
            ([[]], "Free"),
            ([[CALLS]], "$0.02 a call"),
            ([[FEE], []], "Free, or $50.00 a month"),
            ([[FEE, CALLS], [FEE | {"amount": "20"}]], "From $20.00 a month"),
        ],
    )
    def test_says_what_one_can_start_with(self, app: App, charges: list[list[dict]], words: str) -> None:
        plans = [make_plan(app, charges=one) for one in charges]

        assert listing_pages.price_from(listing_pages.plan_views(plans)) == words


class TestCostPerCall:
    def test_is_the_newest_measured_one(self, app: App) -> None:
        version = make_version(app, declared_cost_per_call=Decimal("0.5"))
        version.smoke_runs.create(state="could_not_check", created_at=NOW)
        version.smoke_runs.create(state="passed", mean_cost=Decimal("0.25"), created_at=NOW)

        assert listing_pages.cost_per_call(version) == Decimal("0.25")

    def test_is_the_declared_one_before_any_was_measured(self, app: App) -> None:
        assert listing_pages.cost_per_call(
            make_version(app, declared_cost_per_call=Decimal("0.5"))
        ) == Decimal("0.5")


class TestListingView:
    def test_shows_only_subscriptions_of_the_person_s_own_teams(self, cast: Cast) -> None:
        app = make_listed_app(cast.creator_team)
        ours = make_subscription(app, cast.consumer_team)
        sandbox = make_subscription(app, cast.consumer_team, environment="sandbox")
        make_subscription(app, cast.stranger_team)

        view = listing_pages.listing_view(app.listing, actor=actor_for(cast.consumer))

        assert (list(view.subscriptions), list(view.sandboxes)) == ([ours], [sandbox])

    def test_fills_the_form_with_the_example(self, cast: Cast) -> None:
        app = make_listed_app(cast.creator_team)

        [field] = listing_pages.listing_view(app.listing, actor=actor_for(cast.consumer)).fields

        assert (field.input.name, field.example) == ("text", "Send me the report.")

    def test_shows_no_form_for_an_input_that_no_form_can_hold(self, cast: Cast) -> None:
        app = make_app(cast.creator_team)
        version = make_version(app, input_schema={"type": "array"})
        listing = listings.publish(app, version=version, at=NOW)

        assert list(listing_pages.listing_view(listing, actor=actor_for(cast.consumer)).fields) == []


class TestShellBody:
    def test_reaches_the_program_whole(self, app: App) -> None:
        version = make_version(app, example_input={"text": "Don't; $HOME `date` \\"})

        [body] = shlex.split(listing_pages.shell_body(version))

        assert body == listing_pages.example_json(version)


class TestExampleJson:
    def test_writes_the_example_as_it_is_sent(self, app: App) -> None:
        version = make_version(app, example_input={"text": "Füße"})

        assert listing_pages.example_json(version) == '{\n  "input": {\n    "text": "Füße"\n  }\n}'

    def test_puts_dots_where_something_is_required(self, app: App) -> None:
        version = make_version(app, example_input={})

        assert '"text": "…"' in listing_pages.example_json(version)
