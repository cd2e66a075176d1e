"""From a stream of reports to roll-ups and the bill: whatever its order, cuts and repetitions, what a slow reference says."""

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

from billing import drafting
from billing.terms import ShareTerms
from marketplace.catalog.models import App
from marketplace.core.periods import parse_month
from metering import rollups, staging
from metering.attribution import Dimensions
from metering.ingest import Usage
from metering.models import UsageRollup
from metering.rating import Quantities
from quotas import admission
from tests import factories
from tests.conftest import Cast
from tests.properties import reference_rater

OCTOBER = parse_month("2026-10")
MIDDLE = datetime(2026, 10, 15, 12, tzinfo=UTC)
CALLS = {
    "code": "calls",
    "model": "graduated",
    "tiers": [
        {"up_to": "5", "unit_amount": "0.07", "flat_amount": "0.5"},
        {"up_to": None, "unit_amount": "0.013", "flat_amount": "0"},
    ],
    "free_units": "2",
}
COST = {"code": "cost", "model": "cost_plus", "markup": "0.30"}
# Dollars per million tokens: plain input, cached input, plain output. The second model does not divide evenly.
PRICES = {
    "llm-8b": ("0.20", "0.02", "0.60"),
    "llm-odd": ("0.333333333333333333", "0.033333333333333333", "0.7"),
}


@dataclass(frozen=True)
class Fact:
    """What a report says of one event; its number is its id."""

    number: int
    hours: int
    model: str
    requests: int
    input_tokens: int
    cached: int
    output_tokens: int

    @property
    def occurred_at(self) -> datetime:
        return MIDDLE + timedelta(hours=self.hours, minutes=self.number)

    def usage(self, who: Dimensions) -> Usage:
        quantities = Quantities(
            requests=self.requests,
            input_tokens=self.input_tokens,
            cached_input_tokens=self.cached,
            output_tokens=self.output_tokens,
        )
        return Usage(f"e{self.number}", self.occurred_at, who, self.model, quantities)


@st.composite
def facts(draw: st.DrawFn) -> Fact:
    input_tokens = draw(st.integers(0, 10**9))
    return Fact(
        number=0,
        hours=draw(st.integers(-300, 300)),
        model=draw(st.sampled_from(sorted(PRICES))),
        requests=draw(st.integers(0, 4)),
        input_tokens=input_tokens,
        cached=draw(st.integers(0, input_tokens)),
        output_tokens=draw(st.integers(0, 10**8)),
    )


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[Fact], list[list[Fact]]]:
    """Different events, and a stream of them in any order and any batches, some of them again."""
    bodies = draw(st.lists(facts(), min_size=1, max_size=10))
    different = [Fact(**{**vars(one), "number": number}) for number, one in enumerate(bodies)]
    again = draw(st.lists(st.sampled_from(different), max_size=5))
    order = draw(st.permutations([*different, *again]))
    cuts = sorted(draw(st.lists(st.integers(0, len(order)), max_size=4)))
    return different, [list(order[start:end]) for start, end in pairwise([0, *cuts, len(order)])]


# --- the reference: fractions, one event after the other, no code of ours ---------------------------------


def cost_of(fact: Fact) -> Fraction:
    """Give what an event costs, to 18 decimals."""
    plain, cached, output = (Fraction(price) for price in PRICES[fact.model])
    exact = (fact.input_tokens - fact.cached) * plain + fact.cached * cached + fact.output_tokens * output
    return Fraction(reference_rater.to_minor(exact / 10**6, 18), 10**18)


def by_hour(different: Sequence[Fact]) -> dict[tuple[datetime, str], tuple[int, int, int, Fraction]]:
    sums: dict[tuple[datetime, str], tuple[int, int, int, Fraction]] = {}
    for fact in different:
        key = fact.occurred_at.replace(minute=0), fact.model
        events, requests, tokens, cost = sums.get(key, (0, 0, 0, Fraction(0)))
        of_fact = fact.input_tokens + fact.output_tokens
        sums[key] = events + 1, requests + fact.requests, tokens + of_fact, cost + cost_of(fact)
    return sums


def bill(different: Sequence[Fact]) -> dict[str, int]:
    """Give the cents of each charge."""
    requests = sum(fact.requests for fact in different)
    cost = sum((cost_of(fact) for fact in different), Fraction(0))
    return {
        "calls": reference_rater.to_minor(reference_rater.price(CALLS, requests), 2),
        "cost": reference_rater.to_minor(cost * (1 + Fraction(COST["markup"])), 2),
    }


@pytest.fixture
def who(cast: Cast) -> Dimensions:
    factories.make_model("llm-8b", input_price="0.20", output_price="0.60")
    odd = factories.make_model("llm-odd", input_price="0.333333333333333333", output_price="0.7")
    assert odd.rate_cards.get().cached_input_per_mtok == Decimal("0.033333333333333333")
    app: App = factories.make_listed_app(cast.creator_team, slug="where2eat")
    plan = factories.make_plan(app, code="measured", charges=[CALLS, COST])
    subscription = factories.make_subscription(app, cast.consumer_team, plan=plan)
    return Dimensions(
        app_id=app.pk,
        owner_team_id=cast.creator_team.pk,
        organization_id=cast.company.pk,
        team_id=cast.consumer_team.pk,
        cost_center_id=cast.cost_center.pk,
        subscription_id=subscription.pk,
        plan_id=plan.pk,
        key_id=None,
        environment="production",
        model_id=None,
        model_asked="",
        instance_type="",
        feature="",
    )


@pytest.mark.django_db
class TestStream:
    @settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(streams(), st.sampled_from([(0, 1), (0, staging.MANY), (staging.FEW, staging.MANY)]))
    def test_gives_the_sums_and_the_bill_of_its_different_events(
        self, who: Dimensions, stream: tuple[list[Fact], list[list[Fact]]], way: tuple[int, int]
    ) -> None:
        different, sent = stream

        found, billed = self._left_by(who, sent, way=way)

        assert found == by_hour(different)
        # A charge of nothing for nothing used is no line.
        assert billed == {code: cents for code, cents in bill(different).items() if code in billed}
        assert {code for code, cents in bill(different).items() if cents} <= billed.keys()

    def _left_by(
        self, who: Dimensions, sent: list[list[Fact]], *, way: tuple[int, int]
    ) -> tuple[dict[Any, Any], dict[str, int]]:
        """Report a stream, give its roll-ups and its bill, and take it back."""
        with transaction.atomic(), patch.multiple(staging, FEW=way[0], MANY=way[1]):
            for batch in sent:
                admission.report([fact.usage(who) for fact in batch], at=MIDDLE + timedelta(days=14))
            assert rollups.differences() == []
            found = {
                (row.hour, row.attribution.model.name): (
                    row.events,
                    row.requests,
                    row.input_tokens + row.output_tokens,
                    Fraction(row.cost),
                )
                for row in UsageRollup.objects.select_related("attribution__model")
            }
            bills = drafting.bills_of(OCTOBER, default_share=ShareTerms(Decimal("0.2"), "net_of_cost"))
            billed = {line.priced.code: line.priced.amount_minor for one in bills for line in one.lines}
            transaction.set_rollback(True)
        return found, billed
