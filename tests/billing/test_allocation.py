from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from billing.allocation import rules, running, shared_costs, tree, unallocated, what_if
from billing.allocation.shared_costs import Entry
from billing.close import close_period
from billing.models import SharedCostPart, SplitRule
from marketplace.accounts.access import Actor, actor_for
from marketplace.accounts.models import User
from marketplace.catalog.models import Subscription
from marketplace.core.errors import InvalidInput, NotAllowed
from marketplace.core.proposing import OwnProposal
from metering.models import Attribution, DailyRollup
from tests import factories
from tests.billing.usage import use, use_own
from tests.conftest import Cast
from tests.journeys.test_three_closes import COST, TERMS

AT = datetime(2026, 10, 20, 9, tzinfo=UTC)
CLOSED_AT = datetime(2026, 11, 2, 9, tzinfo=UTC)


@pytest.fixture
def second(cast: Cast) -> User:
    other = factories.make_user("second@demo.example")
    factories.join(other, None, "finance", organization=cast.company)
    return other


@pytest.fixture
def subscription(cast: Cast) -> Subscription:
    app = factories.make_listed_app(cast.creator_team, name="Where2Eat")
    return factories.make_subscription(app, cast.consumer_team, plan=factories.make_plan(app, charges=COST))


def license_(cast: Cast, amount_minor: int = 31_000, **changes: Any) -> Entry:
    values = {
        "organization": cast.company, "kind": "license", "name": "Vector store", "amount_minor": amount_minor,
        "currency": "USD", "starts_date": date(2026, 10, 1), "ends_date": date(2026, 11, 1),
    }  # fmt: skip
    return Entry(**values | changes)


def enter(cast: Cast, *, key: str = "k", at: datetime = AT, **changes: Any) -> Any:
    return shared_costs.enter(license_(cast, **changes), by=actor_for(cast.finance), at=at, source_key=key)


def proposed(cast: Cast, by: Actor, **changes: Any) -> SplitRule:
    values = {
        "organization": cast.company,
        "kind": "license",
        "method": "even",
        "starts_month": "2026-10",
        "reason": "So.",
    }
    return rules.propose(SplitRule(**values | changes), by=by, at=AT)


class TestSharedCosts:
    def test_are_entered_once_for_a_key(self, cast: Cast) -> None:
        assert enter(cast) == enter(cast)

        assert SharedCostPart.objects.count() == 1

    def test_say_at_the_field_what_is_wrong(self, cast: Cast) -> None:
        for field, changes in (
            ("amount", {"amount_minor": 0}),
            ("ends_date", {"ends_date": date(2026, 10, 1)}),
            ("name", {"name": " "}),
            ("kind", {"kind": "sandbox"}),
            ("currency", {"currency": "XXX"}),
        ):
            with pytest.raises(InvalidInput) as refused:
                enter(cast, **changes)
            assert refused.value.field == field

    def test_are_for_the_finance_of_the_marketplace(self, cast: Cast) -> None:
        with pytest.raises(NotAllowed):
            shared_costs.enter(license_(cast), by=actor_for(cast.stranger), at=AT, source_key="k")

    def test_go_to_the_next_open_month_when_theirs_is_closed(self, cast: Cast) -> None:
        close_period("2026-10", at=CLOSED_AT, terms=TERMS)

        (part,) = enter(cast, at=CLOSED_AT).parts.all()

        assert (part.service_month, part.period_id, part.is_late) == ("2026-10", "2026-11", True)

    def test_cannot_get_into_a_closed_month(self, cast: Cast) -> None:
        cost = enter(cast)
        close_period("2026-11", at=datetime(2026, 12, 2, tzinfo=UTC), terms=TERMS)

        with pytest.raises(IntegrityError, match="is closed and takes nothing more"), transaction.atomic():
            SharedCostPart.objects.create(
                cost=cost, service_month="2026-11", period_id="2026-11", amount_minor=1
            )

    def test_are_taken_back_once_by_the_opposite(self, cast: Cast) -> None:
        cost = enter(cast)

        opposite = shared_costs.take_back(cost, reason="Cancelled.", by=actor_for(cast.finance), at=AT)

        assert opposite.amount_minor == -31_000
        with pytest.raises(shared_costs.TakenBack):
            shared_costs.take_back(cost, reason="Again.", by=actor_for(cast.finance), at=AT)


class TestRules:
    def test_take_two_people(self, cast: Cast, second: User) -> None:
        rule = proposed(cast, actor_for(cast.finance))

        with pytest.raises(OwnProposal):
            rules.approve(rule, by=actor_for(cast.finance), at=AT)
        rules.approve(rule, by=actor_for(second), at=AT)

        assert list(rules.in_force("2026-10").values()) == [rule]
        assert rules.in_force("2026-09") == {}

    def test_are_not_approved_by_who_proposed_them_whatever_the_code(self, cast: Cast) -> None:
        rule = proposed(cast, actor_for(cast.finance))

        with pytest.raises(IntegrityError, match="split_rule_four_eyes"), transaction.atomic():
            SplitRule.objects.filter(pk=rule.pk).update(decided_by=cast.finance)

    def test_have_one_open_proposal(self, cast: Cast) -> None:
        proposed(cast, actor_for(cast.finance))

        with pytest.raises(rules.RuleWaits):
            proposed(cast, actor_for(cast.finance))

    def test_hold_from_a_month_that_is_open(self, cast: Cast) -> None:
        close_period("2026-10", at=CLOSED_AT, terms=TERMS)

        with pytest.raises(rules.MonthClosed):
            proposed(cast, actor_for(cast.finance))

    @pytest.mark.parametrize(
        "changes",
        [
            {"method": "metric"},
            {"method": "even", "metric": "calls"},
            {"method": "fixed"},
            {"method": "fixed", "percentages": {"CC-100": "60", "CC-999": "10"}},
            {"method": "fixed", "percentages": {"CC-100": "100.5"}},
            {"method": "luck"},
        ],
    )
    def test_say_how_they_split(self, cast: Cast, changes: dict[str, Any]) -> None:
        with pytest.raises(InvalidInput):
            proposed(cast, actor_for(cast.finance), **changes)


