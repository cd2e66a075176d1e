from decimal import Decimal

import msgspec
import pytest

from marketplace.gateway.providers.answers import read_usage


class TestReadUsage:
    def test_takes_what_the_provider_says_it_charged(self) -> None:
        usage = read_usage(msgspec.Raw(b'{"prompt_tokens": 9, "completion_tokens": 3, "cost": 0.0042}'))

        assert usage is not None
        assert (usage.input_tokens, usage.output_tokens, usage.provider_cost) == (9, 3, Decimal("0.0042"))

    @pytest.mark.parametrize(
        "report",
        [
            b'{"prompt_tokens": -1}',
            b'{"prompt_tokens": 1000000000001}',
            b'{"prompt_tokens": 1, "completion_tokens": 10000000000000000000000000}',
        ],
    )
    def test_does_not_believe_counts_that_cannot_be(self, report: bytes) -> None:
        assert read_usage(msgspec.Raw(report)) is None

    def test_does_not_believe_a_cost_that_cannot_be(self) -> None:
        usage = read_usage(msgspec.Raw(b'{"prompt_tokens": 9, "cost": 1e40}'))

        assert usage is not None
        assert (usage.input_tokens, usage.provider_cost) == (9, None)
