"""Pages and API of wallets and of the life of a subscription."""

import re

import pytest
from django.test import Client
from django.utils import timezone

from billing import wallets
from billing.models import ProgressiveThreshold, SpendCap, Wallet
from billing.wallets import NewCredit
from marketplace.accounts.access import actor_for
from marketplace.accounts.models import User
from marketplace.catalog.lifecycle_models import PlannedStep
from marketplace.catalog.models import Plan, Subscription
from tests import factories
from tests.conftest import Cast

pytestmark = pytest.mark.django_db
BUDGET = 12


@pytest.fixture
def subscription(cast: Cast) -> Subscription:
    app = factories.make_listed_app(cast.creator_team, slug="where2eat")
    return factories.make_subscription(app, cast.consumer_team)


@pytest.fixture
def small(subscription: Subscription) -> Plan:
    charges = [{"code": "fee", "model": "flat", "amount": "20", "prorate": True}]
    return factories.make_plan(subscription.app, code="small", name="Small", charges=charges)


@pytest.fixture
def wallet(cast: Cast) -> Wallet:
    by, now = actor_for(cast.finance), timezone.now()
    made = wallets.open_wallet(cast.consumer_team.organization, currency="USD", by=by, at=now)
    wallets.add(made, new=NewCredit("paid", 12_345, "B-1"), by=by, at=now)
    return made


