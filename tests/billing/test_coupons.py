from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from billing import coupon_queries, coupons
from billing.close import close_period
from billing.coupons import AlreadyRedeemed, CouponTerms, NotRedeemable
from billing.drafting import bills_of
from billing.ledger.verify import verify
from billing.models import Coupon, CouponRedemption, Invoice, InvoiceLine
from billing.terms import ShareTerms, Terms
from marketplace.accounts.access import actor_for
from marketplace.catalog.models import Subscription
from marketplace.core.errors import Conflict, InvalidInput, NotAllowed
from marketplace.core.periods import parse_month
from metering.models import DailyRollup
from tests import factories
from tests.billing.usage import use
from tests.conftest import Cast

TERMS = Terms(legal_entity="Test Company", default_share=ShareTerms(Decimal("0.20")), currency="USD")
OCTOBER = datetime(2026, 10, 5, 9, tzinfo=UTC)
AT = datetime(2026, 11, 2, 8, tzinfo=UTC)
FEE = {"code": "fee", "model": "flat", "amount": "50"}
CALLS = {"code": "calls", "model": "per_unit", "unit_amount": "0.10"}
TEN_PERCENT = CouponTerms("TEN", "Ten percent", percent=Decimal(10))


def subscribe(cast: Cast, *charges: dict[str, Any], **fields: Any) -> Subscription:
    app = factories.make_app(cast.creator_team)
    plan = factories.make_plan(app, charges=list(charges) or [FEE, CALLS], code="standard")
    return factories.make_subscription(app, fields.pop("team", cast.consumer_team), plan=plan, **fields)


def make(cast: Cast, **terms: Any) -> Coupon:
    values: dict[str, Any] = {"code": "TEN", "title": "Ten percent"}
    values |= terms
    if "amount" not in values:
        values.setdefault("percent", Decimal(10))
    return coupons.make(CouponTerms(**values), by=actor_for(cast.finance), at=OCTOBER)


def redeem(
    cast: Cast, subscription: Subscription, code: str = "TEN", at: datetime = OCTOBER
) -> CouponRedemption:
    return coupons.redeem(code, subscription=subscription, by=actor_for(cast.consumer), at=at)


def billed(name: str = "2026-10") -> list[tuple[str, int]]:
    (bill,) = bills_of(parse_month(name), default_share=TERMS.default_share)
    return [(line.priced.code, line.priced.amount_minor) for line in bill.lines]


def close(name: str = "2026-10", at: datetime = AT) -> Invoice:
    close_period(name, at=at, terms=TERMS)
    return Invoice.objects.get(period=name)


class TestMake:
    @pytest.mark.parametrize(
        ("terms", "field"),
        [
            ({"code": "A B"}, "code"),
            ({"code": "AB"}, "code"),
            ({"title": " "}, "title"),
            ({"percent": None}, "percent"),
            ({"percent": Decimal("100.5")}, "percent"),
            ({"percent": Decimal(0)}, "percent"),
            ({"percent": None, "amount": Decimal(5)}, "currency"),
            ({"percent": None, "amount": Decimal("5.001"), "currency": "USD"}, "amount"),
            ({"percent": None, "amount": Decimal("5.5"), "currency": "JPY"}, "amount"),
            ({"scope": "all"}, "scope"),
            ({"duration": "repeating"}, "months"),
            ({"duration": "repeating", "months": 121}, "months"),
            ({"charges": ("fee",)}, "charges"),
            ({"scope": "invoice", "apps": ("where2eat",)}, "apps"),
            ({"plans": ("standard",)}, "plans"),
            ({"expires_at": OCTOBER}, "expires_at"),
            ({"most_redemptions": 0}, "most_redemptions"),
        ],
    )
    def test_names_the_field(self, cast: Cast, terms: dict[str, Any], field: str) -> None:
        values: dict[str, Any] = {"code": "TEN", "title": "Ten", "percent": Decimal(10)}

        with pytest.raises(InvalidInput) as refused:
            coupons.make(CouponTerms(**values | terms), by=actor_for(cast.finance), at=OCTOBER)

        assert field in [one.field for one in refused.value.errors]

    def test_takes_a_code_once(self, cast: Cast) -> None:
        make(cast)

        with pytest.raises(InvalidInput) as refused:
            make(cast, code="ten")

        assert refused.value.field == "code"

    def test_is_for_the_finance_of_the_marketplace(self, cast: Cast) -> None:
        for person in (cast.consumer, cast.creator, cast.stranger):
            with pytest.raises(NotAllowed):
                coupons.make(TEN_PERCENT, by=actor_for(person), at=OCTOBER)

    def test_gives_the_same_for_ever(self, cast: Cast) -> None:
        coupon = make(cast)

        with pytest.raises(Exception, match="Cannot update"), transaction.atomic():
            Coupon.objects.filter(pk=coupon.pk).update(percent=Decimal(90))


