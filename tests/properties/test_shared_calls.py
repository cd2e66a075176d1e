"""Parts of a call that was bought together sum to the whole, whatever was used and whoever takes part."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from marketplace.gateway.providers.base import Usage
from marketplace.gateway.sharing.splitting import Share, split, within

counts = st.integers(0, 5_000)
shares = st.lists(st.builds(Share, counts, counts, counts, counts), min_size=1, max_size=9)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    given_, written = draw(counts), draw(counts)
    cached = draw(st.integers(0, given_))
    return Usage(
        input_tokens=given_,
        output_tokens=written,
        cached_input_tokens=cached,
        cache_write_tokens=draw(st.integers(0, given_ - cached)),
        reasoning_tokens=draw(st.integers(0, written)),
        provider_cost=draw(st.none() | st.decimals(0, 10, places=18)),
    )


class TestSplit:
    @given(usages(), shares)
    def test_sums_to_the_whole_in_every_class(self, usage: Usage, shares: list[Share]) -> None:
        parts = split(usage, shares)

        for name in (
            "input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens",
        ):  # fmt: skip
            assert sum(getattr(part, name) for part in parts) == getattr(usage, name)
        if usage.provider_cost is not None:
            assert sum(part.provider_cost or Decimal(0) for part in parts) == usage.provider_cost

    @given(usages(), shares)
    def test_gives_nobody_more_of_a_class_than_they_have_tokens(
        self, usage: Usage, shares: list[Share]
    ) -> None:
        for part in split(usage, shares):
            assert 0 <= part.cached_input_tokens + part.cache_write_tokens <= part.input_tokens
            assert 0 <= part.reasoning_tokens <= part.output_tokens

    @given(usages(), shares)
    def test_stays_within_what_each_holds_when_all_together_hold_enough(
        self, usage: Usage, shares: list[Share]
    ) -> None:
        parts = split(usage, shares)

        if usage.output_tokens <= sum(one.most_output for one in shares):
            assert all(part.output_tokens <= one.most_output for part, one in zip(parts, shares, strict=True))


class TestWithin:
    def test_goes_by_weight_and_then_to_who_has_room(self) -> None:
        # 10 over 3:1:1 is 6, 2, 2; the first may have 4, so 2 more go to the others.
        assert within(10, [3, 1, 1], [4, 10, 10]) == [4, 3, 3]

    def test_gives_what_nobody_holds_by_what_each_holds(self) -> None:
        # 12 where 9 are held, 6 and 3: in the same proportion.
        assert within(12, [1, 1], [6, 3]) == [8, 4]
