from datetime import timedelta
from decimal import Decimal

import pytest

from billing import margin_checks
from billing.models import RevenueShareAgreement
from billing.sustainability import SoldPlan, break_even, in_words, judge, project
from billing.terms import ShareTerms
from billing.thresholds import Thresholds
from marketplace.catalog import checks
from marketplace.catalog.check_models import CheckRun
from marketplace.catalog.models import Review
from marketplace.catalog.projections import Interval, Projection, from_json
from tests.catalog.making import GOOD_CALLS, SHARE, judge_margin, make_submitted
from tests.conftest import Cast
from tests.factories import NOW, make_plan

D = Decimal
FEE: dict[str, object] = {"code": "fee", "model": "flat", "amount": "50", "prorate": True}
MARKUP: dict[str, object] = {"code": "cost", "model": "cost_plus", "markup": "0.30"}
NET = ShareTerms(D("0.20"))


def per_call(price: str, free: str = "0") -> dict[str, object]:
    return {"code": "calls", "model": "per_unit", "unit_amount": price, "free_units": free}


def sold(*charges: dict[str, object], most: int = 200_000, is_proposed: bool = True) -> SoldPlan:
    code = "standard" if is_proposed else "other"
    return SoldPlan(code, code.capitalize(), charges, most, is_proposed)


def outlook(
    *plans: SoldPlan, calls: int = 1_000, cost: str = "0.01", high: str = "", terms: ShareTerms = NET
) -> Projection:
    interval = Interval(D(cost), D(cost), D(high or cost))
    return project(plans, monthly_calls=calls, cost_per_call=interval, terms=terms, currency="USD")


def rules(found: Projection, **thresholds: Decimal) -> list[tuple[str, str]]:
    return [(one.rule, one.severity) for one in judge(found, thresholds=Thresholds(**thresholds))]


class TestProject:
    def test_works_out_a_markup(self) -> None:
        # Cost 10, price 13; creator 3 x 0.80 = 2.40, platform keeps 0.60; its part, 10.60, covers the cost of 10 by
        # 106 %; on gross it would break even at 10 / 13.
        found = outlook(sold(MARKUP))

        [plan] = found.plans
        assert (found.price, found.creator_amount, found.margin) == (13, D("2.4"), D("0.6"))
        assert (plan.covered, plan.from_calls, plan.until_calls) == (D("1.06"), 1, None)
        assert found.break_even_share is not None
        assert found.break_even_share.quantize(D("0.0001")) == D("0.7692")

    def test_works_out_the_worked_two_part_tariff(self) -> None:
        # 50 + 10,000 x 0.013 = 180.
        assert outlook(sold(FEE, MARKUP), calls=10_000).price == 180

    def test_loses_money_on_gross_at_a_small_share(self) -> None:
        # 20 % of 13 is 2.60 against a cost of 10: 26 % of it is covered, 7.40 are lost.
        found = outlook(sold(MARKUP), terms=ShareTerms(D("0.20"), "gross"))

        assert (found.margin, found.plans[0].covered, found.plans[0].from_calls) == (
            D("-7.4"),
            D("0.26"),
            None,
        )

    def test_says_up_to_how_many_calls_a_fee_lasts(self) -> None:
        # 50 pay for 5,000 calls of 0.01 each, and not for one more.
        found = outlook(sold(FEE), calls=1_000)

        assert (found.plans[0].from_calls, found.plans[0].until_calls) == (1, 5_000)
        assert "It breaks even up to 5,000 calls a month." in in_words(found.plans[0], "USD")

    def test_says_from_how_many_calls_free_ones_are_paid_for(self) -> None:
        # n calls cost 0.01 n and bring 0.02 (n - 500): the same at n = 1,000.
        found = outlook(sold(per_call("0.02", free="500")), calls=4_000)

        assert found.plans[0].from_calls == 1_000

    def test_looks_at_no_more_calls_than_a_plan_allows(self) -> None:
        found = outlook(sold(MARKUP, most=300), calls=1_000)

        assert (found.plans[0].calls, found.plans[0].price) == (300, D("3.90"))

    def test_prices_like_an_invoice_to_the_cent(self) -> None:
        # 333 x 0.0013 = 0.4329, billed as 0.43.
        assert outlook(sold(MARKUP), calls=333, cost="0.001").price == D("0.43")

    def test_survives_being_stored(self) -> None:
        found = outlook(sold(FEE, MARKUP), sold(is_proposed=False), calls=10_000)

        assert from_json(found.as_json()) == found

    def test_reads_nothing_from_nothing(self) -> None:
        assert from_json({}) is None


