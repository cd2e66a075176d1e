from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from marketplace.accounts.access import Actor, actor_for
from marketplace.core.errors import InvalidInput, NotAllowed
from marketplace.core.models import AuditEntry, Notice
from marketplace.core.transitions import IllegalTransition
from metering import ingest, proposals
from metering.attribution import Dimensions
from metering.models import InstanceRate, LanguageModel, RateCard, RateProposal, UsageEvent
from metering.proposals import AlreadyRated, OwnProposal, TooSoon
from metering.ratecards import LaterPrice, load_price_book
from tests import factories
from tests.conftest import Cast
from tests.factories import LONG_AGO, NOW
from tests.metering.conftest import make_usage
from tests.metering.usage_world import World

SOON = timedelta(minutes=5)
DAY = timedelta(days=1)
PRICES = {
    "input_per_mtok": Decimal("0.40"),
    "cached_input_per_mtok": Decimal("0.04"),
    "cache_write_per_mtok": Decimal("0.40"),
    "output_per_mtok": Decimal("1.20"),
    "reasoning_per_mtok": Decimal("1.20"),
}


def make_proposal(subject: str = "llm-8b", **fields: Any) -> RateProposal:
    values = {"kind": "model", "currency": "USD", "reason": "New list.", "source": "list of December"}
    return RateProposal(subject=subject, **values | PRICES | fields)


def a_new_model(**fields: Any) -> RateProposal:
    about = {"model_title": "New LLM", "model_class": "small", "context_tokens": 8192}
    return make_proposal("new-llm", **about | fields)


@pytest.fixture
def operator(cast: Cast) -> Actor:
    return actor_for(cast.operator)


@pytest.fixture
def finance(cast: Cast) -> Actor:
    return actor_for(cast.finance)


@pytest.fixture
def ceiling(operator: Actor, finance: Actor) -> RateCard:
    """A ceiling price in force since the day before."""
    asked = proposals.propose(
        make_proposal("", kind="ceiling", starts_at=NOW - DAY), by=operator, at=NOW - 2 * DAY
    )
    card = proposals.approve(asked, by=finance, at=NOW - 2 * DAY)
    assert isinstance(card, RateCard)
    return card


class TestPropose:
    def test_changes_no_price_and_tells_who_may_decide(self, cast: Cast, operator: Actor) -> None:
        factories.make_model("llm-8b")

        made = proposals.propose(make_proposal(), by=operator, at=NOW)

        assert made.state == "proposed"
        assert RateCard.objects.count() == 1
        assert [notice.recipient for notice in Notice.objects.all()] == [cast.finance]
        assert AuditEntry.objects.get(action="metering.rate_proposal.proposed").actor == cast.operator

    def test_supersedes_the_open_one_of_the_same_subject(self, operator: Actor) -> None:
        factories.make_model("llm-8b")
        factories.make_model("llm-70b")
        first = proposals.propose(make_proposal(), by=operator, at=NOW)
        other = proposals.propose(make_proposal("llm-70b"), by=operator, at=NOW)

        second = proposals.propose(make_proposal(), by=operator, at=NOW)

        states = dict(RateProposal.objects.values_list("pk", "state"))
        assert states == {first.pk: "superseded", other.pk: "proposed", second.pk: "proposed"}

    @pytest.mark.parametrize("who", ["consumer", "creator", "approver", "finance", "stranger"])
    def test_is_for_operators_of_the_platform(self, cast: Cast, who: str) -> None:
        factories.make_model("llm-8b")

        with pytest.raises(NotAllowed):
            proposals.propose(make_proposal(), by=actor_for(getattr(cast, who)), at=NOW)

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"reason": " "}, "reason"),
            ({"source": ""}, "source"),
            ({"output_per_mtok": None}, "output_per_mtok"),
            ({"output_per_mtok": Decimal("-1")}, "output_per_mtok"),
            ({"output_per_mtok": Decimal("0.0000000000000000001")}, "output_per_mtok"),
            ({"output_per_mtok": Decimal(10) ** 9}, "output_per_mtok"),
            ({"price_per_hour": Decimal(1)}, "price_per_hour"),
            ({"subject": "new-llm"}, "model_title"),
            ({"subject": "unknown-model"}, "subject"),
            ({"subject": ""}, "subject"),
            ({"subject": "", "kind": "ceiling", "input_per_mtok": Decimal(0)}, "input_per_mtok"),
        ],
    )
    def test_names_what_is_wrong(self, operator: Actor, fields: dict[str, Any], field: str) -> None:
        factories.make_model("llm-8b")

        with pytest.raises(InvalidInput) as refused:
            proposals.propose(make_proposal(**{"subject": "llm-8b", **fields}), by=operator, at=NOW)

        assert refused.value.field == field

    def test_replaces_a_price_at_a_time_to_come_only(self, operator: Actor) -> None:
        factories.make_model("llm-8b")

        for starts_at in (NOW - DAY, NOW, NOW + SOON - timedelta(seconds=1)):
            with pytest.raises(TooSoon):
                proposals.propose(make_proposal(starts_at=starts_at), by=operator, at=NOW)
        assert proposals.propose(make_proposal(starts_at=NOW + SOON), by=operator, at=NOW).pk

    def test_refuses_a_date_after_which_usage_was_rated(self, who: Dimensions, operator: Actor) -> None:
        later = NOW + timedelta(minutes=7)
        ingest.record([make_usage(who, "e1", at=later)], at=NOW)

        with pytest.raises(AlreadyRated):
            proposals.propose(make_proposal(starts_at=later), by=operator, at=NOW)
        after = later + timedelta(seconds=1)
        assert proposals.propose(make_proposal(starts_at=after), by=operator, at=NOW).pk


