from decimal import Decimal
from typing import Any

import pytest

from billing.calculator import Conditions, PlanToPrice, Range, compare, ranges_of
from billing.calculator_requests import parse_comparison
from billing.pricing import parse_charges
from billing.terms import ShareTerms
from marketplace.core.errors import InvalidInput

SHARE = ShareTerms(Decimal("0.20"))
FEE = {"code": "fee", "model": "flat", "amount": "50"}


def plan(name: str, *charges: dict[str, Any]) -> PlanToPrice:
    return PlanToPrice(name, parse_charges(list(charges)))


def calls(unit_amount: str, **more: Any) -> dict[str, Any]:
    return {"code": "calls", "model": "per_unit", "unit_amount": unit_amount, **more}


def ranges(first: PlanToPrice, second: PlanToPrice, most: int = 10_000, currency: str = "USD") -> list[Range]:
    conditions = Conditions(currency, Decimal("0.01"), SHARE)
    (pair,) = compare([first, second], conditions=conditions, calls=[1], most_calls=most).pairs
    return list(pair.ranges)


class TestCompare:
    def test_bills_the_two_part_tariff(self) -> None:
        two_part = plan("Two parts", FEE, {"code": "cost", "model": "cost_plus", "markup": "0.30"})
        conditions = Conditions("USD", Decimal("0.01"), SHARE)

        found = compare([two_part], conditions=conditions, calls=[10_000], most_calls=10_000)

        # Cost 10 per 1,000 calls, multiplier 1.3, fee 50: 50 + 10 x 13 = 180; the platform keeps a fifth of 80.
        (bill,) = found.bills[0]
        assert bill.total_minor == 18_000
        assert bill.split.platform_margin == 16
        assert (found.curve_calls[0], found.curve_calls[-1], len(found.curve_calls)) == (0, 10_000, 41)
        assert (found.curve_minor[0][0], found.curve_minor[0][-1]) == (5_000, 18_000)

    def test_prices_what_a_call_uses_beside_itself(self) -> None:
        tokens = plan("Tokens", {"code": "tokens", "model": "per_unit", "unit_amount": "0.000002"})
        conditions = Conditions("USD", Decimal(0), SHARE, {"tokens": Decimal(620)})

        # 1,000 x 620 x 0.000002
        assert (
            compare([tokens], conditions=conditions, calls=[1000], most_calls=10).bills[0][0].total_minor
            == 124
        )

    def test_asks_for_what_it_does_not_know(self) -> None:
        minutes = plan("Minutes", {"code": "minutes", "model": "per_unit", "unit_amount": "1"})

        with pytest.raises(InvalidInput) as refused:
            compare([minutes], conditions=Conditions("USD", Decimal(0), SHARE), calls=[1], most_calls=10)

        assert refused.value.field == "per_call.minutes"


