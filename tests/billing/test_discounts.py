"""Discounts and included credit of a quote."""

from typing import Any

import pytest

from billing.pricing import Quote, parse_quote_request, quote
from marketplace.core.errors import InvalidInput

FEE = {"code": "fee", "model": "flat", "amount": "50"}
USE = {"code": "use", "model": "per_unit", "unit_amount": "1"}
CREDIT = {"code": "credit", "model": "included_credit", "amount": "40"}


def quoted(body: dict[str, Any]) -> Quote:
    asked = parse_quote_request({"currency": "USD", **body})
    return quote(
        asked.charges,
        currency=asked.currency,
        usage=asked.usage,
        billed_before=asked.billed_before,
        period=asked.period,
        active=asked.active,
        discounts=asked.discounts,
    )


def minor(body: dict[str, Any]) -> dict[str, int]:
    return {line.code: line.amount_minor for line in quoted(body).lines}


def discounted(*discounts: dict[str, Any], use: str = "30", **more: Any) -> dict[str, int]:
    """Quote a fee of 50 and some units at 1."""
    return minor({"charges": [FEE, USE], "usage": {"use": use}, "discounts": list(discounts), **more})


def refused(body: dict[str, Any]) -> dict[str, str | None]:
    with pytest.raises(InvalidInput) as error:
        quoted({"charges": [FEE, USE], "usage": {"use": "1"}, **body})
    return {one.field: one.limit for one in error.value.errors}


class TestIncludedCredit:
    @pytest.mark.parametrize(("used", "paid"), [("0", 0), ("15", -1500), ("40", -4000), ("100", -4000)])
    def test_pays_for_usage_and_not_for_the_fee(self, used: str, paid: int) -> None:
        bill = minor({"charges": [FEE, USE, CREDIT], "usage": {"use": used}})

        assert bill["credit"] == paid
        assert bill["fee"] == 5000

    def test_says_what_is_left(self) -> None:
        # 40 - 15
        line = quoted({"charges": [USE, CREDIT], "usage": {"use": "15"}}).lines[-1]

        assert [(step.label, str(step.units)) for step in line.explanation] == [
            ("used of the included credit of 40", "0"),
            ("left of the included credit", "25.00"),
        ]
        assert line.amount == sum(step.amount for step in line.explanation)

    def test_pays_once_over_several_bills(self) -> None:
        # 30 of 40 were used; 20 more take the 10 that are left.
        before = {"use": {"quantity": "30", "amount": "30"}, "credit": {"amount": "30"}}

        bill = minor({"charges": [USE, CREDIT], "usage": {"use": "20"}, "billed_before": before})

        assert bill == {"use": 2000, "credit": -1000}

    def test_comes_after_minimum_and_maximum(self) -> None:
        # 100 units cost at most 60, of which 40 are paid.
        bill = minor({"charges": [{**USE, "maximum": "60"}, CREDIT], "usage": {"use": "100"}})

        assert bill == {"use": 10000, "use:maximum": -4000, "credit": -4000}

    def test_shrinks_with_the_days_when_it_is_prorated(self) -> None:
        # 40 x 15/30
        body = {
            "charges": [USE, {**CREDIT, "prorate": True}],
            "usage": {"use": "100"},
            "period": {"start": "2026-11-01", "end": "2026-12-01"},
            "active": {"start": "2026-11-16", "end": "2026-12-01"},
        }

        assert minor(body)["credit"] == -2000

    def test_keeps_to_the_smallest_unit_of_its_currency(self) -> None:
        body = {"charges": [USE, {**CREDIT, "amount": "40.5"}], "usage": {"use": "100"}}

        assert minor({**body, "currency": "JPY"})["credit"] == -41
        assert minor({**body, "currency": "KWD"})["credit"] == -40500

    def test_takes_no_minimum(self) -> None:
        assert "charges[0].minimum" in refused({"charges": [{**CREDIT, "minimum": "1"}], "usage": {}})