class TestRunning:
    def test_with_the_same_facts_gives_the_same_run(self, cast: Cast, subscription: Subscription) -> None:
        use(subscription, requests=10, cost="1")

        first = running.allocate("2026-10", terms=TERMS, at=AT)
        again = running.allocate("2026-10", terms=TERMS, at=CLOSED_AT)
        use(subscription, requests=10, cost="1")

        assert first == again
        assert running.allocate("2026-10", terms=TERMS, at=CLOSED_AT).number == 2

    def test_cuts_cost_by_the_price_of_token_classes(self, cast: Cast, subscription: Subscription) -> None:
        model = factories.make_model("llm-8b", input_price="1", output_price="3")
        use(subscription, requests=10, cost="6")
        Attribution.objects.update(model=model)
        # A million of each: 1.00 of input and 3.00 of output. 6.00 at 1.3 is 7.80: a quarter is 1.95.
        DailyRollup.objects.update(input_tokens=1_000_000, output_tokens=1_000_000)

        run = running.allocate("2026-10", terms=TERMS, at=AT)

        found = {row.sku: (row.amount_minor, row.cost) for row in run.rows.all()}
        assert found == {
            "cost: input tokens": (195, Decimal("1.5")),
            "cost: output tokens": (585, Decimal("4.5")),
        }

    def test_equals_the_statement_when_the_month_is_closed(
        self, cast: Cast, subscription: Subscription
    ) -> None:
        use(subscription, requests=3, cost="0.333333")
        use_own(subscription.app, requests=1, cost="0.5")
        estimate = running.allocate("2026-10", terms=TERMS, at=AT)
        close_period("2026-10", at=CLOSED_AT, terms=TERMS)

        final = running.allocate("2026-10", terms=TERMS, at=CLOSED_AT)

        assert (estimate.is_final, final.is_final) == (False, True)
        # 0.4333... is 43 cents, own use at cost 50.
        for run in (estimate, final):
            assert tree.totals(run.rows.all())["USD"].direct_minor == 93

    def test_leaves_what_has_no_rule_to_nobody(self, cast: Cast) -> None:
        enter(cast)

        run = running.allocate("2026-10", terms=TERMS, at=AT)

        (row,) = run.rows.all()
        assert (row.kind, row.cost_center, row.amount_minor, row.method) == (
            "unallocated",
            None,
            31_000,
            "no rule",
        )
        (point,) = unallocated.trend(cast.company)
        assert point.percent == 100

    def test_prefers_the_rule_of_a_name_to_that_of_its_kind(self, cast: Cast, second: User) -> None:
        enter(cast)
        for name, percent in (("", "10"), ("Vector store", "25")):
            rule = proposed(
                cast, actor_for(cast.finance), name=name, method="fixed", percentages={"CC-100": percent}
            )
            rules.approve(rule, by=actor_for(second), at=AT)

        run = running.allocate("2026-10", terms=TERMS, at=AT)

        # A quarter of 310.00; the rest of it is nobody's.
        assert [(row.kind, row.amount_minor) for row in run.rows.all()] == [
            ("shared", 7_750),
            ("unallocated", 23_250),
        ]

    def test_keeps_rows_for_good(self, cast: Cast) -> None:
        enter(cast)
        run = running.allocate("2026-10", terms=TERMS, at=AT)

        with pytest.raises(Exception, match="append_only"), transaction.atomic():
            run.rows.update(amount_minor=1)


class TestWhatIf:
    def test_shows_versions_side_by_side_and_writes_nothing(self, cast: Cast, second: User) -> None:
        other = factories.make_cost_center(cast.company, code="CC-200")
        enter(cast)
        rules.approve(proposed(cast, actor_for(cast.finance)), by=actor_for(second), at=AT)
        run = running.allocate("2026-10", terms=TERMS, at=AT)
        rule = SplitRule(
            organization=cast.company, kind="license", method="fixed", percentages={"CC-200": "100"},
            starts_month="2026-10",
        )  # fmt: skip

        (found,) = what_if.compare(run, [rule])

        assert [(str(center), amounts) for center, amounts in found.rows] == [
            (str(cast.cost_center), [15_500, 0]),
            (str(other), [15_500, 31_000]),
            ("None", [0, 0]),
        ]
        assert {column.total_minor for column in found.columns} == {31_000}
        assert SplitRule.objects.count() == 1


class TestGoal:
    def test_names_an_owner_of_the_organization(self, cast: Cast) -> None:
        finance = actor_for(cast.finance)
        goal = unallocated.set_goal(
            cast.company, owner=cast.finance, target_percent=Decimal(5), by=finance, at=AT
        )

        assert unallocated.goal_of(cast.company) == goal
        with pytest.raises(InvalidInput):
            unallocated.set_goal(
                cast.company, owner=cast.stranger, target_percent=Decimal(5), by=finance, at=AT
            )


def test_reads_in_queries_that_do_not_grow(
    cast: Cast, subscription: Subscription, django_assert_max_num_queries: Any
) -> None:
    for number in range(3):
        use(subscription, requests=10, cost="1")
        enter(cast, key=f"k{number}")

    with django_assert_max_num_queries(60):
        running.allocate("2026-10", terms=TERMS, at=AT)
