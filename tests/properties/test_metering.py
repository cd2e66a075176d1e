"""Laws of metering: the order, the cut and the repetition of a stream of events change nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metering import staging
from metering.attribution import Dimensions
from metering.ingest import Usage
from metering.models import UsageEvent, UsageRollup
from metering.rating import MS_PER_HOUR, InstancePrice, Quantities, TokenPrices, explain, from_atto, rate
from metering.rollups import differences, rebuild
from quotas import admission
from quotas.models import Limit, LimitCounter
from tests.factories import LONG_AGO, NOW

START = datetime(2026, 1, 1, tzinfo=UTC)
# 40 digits of a price are more than the column has before the point
atto_prices = st.integers(0, 10**21)
whole_prices = st.integers(0, 10**15).map(lambda price: price * 10**6)
tokens = st.integers(0, 10**9)


@st.composite
def classes(draw: st.DrawFn) -> dict[str, int]:
    """Tokens by the class they are charged as, and time."""
    names = ("plain_input", "cached_input", "cache_write", "plain_output", "reasoning")
    return {name: draw(tokens) for name in names} | {"duration_ms": draw(st.integers(0, 10**8))}


def quantities(used: dict[str, int]) -> Quantities:
    return Quantities(
        input_tokens=used["plain_input"] + used["cached_input"] + used["cache_write"],
        cached_input_tokens=used["cached_input"],
        cache_write_tokens=used["cache_write"],
        output_tokens=used["plain_output"] + used["reasoning"],
        reasoning_tokens=used["reasoning"],
        duration_ms=used["duration_ms"],
    )


def token_prices(price: st.SearchStrategy[int]) -> st.SearchStrategy[TokenPrices]:
    return st.builds(TokenPrices, st.just(1), st.just("USD"), *[price] * 5, st.just(START), st.none())


instance_prices = st.builds(
    InstancePrice, st.just(1), st.just("USD"), st.integers(0, 10**20), st.just(START), st.none()
)


class TestRate:
    @given(classes(), token_prices(atto_prices), instance_prices)
    def test_is_the_exact_sum_rounded_once_for_tokens_and_once_for_time(
        self, used: dict[str, int], prices: TokenPrices, instance: InstancePrice
    ) -> None:
        each = (prices.input, prices.cached_input, prices.cache_write, prices.output, prices.reasoning)
        per_mtok = sum(
            quantity * price for quantity, price in zip(list(used.values())[:5], each, strict=True)
        )
        exact = Fraction(per_mtok, 10**6), Fraction(used["duration_ms"] * instance.per_hour, MS_PER_HOUR)

        cost = rate(quantities(used), prices, instance).cost_atto

        assert cost == sum(int(part + Fraction(1, 2)) for part in exact)

    @given(classes(), st.data(), token_prices(atto_prices), instance_prices)
    def test_grows_with_every_quantity(
        self, used: dict[str, int], data: st.DataObject, prices: TokenPrices, instance: InstancePrice
    ) -> None:
        name = data.draw(st.sampled_from(sorted(used)))
        more = used | {name: used[name] + data.draw(st.integers(1, 10**6))}

        less_cost = rate(quantities(used), prices, instance).cost_atto

        assert rate(quantities(more), prices, instance).cost_atto >= less_cost

    @given(classes(), token_prices(whole_prices), instance_prices)
    def test_is_the_sum_of_its_explanation(
        self, used: dict[str, int], prices: TokenPrices, instance: InstancePrice
    ) -> None:
        parts = explain(quantities(used), prices, instance)

        assert (
            sum((part.amount for part in parts), Decimal(0)) == rate(quantities(used), prices, instance).cost
        )

    @given(classes(), token_prices(atto_prices), instance_prices)
    def test_is_explained_to_the_last_digits_whatever_the_price(
        self, used: dict[str, int], prices: TokenPrices, instance: InstancePrice
    ) -> None:
        # Prices of 13 to 18 decimals: each of five parts is shown rounded, so their sum may be off by 5 halves + 1 half.
        parts = explain(quantities(used), prices, instance)

        off = sum((part.amount for part in parts), Decimal(0)) - rate(quantities(used), prices, instance).cost
        assert abs(off) <= from_atto(3)


@dataclass(frozen=True)
class Fact:
    """What an event says; its number is its id."""

    number: int
    minutes: int
    feature: str
    input_tokens: int
    requests: int
    latency_ms: int | None

    def usage(self, who: Dimensions) -> Usage:
        return Usage(
            event_id=f"e{self.number}",
            occurred_at=NOW + timedelta(minutes=self.minutes),
            who=who._replace(feature=self.feature),
            model="llm-8b",
            quantities=Quantities(requests=self.requests, input_tokens=self.input_tokens),
            latency_ms=self.latency_ms,
        )


def by_hour(facts: Sequence[Fact]) -> dict[tuple[datetime, str], int]:
    """Sum the input tokens by hour and feature."""
    sums: dict[tuple[datetime, str], int] = {}
    for fact in facts:
        hour = (NOW + timedelta(minutes=fact.minutes)).replace(minute=0)
        sums[hour, fact.feature] = sums.get((hour, fact.feature), 0) + fact.input_tokens
    return sums


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[Fact], list[list[Fact]], list[list[Fact]]]:
    """Different events, and two streams of them: other orders, other batches, other repetitions."""
    bodies = draw(
        st.lists(
            st.tuples(
                st.integers(-200, 200),
                st.sampled_from(["", "a", "b"]),
                st.integers(0, 10**12),
                st.integers(0, 3),
                st.none() | st.integers(0, 10**6),
            ),
            min_size=1,
            max_size=12,
        )
    )
    facts = [Fact(number, *body) for number, body in enumerate(bodies)]
    return facts, draw(batches(facts)), draw(batches(facts))


@st.composite
def batches(draw: st.DrawFn, facts: Sequence[Fact]) -> list[list[Fact]]:
    again = draw(st.lists(st.sampled_from(facts), max_size=6))
    order = draw(st.permutations([*facts, *again]))
    cuts = sorted(draw(st.lists(st.integers(0, len(order)), max_size=4)))
    bounds = [0, *cuts, len(order)]
    return [list(order[start:end]) for start, end in pairwise(bounds)]


EXAMPLES = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.django_db
class TestRecord:
    @EXAMPLES
    @given(streams())
    def test_gives_the_same_whatever_the_order_the_batches_and_the_repetitions(
        self, who: Dimensions, stream: tuple[list[Fact], list[list[Fact]], list[list[Fact]]]
    ) -> None:
        facts, one, other = stream
        self._limit_tokens(who)

        # One stores batches as if all were new as long as that works, the other one as an argument.
        found = [self._left_by(who, one, few=0), self._left_by(who, other, few=staging.FEW)]

        assert found[0] == found[1]
        rollups, counters, events = found[0]
        assert events == len(facts)
        assert {
            (row["hour"], row["attribution__feature"]): row["input_tokens"] for row in rollups
        } == by_hour(facts)
        assert sum(row["requests"] for row in rollups) == sum(fact.requests for fact in facts)
        assert sum(row["latency_events"] for row in rollups) == sum(
            fact.latency_ms is not None for fact in facts
        )
        used = sum(fact.input_tokens for fact in facts)
        assert counters == [(min(used, 10**12), 0, max(0, used - 10**12))]

    def _limit_tokens(self, who: Dimensions) -> None:
        Limit.objects.update(ends_at=LONG_AGO)
        Limit.objects.create(
            app_id=who.app_id, measure="tokens", window="month", limit_value=10**12, starts_at=LONG_AGO
        )

    def _left_by(
        self, who: Dimensions, sent: list[list[Fact]], *, few: int
    ) -> tuple[list[dict[str, Any]], Any, int]:
        """Report a stream, give what it left behind, and take it back."""
        with transaction.atomic(), patch.multiple(staging, FEW=few, MANY=1):
            for batch in sent:
                admission.report([fact.usage(who) for fact in batch], at=NOW)
            assert differences() == []
            rows = UsageRollup.objects.order_by("hour", "attribution__feature", "period").values(
                "hour", "attribution__feature", "period", "events", *staging.ROLLUP_MEASURES
            )
            rollups = list(rows)
            rebuild()
            assert list(rows.all()) == rollups
            counters = list(
                LimitCounter.objects.filter(limit__ends_at=None).values_list("spent", "held", "overrun")
            )
            events = UsageEvent.objects.count()
            transaction.set_rollback(True)
        return rollups, counters, events
