"""Correcting one event at once, by several people and by a re-rating."""

from decimal import Decimal

import pytest

from marketplace.accounts.access import actor_for
from metering.attribution import Dimensions
from metering.corrections import AlreadyVoid, Change, NothingToChange
from metering.models import Correction, UsageEvent
from metering.rating import Quantities
from metering.reratings import applying
from quotas import admission, corrections
from tests.conftest import Cast
from tests.factories import NOW
from tests.metering.conftest import make_usage
from tests.metering.corrected_world import find, record, rolled_up
from tests.metering.rerated_world import LATER, approve, propose
from tests.quotas.test_admission import counter, limit
from tests.races.test_prices import at_once

pytestmark = [pytest.mark.race, pytest.mark.django_db(transaction=True)]


class TestCorrectors:
    def test_at_once_build_on_each_other(self, cast: Cast, who: Dimensions) -> None:
        tokens = limit(who, measure="tokens", window="month", limit_value=10_000)
        admission.report([make_usage(who)], at=NOW)
        event, by = find(cast.creator), actor_for(cast.creator)

        done, errors = at_once(
            [
                lambda count=count: corrections.amend(  # type: ignore[misc]
                    event, change=Change({"input_tokens": count}), reason=f"To {count}.", by=by, at=NOW
                )
                for count in (100, 200, 300, 400)
            ]
        )

        assert errors == []
        assert len(done) == 4
        rows = list(Correction.objects.order_by("ordinal"))
        assert [row.ordinal for row in rows] == [1, 2, 3, 4]
        # Each began where the one before it ended, so the differences lead from 480 to what the last one said.
        assert [row.old_input_tokens for row in rows] == [480, *(row.new_input_tokens for row in rows[:3])]
        last = rows[3].new_input_tokens
        assert sum(UsageEvent.objects.values_list("input_tokens", flat=True)) == last
        assert rolled_up()["input_tokens"] == last
        assert counter(tokens) == (last, 0, 0)

    def test_at_once_with_one_key_make_one_correction(self, cast: Cast, who: Dimensions) -> None:
        admission.report([make_usage(who)], at=NOW)
        event, by = find(cast.creator), actor_for(cast.creator)

        done, errors = at_once(
            [
                lambda: corrections.amend(
                    event,
                    change=Change({"input_tokens": 100}),
                    reason="Wrong.",
                    by=by,
                    at=NOW,
                    idempotency_key="k",
                )
            ]
            * 4
        )

        assert errors == []
        assert sorted(made.is_new for made in done) == [False, False, False, True]
        assert Correction.objects.count() == 1

    def test_at_once_take_an_event_back_once(self, cast: Cast, who: Dimensions) -> None:
        admission.report([make_usage(who)], at=NOW)
        event, by = find(cast.creator), actor_for(cast.creator)

        done, errors = at_once([lambda: corrections.void(event, reason="Wrong.", by=by, at=NOW)] * 3)

        assert len(done) == 1
        assert {type(error) for error in errors} <= {AlreadyVoid, NothingToChange}
        assert rolled_up()["cost"] == Decimal(0)


class TestRerating:
    def test_and_amendments_at_once_build_on_each_other(self, cast: Cast, who: Dimensions) -> None:
        for number in range(20):
            record(who, f"n{number}", quantities=Quantities(input_tokens=1_000_000))
        made = approve(cast, propose(cast))
        by = actor_for(cast.creator)
        events = [find(cast.creator, f"n{number}") for number in range(20)]

        def amend_all() -> None:
            for event in events:
                change = Change({"input_tokens": 500_000})
                corrections.amend(event, change=change, reason="Half.", by=by, at=LATER)

        done, errors = at_once(
            [
                amend_all,
                lambda: applying.apply(made.pk, at=LATER, events_at_once=3),
                lambda: applying.apply(made.pk, at=LATER, events_at_once=3),
            ]
        )

        assert errors == []
        assert len(done) == 3
        # Half a million at 0.40, whichever came first for an event; each has one correction of either kind.
        assert rolled_up()["cost"] == Decimal("4")
        rows = Correction.objects.values_list("event_id", "ordinal", "kind")
        assert len(rows) == 40
        assert {(event_id, ordinal) for event_id, ordinal, _ in rows} == {
            (f"n{number}", ordinal) for number in range(20) for ordinal in (1, 2)
        }
        assert Correction.objects.filter(kind="rerate").count() == 20
