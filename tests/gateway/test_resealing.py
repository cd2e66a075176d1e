"""Sealing anew after the secret key changed."""

from typing import Any

import pytest

from marketplace.gateway import offering, resealing, sealing
from marketplace.gateway.models import Provider
from marketplace.gateway.offering import ProviderFacts, SetKey
from marketplace.gateway.offers import key_of
from tests.conftest import Cast
from tests.factories import NOW


def add(cast: Cast, name: str) -> None:
    facts = ProviderFacts(name, "https://api.example.com/v1")
    offering.add_provider(name, facts=facts, key=SetKey(f"sk-{name}"), offers={}, by=cast.operator, at=NOW)


class TestReseal:
    def test_lets_the_earlier_secret_key_go(self, cast: Cast, settings: Any) -> None:
        add(cast, "one")
        settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "the-next-one"

        done = resealing.reseal()
        settings.SECRET_KEY_FALLBACKS = []

        assert (done.provider_keys, done.channel_secrets) == (1, 0)
        assert key_of(Provider.objects.get()) == "sk-one"

    def test_changes_nothing_when_one_cannot_be_opened(self, cast: Cast, settings: Any) -> None:
        add(cast, "one")
        settings.SECRET_KEY = "another-without-fallback"
        add(cast, "two")
        before = list(Provider.objects.order_by("pk").values_list("api_key_sealed", flat=True))

        with pytest.raises(sealing.CannotOpen):
            resealing.reseal()

        assert list(Provider.objects.order_by("pk").values_list("api_key_sealed", flat=True)) == before