class TestApprove:
    def test_makes_the_rate_card_from_the_date_on(
        self, who: Dimensions, operator: Actor, finance: Actor
    ) -> None:
        old = RateCard.objects.get()
        asked = proposals.propose(make_proposal(starts_at=NOW + DAY), by=operator, at=NOW)

        card = proposals.approve(asked, by=finance, at=NOW, note="As agreed.")

        old.refresh_from_db()
        asked.refresh_from_db()
        assert (old.ends_at, card.starts_at, card.ends_at) == (NOW + DAY, NOW + DAY, None)
        assert (asked.state, asked.decided_by, asked.rate_card) == ("approved", finance.user, card)
        ingest.record([make_usage(who, "e1"), make_usage(who, "e2", at=NOW + DAY)], at=NOW + DAY)
        # 480 tokens at 0.20 and at 0.40 a million
        assert dict(UsageEvent.objects.values_list("event_id", "cost")) == {
            "e1": Decimal("0.000096"),
            "e2": Decimal("0.000192"),
        }

    def test_begins_in_five_minutes_when_no_date_was_asked(self, operator: Actor, finance: Actor) -> None:
        factories.make_model("llm-8b")
        asked = proposals.propose(make_proposal(), by=operator, at=NOW)

        assert proposals.approve(asked, by=finance, at=NOW + DAY).starts_at == NOW + DAY + SOON

    def test_is_not_for_who_proposed(self, operator: Actor) -> None:
        factories.make_model("llm-8b")
        asked = proposals.propose(make_proposal(), by=operator, at=NOW)

        with pytest.raises(OwnProposal):
            proposals.approve(asked, by=operator, at=NOW)
        with pytest.raises(OwnProposal):
            proposals.reject(asked, by=operator, at=NOW, note="No.")
        with pytest.raises(IntegrityError, match="rate_proposal_four_eyes"), transaction.atomic():
            RateProposal.objects.update(decided_by=operator.user)

    @pytest.mark.parametrize("price", ["input_per_mtok", "reasoning_per_mtok"])
    def test_has_every_price_of_its_kind(self, operator: Actor, price: str) -> None:
        factories.make_model("llm-8b")
        proposals.propose(make_proposal(), by=operator, at=NOW)

        with pytest.raises(IntegrityError, match="rate_proposal_has_its_prices"), transaction.atomic():
            RateProposal.objects.update(**{price: None})

    @pytest.mark.parametrize("who", ["consumer", "creator", "approver", "stranger"])
    def test_is_for_operators_and_finance_of_the_platform(
        self, cast: Cast, operator: Actor, who: str
    ) -> None:
        factories.make_model("llm-8b")
        asked = proposals.propose(make_proposal(), by=operator, at=NOW)

        with pytest.raises(NotAllowed):
            proposals.approve(asked, by=actor_for(getattr(cast, who)), at=NOW)

    def test_happens_once(self, operator: Actor, finance: Actor) -> None:
        factories.make_model("llm-8b")
        asked = proposals.propose(make_proposal(), by=operator, at=NOW)
        seen_before = RateProposal.objects.get()
        proposals.approve(asked, by=finance, at=NOW)

        with pytest.raises(IllegalTransition):
            proposals.approve(seen_before, by=finance, at=NOW)

        assert RateCard.objects.count() == 2

    def test_refuses_when_usage_was_rated_meanwhile(
        self, who: Dimensions, operator: Actor, finance: Actor
    ) -> None:
        asked = proposals.propose(make_proposal(starts_at=NOW + DAY), by=operator, at=NOW)
        ingest.record([make_usage(who, "e1", at=NOW + DAY)], at=NOW + DAY)

        with pytest.raises(AlreadyRated):
            proposals.approve(asked, by=finance, at=NOW + timedelta(hours=23))
        with pytest.raises(TooSoon):
            proposals.approve(asked, by=finance, at=NOW + DAY)

        assert RateCard.objects.count() == 1
        assert RateProposal.objects.get().state == "proposed"

    def test_replaces_a_price_that_would_begin_at_the_same_time(
        self, who: Dimensions, operator: Actor, finance: Actor
    ) -> None:
        begins = NOW + DAY
        for price in ("4.00", "0.40"):
            asked = make_proposal(starts_at=begins, input_per_mtok=Decimal(price))
            proposals.approve(proposals.propose(asked, by=operator, at=NOW), by=finance, at=NOW)

        (receipt,) = ingest.record([make_usage(who, "e1", at=begins)], at=begins)

        assert receipt.rated.cost == Decimal("0.000192")
        mistaken = RateCard.objects.get(input_per_mtok=4)
        assert mistaken.starts_at == mistaken.ends_at == begins

    def test_refuses_a_date_before_a_price_to_come(self, operator: Actor, finance: Actor) -> None:
        factories.make_model("llm-8b")
        coming = proposals.propose(make_proposal(starts_at=NOW + 2 * DAY), by=operator, at=NOW)
        proposals.approve(coming, by=finance, at=NOW)
        asked = proposals.propose(make_proposal(starts_at=NOW + DAY), by=operator, at=NOW)

        with pytest.raises(LaterPrice):
            proposals.approve(asked, by=finance, at=NOW)

    def test_adds_a_new_model_with_its_first_price(self, operator: Actor, finance: Actor) -> None:
        asked = proposals.propose(a_new_model(starts_at=LONG_AGO), by=operator, at=NOW)
        assert not LanguageModel.objects.exists()

        proposals.approve(asked, by=finance, at=NOW)

        model = LanguageModel.objects.get()
        assert (model.name, model.title, model.model_class, model.is_active) == (
            "new-llm",
            "New LLM",
            "small",
            True,
        )
        assert model.rate_cards.get().starts_at == LONG_AGO

    def test_prices_an_instance_type(self, operator: Actor, finance: Actor) -> None:
        old = factories.make_instance_rate("g5.xlarge", price_per_hour="1.006")
        none = dict.fromkeys(PRICES)
        asked = make_proposal("g5.xlarge", kind="instance_type", price_per_hour=Decimal("0.90"), **none)

        rate = proposals.approve(proposals.propose(asked, by=operator, at=NOW), by=finance, at=NOW)

        old.refresh_from_db()
        assert old.ends_at == rate.starts_at == NOW + SOON
        assert InstanceRate.objects.get(ends_at=None).price_per_hour == Decimal("0.90")


