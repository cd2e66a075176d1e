from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from billing import negotiated
from billing.drafting import bills_of
from billing.models import NegotiatedPrice
from billing.negotiated import OwnNegotiatedPrice, PriceAgreedMeanwhile, Proposal
from billing.terms import ShareTerms
from billing.thresholds import Thresholds
from marketplace.accounts.access import Actor, actor_for
from marketplace.catalog.models import Subscription
from marketplace.core.errors import Conflict, InvalidInput, NotAllowed
from marketplace.core.models import AuditEntry, Notice
from marketplace.core.periods import parse_month
from marketplace.core.transitions import IllegalTransition
from tests import factories
from tests.billing.usage import use
from tests.conftest import Cast

SHARE = ShareTerms(Decimal("0.20"))
AT = datetime(2026, 10, 15, 9, tzinfo=UTC)
OCTOBER, NOVEMBER, DECEMBER = date(2026, 10, 1), date(2026, 11, 1), date(2026, 12, 1)
CALLS = {"code": "calls", "model": "per_unit", "unit_amount": "0.10"}
CHEAPER = {**CALLS, "unit_amount": "0.05"}
LOSING = {**CALLS, "unit_amount": "0.005"}


@pytest.fixture
def subscription(cast: Cast) -> Subscription:
    """1,000 calls a month at 0.10, which cost 10."""
    app = factories.make_app(cast.creator_team)
    plan = factories.make_plan(app, charges=[CALLS], code="standard")
    made = factories.make_subscription(app, cast.consumer_team, plan=plan)
    use(made, requests=1000, cost="10")
    return made


@pytest.fixture
def second(cast: Cast) -> Actor:
    person = factories.make_user("second@demo.example")
    factories.join(person, None, "finance", organization=cast.company)
    return actor_for(person)


def propose(
    cast: Cast,
    subscription: Subscription,
    charge: dict[str, Any] = CHEAPER,
    *,
    starts_on: date = OCTOBER,
    ends_on: date | None = None,
    reason: str = "They agreed to stay for a year.",
    by: Actor | None = None,
) -> NegotiatedPrice:
    return negotiated.propose(
        subscription,
        proposal=Proposal(charge, starts_on, ends_on, reason),
        by=by or actor_for(cast.finance),
        at=AT,
        share=SHARE,
        thresholds=Thresholds(),
    )


def billed(name: str) -> list[int]:
    bills = bills_of(parse_month(name), default_share=SHARE)
    return [line.priced.amount_minor for bill in bills for line in bill.lines]


class TestPreview:
    def test_shows_a_month_before_and_after(self, cast: Cast, subscription: Subscription) -> None:
        effect = negotiated.preview(
            subscription,
            proposal=Proposal(CHEAPER, OCTOBER, None, "A year."),
            at=AT,
            share=SHARE,
            thresholds=Thresholds(),
        )

        # 1,000 calls: 100 and 50, cost 10; the platform keeps a fifth of 90 and of 40.
        assert (effect.calls, effect.cost) == (1000, 10)
        assert (effect.before.price, effect.before.margin) == (100, 18)
        assert (effect.after.price, effect.after.margin) == (50, 8)
        assert not effect.needs_second_person

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"charge": {**CALLS, "code": "tokens"}}, "charge.code"),
            ({"charge": {"code": "calls", "model": "flat", "amount": "5"}}, "charge.model"),
            ({"charge": {**CALLS, "unit_amount": "-1"}}, "charge[0].unit_amount"),
            ({"starts_on": date(2026, 10, 2)}, "starts_on"),
            ({"starts_on": date(2026, 9, 1)}, "starts_on"),
            ({"ends_on": OCTOBER}, "ends_on"),
            ({"ends_on": date(2026, 11, 15)}, "ends_on"),
            ({"reason": " "}, "reason"),
        ],
    )
    def test_names_the_field(
        self, cast: Cast, subscription: Subscription, change: dict[str, Any], field: str
    ) -> None:
        with pytest.raises(InvalidInput) as refused:
            propose(cast, subscription, **change)

        assert refused.value.field == field


