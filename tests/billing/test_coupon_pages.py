from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from unittest import mock

import pytest
from django.test import Client
from django.urls import reverse

from billing import coupons, negotiated
from billing.coupons import CouponTerms
from billing.models import Coupon, CouponRedemption, NegotiatedPrice
from billing.negotiated import Proposal
from billing.terms import ShareTerms
from billing.thresholds import Thresholds
from marketplace.accounts.access import actor_for
from marketplace.accounts.models import User
from marketplace.catalog.models import Subscription, Version
from marketplace.core.periods import month_of
from tests import factories
from tests.conftest import Cast

CALLS = {"code": "calls", "model": "per_unit", "unit_amount": "0.10"}
MOST_QUERIES = 12


def client_for(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


@pytest.fixture
def subscription(cast: Cast) -> Subscription:
    app = factories.make_listed_app(cast.creator_team)
    app.plans.all().delete()
    plan = factories.make_plan(app, charges=[CALLS], code="standard")
    return factories.make_subscription(app, cast.consumer_team, plan=plan)


@pytest.fixture(autouse=True)
def now() -> Iterator[datetime]:
    at = datetime(2026, 11, 15, 12, tzinfo=UTC)
    with mock.patch("django.utils.timezone.now", return_value=at):
        yield at


@pytest.fixture
def coupon(cast: Cast, now: datetime) -> Coupon:
    terms = CouponTerms("TEN", "Ten percent", percent=Decimal(10))
    return coupons.make(terms, by=actor_for(cast.finance), at=now)


def agree(
    cast: Cast, subscription: Subscription, now: datetime, unit_amount: str = "0.05"
) -> NegotiatedPrice:
    first = month_of(now).starts_at.date()
    return negotiated.propose(
        subscription,
        proposal=Proposal({**CALLS, "unit_amount": unit_amount}, first, None, "A year."),
        by=actor_for(cast.finance),
        at=now,
        share=ShareTerms(Decimal("0.2")),
        thresholds=Thresholds(),
    )


class TestCoupons:
    def test_are_made_listed_and_ended(self, cast: Cast) -> None:
        client = client_for(cast.finance)
        typed = {"code": "spring", "title": "Spring", "percent": "12.5", "scope": "plan", "duration": "once"}

        made = client.post(reverse("billing:coupon-new"), typed, follow=True)
        ended = client.post(reverse("billing:coupon", args=["SPRING"]), {"reason": "Over."}, follow=True)

        assert b"12.5 % off a subscription" in made.content
        assert b"Ended" in ended.content
        assert b"SPRING" in client.get(reverse("billing:coupons")).content

    def test_keep_what_was_typed_with_the_error_at_its_field(self, cast: Cast) -> None:
        typed = {
            "code": "spring",
            "title": "Spring",
            "scope": "plan",
            "duration": "repeating",
            "percent": "10",
        }

        page = client_for(cast.finance).post(reverse("billing:coupon-new"), typed).content.decode()

        assert "must be 1 to 120" in page
        assert 'value="spring"' in page
        assert not Coupon.objects.exists()

    def test_take_few_queries(
        self,
        cast: Cast,
        coupon: Coupon,
        subscription: Subscription,
        now: datetime,
        django_assert_max_num_queries: Any,
    ) -> None:
        coupons.redeem("TEN", subscription=subscription, by=actor_for(cast.consumer), at=now)
        client = client_for(cast.finance)

        for address in (reverse("billing:coupons"), reverse("billing:coupon", args=["TEN"])):
            client.get(address)
            with django_assert_max_num_queries(MOST_QUERIES):
                assert client.get(address).status_code == 200

    def test_are_for_the_finance_of_the_marketplace(self, cast: Cast, coupon: Coupon) -> None:
        for person in (cast.consumer, cast.creator, cast.stranger):
            client = client_for(person)
            for address in ("billing:coupons", "billing:coupon-new"):
                assert client.get(reverse(address)).status_code in (403, 404)
            assert client.post(reverse("billing:coupon", args=["TEN"])).status_code in (403, 404)
        coupon.refresh_from_db()
        assert coupon.state == "active"


class TestOwnPrices:
    def test_redeem_a_code(self, cast: Cast, coupon: Coupon, subscription: Subscription) -> None:
        client = client_for(cast.consumer)
        address = reverse("billing:own-prices", args=[subscription.pk])

        wrong = client.post(address, {"code": "nothing"})
        page = client.post(address, {"code": "ten"}, follow=True)

        assert b"is not the code of a coupon" in wrong.content
        assert b"10 % off a subscription" in page.content
        assert CouponRedemption.objects.get().redeemed_by == cast.consumer

    def test_are_taken_off_by_finance(
        self, cast: Cast, coupon: Coupon, subscription: Subscription, now: datetime
    ) -> None:
        coupon_terms = CouponTerms("EVER", "For ever", percent=Decimal(5), duration="forever")
        coupons.make(coupon_terms, by=actor_for(cast.finance), at=now)
        made = coupons.redeem("EVER", subscription=subscription, by=actor_for(cast.consumer), at=now)
        address = reverse("billing:coupon-take-off", args=[made.pk])

        assert client_for(cast.consumer).post(address).status_code == 403
        assert client_for(cast.stranger).post(address).status_code == 404
        client_for(cast.finance).post(address)

        made.refresh_from_db()
        assert made.ends_on == month_of(now).ends_at.date()

    def test_are_hidden_from_strangers(self, cast: Cast, subscription: Subscription) -> None:
        address = reverse("billing:own-prices", args=[subscription.pk])

        assert client_for(cast.stranger).get(address).status_code == 404
        assert client_for(cast.consumer).get(address, headers={"HX-Request": "true"}).status_code == 200


class TestNegotiatedPrices:
    def test_are_previewed_then_agreed(self, cast: Cast, subscription: Subscription, now: datetime) -> None:
        client = client_for(cast.finance)
        address = reverse("billing:negotiated-price-new", args=[subscription.pk])
        typed = {
            "charge": "calls",
            "amount": "0.05",
            "starts_on": f"{now:%Y-%m}",
            "reason": "They stay a year.",
        }

        preview = client.post(address, {**typed, "preview": "1"})
        assert not NegotiatedPrice.objects.exists()
        page = client.post(address, typed, follow=True)

        # 1,000 calls at 0.10 and 0.05.
        assert b"$100.00" in preview.content and b"$50.00" in preview.content
        assert b"A price of its own for calls" in page.content
        assert NegotiatedPrice.objects.get().charge == {**CALLS, "unit_amount": "0.05"}

    def test_take_a_charge_written_out(self, cast: Cast, subscription: Subscription, now: datetime) -> None:
        written = '{"model": "volume", "tiers": [{"up_to": null, "unit_amount": 0.01}]}'
        typed = {"charge": "calls", "written": written, "starts_on": f"{now:%Y-%m}", "reason": "Tiers."}
        address = reverse("billing:negotiated-price-new", args=[subscription.pk])
        client = client_for(cast.finance)

        assert b"numbers are written as texts" in client.post(address, typed).content
        client.post(address, {**typed, "written": written.replace("0.01", '"0.01"')})

        assert NegotiatedPrice.objects.get().charge["model"] == "volume"

    def test_are_decided_by_a_second_person(
        self, cast: Cast, subscription: Subscription, now: datetime
    ) -> None:
        version = Version.objects.filter(pk=subscription.app.listing.version_id)
        version.update(declared_cost_per_call=Decimal("0.01"))
        subscription = Subscription.objects.get(pk=subscription.pk)
        made = agree(cast, subscription, now, unit_amount="0.001")
        address = reverse("billing:negotiated-price", args=[made.pk])
        second = factories.make_user("second@demo.example")
        factories.join(second, None, "finance", organization=cast.company)

        assert made.state == "proposed"
        client_for(cast.finance).post(address, {"decision": "approve"})
        made.refresh_from_db()
        assert (made.state, made.decided_by) == ("proposed", None)
        assert client_for(cast.consumer).get(address).status_code == 404
        client_for(second).post(address, {"decision": "approve"})

        made.refresh_from_db()
        assert (made.state, made.decided_by) == ("agreed", second)

    def test_show_subscribers_no_margin(self, cast: Cast, subscription: Subscription, now: datetime) -> None:
        made = agree(cast, subscription, now)
        address = reverse("billing:negotiated-price", args=[made.pk])

        page = client_for(cast.consumer).get(address)

        assert page.status_code == 200
        assert b"platform keeps" not in page.content
        assert client_for(cast.consumer).post(address, {"decision": "end"}).status_code == 200
        made.refresh_from_db()
        assert made.ends_on is None
        assert client_for(cast.stranger).get(address).status_code == 404

    def test_take_few_queries(
        self, cast: Cast, subscription: Subscription, now: datetime, django_assert_max_num_queries: Any
    ) -> None:
        agree(cast, subscription, now)
        client = client_for(cast.finance)
        client.get(reverse("billing:negotiated-prices"))

        with django_assert_max_num_queries(MOST_QUERIES):
            assert client.get(reverse("billing:negotiated-prices")).status_code == 200


class TestCalculatorPage:
    @pytest.mark.parametrize("preset", ["", "markup", "two-part", "split", "tiers"])
    def test_works_out_every_example(self, cast: Cast, preset: str) -> None:
        page = client_for(cast.creator).get(
            reverse("billing:calculator"), {"preset": preset} if preset else {}
        )

        assert page.status_code == 200
        assert b"Price against usage" in page.content

    def test_shows_where_one_becomes_cheaper(self, cast: Cast) -> None:
        # 50 + 0.013 n against 0.016 n: even at 16,666.67 calls, to the cent from 16,667 to 16,666.
        query = {"preset": "two-part", "calls": "100000"}

        page = client_for(cast.consumer).get(reverse("billing:calculator"), query).content.decode()

        assert "Fee and usage or Usage only" in page
        assert "16,66" in page

    def test_keeps_its_state_in_the_address(self, cast: Cast) -> None:
        client = client_for(cast.finance)
        query = {
            "a-name": "Mine",
            "a-charges": '[{"code": "calls", "model": "per_unit", "unit_amount": "0.07"}]',
        }

        page = client.get(reverse("billing:calculator"), query).content.decode()

        # 1,000 x 0.07
        assert "$70.00" in page
        assert "a-name=Mine" in page

    @pytest.mark.parametrize(
        ("query", "said"),
        [
            ({"a-charges": "[1.5]"}, "is not JSON"),
            ({"a-charges": '[{"code": "calls"}]'}, "charges[0].model"),
            ({"a-model": "graduated", "a-tiers": "10 0.5"}, "has no colon"),
            ({"a-model": "volume", "a-tiers": "10: 0.5"}, "must be null in the last tier"),
            (
                {"a-charges": '[{"code": "minutes", "model": "per_unit", "unit_amount": "1"}]'},
                "per_call.minutes",
            ),
            ({"calls": "0"}, "greater than or equal to 1"),
        ],
    )
    def test_says_what_is_wrong(self, cast: Cast, query: dict[str, str], said: str) -> None:
        page = client_for(cast.creator).get(reverse("billing:calculator"), {"a-fee": "1", **query})

        assert said in page.content.decode()

    def test_takes_the_plans_of_an_app(self, cast: Cast, subscription: Subscription) -> None:
        client = client_for(cast.consumer)

        page = client.get(reverse("billing:calculator"), {"app": subscription.app.slug}).content.decode()

        # 1,000 x 0.10
        assert "$100.00" in page
        assert client.get(reverse("billing:calculator"), {"app": "nothing"}).status_code == 404
