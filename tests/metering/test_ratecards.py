"""Prices that change: what was rated keeps the price of its time."""

from datetime import timedelta
from decimal import Decimal

import pytest

from marketplace.core.errors import InvalidInput
from metering import ingest, rollups
from metering.attribution import Dimensions
from metering.models import LanguageModel, RateCard, UsageEvent, UsageRollup
from metering.ratecards import change_price
from tests.factories import NOW
from tests.metering.conftest import make_usage

ONE_DAY = timedelta(days=1)


def dearer() -> RateCard:
    """A card not yet in force: five times the price of the one that is, 1.00 for a million input tokens."""
    return RateCard(
        model=LanguageModel.objects.get(name="llm-8b"),
        input_per_mtok=Decimal("1.00"),
        cached_input_per_mtok=Decimal("0.10"),
        cache_write_per_mtok=Decimal("1.00"),
        output_per_mtok=Decimal("3.00"),
        reasoning_per_mtok=Decimal("3.00"),
        source="test",
    )


class TestChangePrice:
    def test_prices_from_its_date_and_moves_no_history(self, who: Dimensions) -> None:
        old = RateCard.objects.get()
        ingest.record([make_usage(who, "before")], at=NOW)

        new = change_price(dearer(), starts_at=NOW + ONE_DAY)
        receipts = ingest.record(
            [make_usage(who, "late"), make_usage(who, "after", at=NOW + ONE_DAY)], at=NOW + ONE_DAY
        )
        rollups.rebuild()

        # 480 tokens at 0.20 a million before the date, whenever they are reported; at 1.00 from it on.
        assert [receipt.rated.cost for receipt in receipts] == [Decimal("0.000096"), Decimal("0.00048")]
        cards = dict(UsageEvent.objects.values_list("event_id", "rate_card_id"))
        assert cards == {"before": old.pk, "late": old.pk, "after": new.pk}
        assert sorted(UsageRollup.objects.values_list("cost", flat=True)) == [
            Decimal("0.000192"),
            Decimal("0.00048"),
        ]

    def test_refuses_to_go_before_a_price_that_exists(self, who: Dimensions) -> None:
        change_price(dearer(), starts_at=NOW + ONE_DAY)

        with pytest.raises(InvalidInput) as refused:
            change_price(dearer(), starts_at=NOW)

        assert refused.value.field == "starts_at"
        assert RateCard.objects.count() == 2
