"""Limits against a plain model of them: whatever is held, used, changed, scheduled and called off, both say the same.

Two teams of one company call one app. Time moves over days and the edge of a month, in the zones of the limits. The
model keeps lists and adds up; it knows no counters, no windows as stretches of time, and no SQL.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from django.db import transaction
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from marketplace.accounts.access import Actor, actor_for
from marketplace.catalog.models import Subscription
from marketplace.core.ids import uuid7
from metering.attribution import Dimensions
from metering.ingest import Usage
from metering.rating import Quantities
from metering.rollups import differences
from quotas import admission, holds, limits
from quotas.admission import Admitted, Estimate, HoldRequest, Refused, Settlement
from quotas.limits import Terms
from quotas.models import Hold, Limit, LimitCounter, OverrunEntry
from quotas.owners import owner_of
from tests import factories
from tests.conftest import Cast
from tests.factories import LONG_AGO

# Saturday afternoon, half a day before a month ends in Tokyo and a day before it does in UTC.
START = datetime.fromisoformat("2026-11-29T14:30:00+00:00")
PRICES = {"llm-8b": Decimal("0.0000002"), "llm-70b": Decimal("0.0000009")}
CLASSES = {"llm-8b": "small", "llm-70b": "large"}
KNOWN_INPUT = 100
PLANS = {"small": (3, 8), "large": (6, 20)}
"""Calls a day and a month."""

SLOTS = {
    "budget": ("organization", "cost", "month", "UTC", ""),
    "tokens": ("team", "tokens", "day", "Asia/Tokyo", ""),
    "large": ("team", "tokens", "month", "America/New_York", "large"),
    "minute": ("subscription", "requests", "minute", "UTC", ""),
}
VALUES = {"cost": Decimal("0.002"), "tokens": Decimal(4_000), "requests": Decimal(2)}


@dataclass(eq=False)
class Bound:
    """A limit. ``calendar`` names the window of a time: a minute, a day or a month of its zone."""

    owner: tuple[str, Any]
    measure: str
    window: str
    zone: str
    model_class: str
    value: Decimal
    mode: str
    starts_at: datetime
    ends_at: datetime | None = None
    row: Limit | None = None
    before: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))

    def calendar(self, at: datetime) -> str:
        form = {"minute": "%Y-%m-%d %H:%M", "day": "%Y-%m-%d", "month": "%Y-%m"}[self.window]
        return at.astimezone(ZoneInfo(self.zone)).strftime(form)

    def counts(self, who: Dimensions, at: datetime, model_class: str | None) -> bool:
        kind, pk = self.owner
        return (
            getattr(who, f"{kind}_id") == pk
            and (self.ends_at is None or at < self.ends_at)
            and (self.starts_at <= at or self.calendar(at) == self.calendar(self.starts_at))
            and (not self.model_class or self.model_class == model_class)
        )

    def holds_at(self, at: datetime) -> bool:
        return self.starts_at <= at and (self.ends_at is None or at < self.ends_at)

    def amount(self, tokens: int, cost: Decimal) -> Decimal:
        return {"requests": Decimal(1), "tokens": Decimal(tokens), "cost": cost}[self.measure]


@dataclass(eq=False)
class Call:
    """A call under way and afterwards: what it holds of which limit in which window."""

    id: UUID
    who: Dimensions
    at: datetime
    model: str
    held: list[tuple[Bound, str, Decimal]]
    state: str = "held"


@dataclass
class Use:
    """Something that was used."""

    who: Dimensions
    at: datetime
    model: str
    tokens: int

    @property
    def cost(self) -> Decimal:
        return self.tokens * PRICES[self.model]


class Model:
    """Limits, calls and uses, as lists."""

    def __init__(self) -> None:
        self.bounds: list[Bound] = []
        self.calls: list[Call] = []
        self.uses: list[Use] = []
        self.counted: dict[tuple[Bound, str], Decimal] = defaultdict(Decimal)
        self.beyond: dict[Bound, Decimal] = defaultdict(Decimal)

    def held(self, bound: Bound, window: str) -> Decimal:
        return sum(
            (
                amount
                for call in self.calls
                if call.state == "held"
                for of, when, amount in call.held
                if of is bound and when == window
            ),
            Decimal(0),
        )

    def room(self, bound: Bound, at: datetime, amount: Decimal) -> bool:
        if bound.mode != "hard" or bound.starts_at > at:
            return True
        window = bound.calendar(at)
        return self.counted[bound, window] + self.held(bound, window) + amount <= bound.value

    def reserve(self, call: Call, options: list[tuple[int, str]]) -> int | None:
        """Hold the first option (tokens, model) that has room everywhere; give its place, or None."""
        for place, (tokens, model) in enumerate(options):
            met = [
                (bound, bound.amount(tokens, tokens * PRICES[model]))
                for bound in self.bounds
                if bound.counts(call.who, call.at, CLASSES[model])
            ]
            if all(self.room(bound, call.at, amount) for bound, amount in met):
                call.held = [(bound, bound.calendar(call.at), amount) for bound, amount in met]
                call.model = model
                self.calls.append(call)
                return place
        return None

    def end(self, call: Call, state: str, *, tokens: int = 0, model: str = "") -> bool:
        if call.state != "held":
            return False
        call.state = state
        if state == "released":
            return True
        use = Use(call.who, call.at, model, tokens)
        self.uses.append(use)
        held = {bound: (window, amount) for bound, window, amount in call.held}
        late = {
            bound: (bound.calendar(call.at), Decimal(0))
            for bound in self.bounds
            if bound.model_class and bound not in held and bound.counts(call.who, call.at, CLASSES[model])
        }
        for bound, (window, amount) in (held | late).items():
            if bound.model_class in ("", CLASSES[model]):
                used = bound.amount(tokens, use.cost)
                self.counted[bound, window] += used
                self.beyond[bound] += max(Decimal(0), used - amount)
        return True

    def report(self, use: Use) -> None:
        self.uses.append(use)
        for bound in self.bounds:
            if bound.counts(use.who, use.at, CLASSES[use.model]):
                self.counted[bound, bound.calendar(use.at)] += bound.amount(use.tokens, use.cost)

    def add(self, bound: Bound, at: datetime) -> None:
        """Put a limit in force, or let it wait; it knows what its owner has used in the window of now."""
        window = bound.calendar(at)
        self.bounds.append(bound)
        if bound.window == "minute" or (bound.starts_at > at and bound.calendar(bound.starts_at) != window):
            return
        kind, pk = bound.owner
        for use in self.uses:
            is_its = getattr(use.who, f"{kind}_id") == pk and bound.calendar(use.at) == window
            if is_its and bound.model_class in ("", CLASSES[use.model]):
                self.counted[bound, window] += bound.amount(use.tokens, use.cost)

    def set(self, new: Bound, at: datetime) -> Bound:
        """Set a limit as of its start: what holds then gives way, what comes later stays."""
        same = [
            one
            for one in self.bounds
            if one.owner == new.owner and self._key(one) == self._key(new) and one.starts_at != one.ends_at
        ]
        new.ends_at = min((one.starts_at for one in same if one.starts_at > new.starts_at), default=None)
        present = next((one for one in same if one.holds_at(new.starts_at)), None)
        if present is not None and new.starts_at == at and present.starts_at <= at:
            present.value, present.mode, present.ends_at = new.value, new.mode, new.ends_at
            return present
        if present is not None:
            present.ends_at = new.starts_at
        self.add(new, at)
        return new

    @staticmethod
    def _key(bound: Bound) -> tuple[str, str, str]:
        return bound.measure, bound.window, bound.model_class


class Limits(RuleBasedStateMachine):
    """What people and calls do; each step changes the database and the model, the invariants compare them."""

    whos: ClassVar[list[Dimensions]]
    plans: ClassVar[dict[str, Any]]
    operator: ClassVar[Actor]
    calls = Bundle("calls")
    # A few amounts that meet the limits exactly, again and again.
    tokens = st.sampled_from([0, 1, 500, 1_000, 2_000, 4_000])
    model = st.sampled_from(sorted(PRICES))
    caller = st.sampled_from([0, 1])

    def __init__(self) -> None:
        super().__init__()
        self.block = transaction.atomic()
        self.block.__enter__()
        self.at = START
        self.reports = 0
        self.plain = Model()
        Limit.objects.filter(subscription=None).update(ends_at=LONG_AGO)
        for who in self.whos:
            for window, value in zip(("day", "month"), PLANS["small"], strict=True):
                row = Limit.objects.get(subscription=who.subscription_id, window=window)
                owner = ("subscription", who.subscription_id)
                self.plain.bounds.append(
                    Bound(owner, "requests", window, "UTC", "", Decimal(value), "hard", LONG_AGO, row=row)
                )

    def teardown(self) -> None:
        assert differences() == []
        transaction.set_rollback(True)
        self.block.__exit__(None, None, None)

    def _usage(self, who: Dimensions, event_id: str, tokens: int, model: str, at: datetime) -> Usage:
        return Usage(event_id, at, who, model, Quantities(input_tokens=tokens))

    @rule(target=calls, number=caller, options=st.lists(st.tuples(tokens, model), min_size=1, max_size=3))
    def reserve(self, number: int, options: list[tuple[int, str]]) -> Any:
        call = Call(uuid7(), self.whos[number], self.at, options[0][1], [])
        first, *others = [
            Estimate(tokens, tokens * PRICES[model], (CLASSES[model],), model) for tokens, model in options
        ]
        usage = self._usage(call.who, str(call.id), KNOWN_INPUT, call.model, self.at)
        request = HoldRequest(call.id, usage, first, self.at + timedelta(minutes=5), tuple(others))

        answer = admission.reserve([request], at=self.at)[0]

        place = self.plain.reserve(call, options)
        if place is None:
            assert isinstance(answer, Refused)
            assert answer.standing.used + answer.asked > answer.standing.limit.value
            return multiple()
        assert isinstance(answer, Admitted)
        assert answer.choice == place
        return call

    @rule(call=calls, used=tokens, model=model)
    def settle(self, call: Call, used: int, model: str) -> None:
        usage = self._usage(call.who, str(call.id), used, model, call.at)

        answer = admission.settle([Settlement(call.id, usage)], at=self.at)[0]

        assert answer.has_ended == self.plain.end(call, "settled", tokens=used, model=model)

    @rule(call=consumes(calls))
    def release(self, call: Call) -> None:
        answer = admission.settle([Settlement(call.id, None)], at=self.at)[0]

        assert answer.has_ended == self.plain.end(call, "released")

    @rule(wait=st.sampled_from([timedelta(minutes=1), timedelta(minutes=6), timedelta(hours=10)]))
    def wait_and_sweep(self, wait: timedelta) -> None:
        self.at += wait
        due = [
            call
            for call in self.plain.calls
            if call.state == "held" and call.at + timedelta(minutes=5) <= self.at
        ]

        assert holds.sweep(at=self.at) == len(due)

        for call in due:
            self.plain.end(call, "expired", tokens=KNOWN_INPUT, model=call.model)

    @rule(number=caller, used=tokens, model=model, ago=st.sampled_from([0, 1, 30]))
    def report(self, number: int, used: int, model: str, ago: int) -> None:
        self.reports += 1
        at = self.at - timedelta(hours=ago)
        use = Use(self.whos[number], at, model, used)

        admission.report([self._usage(use.who, f"report-{self.reports}", used, model, at)], at=self.at)

        self.plain.report(use)

    @rule(
        slot=st.sampled_from(sorted(SLOTS)),
        percent=st.sampled_from([0, 50, 100, 200]),
        mode=st.sampled_from(["hard", "hard", "soft"]),
        days=st.sampled_from([0, 0, 1, 2]),
    )
    def set_limit(self, slot: str, percent: int, mode: str, days: int) -> None:
        kind, measure, window, zone, model_class = SLOTS[slot]
        value, starts_at = VALUES[measure] * percent / 100, self.at + timedelta(days=days)
        currency = "USD" if measure == "cost" else ""
        terms = Terms(measure, window, value, mode, currency, model_class, zone)

        row, _ = limits.set_limit(
            self._owner(kind), terms=terms, by=self.operator, at=self.at, starts_at=starts_at
        )

        owner = (kind, getattr(self.whos[0], f"{kind}_id"))
        new = Bound(owner, measure, window, zone, model_class, value, mode, starts_at, row=row)
        assert self.plain.set(new, self.at).row == row

    @rule(slot=st.sampled_from(sorted(SLOTS)))
    def end_limit(self, slot: str) -> None:
        for one in self._of(slot):
            if one.holds_at(self.at):
                assert one.row is not None
                row = Limit.objects.get(pk=one.row.pk)
                limits.end_limit(row, owner=self._owner(SLOTS[slot][0]), by=self.operator, at=self.at)
                one.ends_at = self.at

    @rule(slot=st.sampled_from(sorted(SLOTS)))
    def call_off(self, slot: str) -> None:
        """Call off what waits; what it would have replaced goes on."""
        waiting = [one for one in self._of(slot) if one.starts_at > self.at and one.ends_at != one.starts_at]
        for one in waiting[:1]:
            assert one.row is not None
            row = Limit.objects.get(pk=one.row.pk)
            limits.end_limit(row, owner=self._owner(SLOTS[slot][0]), by=self.operator, at=self.at)
            for other in self._of(slot):
                if other.ends_at == one.starts_at and other.starts_at != one.starts_at:
                    other.ends_at = one.ends_at
            one.ends_at = one.starts_at

    @rule(number=caller, plan=st.sampled_from(sorted(PLANS)))
    def change_plan(self, number: int, plan: str) -> None:
        subscription_id = self.whos[number].subscription_id
        Subscription.objects.filter(pk=subscription_id).update(plan=self.plans[plan])

        values = dict(zip(("day", "month"), PLANS[plan], strict=True))
        for one in self.plain.bounds:
            if one.owner == ("subscription", subscription_id) and one.window in values:
                one.value = Decimal(values[one.window])

    def _owner(self, kind: str) -> Any:
        found = Subscription.objects.select_related("team__organization", "app", "cost_center").get(
            pk=self.whos[0].subscription_id
        )
        things = {"subscription": found, "team": found.team, "organization": found.team.organization}
        return owner_of(kind, things[kind])

    def _of(self, slot: str) -> Iterator[Bound]:
        kind, measure, window, _, model_class = SLOTS[slot]
        for one in list(self.plain.bounds):
            if (one.owner[0], one.measure, one.window, one.model_class) == (
                kind,
                measure,
                window,
                model_class,
            ):
                yield one

    @invariant()
    def limits_are_those_of_the_model(self) -> None:
        rows = Limit.objects.in_bulk([one.row.pk for one in self.plain.bounds if one.row])
        for one in self.plain.bounds:
            assert one.row is not None
            row = rows[one.row.pk]
            assert (row.limit_value, row.mode) == (one.value, one.mode)
            assert one.starts_at == LONG_AGO or (row.starts_at, row.ends_at) == (one.starts_at, one.ends_at)

    @invariant()
    def counters_are_sums_of_the_model(self) -> None:
        by_row = {one.row.pk: one for one in self.plain.bounds if one.row}
        seen = set()
        for counter in LimitCounter.objects.filter(limit__in=by_row):
            one = by_row[counter.limit_id]
            window = one.calendar(counter.window_starts_at)
            seen.add((one, window))
            assert counter.spent + counter.overrun == self.plain.counted[one, window], (one, window)
            assert counter.held == self.plain.held(one, window), (one, window)
            assert not counter.is_hard or counter.spent + counter.held <= counter.ceiling
        for (one, window), amount in self.plain.counted.items():
            assert not amount or (one, window) in seen, (one, window)

    @invariant()
    def holds_and_overruns_are_those_of_the_model(self) -> None:
        states = dict(Hold.objects.values_list("id", "state"))
        assert states == {call.id: call.state for call in self.plain.calls}
        beyond: dict[int, Decimal] = defaultdict(Decimal)
        for limit_id, amount in OverrunEntry.objects.filter(cause="call").values_list("limit_id", "amount"):
            beyond[limit_id] += amount
        for one in self.plain.bounds:
            assert one.row is not None
            assert beyond[one.row.pk] == self.plain.beyond[one], one


@pytest.mark.django_db
class TestLimits:
    @pytest.fixture
    def machine(self, cast: Cast) -> type[Limits]:
        factories.make_model("llm-8b", input_price="0.20")
        factories.make_model("llm-70b", input_price="0.90", model_class="large")
        app = factories.make_listed_app(cast.creator_team, slug="where2eat")
        Limits.plans = {
            name: factories.make_plan(app, code=name, daily_calls_limit=day, monthly_calls_limit=month)
            for name, (day, month) in PLANS.items()
        }
        Limits.whos = [
            self._who(cast, factories.make_subscription(app, team, plan=Limits.plans["small"]))
            for team in (cast.consumer_team, cast.creator_team)
        ]
        Limits.operator = actor_for(cast.operator)
        return Limits

    def _who(self, cast: Cast, subscription: Subscription) -> Dimensions:
        return Dimensions(
            app_id=subscription.app_id,
            owner_team_id=cast.creator_team.pk,
            organization_id=cast.company.pk,
            team_id=subscription.team_id,
            cost_center_id=subscription.cost_center_id,
            subscription_id=subscription.pk,
            plan_id=subscription.plan_id,
            key_id=None,
            environment="production",
            model_id=None,
            model_asked="",
            instance_type="",
            feature="",
        )

    def test_do_what_their_model_does(self, machine: type[Limits]) -> None:
        many = settings.default.max_examples
        run_state_machine_as_test(
            machine, settings=settings(max_examples=many // 3, stateful_step_count=25, deadline=None)
        )
