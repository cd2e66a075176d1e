from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, ProgrammingError, transaction

from marketplace.accounts.access import actor_for
from marketplace.core.errors import InvalidInput, NotAllowed
from marketplace.core.models import Notice
from metering.anomalies import Level, Thresholds
from metering.attribution import Dimensions
from quotas import incident_policies
from quotas.incident_models import IncidentPolicy
from quotas.incident_policies import OwnPolicy, PolicyWaits, Rules
from tests.conftest import Cast
from tests.factories import NOW
from tests.quotas.incident_world import HOUR, spend, spend_as_usual


def propose(cast: Cast, rules: Rules | None = None) -> IncidentPolicy:
    return incident_policies.propose(rules or Rules(), reason="Sooner.", by=actor_for(cast.operator), at=NOW)


class TestParse:
    def test_reads_what_was_written(self) -> None:
        rules = Rules(Thresholds(money_floor=Decimal("7.50"), repeated_hours=6), escalate_hours=2)

        assert incident_policies.parse(incident_policies.as_texts(rules)) == rules

    def test_takes_the_houses_own_for_what_is_left_out(self) -> None:
        assert incident_policies.parse({}) == Rules()

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("notice_ratio", "1"), ("notice_ratio", "101"), ("notice_ratio", "many"), ("notice_ratio", "NaN"),
            ("repeated_hours", "2.5"), ("new_app_days", "7"), ("other", "1"),
        ],
    )  # fmt: skip
    def test_names_what_is_wrong(self, name: str, value: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            incident_policies.parse({name: value})

        assert refused.value.field == name


class TestPropose:
    def test_makes_the_next_version_and_tells_who_decides(self, cast: Cast) -> None:
        policy = propose(cast)

        assert (policy.number, policy.state, policy.thresholds["notice_ratio"]) == (1, "proposed", "3")
        assert Notice.objects.get().recipient == cast.finance

    def test_waits_for_the_one_before(self, cast: Cast) -> None:
        propose(cast)

        with pytest.raises(PolicyWaits):
            propose(cast)

    @pytest.mark.parametrize("role", ["creator", "consumer", "finance", "stranger"])
    def test_is_for_operators_alone(self, cast: Cast, role: str) -> None:
        with pytest.raises(NotAllowed):
            incident_policies.propose(Rules(), reason="x", by=actor_for(getattr(cast, role)), at=NOW)


class TestActivate:
    def test_replaces_the_version_before(self, cast: Cast) -> None:
        finance = actor_for(cast.finance)
        incident_policies.activate(propose(cast), by=finance, at=NOW)

        second = propose(cast, Rules(Thresholds(money_floor=Decimal(9))))
        assert incident_policies.rules_in_force().thresholds.money_floor == 5
        incident_policies.activate(second, by=finance, at=NOW)

        rules = incident_policies.rules_in_force()
        assert (rules.number, rules.thresholds.money_floor) == (2, 9)
        assert list(IncidentPolicy.objects.order_by("number").values_list("state", flat=True)) == [
            "replaced", "active",
        ]  # fmt: skip

    def test_is_not_for_who_proposed(self, cast: Cast) -> None:
        with pytest.raises(OwnPolicy):
            incident_policies.activate(propose(cast), by=actor_for(cast.operator), at=NOW)

    def test_by_who_proposed_is_refused_by_the_database(self, cast: Cast) -> None:
        policy = propose(cast)

        with pytest.raises(IntegrityError, match="incident_policy_four_eyes"), transaction.atomic():
            IncidentPolicy.objects.filter(pk=policy.pk).update(
                state="active", decided_by=cast.operator, decided_at=NOW
            )

    def test_keeps_what_it_would_have_found(self, cast: Cast, who: Dimensions) -> None:
        spend_as_usual(who)
        spend(who, [60], ends_at=NOW + HOUR, prefix="runaway")
        policy = propose(cast)

        incident_policies.activate(policy, by=actor_for(cast.finance), at=NOW + HOUR)

        policy.refresh_from_db()
        (found,) = policy.dry_run["found"]
        assert (found["level"], found["actual"], found["expected"]) == ("throttle", "83", "24")

    def test_leaves_the_thresholds_of_a_version_alone(self, cast: Cast) -> None:
        policy = propose(cast)

        with pytest.raises(ProgrammingError, match="Cannot update"), transaction.atomic():
            IncidentPolicy.objects.filter(pk=policy.pk).update(thresholds={})


class TestDryRun:
    def test_finds_what_the_detector_would(self, who: Dimensions) -> None:
        # A notice in the first hour, and strong enough to slow it in the second; the same one all the time.
        spend(who, [*[1] * 240, *[2, 1] * 12, *[1] * 96], ends_at=NOW)
        spend(who, [60, 60, 1], ends_at=NOW + 3 * HOUR, prefix="runaway")

        (found,) = incident_policies.dry_run(Rules(), at=NOW + 3 * HOUR)

        assert (found.seen_at, found.level, found.actual) == (NOW + HOUR, Level.THROTTLE, 83)

    def test_finds_two_where_a_quiet_time_lies_between(self, who: Dimensions) -> None:
        spend_as_usual(who)
        spend(who, [60], ends_at=NOW + HOUR, prefix="one")
        spend(who, [1] * 24 * 8, ends_at=NOW + timedelta(days=8, hours=1), prefix="between")
        spend(who, [90], ends_at=NOW + timedelta(days=8, hours=2), prefix="two")

        found = incident_policies.dry_run(Rules(), at=NOW + timedelta(days=8, hours=2))

        assert len(found) == 2

    def test_finds_less_with_a_higher_floor(self, who: Dimensions) -> None:
        spend_as_usual(who)
        spend(who, [60], ends_at=NOW + HOUR, prefix="runaway")
        higher = Rules(Thresholds(money_floor=Decimal(60)))

        before, after = incident_policies.compare(Rules(), higher, at=NOW + HOUR)

        assert [len(before), len(after)] == [1, 0]