class TestConsequences:
    def test_are_the_usage_of_thirty_days_at_both_prices(
        self, cast: Cast, world: World, operator: Actor
    ) -> None:
        asked = proposals.propose(make_proposal(starts_at=NOW + DAY), by=operator, at=NOW)

        shown = proposals.consequences(asked, at=NOW)

        # The five pieces of the world cost 1.57; every price is twice the old one.
        assert (shown.total.old, shown.total.new, shown.total.difference) == (
            Decimal("1.57"),
            Decimal("3.14"),
            Decimal("1.57"),
        )
        assert [(one.label, one.old, one.new) for one in shown.apps] == [
            ("Where to eat", Decimal("1.56"), Decimal("3.12")),
            ("Exchange", Decimal("0.01"), Decimal("0.02")),
        ]
        assert shown.tokens == 7_650_000

    def test_take_one_query_over_the_roll_ups(
        self, world: World, operator: Actor, django_assert_num_queries: Any
    ) -> None:
        asked = proposals.propose(make_proposal(), by=operator, at=NOW)

        # The price that it replaces, and the roll-ups.
        with django_assert_num_queries(2):
            proposals.consequences(asked, at=NOW)

    def test_are_kept_with_the_decision(self, world: World, operator: Actor, finance: Actor) -> None:
        asked = proposals.propose(make_proposal(), by=operator, at=NOW)

        proposals.reject(asked, by=finance, at=NOW, note="Too dear.")

        kept = RateProposal.objects.get().projection
        assert kept["total"] == {"label": "All apps", "old": "1.57", "new": "3.14"}
        assert kept["from"] == "2026-10-16T12:00:00+00:00"

    def test_have_nothing_to_compare_a_first_price_with(self, operator: Actor) -> None:
        asked = proposals.propose(a_new_model(), by=operator, at=NOW)

        shown = proposals.consequences(asked, at=NOW)

        assert (shown.total.old, shown.total.new, shown.total.difference) == (None, 0, None)


