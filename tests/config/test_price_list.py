from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from itertools import pairwise
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from marketplace.config.price_list import seed_catalogue, seed_prices
from marketplace.config.public_prices import find_model, history, models_of, provider_names
from metering.models import InstanceRate, LanguageModel, RateCard
from metering.ratecards import load_price_book
from metering.rating import to_atto
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


class TestSeedPrices:
    def test_keeps_every_dated_price_of_the_past(self) -> None:
        seed_prices(providers=["openai"])

        # On 10 June 2025 this model came to cost a fifth.
        change = datetime(2025, 6, 10, tzinfo=UTC)
        cards = RateCard.objects.filter(model__name="o3").order_by("starts_at")
        assert [(c.input_per_mtok, c.output_per_mtok, c.starts_at, c.ends_at) for c in cards] == [
            (Decimal(10), Decimal(40), datetime(2025, 1, 1, tzinfo=UTC), change),
            (Decimal(2), Decimal(8), change, None),
        ]
        assert load_price_book().token_prices("o3", change - timedelta(seconds=1)).id == cards[0].pk

    def test_keeps_prices_that_are_announced(self) -> None:
        seed_prices(providers=["google"])

        card = RateCard.objects.get(model__name="gemini-4-argon", ends_at=None)
        assert (card.starts_at, card.input_per_mtok) == (datetime(2026, 12, 1, tzinfo=UTC), Decimal(4))

    def test_takes_the_dearest_time_of_day_and_says_so(self) -> None:
        seed_prices(providers=["deepseek"])

        card = RateCard.objects.get(model__name="deepseek-chat")
        assert (card.input_per_mtok, card.output_per_mtok) == (Decimal("0.27"), Decimal("1.1"))
        assert "dearest time of day" in card.source

    def test_prices_no_text_model_at_zero(self) -> None:
        seed_prices(providers=["openai", "anthropic", "google", "mistral"])

        free = RateCard.objects.filter(input_per_mtok=0, output_per_mtok=0)
        assert not free.exists()
        assert not RateCard.objects.filter(output_per_mtok=0).exclude(model__model_class="embedding").exists()

    def test_changes_nothing_the_second_time(self) -> None:
        first = seed_prices()
        second = seed_prices()

        assert (second.added, second.cards, second.known) == ([], 0, first.added)

    def test_keeps_prices_that_somebody_set_and_tells_that_they_differ(self) -> None:
        make_model("gpt-4o", input_price="2.00", output_price="8.00")

        seeded = seed_prices()

        assert seeded.changed == ["gpt-4o"]
        assert RateCard.objects.get(model__name="gpt-4o").input_per_mtok == Decimal(2)

    def test_writes_nothing_in_a_dry_run(self) -> None:
        out = StringIO()
        call_command("seed_prices", "--provider", "openai", "--dry-run", stdout=out)

        assert "would be added" in out.getvalue()
        assert not LanguageModel.objects.exists()

    def test_names_the_providers_that_there_are(self) -> None:
        with pytest.raises(CommandError, match=r"'nobody' is not one of .*openai"):
            call_command("seed_prices", "--provider", "nobody")

    def test_is_refused_where_usage_is_rated_in_another_currency(self, settings: Any) -> None:
        settings.CURRENCY = "EUR"

        with pytest.raises(CommandError, match="EUR"):
            call_command("seed_prices")


class TestHistory:
    @pytest.mark.parametrize("provider", provider_names())
    def test_is_in_order_exact_and_never_below_zero(self, provider: str) -> None:
        for info in models_of(provider):
            prices = history(info)
            starts = [price.starts_at for price in prices]
            assert starts == sorted(set(starts))
            for price in prices:
                assert all(amount >= 0 and to_atto(amount) >= 0 for amount in price.amounts)
            assert all(one.amounts != two.amounts for one, two in pairwise(prices))


class TestFindModel:
    def test_finds_nothing_under_an_unknown_name(self) -> None:
        assert find_model("openai", "gpt-0") is None
        assert find_model("nobody", "gpt-4o") is None