class TestBreakEven:
    @pytest.mark.parametrize(
        ("near", "expected"), [(50, (10, 99)), (120, (200, None)), (5, (10, 99)), (300, (200, None))]
    )
    def test_takes_the_stretch_around_or_next_to_what_is_expected(
        self, near: int, expected: tuple[int, int | None]
    ) -> None:
        def margin_of(calls: int) -> Decimal:
            return D(1) if 10 <= calls < 100 or calls >= 200 else D(-1)

        assert break_even(margin_of, near=near, most=1_000) == expected

    def test_is_nowhere_when_everything_is_lost(self) -> None:
        assert break_even(lambda _: D(-1), near=5, most=1_000) == (None, None)


class TestJudge:
    def test_passes_what_leaves_enough(self) -> None:
        # 0.60 of 13 are 4.6 %.
        assert rules(outlook(sold(MARKUP))) == []

    def test_fails_a_loss_and_says_it_in_figures(self) -> None:
        # 1,000 calls cost 10 and bring 4: the platform loses 6, 40 % is covered.
        found = outlook(sold(per_call("0.004")))

        assert rules(found) == [("margin.negative", "high")]
        assert in_words(found.plans[0], "USD") == (
            "Standard: 1,000 calls a month cost $10.00 and bring $4.00; the creator gets $0.00, the platform loses "
            "$6.00, 40 % of the cost is covered. It loses money at any number of calls."
        )

    def test_warns_when_only_the_upper_end_loses_money(self) -> None:
        assert rules(outlook(sold(per_call("0.011")), cost="0.01", high="0.02")) == [
            ("margin.thin", "medium")
        ]

    def test_warns_of_another_plan_on_offer_that_loses(self) -> None:
        beside = sold(per_call("0.004"), is_proposed=False)

        assert rules(outlook(sold(MARKUP), beside)) == [("margin.other-plan", "medium")]

    def test_keeps_to_what_the_operator_set(self) -> None:
        found = outlook(sold(MARKUP))

        assert rules(found, warn_below=D("0.05")) == [("margin.thin", "medium")]
        assert rules(found, fail_below=D("0.05")) == [("margin.negative", "high")]


class TestCheck:
    def test_reads_the_agreed_share_and_opens_the_review(self, cast: Cast) -> None:
        run = checks.start(make_submitted(cast).pk, at=NOW)
        RevenueShareAgreement.objects.create(
            app=run.version.app, basis="gross", share=D("0.50"), starts_at=NOW - timedelta(days=1)
        )

        checks.finish(run, GOOD_CALLS, at=NOW)
        assert not Review.objects.exists()
        judge_margin(run.version, at=NOW)

        # 4,000 calls cost 2 and bring (4,000 - 50) x 0.003 = 11.85; half of it is 5.925.
        projection = Review.objects.get().projection
        assert (projection["basis"], projection["agreed"], projection["share"]) == ("gross", True, "0.5")
        assert (projection["creator_amount"], projection["platform_margin"]) == ("5.925", "3.925")

    def test_says_why_it_could_not(self, cast: Cast) -> None:
        run = checks.start(make_submitted(cast).pk, at=NOW)
        make_plan(run.version.app, code="euro", currency="EUR")
        checks.finish(run, GOOD_CALLS, at=NOW)

        judge_margin(run.version, at=NOW)

        margin = CheckRun.objects.get(name="sustainability")
        assert (margin.state, margin.reason) == (
            "could_not_check",
            "It is sold in EUR, but calls cost USD: no rate of exchange is agreed.",
        )

    def test_happens_once(self, cast: Cast) -> None:
        run = checks.start(make_submitted(cast).pk, at=NOW)
        checks.finish(run, GOOD_CALLS, at=NOW)
        judge_margin(run.version, at=NOW)
        margin = CheckRun.objects.get(name="sustainability")

        again = margin_checks.check(
            str(margin.pk), at=NOW, default=ShareTerms(SHARE), thresholds=Thresholds()
        )

        assert again == "passed"
        assert Review.objects.count() == 1