class TestBreakEven:
    def test_is_found_to_the_call(self) -> None:
        # 50 + 0.01 n against 0.03 n: 2,500 calls cost 75 each way; a cent apart with the 2,501st.
        found = ranges(plan("Fee", FEE, calls("0.01")), plan("Use", calls("0.03")))

        assert found == [Range(0, 2499, "Use"), Range(2500, 2500, None), Range(2501, None, "Fee")]

    def test_looks_at_whole_cents(self) -> None:
        # 0.01 against 0.001 n, rounded: 5 calls are half a cent and cost one, 15 cost two.
        found = ranges(plan("Cent", {**FEE, "amount": "0.01"}), plan("Use", calls("0.001")), most=30)

        assert found == [Range(0, 4, "Use"), Range(5, 14, None), Range(15, None, "Cent")]

    def test_goes_to_and_fro_where_rounding_does(self) -> None:
        # In cents 5,000 + 1.3 n and 1.6 n. At 16,668: 21,668.4 and 26,668.8, so 26,668 and 26,669; at 16,669 both 26,670.
        markup = [plan(name, *more, {"code": "cost", "model": "cost_plus", "markup": value}) for name, more, value in (
            ("Fee", (FEE,), "0.3"), ("Use", (), "0.6"),
        )]  # fmt: skip

        assert [(one.from_calls, one.cheaper) for one in ranges(*markup, most=100_000)] == [
            (0, "Use"),
            (16_666, None),
            (16_668, "Fee"),
            (16_669, None),
            (16_670, "Fee"),
        ]

    def test_is_found_where_tiers_cross_twice(self) -> None:
        # 1 a call, from the 11th on 0.10, against 0.50: 10 cost 10 and 5, even at 1 + ... 10 + 0.1 (n - 10) = 0.5 n: n = 22.5.
        tiers = [{"up_to": "10", "unit_amount": "1"}, {"up_to": None, "unit_amount": "0.10"}]
        found = ranges(
            plan("Tiers", {"code": "calls", "model": "graduated", "tiers": tiers}),
            plan("Flat", calls("0.50")),
        )

        assert found == [Range(0, 0, None), Range(1, 22, "Flat"), Range(23, None, "Tiers")]

    def test_is_found_at_the_steps_of_packages(self) -> None:
        package = {"code": "calls", "model": "package", "package_size": "10", "package_amount": "2"}
        found = ranges(plan("Packs", package), plan("Each", calls("0.25")), most=25)

        # 2 for 1 to 10: dearer up to 7, 2.00 at 8; 4 for 11 to 20: dearer up to 15 (3.75), even at 16; 6 from 21: 24.
        assert [(one.from_calls, one.cheaper) for one in found] == [
            (0, None),
            (1, "Each"),
            (8, None),
            (9, "Packs"),
            (11, "Each"),
            (16, None),
            (17, "Packs"),
            (21, "Each"),
            (24, None),
            (25, "Packs"),
        ]

    def test_sees_where_a_credit_is_used_up_and_a_maximum_is_reached(self) -> None:
        # 40 with the first 30 of use paid, so 40 up to 30 calls, then 10 + n; against n, at most 60.
        credit = plan(
            "Credit",
            {**FEE, "amount": "40"},
            calls("1"),
            {"code": "credit", "model": "included_credit", "amount": "30"},
        )
        capped = plan("Capped", calls("1.5", maximum="60"))

        # 1.5 n passes 40 at 27 (40.50); 10 + n is below 1.5 n from 21 on, up to the 60 that both cost at 50 calls.
        assert ranges(credit, capped, most=100) == [
            Range(0, 26, "Capped"),
            Range(27, 49, "Credit"),
            Range(50, 50, None),
            Range(51, None, "Capped"),
        ]

    def test_works_in_currencies_without_cents(self) -> None:
        found = ranges(
            plan("Fee", {**FEE, "amount": "100"}), plan("Use", calls("3")), currency="JPY", most=100
        )

        assert found == [Range(0, 33, "Use"), Range(34, None, "Fee")]

    def test_turns_once_between_neighbors(self) -> None:
        found = ranges_of(lambda count: count - 7, points=[0, 100], names=("a", "b"))

        assert found == (Range(0, 6, "a"), Range(7, 7, None), Range(8, None, "b"))


class TestParseComparison:
    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"plans": []}, "plans"),
            ({"plans": [{"charges": "x"}]}, "plans[0].charges"),
            (
                {"plans": [{"charges": [{"code": "a", "model": "flat", "amount": "-1"}]}]},
                "plans[0].charges[0].amount",
            ),
            ({"plans": [{"name": "A", "charges": []}, {"name": "A", "charges": []}]}, "plans[1].name"),
            ({"plans": [{"charges": []}] * 5}, "plans"),
            ({"calls": ["1.5"]}, "calls[0]"),
            ({"calls": [10**11]}, "calls[0]"),
            ({"most_calls": 0}, "most_calls"),
            ({"share": "20"}, "share"),
            ({"basis": "net"}, "basis"),
            ({"per_call": {"calls": "2"}}, "per_call.calls"),
            ({"currency": "XXX"}, "currency"),
            ({"more": 1}, "more"),
        ],
    )
    def test_names_the_field(self, change: dict[str, Any], field: str) -> None:
        body = {"currency": "USD", "plans": [{"charges": []}], **change}

        with pytest.raises(InvalidInput) as refused:
            parse_comparison(body, default=SHARE)

        assert field in [one.field for one in refused.value.errors]
