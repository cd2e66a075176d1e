from decimal import Decimal

import pytest

from marketplace.catalog.plan_terms import PlanTerms
from marketplace.catalog.price_words import price_text


class TestPriceText:
    @pytest.mark.parametrize(
        ("terms", "text"),
        [
            (PlanTerms(), "Free"),
            (PlanTerms(fee=Decimal(50)), "$50.00 a month"),
            (PlanTerms(price_per_call=Decimal("0.0025")), "$0.0025 a call"),
            (PlanTerms(markup=Decimal("0.30")), "cost of models + 30 %"),
            (PlanTerms(markup=Decimal(0)), "cost of models"),
            (
                PlanTerms(fee=Decimal(50), price_per_call=Decimal("0.02"), markup=Decimal("0.125")),
                "$50.00 a month + $0.02 a call + cost of models + 12.5 %",
            ),
        ],
    )
    def test_says_what_is_charged(self, terms: PlanTerms, text: str) -> None:
        assert price_text(terms, currency="USD") == text
