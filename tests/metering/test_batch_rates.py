"""What calls of batches cost: rates of the platform, the prices that the database makes of them, and rating by them."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction
from django.db.utils import InternalError
from msgspec.structs import replace

from marketplace.accounts.access import actor_for
from marketplace.core.errors import InvalidInput, NotAllowed
from marketplace.core.models import AuditEntry
from metering import batch_rates
from metering.attribution import Dimensions
from metering.corrections import Change
from metering.ingest import record
from metering.models import BatchRate, RateCard, UsageEvent
from metering.ratecards import change_price, load_price_book
from metering.rating import Quantities, from_atto
from quotas import corrections
from tests import factories
from tests.conftest import Cast
from tests.factories import NOW
from tests.metering.conftest import make_usage
from tests.metering.rerated_world import LATER, rerate

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


def put(cast: Cast, percent: str, *, days: int = 0) -> BatchRate:
    return batch_rates.put_in_force(
        Decimal(percent),
        starts_at=NOW + days * DAY,
        reason="calls in cheap hours",
        by=actor_for(cast.operator),
        at=NOW,
    )


def raise_price(to: str, *, days: int) -> None:
    old = RateCard.objects.get(ends_at=None)
    names = ("input", "cached_input", "cache_write", "output", "reasoning")
    prices = {f"{name}_per_mtok": Decimal(to) for name in names}
    change_price(RateCard(model=old.model, source="new", **prices), starts_at=NOW + days * DAY)


def batch_prices() -> list[tuple[str, int, int | None]]:
    """What a million input tokens cost in a batch, from which day and to which."""
    return [
        (
            f"{card.input_per_mtok.normalize():f}",
            (card.starts_at - NOW).days,
            (card.ends_at - NOW).days if card.ends_at else None,
        )
        for card in RateCard.every.exclude(batch_rate=None).order_by("starts_at", "pk")
        if card.ends_at is None or card.ends_at > card.starts_at
    ]


class TestPutInForce:
    def test_makes_a_price_of_every_list_price(self, cast: Cast) -> None:
        factories.make_model("llm-8b", input_price="0.20", output_price="0.60")

        rate = put(cast, "50")

        card = RateCard.every.get(batch_rate=rate)
        # 0.20 and 0.60 less 50 %; cached input is a tenth of 0.20.
        assert (card.input_per_mtok, card.output_per_mtok) == (Decimal("0.10"), Decimal("0.30"))
        assert card.cached_input_per_mtok == Decimal("0.01")
        assert (card.starts_at, card.ends_at, card.source) == (NOW, None, "50 % off for batches")
        assert card.list_price == RateCard.objects.get()
        assert AuditEntry.objects.get(action="metering.batch_rate.set").new["off_percent"] == "50"

    def test_follows_prices_and_rates_whichever_is_dated_first(self, cast: Cast) -> None:
        factories.make_model("llm-8b", input_price="0.20")
        put(cast, "50")
        put(cast, "25", days=10)
        assert batch_prices() == [("0.1", 0, 10), ("0.15", 10, None)]

        raise_price("0.40", days=5)

        # 0.40 less 50 % until the rate of 25 % begins.
        assert batch_prices() == [("0.1", 0, 5), ("0.2", 5, 10), ("0.3", 10, None)]

    def test_begins_with_models_that_come_later(self, cast: Cast) -> None:
        put(cast, "40")
        factories.make_model("llm-8b", input_price="1")
        assert batch_prices() == [("0.6", 0, None)]

    @pytest.mark.parametrize(
        ("percent", "days", "reason", "field"),
        [
            ("100", 0, "why", "off_percent"),
            ("-1", 0, "why", "off_percent"),
            ("10.001", 0, "why", "off_percent"),
            ("10", -1, "why", "starts_at"),
            ("10", 0, " ", "reason"),
        ],
    )
    def test_names_what_is_wrong(self, cast: Cast, percent: str, days: int, reason: str, field: str) -> None:
        with pytest.raises(InvalidInput) as caught:
            batch_rates.put_in_force(
                Decimal(percent),
                starts_at=NOW + days * DAY,
                reason=reason,
                by=actor_for(cast.operator),
                at=NOW,
            )
        assert caught.value.field == field

    def test_refuses_a_rate_before_one_that_is_set(self, cast: Cast) -> None:
        put(cast, "50", days=3)
        with pytest.raises(InvalidInput, match="from 2026-11-18"):
            put(cast, "40", days=2)

    def test_is_for_finance_and_operators(self, cast: Cast) -> None:
        for person in (cast.creator, cast.consumer, cast.stranger):
            with pytest.raises(NotAllowed):
                batch_rates.put_in_force(
                    Decimal(10), starts_at=None, reason="why", by=actor_for(person), at=NOW
                )


class TestRow:
    @pytest.mark.parametrize("percent", ["-1", "100"])
    def test_leaves_a_price(self, cast: Cast, percent: str) -> None:
        with pytest.raises(IntegrityError, match="batch_rate_leaves_a_price"), transaction.atomic():
            BatchRate.objects.create(
                off_percent=Decimal(percent), starts_at=NOW, reason="x", set_by=cast.operator, set_at=NOW
            )

    def test_is_one_at_a_time(self, cast: Cast) -> None:
        put(cast, "50")
        with pytest.raises(IntegrityError, match="batch_rate_one_in_force"), transaction.atomic():
            BatchRate.objects.create(
                off_percent=10, starts_at=NOW + DAY, reason="x", set_by=cast.operator, set_at=NOW
            )

    def test_never_changes(self, cast: Cast) -> None:
        put(cast, "50")
        with pytest.raises((IntegrityError, InternalError)), transaction.atomic():
            BatchRate.objects.update(off_percent=10)

    def test_of_a_card_comes_with_its_list_price(self, cast: Cast) -> None:
        factories.make_model("llm-8b")
        rate = put(cast, "50")
        card = RateCard.objects.get()
        card.pk, card.batch_rate, card.starts_at = None, rate, NOW - DAY
        card.ends_at = NOW
        with pytest.raises(IntegrityError, match="batch_price_is_of_a_list_price"), transaction.atomic():
            card.save(force_insert=True)


class TestRating:
    def test_takes_the_price_of_batches_for_their_calls_alone(self, cast: Cast, who: Dimensions) -> None:
        rate = put(cast, "50")
        usages = [make_usage(who, "one"), replace(make_usage(who, "two"), is_batch=True)]

        one, two = record(usages, at=NOW)

        # 480 input tokens at 0.20 a million are 0.000096; at half of it 0.000048.
        assert (one.rated.cost, two.rated.cost) == (Decimal("0.000096"), Decimal("0.000048"))
        event = UsageEvent.objects.get(event_id="two")
        assert event.rate_card == RateCard.every.get(batch_rate=rate)

    def test_takes_the_list_price_where_no_rate_is_in_force(self, cast: Cast, who: Dimensions) -> None:
        put(cast, "50", days=1)
        usages = [
            replace(make_usage(who, "now"), is_batch=True),
            replace(make_usage(who, "later", at=NOW + DAY), is_batch=True),
            replace(make_usage(who, "again"), is_batch=True),
        ]
        costs = [receipt.rated.cost for receipt in record(usages, at=NOW)]
        assert costs == [Decimal("0.000096"), Decimal("0.000048"), Decimal("0.000096")]

    def test_keeps_its_rate_when_it_is_amended(self, cast: Cast, who: Dimensions) -> None:
        put(cast, "50")
        record([replace(make_usage(who, "one"), is_batch=True)], at=NOW)

        made = corrections.amend(
            UsageEvent.objects.get(),
            change=Change({"input_tokens": 240}),
            reason="counted twice",
            by=actor_for(cast.operator),
            at=NOW,
        )

        # 240 tokens at 0.10 a million are 0.000024, half of what it was.
        assert made.cost_difference == Decimal("-0.000024")

    def test_keeps_its_rate_when_the_list_price_was_wrong(self, cast: Cast, who: Dimensions) -> None:
        put(cast, "33.33")
        tokens = Quantities(input_tokens=1_000_000)
        record([replace(make_usage(who, "one", quantities=tokens), is_batch=True)], at=NOW)

        rerate(cast)

        # 0.20 should have been 0.40, less 33.33 %: 0.13334 becomes 0.26668.
        assert UsageEvent.objects.get(corrects="one").cost == Decimal("0.13334")
        made = corrections.amend(
            UsageEvent.objects.get(event_id="one"),
            change=Change({"input_tokens": 500_000}),
            reason="counted twice",
            by=actor_for(cast.operator),
            at=LATER,
        )
        assert made.cost_difference == Decimal("-0.13334")

    def test_is_exact_at_odd_rates(self, cast: Cast, who: Dimensions) -> None:
        put(cast, "33.33")
        price = load_price_book().token_prices("llm-8b", NOW, is_batch=True)
        # 0.20 x 0.6667
        assert from_atto(price.input) == Decimal("0.13334")
