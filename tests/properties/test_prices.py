"""Laws of dated prices: which one holds when, and what changing one would have changed."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import transaction
from django.db.models import Q
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metering import attribution, ingest
from metering.attribution import Dimensions
from metering.models import LanguageModel, RateCard
from metering.price_impact import impact
from metering.proposals import TOKEN_PRICES
from metering.ratecards import LaterPrice, UnknownPrice, change_price, load_price_book
from metering.rating import Quantities
from tests.factories import NOW

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
# Few hours, so that prices begin at the same one and before each other.
starts = st.lists(st.integers(0, 6), max_size=8)
prices = st.decimals(Decimal("0.001"), 50, places=3)


def card(model: LanguageModel, price: Decimal | int) -> RateCard:
    return RateCard(model=model, source="test", **dict.fromkeys(TOKEN_PRICES, Decimal(price)))


class TestPriceBook:
    @given(starts)
    def test_has_the_price_that_was_last_put_in_force(self, hours: list[int]) -> None:
        with transaction.atomic():
            model = LanguageModel.objects.create(name="dated", title="Dated", model_class="small")
            accepted: dict[int, int] = {}
            for number, hour in enumerate(hours):
                try:
                    change_price(card(model, number), starts_at=NOW + hour * HOUR)
                except LaterPrice:
                    assert hour < max(accepted)
                else:
                    assert not accepted or hour >= max(accepted)
                    accepted[hour] = number
            book = load_price_book()
            for hour in range(8):
                begun = [start for start in accepted if start <= hour]
                if not begun:
                    with pytest.raises(UnknownPrice):
                        book.token_prices("dated", NOW + hour * HOUR)
                    continue
                found = RateCard.objects.get(pk=book.token_prices("dated", NOW + hour * HOUR).id)
                assert found.input_per_mtok == accepted[max(begun)]
            transaction.set_rollback(True)


class TestImpact:
    # The people and the app stay the same; what each example records is taken back.
    @settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 700)), max_size=6),
        prices,
    )
    def test_is_what_rating_every_event_again_would_give(
        self, who: Dimensions, used: list[tuple[int, int, int]], price: Decimal
    ) -> None:
        with transaction.atomic():
            ingest.record(
                [
                    ingest.Usage(
                        f"e{number}",
                        NOW - hours * HOUR,
                        who,
                        "llm-8b",
                        Quantities(input_tokens=i, output_tokens=o),
                    )
                    for number, (i, o, hours) in enumerate(used)
                ],
                at=NOW,
            )
            old = RateCard.objects.get()

            shown = impact(card(old.model, price), old=old, used_by=Q(model=old.model), at=NOW)

            # 0.20 and 0.60 a million; no price here has more than 12 decimals of an event's cost, so all is exact.
            assert shown.total.old == sum(
                ((i * Decimal("0.20") + o * Decimal("0.60")) / 10**6 for i, o, _ in used), Decimal(0)
            )
            assert shown.total.new == sum(((i + o) * price / 10**6 for i, o, _ in used), Decimal(0))
            assert shown.tokens == sum(i + o for i, o, _ in used)
            transaction.set_rollback(True)
        # Its row of dimensions is gone with the rest.
        attribution.forget()