class TestReject:
    def test_needs_a_reason(self, operator: Actor, finance: Actor) -> None:
        factories.make_model("llm-8b")
        asked = proposals.propose(make_proposal(), by=operator, at=NOW)

        with pytest.raises(InvalidInput) as refused:
            proposals.reject(asked, by=finance, at=NOW, note=" ")

        assert refused.value.field == "note"


class TestWithdraw:
    def test_is_for_who_proposed(self, operator: Actor, finance: Actor) -> None:
        factories.make_model("llm-8b")
        asked = proposals.propose(make_proposal(), by=operator, at=NOW)

        with pytest.raises(NotAllowed):
            proposals.withdraw(asked, by=finance, at=NOW)
        proposals.withdraw(asked, by=operator, at=NOW)

        assert RateProposal.objects.get().state == "withdrawn"


class TestCeiling:
    def test_rates_unknown_models_and_keeps_the_name_they_told(
        self, who: Dimensions, ceiling: RateCard
    ) -> None:
        usage = make_usage(who, "e1")
        (receipt,) = ingest.record([unknown(usage)], at=NOW)

        event = UsageEvent.objects.select_related("attribution__model").get()
        # 480 tokens at the ceiling's 0.40 a million
        assert (receipt.rated.cost, event.rate_card_id) == (Decimal("0.000192"), ceiling.pk)
        assert (event.attribution.model.name, event.attribution.model_asked) == ("unknown-model", "llm-900b")

    def test_rates_a_known_model_in_a_time_without_a_price(self, who: Dimensions, ceiling: RateCard) -> None:
        RateCard.objects.filter(model__name="llm-8b").update(ends_at=NOW - timedelta(hours=1))

        receipts = ingest.record(
            [
                make_usage(who, "gap"),
                make_usage(who, "before", at=NOW - timedelta(hours=2)),
                make_usage(who, "gap-2"),
            ],
            at=NOW,
        )

        cards = [receipt.rated.rate_card_id for receipt in receipts]
        own = RateCard.objects.get(model__name="llm-8b").pk
        assert cards == [ceiling.pk, own, ceiling.pk]
        attributions = {event.attribution.model.name for event in UsageEvent.objects.all()}
        assert attributions == {"llm-8b"}

    def test_does_not_rate_what_came_before_it(self, who: Dimensions, ceiling: RateCard) -> None:
        with pytest.raises(InvalidInput) as refused:
            ingest.record([unknown(make_usage(who, "e1", at=NOW - 2 * DAY))], at=NOW)

        assert refused.value.code == "unknown_price"

    def test_is_off_by_default(self, who: Dimensions) -> None:
        with pytest.raises(InvalidInput) as refused:
            ingest.record([unknown(make_usage(who, "e1"))], at=NOW)

        assert refused.value.code == "unknown_price"

    def test_ends_for_what_comes_later(self, who: Dimensions, ceiling: RateCard, operator: Actor) -> None:
        ends_at = proposals.end_ceiling(by=operator, at=NOW)

        assert ends_at == NOW + SOON
        assert ingest.record([unknown(make_usage(who, "e1"))], at=NOW)
        with pytest.raises(InvalidInput):
            ingest.record([unknown(make_usage(who, "e2", at=ends_at))], at=NOW)

    def test_is_no_model_to_call(self, ceiling: RateCard) -> None:
        assert "unknown-model" not in load_price_book().models

    def test_leaves_a_first_price_no_room_before_usage_at_the_ceiling(
        self, who: Dimensions, ceiling: RateCard, operator: Actor
    ) -> None:
        ingest.record([unknown(make_usage(who, "e1"))], at=NOW)

        with pytest.raises(AlreadyRated):
            asked = a_new_model(starts_at=NOW)
            asked.subject = "llm-900b"
            proposals.propose(asked, by=operator, at=NOW)


def unknown(usage: ingest.Usage) -> ingest.Usage:
    return ingest.Usage(usage.event_id, usage.occurred_at, usage.who, "llm-900b", usage.quantities)
