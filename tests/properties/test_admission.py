"""Admission against a model of it in plain Python: whatever is done in whatever order, both say the same."""

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

import pytest
from django.db import transaction
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from marketplace.core.ids import uuid7
from metering.attribution import Dimensions
from metering.models import UsageEvent
from metering.rollups import differences
from quotas import admission, holds
from quotas.admission import Admitted, Estimate, HoldRequest, Refused, Settlement
from quotas.models import Hold, Limit, LimitCounter, OverrunEntry
from tests.factories import LONG_AGO, NOW
from tests.metering.conftest import make_usage

# llm-8b: 0.20 per million input tokens
PRICE = Decimal("0.0000002")
KNOWN_INPUT = 100


@dataclass
class ModelCounter:
    """A limit and what counts of it, as simply as it can be said."""

    measure: str
    value: Decimal
    is_hard: bool
    spent: Decimal = Decimal(0)
    held: Decimal = Decimal(0)
    overrun: Decimal = Decimal(0)
    beyond_holds: Decimal = Decimal(0)
    beyond_limit: Decimal = Decimal(0)

    def amount(self, tokens: int) -> Decimal:
        """What a call of so many tokens is in this limit's measure."""
        return {"requests": Decimal(1), "tokens": Decimal(tokens), "cost": tokens * PRICE}[self.measure]

    def admits(self, tokens: int) -> bool:
        return not self.is_hard or self.spent + self.held + self.overrun + self.amount(tokens) <= self.value

    def spend(self, amount: Decimal) -> Decimal:
        """Under a hard limit, what does not fit beside what is spent and held is overrun; gives that part."""
        room = max(Decimal(0), self.value - self.spent - self.held) if self.is_hard else amount
        over = amount - min(amount, room)
        self.spent += amount - over
        self.overrun += over
        return over

    def settle(self, *, held: Decimal, used: Decimal) -> None:
        """Book what a call used; what it used beyond its hold is written down, whether it fits or not."""
        self.held -= held
        self.spend(used)
        self.beyond_holds += max(Decimal(0), used - held)


@dataclass
class ModelHold:
    """A call under way: how many tokens it may use and how many its stream has delivered."""

    id: UUID
    tokens: int
    expires_at: Any
    counted: int = 0
    state: str = "held"


@dataclass
class Model:
    """Everything that the database should hold."""

    counters: dict[str, ModelCounter]
    holds: dict[UUID, ModelHold] = field(default_factory=dict)
    events: dict[str, int] = field(default_factory=dict)

    def reserve(self, hold: ModelHold) -> bool:
        if not all(counter.admits(hold.tokens) for counter in self.counters.values()):
            return False
        for counter in self.counters.values():
            counter.held += counter.amount(hold.tokens)
        self.holds[hold.id] = hold
        return True

    def end(self, hold: ModelHold, *, used: int | None, state: str) -> bool:
        """End a hold with so many tokens, or without a charge; False when it had ended before."""
        if hold.state != "held":
            return False
        hold.state = state
        for counter in self.counters.values():
            if used is None:
                counter.held -= counter.amount(hold.tokens)
            else:
                counter.settle(held=counter.amount(hold.tokens), used=counter.amount(used))
        if used is not None:
            self.events[str(hold.id)] = used
        return True

    def report(self, event_id: str, tokens: int) -> str:
        if event_id in self.events:
            return "duplicate" if self.events[event_id] == tokens else "conflict"
        self.events[event_id] = tokens
        for counter in self.counters.values():
            counter.beyond_limit += counter.spend(counter.amount(tokens))
        return "accepted"


