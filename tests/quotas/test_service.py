"""What the catalogue is told of how apps served."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError
from django.test import Client

from marketplace.catalog import service_levels
from marketplace.catalog.models import App
from marketplace.catalog.service_levels import Availability
from marketplace.catalog.service_models import ServiceDay, ServiceIncident
from marketplace.core.ids import uuid7
from quotas import service
from quotas.incident_models import Incident
from quotas.models import Hold
from tests import factories
from tests.conftest import Cast

pytestmark = pytest.mark.django_db
AT = datetime(2026, 11, 15, 12, tzinfo=UTC)


@pytest.fixture
def app(cast: Cast) -> App:
    return factories.make_listed_app(cast.creator_team, slug="digest", name="Digest")


def hold(app: App, state: str, *, ended_at: datetime = AT, subscription_id: Any = None) -> None:
    Hold.objects.create(
        state=state,
        app_id=app.pk,
        subscription_id=subscription_id,
        counter_ids=[],
        amounts=[],
        usage={},
        created_at=ended_at,
        expires_at=ended_at,
        ended_at=ended_at,
    )


def incident(app: App, **fields: Any) -> Incident:
    values = {
        "first_seen_at": AT, "opened_at": AT, "last_seen_at": AT,
        "actual": Decimal(9), "expected": Decimal(1), "highest": Decimal(1), "kind": "errors",
    }  # fmt: skip
    return Incident.objects.create(app=app, **values | fields)


class TestCountDays:
    def test_counts_calls_that_ended_and_those_without_an_answer(self, cast: Cast, app: App) -> None:
        sandbox = factories.make_subscription(app, cast.consumer_team, environment="sandbox")
        for state in ("settled", "settled", "expired", "released"):
            hold(app, state)
        hold(app, "released", ended_at=AT - timedelta(days=1))
        hold(app, "released", subscription_id=sandbox.pk)
        hold(app, "settled", ended_at=AT - timedelta(days=2))

        assert service.count_days(at=AT) == 2

        days = ServiceDay.objects.order_by("day").values_list("day", "calls", "failed")
        assert list(days) == [(date(2026, 11, 14), 1, 1), (date(2026, 11, 15), 4, 1)]

    def test_counts_anew_what_it_counted_before(self, app: App) -> None:
        hold(app, "settled")
        service.count_days(at=AT)
        hold(app, "settled")

        service.count_days(at=AT)

        assert ServiceDay.objects.get().calls == 2

    def test_leaves_what_is_no_app_any_more(self, app: App) -> None:
        app.pk = 10**9
        hold(app, "settled")

        assert service.count_days(at=AT) == 0

    def test_never_has_more_failures_than_calls(self, app: App) -> None:
        with pytest.raises(IntegrityError, match="service_day_fails_of_calls"):
            ServiceDay.objects.create(app=app, day=AT.date(), calls=1, failed=2)


class TestTellIncidents:
    def test_tells_what_callers_felt_and_how_it_stands(self, app: App) -> None:
        incident(app, kind="requests")
        assert service.tell_incidents(at=AT) == 0

        Incident.objects.update(state="paused", stopped_at=AT)

        assert [service.tell_incidents(at=AT) for _ in range(2)] == [1, 0]
        assert service_levels.status_of(service_levels.incidents_of(app, at=AT)) == "paused"


class TestAvailability:
    def test_sums_ninety_days(self, app: App) -> None:
        for days_ago in (0, 89, 90):
            ServiceDay.objects.create(
                app=app, day=AT.date() - timedelta(days=days_ago), calls=1_000, failed=days_ago
            )

        found = service_levels.availability_of(app.pk, at=AT)

        # 0 and 89 of 2,000 failed; the 90th day back does not count: 1,911 / 2,000.
        assert (found.calls, found.failed, found.percent) == (2_000, 89, Decimal("95.55"))

    def test_is_unknown_without_calls(self, app: App) -> None:
        assert service_levels.availability_of(app.pk, at=AT).percent is None

    def test_is_cut_so_that_it_never_reads_as_kept_when_it_was_not(self) -> None:
        # 1 of 3,000,000 calls failed: 99.9999666… %, and not 100; 2 of 3 are 66.666666 with nothing behind.
        assert Availability(3_000_000, 1).percent == Decimal("99.999966")
        assert str(Availability(3, 1).percent) == "66.666666"
        assert Availability(0, 0).percent is None


class TestPages:
    def test_show_availability_and_incidents(self, cast: Cast, app: App, client: Client) -> None:
        today = datetime.now(UTC)
        ServiceDay.objects.create(app=app, day=today.date(), calls=1_000, failed=10)
        ServiceIncident.objects.create(
            id=uuid7(), app=app, kind="errors", state="throttled", opened_at=today, stopped_at=today
        )
        client.force_login(cast.consumer)

        page = client.get("/catalog/digest/").content.decode()
        measured = client.get("/catalog/digest/service/").content.decode()

        assert "Slowed" in page
        assert "Calls failed unusually often" in page
        assert "99.00 % of 1,000 calls answered" in measured
        assert "Fewer calls answered than promised." in measured

    def test_show_a_stranger_nothing_of_an_app_inside(self, cast: Cast, app: App, client: Client) -> None:
        App.objects.update(is_public=False)
        client.force_login(cast.stranger)

        assert client.get("/catalog/digest/").status_code == 404