class TestRedeem:
    @pytest.mark.parametrize(
        ("duration", "months", "ends_on"),
        [
            ("once", None, date(2026, 11, 1)),
            ("repeating", 3, date(2027, 1, 1)),
            ("repeating", 15, date(2028, 1, 1)),
            ("forever", None, None),
        ],
    )
    def test_counts_whole_months_from_this_one(
        self, cast: Cast, duration: str, months: int | None, ends_on: date | None
    ) -> None:
        make(cast, duration=duration, months=months)

        made = redeem(cast, subscribe(cast), code=" ten ")

        assert (made.starts_on, made.ends_on) == (date(2026, 10, 1), ends_on)

    def test_takes_no_more_than_it_may(self, cast: Cast) -> None:
        make(cast, most_redemptions=1)
        redeem(cast, subscribe(cast))

        with pytest.raises(NotRedeemable, match="redeemed 1 times"):
            redeem(cast, subscribe(cast))

        assert CouponRedemption.objects.count() == 1

    def test_cannot_be_counted_beyond_the_most(self, cast: Cast) -> None:
        coupon = make(cast, most_redemptions=1)

        with pytest.raises(IntegrityError, match="coupon_within_most_redemptions"), transaction.atomic():
            Coupon.objects.filter(pk=coupon.pk).update(redemptions_count=2)

    def test_counts_once_for_a_subscription(self, cast: Cast) -> None:
        coupon, subscription = make(cast), subscribe(cast)
        redeem(cast, subscription)

        with pytest.raises(AlreadyRedeemed):
            redeem(cast, subscription)

        coupon.refresh_from_db()
        assert coupon.redemptions_count == 1

    def test_ends_with_the_coupon(self, cast: Cast) -> None:
        coupon = make(cast)
        coupons.end(coupon, by=actor_for(cast.finance), at=OCTOBER)

        with pytest.raises(NotRedeemable, match="was ended"):
            redeem(cast, subscribe(cast))

    def test_ends_when_it_expires(self, cast: Cast) -> None:
        make(cast, expires_at=datetime(2026, 10, 6, tzinfo=UTC))

        with pytest.raises(NotRedeemable, match="expired on 06 October 2026"):
            redeem(cast, subscribe(cast), at=datetime(2026, 10, 6, tzinfo=UTC))

    def test_fits_apps_plans_and_currencies(self, cast: Cast) -> None:
        subscription = subscribe(cast)
        make(cast, code="OTHER", apps=("another-app",))
        make(cast, code="PLAN", plans=(f"{subscription.app.slug}/gold",))
        make(cast, code="EURO", amount=Decimal(5), currency="EUR")
        make(cast, code="LINES", scope="line", charges=("tokens",))

        for code in ("OTHER", "PLAN", "EURO", "LINES", "NONE"):
            with pytest.raises(InvalidInput) as refused:
                redeem(cast, subscription, code)
            assert refused.value.field == "code"

    def test_is_for_the_team_and_finance(self, cast: Cast) -> None:
        make(cast)
        subscription = subscribe(cast)

        for person in (cast.stranger, cast.creator):
            with pytest.raises(NotAllowed):
                coupons.redeem("TEN", subscription=subscription, by=actor_for(person), at=OCTOBER)


