"""Laws of corrections: whatever is amended, taken back and rated anew, sums are those of what counts in the end."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marketplace.accounts.access import actor_for
from marketplace.core.errors import Conflict
from metering import corrected, staging
from metering.attribution import Dimensions
from metering.corrected import QUANTITIES
from metering.corrections import Change
from metering.models import InstanceRate, RateCard, Rerating, UsageEvent, UsageRollup
from metering.ratecards import instance_price, token_prices
from metering.rating import Quantities, from_atto, rate
from metering.reratings import applying, rated
from metering.rollups import differences, rebuild
from quotas import corrections
from quotas.models import Limit, LimitCounter
from tests import factories
from tests.conftest import Cast
from tests.factories import LONG_AGO, NOW
from tests.metering.corrected_world import find, record
from tests.metering.rerated_world import LATER, approve, propose

EXAMPLES = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
EVENTS = ("a", "b", "c")
PRICES = (
    "input_per_mtok",
    "cached_input_per_mtok",
    "cache_write_per_mtok",
    "output_per_mtok",
    "reasoning_per_mtok",
)
counts = st.integers(0, 10**9)
# Whole attos up to a thousand: 21 digits, of which none may be lost.
prices = st.integers(0, 10**21).map(from_atto)


@st.composite
def quantities(draw: st.DrawFn) -> Quantities:
    """What an event may say it used."""
    cached, write, plain = draw(counts), draw(counts), draw(counts)
    reasoning, output = draw(counts), draw(counts)
    return Quantities(
        requests=draw(st.integers(0, 10)),
        input_tokens=plain + cached + write,
        output_tokens=output + reasoning,
        cached_input_tokens=cached,
        cache_write_tokens=write,
        reasoning_tokens=reasoning,
        duration_ms=draw(st.integers(0, 10**8)),
    )


@dataclass(frozen=True)
class Step:
    """Something that is done to an event, or with ``price`` to all of them."""

    event_id: str
    to: Quantities | None
    price: Decimal | None = None


steps = st.lists(
    st.builds(Step, st.sampled_from(EVENTS), st.none() | quantities())
    | st.builds(Step, st.just(""), st.none(), prices),
    max_size=8,
)


def all_quantities(used: Quantities) -> dict[str, int]:
    return {name: getattr(used, name) for name in QUANTITIES}


@pytest.fixture
def timed(who: Dimensions) -> Dimensions:
    factories.make_instance_rate("g4dn.xlarge", price_per_hour="0.526")
    return who._replace(instance_type="g4dn.xlarge")


@pytest.mark.django_db
class TestSequences:
    @EXAMPLES
    @given(steps=steps, at_once=st.integers(1, 4))
    def test_leave_the_sums_of_what_counts_in_the_end(
        self, cast: Cast, timed: Dimensions, steps: list[Step], at_once: int
    ) -> None:
        with transaction.atomic():
            Limit.objects.update(ends_at=LONG_AGO)
            limit = Limit.objects.create(
                app_id=timed.app_id, measure="tokens", window="month", limit_value=10**13, starts_at=NOW
            )
            expected = {event_id: Quantities(input_tokens=100, output_tokens=7) for event_id in EVENTS}
            for place, event_id in enumerate(EVENTS):
                at = NOW + timedelta(seconds=place)
                record(timed, event_id, quantities=expected[event_id], at=at)
            LimitCounter.objects.all().delete()
            for step in steps:
                self._do(cast, step, expected, at_once)

            self._compare(timed, expected)
            counter = LimitCounter.objects.filter(limit=limit).first()
            assert counter is None or min(counter.spent, counter.overrun) >= 0
            transaction.set_rollback(True)

    def _do(self, cast: Cast, step: Step, expected: dict[str, Quantities], at_once: int) -> None:
        if step.price is not None:
            made = approve(cast, propose(cast, **dict.fromkeys(PRICES, step.price)))
            applying.apply(made.pk, at=LATER, events_at_once=at_once)
            return
        by = actor_for(cast.creator)
        event = find(cast.creator, step.event_id)
        try:
            if step.to is None:
                corrections.void(event, reason="Wrong.", by=by, at=NOW)
            else:
                change = Change(all_quantities(step.to))
                corrections.amend(event, change=change, reason="Wrong.", by=by, at=NOW)
        except Conflict:
            pass  # nothing to change
        expected[step.event_id] = step.to or Quantities(requests=0)

    def _compare(self, who: Dimensions, expected: dict[str, Quantities]) -> None:
        last = Rerating.objects.order_by("-pk").first()
        card = RateCard.objects.get()
        for name in PRICES if last else ():
            setattr(card, name, getattr(last, name))
        prices, instance = token_prices(card), instance_price(InstanceRate.objects.get())
        cost = sum(rate(used, prices, instance).cost_atto for used in expected.values())
        rows = list(
            UsageRollup.objects.order_by("hour", "attribution", "period").values(*staging.ROLLUP_MEASURES)
        )

        assert differences() == []
        assert sum(row["cost"] for row in rows) == from_atto(cost)
        for name in QUANTITIES:
            assert sum(row[name] for row in rows) == sum(getattr(used, name) for used in expected.values())
        for event_id, used in expected.items():
            event = UsageEvent.objects.get(event_id=event_id)
            standing = corrected.standing(event)
            assert standing.quantities == used
            assert standing.cost == rate(used, prices, instance).cost
        rebuild()
        again = UsageRollup.objects.order_by("hour", "attribution", "period").values(*staging.ROLLUP_MEASURES)
        assert list(again) == rows


@pytest.mark.django_db
class TestRated:
    @EXAMPLES
    @given(used=quantities(), each=st.lists(prices, min_size=5, max_size=5), hour=prices)
    def test_in_sql_is_what_rating_says(
        self, cast: Cast, timed: Dimensions, used: Quantities, each: list[Decimal], hour: Decimal
    ) -> None:
        with transaction.atomic():
            record(timed, "e1", quantities=used)
            card = RateCard(pk=1, currency="USD", starts_at=LONG_AGO, **dict(zip(PRICES, each, strict=True)))
            instance = InstanceRate.objects.get()

            found = self._rated(cast, kind="model", subject="llm-8b", **dict(zip(PRICES, each, strict=True)))
            assert found == rate(used, token_prices(card), instance_price(instance)).cost

            instance.price_per_hour = hour
            found = self._rated(cast, kind="instance_type", subject="g4dn.xlarge", price_per_hour=hour)
            listed = token_prices(RateCard.objects.get())
            assert found == rate(used, listed, instance_price(instance)).cost
            transaction.set_rollback(True)

    def _rated(self, cast: Cast, **fields: Any) -> Decimal:
        rerating = Rerating.objects.create(
            starts_at=LONG_AGO,
            ends_at=LATER,
            currency="USD",
            reason="Wrong.",
            proposed_by=cast.operator,
            proposed_at=NOW,
            **fields,
        )
        statement = rated.rated(rerating, events="e.event_id = 'e1'")
        with connection.cursor() as cursor:
            cursor.execute(statement, {"rerating": rerating.pk})
            (row,) = cursor.fetchall()
            names = [column.name for column in cursor.description]
        return Decimal(row[names.index("new_cost")])
