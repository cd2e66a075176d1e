from decimal import Decimal

import pytest
from django.test import Client

from marketplace.catalog.models import App
from tests.conftest import Cast
from tests.factories import NOW, make_listed_app, make_plan

FEE = {"code": "fee", "model": "flat", "amount": "50", "prorate": True}
COST = {"code": "cost", "model": "cost_plus", "markup": "0.30"}
ADDRESS = "/catalog/where2eat/price/two-part/"


@pytest.fixture
def app(cast: Cast) -> App:
    app = make_listed_app(cast.creator_team, slug="where2eat", name="Where to eat")
    make_plan(app, code="two-part", charges=[FEE, COST], monthly_calls_limit=20_000)
    app.listing.version.smoke_runs.create(state="passed", mean_cost=Decimal("0.01"), created_at=NOW)
    return app


@pytest.fixture
def consumer(cast: Cast, app: App, client: Client) -> Client:
    client.force_login(cast.consumer)
    return client


class TestPrice:
    def test_works_out_a_month_at_the_measured_cost(self, consumer: Client) -> None:
        # Fee 50 + 10,000 calls x 0.01 x 1.3 = 50 + 130 = 180, or 0.018 a call.
        page = consumer.get(f"{ADDRESS}?calls=10000", headers={"HX-Request": "true"}).content.decode()

        for amount in ("$180.00", "$50.00", "$130.00", "$0.018"):
            assert amount in page
        assert "<html" not in page

    def test_is_a_page_of_its_own_without_scripts(self, consumer: Client) -> None:
        page = consumer.get(f"{ADDRESS}?calls=10000").content.decode()

        assert "<html" in page
        assert "$180.00" in page

    def test_warns_of_more_calls_than_the_plan_allows(self, consumer: Client) -> None:
        assert "More than this plan allows: 20,000" in consumer.get(f"{ADDRESS}?calls=20001").content.decode()

    @pytest.mark.parametrize("calls", ["", "0", "-1", "many", "1e9", "99999999999999999999"])
    def test_says_what_is_wrong_with_the_number(self, consumer: Client, calls: str) -> None:
        response = consumer.get(f"{ADDRESS}?calls={calls}", headers={"HX-Request": "true"})

        assert response.status_code == 200
        assert "field-error" in response.content.decode()

    def test_tells_nothing_of_the_creator_s_share(self, consumer: Client) -> None:
        page = consumer.get(f"{ADDRESS}?calls=10000", headers={"HX-Request": "true"}).content.decode()

        assert "Creator" not in page
        assert "margin" not in page

    def test_knows_no_plan_that_is_not_offered(self, app: App, consumer: Client) -> None:
        make_plan(app, code="old", is_offered=False)

        assert consumer.get("/catalog/where2eat/price/old/?calls=1").status_code == 404

    def test_is_not_there_for_a_stranger_when_the_app_is_private(
        self, cast: Cast, app: App, client: Client
    ) -> None:
        App.objects.update(is_public=False)
        client.force_login(cast.stranger)

        assert client.get(f"{ADDRESS}?calls=1").status_code == 404