class TestDiscounts:
    def test_come_off_lines_then_off_the_invoice(self) -> None:
        # W34, Flexprice docs invoices/calculation.mdx: 80 with 25 % off the line, and 20; 10 off the rest: 70.
        charges = [{**FEE, "code": code, "amount": amount} for code, amount in (("a", "80"), ("b", "20"))]
        discounts = [
            {"code": "TEN", "scope": "invoice", "amount": "10"},
            {"code": "QUARTER", "scope": "line", "percent": "25", "charges": ["a"]},
        ]

        bill = quoted({"charges": charges, "discounts": discounts})

        assert {line.code: line.amount_minor for line in bill.lines} == {
            "a": 8000,
            "b": 2000,
            "coupon:QUARTER": -2000,
            "coupon:TEN": -1000,
        }
        assert bill.total_minor == 7000

    def test_never_go_below_zero(self) -> None:
        assert discounted({"code": "ALL", "amount": "500"})["coupon:ALL"] == -8000

    def test_work_on_what_the_one_before_left(self) -> None:
        # 80 less 50 % is 40, less 50 % is 20.
        bill = discounted({"code": "A", "percent": "50"}, {"code": "B", "percent": "50"})

        assert (bill["coupon:A"], bill["coupon:B"]) == (-4000, -2000)

    def test_take_percents_off_each_line_rounded(self) -> None:
        # 10 % of 0.05 and of 0.05 are 0.005 each: a cent each.
        charges = [{**FEE, "code": code, "amount": "0.05"} for code in ("a", "b")]

        bill = minor({"charges": charges, "discounts": [{"code": "T", "scope": "line", "percent": "10"}]})

        assert bill["coupon:T"] == -2

    def test_take_an_amount_off_one_line_after_the_other(self) -> None:
        # 50 of the fee, then 10 of the 30 units.
        bill = quoted(
            {
                "charges": [FEE, USE],
                "usage": {"use": "30"},
                "discounts": [{"code": "SIXTY", "scope": "line", "amount": "60"}],
            }
        )

        assert [(step.label, step.amount) for step in bill.lines[-1].explanation] == [
            ("60 off fee", -50),
            ("60 off use", -10),
        ]

    def test_count_over_several_bills_as_over_one(self) -> None:
        # 10 % of 50 + 130 is 18, of which 8 were given on 50 + 30.
        before = {
            "fee": {"amount": "50"},
            "use": {"quantity": "30", "amount": "30"},
            "coupon:T": {"amount": "8"},
        }

        bill = discounted({"code": "T", "percent": "10"}, use="100", billed_before=before)

        assert bill == {"fee": 0, "use": 10000, "coupon:T": -1000}

    def test_give_nothing_of_a_credit(self) -> None:
        # The included credit is no line to take something off.
        bill = minor(
            {
                "charges": [USE, CREDIT],
                "usage": {"use": "100"},
                "discounts": [{"code": "H", "scope": "line", "percent": "50"}],
            }
        )

        assert bill == {"use": 10000, "credit": -4000, "coupon:H": -5000}


class TestRefusals:
    @pytest.mark.parametrize(
        ("discount", "field", "limit"),
        [
            ({"code": "A"}, "percent", None),
            ({"code": "A", "percent": "1", "amount": "1"}, "percent", None),
            ({"code": "A", "percent": "100.1"}, "percent", "100"),
            ({"code": "A", "percent": 0.5}, "percent", None),
            ({"code": "A", "amount": "-1"}, "amount", "0"),
            ({"code": "", "percent": "1"}, "code", "40"),
            ({"code": "A:B", "percent": "1"}, "code", None),
            ({"code": "A", "percent": "1", "scope": "all"}, "scope", None),
            ({"code": "A", "percent": "1", "charges": ["use"]}, "charges", None),
            ({"code": "A", "percent": "1", "scope": "line", "charges": ["other"]}, "charges", None),
            ({"code": "A", "percent": "1", "months": 3}, "months", None),
        ],
    )
    def test_name_the_field_and_the_limit(
        self, discount: dict[str, Any], field: str, limit: str | None
    ) -> None:
        assert refused({"discounts": [discount]}) == {f"discounts[0].{field}": limit}

    def test_a_code_twice(self) -> None:
        one = {"code": "A", "percent": "1"}

        assert "discounts[1].code" in refused({"discounts": [one, one]})
