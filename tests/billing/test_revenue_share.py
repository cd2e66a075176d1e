from decimal import Decimal
from typing import Any

import pytest

from billing.revenue_share import Fee, parse_and_split, split
from marketplace.core.errors import InvalidInput


def asked(**change: Any) -> dict[str, Any]:
    return {
        "price": "13",
        "platform_cost": "10",
        "share": "0.20",
        "basis": "gross",
        "currency": "USD",
        **change,
    }


class TestSplit:
    def test_loses_money_on_gross_below_the_break_even_share(self) -> None:
        # Design: cost 10, markup 0.30, share 0.20: keeps 2.60, pays 10.00; breaks even at 10/13 = 0.769230...
        answer = parse_and_split(asked()).as_json()

        assert answer == {
            "creator": "10.4",
            "platform": "2.6",
            "platform_margin": "-7.4",
            "break_even_share": "0.769230769230769231",
            "sustainable": False,
            "creator_minor": 1040,
            "platform_minor": 260,
            "currency": "USD",
        }

    def test_shares_only_what_cost_leaves_on_net(self) -> None:
        # (13 - 10) x 0.8 = 2.40; the platform takes 10.60 and keeps 0.60 after its cost.
        answer = parse_and_split(asked(basis="net_of_cost")).as_json()

        assert (answer["creator"], answer["platform"], answer["platform_margin"]) == ("2.4", "10.6", "0.6")
        assert (answer["break_even_share"], answer["sustainable"]) == ("0", True)

    def test_is_net_of_cost_unless_said_otherwise(self) -> None:
        body = asked()
        del body["basis"]

        assert parse_and_split(body).creator == Decimal("2.40")

    def test_breaks_even_exactly(self) -> None:
        # Share 0.8 of 12.50 is the cost of 10.
        result = parse_and_split(asked(price="12.50", share="0.8"))

        assert result.platform_margin == 0
        assert result.break_even_share == Decimal("0.8")
        assert result.is_sustainable

    @pytest.mark.parametrize("basis", ["gross", "net_of_cost"])
    def test_has_no_break_even_when_cost_exceeds_the_price(self, basis: str) -> None:
        result = parse_and_split(asked(price="8", basis=basis))

        assert result.break_even_share is None
        assert not result.is_sustainable

    def test_never_makes_a_creator_owe(self) -> None:
        result = parse_and_split(asked(price="8", basis="net_of_cost"))

        assert (result.creator, result.platform, result.platform_margin) == (0, 8, -2)

    def test_splits_minor_units_without_loss(self) -> None:
        # 0.05 x 0.5 each is 2.5 cents: the tie goes to the creator.
        result = split(
            Decimal("0.05"),
            platform_cost=Decimal(0),
            share=Decimal("0.5"),
            basis="gross",
            currency="USD",
        )

        assert result.minor_parts() == (3, 2)

    def test_takes_a_free_app(self) -> None:
        result = parse_and_split(asked(price="0", platform_cost="0"))

        assert (result.creator, result.break_even_share, result.is_sustainable) == (0, 0, True)
        assert result.minor_parts() == (0, 0)

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"share": "1.01"}, "share"),
            ({"share": "20"}, "share"),
            ({"share": 0.2}, "share"),
            ({"price": "-1"}, "price"),
            ({"platform_cost": None}, "platform_cost"),
            ({"basis": "net"}, "basis"),
            ({"currency": "XXX"}, "currency"),
            ({"markup": "0.3"}, "markup"),
        ],
    )
    def test_refuses_and_names_the_field(self, change: dict[str, Any], field: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            parse_and_split(asked(**change))

        assert refused.value.field == field


class TestFee:
    @pytest.mark.parametrize(
        ("percent", "fixed", "fee", "with_card"),
        [
            ("5", "0.50", "2.38", "2.94"),
            ("3.8", "0.40", "1.83", "2.39"),
            ("3.6", "0.35", "1.70", "2.26"),
            ("3.4", "0.30", "1.58", "2.14"),
        ],
    )
    def test_of_a_sale_is_that_of_the_published_table(
        self, percent: str, fixed: str, fee: str, with_card: str
    ) -> None:
        # Polar, docs/merchant-of-record/fees.mdx: a sale of 37.50; 1.5 percent more by card.
        price = Decimal("37.50")
        fees = (Fee("", Decimal(percent), Decimal(fixed)), Fee("card", Decimal("1.5")))

        parts = [one.of(price, currency="USD") for one in fees]
        found = split(
            price, platform_cost=Decimal(0), share=Decimal(0), basis="gross", currency="USD", fees=fees
        )

        assert parts[0] == Decimal(fee)
        assert found.platform == Decimal(with_card)
        assert found.creator == price - Decimal(with_card)