class TestBills:
    def test_take_percents_off_a_subscription(self, cast: Cast) -> None:
        subscription = subscribe(cast)
        use(subscription, requests=300, cost="2")
        make(cast)
        redeem(cast, subscription)

        # 50 + 300 x 0.10 = 80, less 8.
        assert billed() == [("fee", 5000), ("calls", 3000), ("coupon:TEN", -800)]

    def test_take_lines_first_then_the_whole_bill(self, cast: Cast) -> None:
        subscription = subscribe(cast)
        use(subscription, requests=300, cost="2")
        make(cast, code="FEE", scope="line", percent=Decimal(50), charges=("fee",))
        make(cast, code="BILL", scope="invoice", amount=Decimal(10), currency="USD")
        redeem(cast, subscription, "BILL")
        redeem(cast, subscription, "FEE")

        assert billed() == [("fee", 5000), ("calls", 3000), ("coupon:FEE", -2500), ("coupon:BILL", -1000)]

    def test_share_a_discount_of_the_bill_among_its_apps(self, cast: Cast) -> None:
        first, second = subscribe(cast, FEE), subscribe(cast, {**FEE, "amount": "100"})
        make(cast, scope="invoice", amount=Decimal(10), currency="USD")
        redeem(cast, first)

        # 10 by 50 : 100.
        shares = {line.app_id: line.amount_minor for line in close().lines.filter(code="coupon:TEN")}
        assert shares == {first.app_id: -333, second.app_id: -667}

    def test_never_fall_below_zero(self, cast: Cast) -> None:
        subscription = subscribe(cast)
        make(cast, scope="invoice", amount=Decimal(500), currency="USD")
        redeem(cast, subscription)

        assert sum(minor for _, minor in billed()) == 0

    def test_pay_creators_as_without_it(self, cast: Cast) -> None:
        subscription = subscribe(cast, CALLS)
        use(subscription, requests=1000, cost="10")
        make(cast, percent=Decimal(50))
        redeem(cast, subscription)

        # 100 - 10 cost, of which the creator has 80 %: 72; the platform has 28 - 50.
        lines = close().lines.values_list("code", "creator_minor", "platform_minor")
        assert list(lines) == [("calls", 7200, 2800), ("coupon:TEN", 0, -5000)]

    def test_stop_after_its_months(self, cast: Cast) -> None:
        subscription = subscribe(cast, FEE)
        make(cast)
        redeem(cast, subscription)

        assert billed("2026-11") == [("fee", 5000)]

    def test_take_an_amount_off_once_when_the_plan_changed(self, cast: Cast) -> None:
        subscription = subscribe(cast, FEE)
        make(cast, amount=Decimal(10), currency="USD")
        redeem(cast, subscription)
        other = factories.make_plan(subscription.app, charges=[FEE], code="other")
        use(subscription, requests=1, cost="0", plan=other)

        discounts = [minor for code, minor in billed() if code == "coupon:TEN"]
        assert discounts == [-1000]

    def test_take_it_off_what_comes_late_too(self, cast: Cast) -> None:
        subscription = subscribe(cast)
        use(subscription, requests=300, cost="2")
        make(cast, duration="once")
        redeem(cast, subscription)
        close()

        use(subscription, requests=100, cost="1", period=date(2026, 11, 1))

        # 10 more in calls, of which 10 % come off; November has its fee and no coupon.
        assert billed("2026-11") == [("fee", 5000), ("calls", 1000), ("coupon:TEN", -100)]

    def test_give_a_discount_of_the_bill_back_with_what_is_taken_back(self, cast: Cast) -> None:
        subscription = subscribe(cast, CALLS)
        use(subscription, requests=300, cost="3")
        make(cast, scope="invoice", amount=Decimal(20), currency="USD")
        redeem(cast, subscription)
        close()

        use(subscription, requests=0, cost="0", period=date(2026, 11, 1))
        DailyRollup.objects.filter(period=date(2026, 11, 1)).update(requests=-200, cost=-2)

        # 30 - 20 was paid. 10 are left, of which 10 come off: all of the 10 goes back.
        lines = dict(billed("2026-11"))
        assert lines == {"calls": -2000, "coupon:TEN": 1000}

    def test_prove_themselves(self, cast: Cast) -> None:
        one, two = (
            subscribe(cast),
            subscribe(cast, FEE, {"code": "credit", "model": "included_credit", "amount": "9"}),
        )
        for subscription in (one, two):
            use(subscription, requests=300, cost="2")
        make(cast)
        make(cast, code="BILL", scope="invoice", percent=Decimal("33.3"))
        redeem(cast, one)
        redeem(cast, one, "BILL")

        close()

        assert [
            verdict.name for verdict in verify() if not verdict.is_ok and "sum of events" not in verdict.name
        ] == []

    def test_tell_what_a_coupon_cost(self, cast: Cast) -> None:
        subscription = subscribe(cast, FEE)
        coupon = make(cast)
        redeem(cast, subscription)
        close()

        (cost,) = coupon_queries.costs([coupon])["TEN"]
        assert (cost.currency, cost.amount_minor, cost.bills) == ("USD", 500, 1)
        assert InvoiceLine.objects.get(code="coupon:TEN").kind == "discount"


class TestTakeOff:
    def test_ends_with_the_month(self, cast: Cast) -> None:
        subscription = subscribe(cast, FEE)
        make(cast, duration="forever")
        redemption = redeem(cast, subscription)

        coupons.take_off(redemption, by=actor_for(cast.finance), at=AT)

        assert billed("2026-11") == [("fee", 5000), ("coupon:TEN", -500)]
        assert billed("2026-12") == [("fee", 5000)]
        with pytest.raises(Conflict):
            coupons.take_off(redemption, by=actor_for(cast.finance), at=AT)

    def test_is_for_finance(self, cast: Cast) -> None:
        make(cast)
        redemption = redeem(cast, subscribe(cast))

        with pytest.raises(NotAllowed):
            coupons.take_off(redemption, by=actor_for(cast.stranger), at=AT)


class TestRedemptions:
    def test_are_seen_by_the_team_and_finance_alone(self, cast: Cast) -> None:
        make(cast)
        redeem(cast, subscribe(cast))

        seen = [
            coupon_queries.redemptions(actor_for(person)).count()
            for person in (cast.consumer, cast.finance, cast.stranger, cast.creator)
        ]
        assert seen == [1, 1, 0, 0]
