from datetime import UTC, datetime
from decimal import Decimal

import pytest

from marketplace.config.price_list import seed_catalogue
from marketplace.config.public_prices import find_model
from metering.models import InstanceRate, LanguageModel, RateCard
from tests.factories import make_model

pytestmark = pytest.mark.django_db


class TestSeedCatalogue:
    def test_adds_well_known_models_with_their_source(self) -> None:
        seed_catalogue()

        card = RateCard.objects.get(model__name="gpt-4o")
        assert (card.input_per_mtok, card.cached_input_per_mtok, card.output_per_mtok) == (
            Decimal("2.5"),
            Decimal("1.25"),
            Decimal("10"),
        )
        assert card.source.startswith("genai-prices") and "openai" in card.source
        assert LanguageModel.objects.count() >= 20

    def test_prices_usage_of_the_last_35_days(self) -> None:
        seed_catalogue()

        assert not RateCard.objects.filter(starts_at__gt=datetime(2026, 10, 1, tzinfo=UTC)).exists()
        assert InstanceRate.objects.get(instance_type="g4dn.xlarge").price_per_hour == Decimal("0.526")

    def test_changes_nothing_the_second_time(self) -> None:
        assert seed_catalogue() > 20
        assert seed_catalogue() == 0

    def test_keeps_prices_that_somebody_set(self) -> None:
        make_model("gpt-4o", input_price="2.00", output_price="8.00")

        seed_catalogue()

        assert RateCard.objects.get(model__name="gpt-4o").input_per_mtok == Decimal("2")

    def test_charges_cached_tokens_like_others_where_no_cached_price_is_known(self) -> None:
        seed_catalogue()

        card = RateCard.objects.get(model__name="mistral-large")
        assert card.cached_input_per_mtok == card.input_per_mtok == Decimal("2")


class TestFindModel:
    def test_finds_nothing_under_an_unknown_name(self) -> None:
        assert find_model("openai", "gpt-0") is None
        assert find_model("nobody", "gpt-4o") is None
