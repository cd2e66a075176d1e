from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from marketplace.core.models import Notice
from metering.attribution import Dimensions
from metering.rating import Quantities
from quotas import admission, alarms
from quotas.admission import Settlement
from quotas.models import Limit, LimitCounter, OverrunEntry
from tests import factories
from tests.conftest import Cast
from tests.factories import LONG_AGO, NOW
from tests.metering.conftest import make_usage
from tests.quotas.test_admission import request


@pytest.fixture(autouse=True)
def no_other_limits(who: Dimensions) -> None:
    Limit.objects.update(ends_at=LONG_AGO)


def make_limit(who: Dimensions, mode: str, **fields: Any) -> Limit:
    values: dict[str, Any] = {
        "measure": "tokens",
        "window": "day",
        "starts_at": LONG_AGO,
        "limit_value": 1_000,
    }
    return Limit.objects.create(team_id=who.team_id, mode=mode, **values | fields)


def report(who: Dimensions, tokens: int, *, event_id: str = "e1", **fields: Any) -> None:
    admission.report([make_usage(who, event_id, tokens=tokens, **fields)], at=fields.get("at", NOW))


def told() -> dict[str, list[str]]:
    """Who was told what."""
    found: dict[str, list[str]] = {}
    for notice in Notice.objects.select_related("recipient").order_by("pk"):
        found.setdefault(notice.recipient.email, []).append(notice.text)
    return found


class TestReached:
    @pytest.mark.parametrize("mode", ["warn", "soft"])
    def test_is_told_once_a_window(self, who: Dimensions, mode: str) -> None:
        make_limit(who, mode)
        report(who, 1_000)

        rounds = [alarms.tell(at=NOW + timedelta(minutes=minute)) for minute in range(3)]
        report(who, 500, event_id="e2")
        alarms.tell(at=NOW)

        assert rounds == [1, 0, 0]
        assert told() == {
            "consumer@demo.example": [
                "Team Operations: tokens a day reached 1,000; 1,000 is used. Calls go on."
            ]
        }

    def test_is_told_again_in_the_next_window(self, who: Dimensions) -> None:
        make_limit(who, "warn")
        report(who, 1_000)
        alarms.tell(at=NOW)

        tomorrow = NOW + timedelta(days=1)
        report(who, 1_200, event_id="e2", at=tomorrow)
        alarms.tell(at=tomorrow)

        assert [text.split("; ")[1] for text in told()["consumer@demo.example"]] == [
            "1,000 is used. Calls go on.",
            "1,200 is used. Calls go on.",
        ]

    def test_is_told_once_a_day_of_a_limit_a_minute(self, who: Dimensions) -> None:
        make_limit(who, "warn", window="minute")

        for minute in range(3):
            at = NOW + timedelta(minutes=minute)
            report(who, 1_000, event_id=f"e{minute}", at=at)
            alarms.tell(at=at)

        assert len(told()["consumer@demo.example"]) == 1

    def test_is_not_told_before(self, who: Dimensions) -> None:
        make_limit(who, "warn")
        report(who, 999)

        assert alarms.tell(at=NOW) == 0

    def test_is_not_told_of_hard_limits_that_refuse(self, who: Dimensions) -> None:
        make_limit(who, "hard", measure="requests", limit_value=1)
        report(who, 10)

        assert alarms.tell(at=NOW) == 0

    def test_goes_to_who_answers_for_the_owner(self, cast: Cast, who: Dimensions) -> None:
        for kind, pk in (
            ("organization", who.organization_id),
            ("cost_center", who.cost_center_id),
            ("app", who.app_id),
            ("subscription", who.subscription_id),
        ):
            Limit.objects.create(
                **{f"{kind}_id": pk},
                measure="tokens",
                window="day",
                mode="warn",
                limit_value=1,
                starts_at=LONG_AGO,
            )
        setter = factories.make_user("setter@demo.example")
        Limit.objects.filter(app=who.app_id, mode="warn").update(created_by=setter)

        report(who, 1)
        alarms.tell(at=NOW)

        kinds = {person: sorted(text.split(" ")[0] for text in texts) for person, texts in told().items()}
        assert kinds == {
            "finance@demo.example": ["Cost", "Organization"],
            "operator@demo.example": ["Organization"],
            "creator@demo.example": ["App"],
            "setter@demo.example": ["App"],
            "consumer@demo.example": ["Subscription"],
        }


class TestOverrun:
    def call(self, who: Dimensions, *, used: int) -> None:
        asked = request(who, tokens=100)
        admission.reserve([asked], at=NOW)
        usage = replace(asked.usage, quantities=Quantities(input_tokens=used))
        admission.settle([Settlement(asked.id, usage)], at=NOW)

    def test_of_a_call_is_told_to_operators_and_owner_once_a_limit_and_window(
        self, cast: Cast, who: Dimensions
    ) -> None:
        make_limit(who, "hard", limit_value=10_000)
        self.call(who, used=130)
        self.call(who, used=150)

        rounds = [alarms.tell(at=NOW) for _ in range(2)]
        self.call(who, used=180)
        alarms.tell(at=NOW)

        assert rounds == [1, 0]
        text = (
            "Team Operations: 80 came over what was held or allowed of tokens a day (calls). "
            "It is booked and counts against the limit."
        )
        assert told() == {"consumer@demo.example": [text], "operator@demo.example": [text]}
        assert not OverrunEntry.objects.filter(noticed_at=None).exists()

    def test_of_reports_beyond_a_limit_is_told_too(self, who: Dimensions) -> None:
        make_limit(who, "hard", limit_value=100)
        report(who, 250)

        alarms.tell(at=NOW)

        assert "150 came over" in told()["operator@demo.example"][0]
        assert "(reports)" in told()["operator@demo.example"][0]

    def test_of_apps_elsewhere_is_told_once_it_is_over_the_limit(self, who: Dimensions) -> None:
        make_limit(who, "hard", limit_value=200)
        asked = [request(who, tokens=10) for _ in range(2)]
        asked = [replace_model(one) for one in asked]
        admission.reserve(asked, at=NOW)

        counts = []
        for one in asked:
            usage = replace(one.usage, model="llm-8b", quantities=Quantities(input_tokens=120))
            admission.settle([Settlement(one.id, usage)], at=NOW)
            counts.append(alarms.tell(at=NOW))

        # 120 of 200 is as usual; 240 is 40 too many.
        assert counts == [0, 1]
        assert LimitCounter.objects.get().overrun == Decimal(40)


def replace_model(asked: admission.HoldRequest) -> admission.HoldRequest:
    """Make it the request of an app that runs elsewhere: no model is known."""
    return admission.HoldRequest(asked.id, replace(asked.usage, model=""), asked.estimate, asked.expires_at)
