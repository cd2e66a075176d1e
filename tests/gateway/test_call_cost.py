"""What a call costs, while the form of its app is typed."""

import pytest
from django.test import Client
from django.urls import reverse

from tests.conftest import Cast
from tests.gateway.live import make_models


@pytest.fixture
def creator(client: Client, cast: Cast) -> Client:
    make_models("http://127.0.0.1:9")
    client.force_login(cast.creator)
    return client


class TestCallCost:
    def test_prices_the_example_with_each_chosen_model(self, creator: Client) -> None:
        given = {
            "prompt_template": "{{ text }}",
            "inputs-0-name": "text",
            # A million tokens: seven letters and the space before them are one.
            "inputs-0-example": " " + "abcdefg " * 2,
            "allowed_models": ["llm-8b", "llm-70b"],
            "max_output_tokens": "20000",
        }

        page = creator.post(reverse("gateway:call-cost"), given).content.decode()

        # 20,000 tokens of output at 0.60 a million are 0.012, at 0.90 they are 0.018; the few of input add little.
        assert page.index("llm-8b") < page.index("llm-70b")
        assert "$0.0120" in page
        assert "$0.0180" in page

    def test_says_what_is_not_finished_yet(self, creator: Client) -> None:
        page = creator.post(reverse("gateway:call-cost"), {"prompt_template": "{{ te"}).content.decode()

        assert "The prompt cannot be filled in yet" in page

    def test_asks_for_models(self, creator: Client) -> None:
        assert "Choose models" in creator.post(reverse("gateway:call-cost")).content.decode()