class TestPropose:
    def test_agrees_what_leaves_enough(self, cast: Cast, subscription: Subscription) -> None:
        made = propose(cast, subscription)

        assert made.state == "agreed"
        assert AuditEntry.objects.filter(action="billing.negotiated_price.agreed").count() == 1
        assert (
            Notice.objects.filter(recipient=cast.consumer, text__contains="a price of its own").count() == 1
        )

    def test_asks_a_second_person_below_the_floor(
        self, cast: Cast, subscription: Subscription, second: Actor
    ) -> None:
        made = propose(cast, subscription, LOSING)

        # 5 for what costs 10.
        assert (made.state, made.needs_second_person) == ("proposed", True)
        assert billed("2026-10") == [10_000]
        assert Notice.objects.filter(recipient=second.user, text__contains="below the floor").count() == 1

    def test_is_for_the_finance_of_the_marketplace(self, cast: Cast, subscription: Subscription) -> None:
        for person in (cast.consumer, cast.creator, cast.stranger):
            with pytest.raises(NotAllowed):
                propose(cast, subscription, by=actor_for(person))

    def test_takes_one_price_at_a_time(self, cast: Cast, subscription: Subscription) -> None:
        propose(cast, subscription, ends_on=DECEMBER)

        with pytest.raises(PriceAgreedMeanwhile):
            propose(cast, subscription, starts_on=NOVEMBER)
        propose(cast, subscription, starts_on=DECEMBER)

    def test_cannot_agree_alone_by_any_way_around(self, cast: Cast, subscription: Subscription) -> None:
        made = propose(cast, subscription, LOSING)

        with pytest.raises(IntegrityError, match="below_floor_has_decider"), transaction.atomic():
            NegotiatedPrice.objects.filter(pk=made.pk).update(state="agreed")
        with pytest.raises(IntegrityError, match="four_eyes"), transaction.atomic():
            NegotiatedPrice.objects.filter(pk=made.pk).update(state="agreed", decided_by=cast.finance)


class TestDecide:
    def test_agrees_with_a_second_person(self, cast: Cast, subscription: Subscription, second: Actor) -> None:
        made = propose(cast, subscription, LOSING)

        with pytest.raises(OwnNegotiatedPrice):
            negotiated.approve(made, by=actor_for(cast.finance), at=AT)
        negotiated.approve(made, by=second, at=AT)

        assert billed("2026-10") == [500]
        with pytest.raises(IllegalTransition):
            negotiated.approve(made, by=second, at=AT)

    def test_comes_too_late_after_the_first_month(
        self, cast: Cast, subscription: Subscription, second: Actor
    ) -> None:
        made = propose(cast, subscription, LOSING)

        with pytest.raises(Conflict, match="first month is over"):
            negotiated.approve(made, by=second, at=datetime(2026, 11, 1, tzinfo=UTC))

    def test_rejects_with_a_note(self, cast: Cast, subscription: Subscription, second: Actor) -> None:
        made = propose(cast, subscription, LOSING)

        with pytest.raises(InvalidInput):
            negotiated.reject(made, by=second, at=AT, note=" ")
        negotiated.reject(made, by=second, at=AT, note="We lose money.")

        assert (made.state, made.decision_note) == ("rejected", "We lose money.")
        assert billed("2026-10") == [10_000]

    def test_is_taken_back_by_its_proposer_alone(
        self, cast: Cast, subscription: Subscription, second: Actor
    ) -> None:
        made = propose(cast, subscription, LOSING)

        with pytest.raises(NotAllowed):
            negotiated.withdraw(made, by=second, at=AT)
        negotiated.withdraw(made, by=actor_for(cast.finance), at=AT)

        assert made.state == "withdrawn"


class TestBills:
    def test_take_the_agreed_price_for_its_months(self, cast: Cast, subscription: Subscription) -> None:
        propose(cast, subscription, starts_on=NOVEMBER, ends_on=DECEMBER)
        for month in (11, 12):
            use(subscription, requests=1000, cost="10", at=datetime(2026, month, 5, tzinfo=UTC))

        assert [billed(f"2026-{month}") for month in (10, 11, 12)] == [[10_000], [5_000], [10_000]]

    def test_leave_other_plans_alone(self, cast: Cast, subscription: Subscription) -> None:
        propose(cast, subscription)
        other = factories.make_plan(subscription.app, charges=[CALLS], code="gold")
        Subscription.objects.filter(pk=subscription.pk).update(plan=other)
        use(subscription, requests=10, cost="0", plan=other)

        assert sorted(billed("2026-10")) == [100, 5_000]


class TestEnd:
    def test_ends_with_the_month(self, cast: Cast, subscription: Subscription) -> None:
        made = propose(cast, subscription)

        negotiated.end(made, by=actor_for(cast.finance), at=AT)

        assert made.ends_on == NOVEMBER
        assert billed("2026-10") == [5_000]
        with pytest.raises(Conflict):
            negotiated.end(made, by=actor_for(cast.finance), at=AT)

    def test_never_begins_when_it_is_ended_before(self, cast: Cast, subscription: Subscription) -> None:
        made = propose(cast, subscription, starts_on=DECEMBER)

        negotiated.end(made, by=actor_for(cast.finance), at=AT)

        assert made.ends_on == DECEMBER
        propose(cast, subscription, starts_on=DECEMBER)


class TestPrices:
    def test_are_seen_by_the_team_once_agreed(self, cast: Cast, subscription: Subscription) -> None:
        propose(cast, subscription)

        seen = [
            negotiated.prices(actor_for(person)).count()
            for person in (cast.finance, cast.consumer, cast.creator, cast.stranger)
        ]
        assert seen == [1, 1, 0, 0]
