from decimal import Decimal
from typing import Any

import pytest

from billing import measures


def row(**sums: Any) -> dict[str, Any]:
    zeros = {f"{name}_sum": 0 for name in measures.SUMMED}
    return {"requests_sum": 0, "feature": "", **zeros, **sums}


class TestMeasuresOf:
    def test_tells_token_classes_apart(self) -> None:
        found = measures.measures_of(
            row(
                input_tokens_sum=1000,
                cached_input_tokens_sum=300,
                cache_write_tokens_sum=100,
                output_tokens_sum=200,
                reasoning_tokens_sum=50,
            )
        )

        assert found == {
            "input_tokens": 1000,
            "cached_input_tokens": 300,
            "cache_write_tokens": 100,
            "output_tokens": 200,
            "reasoning_tokens": 50,
            "tokens": 1200,
            "fresh_input_tokens": 600,
            "plain_output_tokens": 150,
        }

    def test_counts_minutes(self) -> None:
        # 90 seconds; 20 seconds are a third of a minute, cut.
        assert measures.measures_of(row(duration_ms_sum=90_000)) == {"minutes": Decimal("1.5")}
        assert measures.measures_of(row(duration_ms_sum=20_000)) == {
            "minutes": Decimal("0.333333333333333333")
        }

    def test_counts_calls_of_a_feature(self) -> None:
        assert measures.measures_of(row(requests_sum=7, feature="summary")) == {"feature.summary": 7}


class TestIsMeasured:
    @pytest.mark.parametrize("code", ["calls", "cost", "tokens", "minutes", "feature.summary"])
    def test_knows_what_somebody_measures(self, code: str) -> None:
        assert measures.is_measured(code)

    @pytest.mark.parametrize("code", ["fee", "feature.", "feature", "calls:minimum", "coupon:A", "seats"])
    def test_knows_what_nobody_measures(self, code: str) -> None:
        assert not measures.is_measured(code)
