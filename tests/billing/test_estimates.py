from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse

from billing.estimates import worked_bills
from billing.pricing import parse_charges
from billing.terms import ShareTerms
from tests.conftest import Cast

TWO_PART = parse_charges(
    [
        {"code": "fee", "model": "flat", "amount": "50"},
        {"code": "cost", "model": "cost_plus", "markup": "0.30"},
    ]
)


class TestWorkedBills:
    def test_work_out_the_two_part_tariff(self) -> None:
        # Cost 10 per 1,000 calls, multiplier 1.3, fee 50: 10,000 calls are 50 + 10 x 13 = 180.
        (bill,) = worked_bills(
            TWO_PART,
            cost_per_call=Decimal("0.01"),
            terms=ShareTerms(Decimal("0.20")),
            currency="USD",
            calls=[10_000],
        )

        assert bill.total_minor == 18_000
        assert bill.platform_cost == Decimal(100)
        # Net of cost: (180 - 100) x 0.8 = 64 for the creator; the platform keeps 180 - 64 - 100 = 16.
        assert bill.split.creator == Decimal(64)
        assert bill.split.platform_margin == Decimal(16)

    def test_show_a_loss_on_gross(self) -> None:
        # Price 13 per 1,000 calls, cost 10, share 0.20: keeps 2.60, pays 10, breaks even at 10 / 13.
        charges = parse_charges([{"code": "cost", "model": "cost_plus", "markup": "0.30"}])

        (bill,) = worked_bills(
            charges,
            cost_per_call=Decimal("0.01"),
            terms=ShareTerms(Decimal("0.20"), "gross"),
            currency="USD",
            calls=[1_000],
        )

        assert bill.split.platform_margin == Decimal("-7.40")
        assert bill.split.break_even_share == Decimal("0.769230769230769231")


class TestEstimatePage:
    def test_shows_usual_numbers_of_calls(self, cast: Cast, client: Client) -> None:
        client.force_login(cast.creator)

        page = client.get(
            reverse("billing:estimate"), {"fee": "50", "markup": "0.3", "cost_per_call": "0.01"}
        )

        text = page.content.decode()
        assert "$63.00" in text  # 50 + 1 x 13
        assert "$180.00" in text
        assert "$1,350.00" in text  # 50 + 100 x 13

    def test_prices_free_and_paid_calls(self, cast: Cast, client: Client) -> None:
        client.force_login(cast.creator)

        page = client.get(
            reverse("billing:estimate"),
            {"free_calls": "100", "price_per_call": "0.02", "calls": "600", "cost_per_call": "0.001"},
        )

        assert "$10.00" in page.content.decode()  # (600 - 100) x 0.02

    @pytest.mark.parametrize("typed", [{"fee": "-1"}, {"fee": "much"}, {"share": "1.2"}, {"currency": "XXX"}])
    def test_says_what_is_wrong(self, cast: Cast, client: Client, typed: dict[str, str]) -> None:
        client.force_login(cast.creator)

        page = client.get(reverse("billing:estimate"), typed)

        assert page.status_code == 200
        assert next(iter(typed)).capitalize() in page.content.decode()

    def test_asks_strangers_to_sign_in(self, client: Client) -> None:
        assert client.get(reverse("billing:estimate")).status_code == 302