def enter(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


def agreed_on(page: str) -> str:
    found = re.search(r'name="agreed" value="(\w+)"', page)
    assert found
    return found[1]


class TestWalletPages:
    def test_show_put_in_and_pay_back(self, cast: Cast, wallet: Wallet) -> None:
        finance, address = enter(cast.finance), f"/finance/wallets/{wallet.pk}/"
        assert "$123.45" in finance.get(address).content.decode()

        into = {
            "step": "credit",
            "credit-kind": "promotional",
            "credit-amount": "10",
            "credit-reference": "Hello",
        }
        assert finance.post(address, into).status_code == 302
        back = {"step": "refund", "refund-amount": "23.45", "refund-reference": "R-1"}
        assert finance.post(address, back).status_code == 302
        assert finance.post(address, {"step": "low", "low-below": "50"}).status_code == 302

        wallet.refresh_from_db()
        assert (wallet.balance_minor, wallet.low_balance_minor) == (11_000, 5_000)
        too_much = {"step": "refund", "refund-amount": "100.01", "refund-reference": "R-2"}
        assert "at most $100.00" in finance.post(address, too_much).content.decode()

    def test_are_hidden_from_strangers_and_others(self, cast: Cast, wallet: Wallet) -> None:
        for person in (cast.stranger, cast.creator):
            client = enter(person)
            for tail in ("/", ".csv"):
                assert client.get(f"/finance/wallets/{wallet.pk}{tail}").status_code == 404
            assert "123.45" not in client.get("/finance/wallets/").content.decode()

    def test_give_a_file(self, cast: Cast, wallet: Wallet) -> None:
        rows = enter(cast.finance).get(f"/finance/wallets/{wallet.pk}.csv").content.decode().splitlines()

        assert rows[0].startswith("moved_at,kind,credit_kind,amount,balance")
        assert "top_up,paid,123.45,123.45,USD,B-1" in rows[1]

    def test_keep_to_their_budget_of_queries(
        self, cast: Cast, wallet: Wallet, django_assert_max_num_queries: object
    ) -> None:
        finance = enter(cast.finance)
        for address in ("/finance/wallets/", f"/finance/wallets/{wallet.pk}/"):
            with django_assert_max_num_queries(BUDGET):  # type: ignore[operator]
                finance.get(address)


class TestWalletApi:
    def test_shows_adds_and_pays_back(self, cast: Cast, wallet: Wallet) -> None:
        finance, address = enter(cast.finance), f"/api/v1/wallets/{wallet.pk}"
        new = {"kind": "promotional", "amount": "10.00", "reference": "Hello"}
        made = finance.post(f"{address}/credits", new, content_type="application/json")
        back = finance.post(
            f"{address}/refund", {"amount": "23.45", "reference": "R"}, content_type="application/json"
        )

        assert (made.status_code, made.json()["left_minor"]) == (201, 1_000)
        assert back.json()["balance_minor"] == 11_000
        kinds = [one["kind"] for one in finance.get(f"{address}/movements").json()["results"]]
        assert kinds == ["refund", "grant", "top_up"]
        odd = finance.post(f"{address}/credits", new | {"amount": "1.001"}, content_type="application/json")
        assert odd.status_code == 400

    def test_knows_no_strangers(self, cast: Cast, wallet: Wallet) -> None:
        stranger = enter(cast.stranger)

        assert stranger.get(f"/api/v1/wallets/{wallet.pk}").status_code == 404
        assert stranger.get("/api/v1/wallets").json()["results"] == []


class TestLife:
    def test_pauses_and_resumes(self, cast: Cast, subscription: Subscription) -> None:
        consumer, address = enter(cast.consumer), f"/subscriptions/{subscription.pk}"
        assert "First day without a fee" in consumer.get(f"{address}/pause/").content.decode()
        consumer.post(f"{address}/pause/", {"reason": "Holidays"})
        assert Subscription.objects.get().state == "paused"
        shown = consumer.get(f"{address}/month/", headers={"HX-Request": "true"}).content.decode()
        assert "Paused since" in shown and "Holidays" in shown
        consumer.post(f"{address}/resume/")

        assert Subscription.objects.get().state == "active"

    def test_changes_for_less_when_the_month_ends_and_calls_it_off(
        self, cast: Cast, subscription: Subscription, small: Plan
    ) -> None:
        consumer, address = enter(cast.consumer), f"/subscriptions/{subscription.pk}"
        page = consumer.get(f"{address}/plan/small/").content.decode()
        assert "Change when the month ends" in page
        consumer.post(f"{address}/plan/small/", {"agreed": agreed_on(page), "when": "period_end"})
        assert PlannedStep.objects.get().plan == small
        assert "Small from" in consumer.get(f"{address}/month/").content.decode()
        consumer.post(f"{address}/planned/call-off/")

        assert PlannedStep.objects.get().state == "called_off"
        assert Subscription.objects.get().plan != small

    def test_changes_for_less_at_once_where_that_is_chosen(
        self, cast: Cast, subscription: Subscription, small: Plan
    ) -> None:
        consumer, address = enter(cast.consumer), f"/subscriptions/{subscription.pk}/plan/small/"
        page = consumer.get(f"{address}?when=now").content.decode()
        assert "Credit for Standard" in page and "Charge for Small" in page
        consumer.post(address, {"agreed": agreed_on(page), "when": "now"})

        assert Subscription.objects.get().plan == small

    def test_sets_a_cap_and_ends_it(self, cast: Cast, subscription: Subscription) -> None:
        consumer, address = enter(cast.consumer), f"/subscriptions/{subscription.pk}/cap/"
        low = consumer.post(address, {"cap": "10", "cap_mode": "hard"}).content.decode()
        assert "Must be at least $50.00" in low
        consumer.post(address, {"cap": "100", "cap_mode": "hard"})
        assert SpendCap.objects.get().amount_minor == 10_000
        consumer.post(address, {"cap": "", "cap_mode": "hard"})

        assert not SpendCap.objects.exists()

    def test_lets_finance_set_thresholds(self, cast: Cast, subscription: Subscription) -> None:
        address = f"/subscriptions/{subscription.pk}/thresholds/"
        assert enter(cast.consumer).get(address).status_code == 403
        enter(cast.finance).post(address, {"amounts": "200.00\n500"})

        found = ProgressiveThreshold.objects.order_by("amount_minor")
        assert [one.amount_minor for one in found] == [20_000, 50_000]

    def test_is_unknown_to_strangers(self, cast: Cast, subscription: Subscription) -> None:
        stranger = enter(cast.stranger)
        for tail in ("month", "pause", "trial", "cap"):
            assert stranger.get(f"/subscriptions/{subscription.pk}/{tail}/").status_code == 404
        for tail in ("pause", "resume", "planned/call-off", "cap"):
            assert stranger.post(f"/subscriptions/{subscription.pk}/{tail}/").status_code == 404


class TestApi:
    def test_says_what_a_change_costs_and_makes_it(
        self, cast: Cast, subscription: Subscription, small: Plan
    ) -> None:
        consumer, address = enter(cast.consumer), f"/api/v1/subscriptions/{subscription.pk}"
        money = consumer.get(f"{address}/proration", {"plan": "small", "when": "now"}).json()
        assert sum(one["amount_minor"] for one in money["lines"]) == money["difference_minor"] < 0
        later = consumer.get(f"{address}/proration", {"plan": "small"}).json()
        assert (later["difference_minor"], later["whole_month_minor"]) == (0, 2_000)

        changed = consumer.post(f"{address}/change", {"plan": "small"}, content_type="application/json")
        assert (changed.json()["plan"], changed.json()["planned"]["plan"]) == ("standard", "small")
        called = consumer.post(f"{address}/call-off", content_type="application/json")
        assert called.json()["planned"] is None

    def test_pauses_and_caps(self, cast: Cast, subscription: Subscription) -> None:
        consumer, address = enter(cast.consumer), f"/api/v1/subscriptions/{subscription.pk}"
        cap = consumer.put(f"{address}/spend-cap", {"amount": "100.00"}, content_type="application/json")
        assert cap.json()["amount_minor"] == 10_000
        assert consumer.delete(f"{address}/spend-cap").status_code == 204
        assert consumer.get(f"{address}/spend-cap").status_code == 404
        paused = consumer.post(f"{address}/pause", content_type="application/json")
        assert paused.json()["state"] == "paused"
        resumed = consumer.post(f"{address}/resume", content_type="application/json")
        assert resumed.json()["state"] == "active"

    def test_knows_no_strangers(self, cast: Cast, subscription: Subscription) -> None:
        stranger, address = enter(cast.stranger), f"/api/v1/subscriptions/{subscription.pk}"
        for tail in ("proration", "spend-cap"):
            assert stranger.get(f"{address}/{tail}").status_code == 404
        for tail in ("pause", "resume", "call-off"):
            assert stranger.post(f"{address}/{tail}", content_type="application/json").status_code == 404
