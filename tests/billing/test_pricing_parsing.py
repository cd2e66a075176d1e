from decimal import Decimal

import pytest

from billing.pricing import parse_charges
from billing.pricing.graduated import Graduated
from billing.pricing.tiers import Tier
from marketplace.core.errors import InvalidInput


class TestParseCharges:
    def test_reads_the_charges_of_a_plan(self) -> None:
        tiers = [{"up_to": "5", "unit_amount": "7"}, {"up_to": None, "unit_amount": "6", "flat_amount": 2}]

        (charge,) = parse_charges([{"code": "tokens", "model": "graduated", "tiers": tiers, "maximum": "9"}])

        assert charge.code == "tokens"
        assert charge.maximum == Decimal(9)
        assert charge.shape == Graduated((Tier(Decimal(5), Decimal(7)), Tier(None, Decimal(6), Decimal(2))))

    def test_refuses_a_price_that_ends(self) -> None:
        # Usage beyond the last tier would have no price, so the price is refused when it is saved.
        tiers = [{"up_to": "5", "unit_amount": "7"}]

        with pytest.raises(InvalidInput) as refused:
            parse_charges([{"code": "tokens", "model": "volume", "tiers": tiers}], field="plan.charges")

        assert refused.value.field == "plan.charges[0].tiers[0].up_to"
        assert refused.value.code == "last_tier_bounded"

    @pytest.mark.parametrize("data", [None, [], {}, "charges", [None], [[]]])
    def test_refuses_what_is_no_list_of_charges(self, data: object) -> None:
        with pytest.raises(InvalidInput) as refused:
            parse_charges(data)

        assert refused.value.field.startswith("charges")