class Admission(RuleBasedStateMachine):
    """The rules; each changes the database and the model, and the invariants compare them."""

    who: ClassVar[Dimensions]
    known_holds = Bundle("known_holds")
    # A few amounts that meet the limits exactly, again and again.
    tokens = st.sampled_from([0, 1, 500, 1000, 2500, 5000])

    def __init__(self) -> None:
        super().__init__()
        self.block = transaction.atomic()
        self.block.__enter__()
        self.at = NOW
        self.limits: dict[str, Limit] = {}
        self.model = Model({})
        Limit.objects.update(ends_at=LONG_AGO)
        self._limit("budget", "cost", "month", Decimal("0.001"), organization_id=self.who.organization_id)
        self._limit("calls", "requests", "day", Decimal(6), subscription_id=self.who.subscription_id)
        self._limit("tokens", "tokens", "month", Decimal(2000), app_id=self.who.app_id, mode="soft")

    def _limit(self, name: str, measure: str, window: str, value: Decimal, **fields: Any) -> None:
        currency = "USD" if measure == "cost" else ""
        self.limits[name] = Limit.objects.create(
            measure=measure,
            window=window,
            limit_value=value,
            currency=currency,
            starts_at=LONG_AGO,
            **fields,
        )
        self.model.counters[name] = ModelCounter(measure, value, self.limits[name].mode == "hard")

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.block.__exit__(None, None, None)

    @rule(target=known_holds, amounts=st.lists(tokens, min_size=1, max_size=3))
    def reserve(self, amounts: list[int]) -> Any:
        asked = [ModelHold(uuid7(), each, self.at + timedelta(minutes=5)) for each in amounts]
        requests = [
            HoldRequest(
                each.id,
                make_usage(self.who, str(each.id), tokens=KNOWN_INPUT, at=self.at),
                Estimate(each.tokens, each.tokens * PRICE),
                each.expires_at,
            )
            for each in asked
        ]

        answers = admission.reserve(requests, at=self.at)

        admitted = []
        for hold, answer in zip(asked, answers, strict=True):
            if self.model.reserve(hold):
                assert isinstance(answer, Admitted)
                admitted.append(hold)
            else:
                assert isinstance(answer, Refused)
                standing = answer.standing
                assert standing.used + answer.asked > standing.limit.value
        return multiple(*admitted)

    @rule(hold=known_holds, used=tokens)
    def settle(self, hold: ModelHold, used: int) -> None:
        usage = make_usage(self.who, str(hold.id), tokens=used, at=self.at)

        settled = admission.settle([Settlement(hold.id, usage)], at=self.at)[0]

        assert settled.has_ended == self.model.end(hold, used=used, state="settled")

    @rule(hold=known_holds)
    def release(self, hold: ModelHold) -> None:
        settled = admission.settle([Settlement(hold.id, None)], at=self.at)[0]

        assert settled.has_ended == self.model.end(hold, used=None, state="released")

    @rule(hold=known_holds, output=st.integers(0, 500))
    def deliver(self, hold: ModelHold, output: int) -> None:
        expires_at = self.at + timedelta(minutes=5)
        holds.count_output([(hold.id, output)], expires_at=expires_at)

        if hold.state == "held":
            hold.counted, hold.expires_at = output, max(hold.expires_at, expires_at)

    @rule(minutes=st.integers(1, 6))
    def wait_and_sweep(self, minutes: int) -> None:
        self.at += timedelta(minutes=minutes)
        due = [
            hold for hold in self.model.holds.values() if hold.state == "held" and hold.expires_at <= self.at
        ]

        assert holds.sweep(at=self.at) == len(due)

        # In order of their ids, as the sweeper takes them. Output costs three times as much as input.
        for hold in sorted(due, key=lambda hold: hold.id):
            self._expect_booked(hold)

    def _expect_booked(self, hold: ModelHold) -> None:
        tokens = KNOWN_INPUT + hold.counted
        hold.state = "expired"
        self.model.events[str(hold.id)] = tokens
        for counter in self.model.counters.values():
            cost = (KNOWN_INPUT + 3 * hold.counted) * PRICE
            used = cost if counter.measure == "cost" else counter.amount(tokens)
            counter.settle(held=counter.amount(hold.tokens), used=used)

    @rule(number=st.integers(0, 4), used=tokens)
    def report(self, number: int, used: int) -> None:
        receipt = admission.report(
            [make_usage(self.who, f"report-{number}", tokens=used, at=self.at)], at=self.at
        )[0]

        assert receipt.status == self.model.report(f"report-{number}", used)

    @rule(
        name=st.sampled_from(["budget", "calls", "tokens"]),
        percent=st.integers(0, 300),
        is_hard=st.booleans(),
    )
    def change_limit(self, name: str, percent: int, is_hard: bool) -> None:
        limit = self.limits[name]
        value = limit.limit_value * percent / 100
        Limit.objects.filter(pk=limit.pk).update(limit_value=value, mode="hard" if is_hard else "soft")

        self.model.counters[name].value = value
        self.model.counters[name].is_hard = is_hard

    @invariant()
    def counters_are_those_of_the_model(self) -> None:
        for name, limit in self.limits.items():
            expected = self.model.counters[name]
            rows = LimitCounter.objects.filter(limit=limit)
            found = [
                sum((getattr(row, column) for row in rows), Decimal(0))
                for column in ("spent", "held", "overrun")
            ]
            assert found == [expected.spent, expected.held, expected.overrun], name

    @invariant()
    def holds_and_events_are_those_of_the_model(self) -> None:
        assert dict(Hold.objects.values_list("id", "state")) == {
            hold.id: hold.state for hold in self.model.holds.values()
        }
        events = UsageEvent.objects.values_list("event_id", "input_tokens", "output_tokens")
        assert {event_id: tokens + output for event_id, tokens, output in events} == self.model.events
        assert differences() == []

    @invariant()
    def overruns_are_written_down(self) -> None:
        for name, limit in self.limits.items():
            entries = OverrunEntry.objects.filter(limit=limit)
            found = [
                sum((entry.amount for entry in entries if entry.cause == cause), Decimal(0))
                for cause in ("call", "report")
            ]
            expected = self.model.counters[name]
            assert found == [expected.beyond_holds, expected.beyond_limit], name


@pytest.mark.django_db
class TestAdmission:
    def test_does_what_its_model_does(self, who: Dimensions) -> None:
        Admission.who = who
        many = settings.default.max_examples
        run_state_machine_as_test(
            Admission, settings=settings(max_examples=many // 2, stateful_step_count=25, deadline=None)
        )
