from datetime import date, timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction
from django.test import Client

from marketplace.catalog import declared
from marketplace.catalog.declared import Used, differences, off
from marketplace.catalog.declared_models import DeclaredMonth
from marketplace.catalog.models import App, Listing, Version
from marketplace.core.models import Notice
from metering import declared_months
from metering.models import Attribution, DailyRollup
from tests import factories
from tests.conftest import Cast
from tests.factories import NOW

D = Decimal
MONTH = (NOW.date().replace(day=1) - timedelta(days=1)).replace(day=1)


@pytest.fixture
def app(cast: Cast) -> App:
    """Listed before the month, with 100 calls and 0.01 a call declared."""
    app = factories.make_listed_app(cast.creator_team, slug="where2eat", name="Where to eat")
    Version.objects.filter(pk=app.listing.version_id).update(declared_cost_per_call=D("0.01"))
    Listing.objects.filter(pk=app.pk).update(listed_at=NOW - timedelta(days=90))
    app.listing.version.refresh_from_db()
    return app


def used(calls: int, cost: str) -> Used:
    return Used(calls, D(cost), "USD")


def use(app: App, cast: Cast, *, day: date, environment: str, calls: int) -> None:
    """Write what a day of calls at 0.02 each leaves."""
    team = cast.consumer_team
    attribution, _ = Attribution.objects.get_or_create(
        app=app, owner_team=app.owner_team, organization=team.organization, team=team, cost_center=team.cost_center,
        environment=environment,
    )  # fmt: skip
    DailyRollup.objects.create(
        day=day, attribution=attribution, period=day.replace(day=1), currency="USD", events=calls, requests=calls,
        cost=D("0.02") * calls,
    )  # fmt: skip


class TestOff:
    @pytest.mark.parametrize(
        ("said", "was", "expected"),
        [("100", "250", "1.5"), ("250", "100", "1.5"), ("100", "200", "1"), ("5", "5", "0"), ("0", "0", "0")],
    )
    def test_is_how_far_the_larger_exceeds_the_smaller(self, said: str, was: str, expected: str) -> None:
        assert off(D(said), D(was)) == D(expected)

    def test_knows_no_part_of_nothing(self) -> None:
        assert off(D("0.01"), D(0)) is None


class TestNote:
    def test_tells_makers_and_operators_of_more_than_double(self, cast: Cast, app: App) -> None:
        calls = app.listing.version.expected_monthly_calls

        # Three times the calls at 0.025 each: both are more than double.
        assert declared.note(MONTH, {app.pk: used(3 * calls, str(D("0.075") * calls))}, at=NOW) == 1

        told = Notice.objects.filter(idempotency_key__startswith="declared:")
        assert {one.recipient for one in told} == {cast.creator, cast.operator}
        text = told[0].text
        assert f"{calls:,} calls were declared, {3 * calls:,} came" in text
        assert "$0.01 a call was declared, $0.025 it cost" in text

    def test_tells_nobody_of_twice_as_much_or_half(self, app: App) -> None:
        calls = app.listing.version.expected_monthly_calls

        declared.note(MONTH, {app.pk: used(2 * calls, str(D("0.01") * calls))}, at=NOW)

        assert DeclaredMonth.objects.get().cost == D("0.005")
        assert not Notice.objects.filter(idempotency_key__startswith="declared:").exists()

    def test_tells_of_an_app_that_nobody_called(self, app: App) -> None:
        declared.note(MONTH, {}, at=NOW)

        row = DeclaredMonth.objects.get()
        assert (row.calls, row.cost) == (0, None)
        assert [one.is_far_off for one in differences(row)] == [True, False]
        assert "0 came" in Notice.objects.filter(idempotency_key__startswith="declared:")[0].text

    def test_happens_once_a_month(self, app: App) -> None:
        declared.note(MONTH, {}, at=NOW)

        assert declared.note(MONTH, {app.pk: used(1, "1")}, at=NOW) == 0
        assert DeclaredMonth.objects.get().calls == 0

    def test_leaves_out_what_was_not_listed_all_month(self, app: App) -> None:
        Listing.objects.update(listed_at=NOW)

        assert declared.note(MONTH, {}, at=NOW) == 0

    def test_is_never_changed(self, app: App) -> None:
        declared.note(MONTH, {}, at=NOW)

        with pytest.raises(Exception, match="declared_month_stays"), transaction.atomic():
            DeclaredMonth.objects.update(calls=7)
        with pytest.raises(IntegrityError, match="declared_month_is_a_month"), transaction.atomic():
            row = DeclaredMonth.objects.get()
            row.pk, row.month = None, date(2026, 1, 2)
            row.save(force_insert=True)


class TestTell:
    def test_counts_production_of_the_last_full_month(self, cast: Cast, app: App) -> None:
        first, last = MONTH, NOW.date().replace(day=1) - timedelta(days=1)
        for day, environment, calls in (
            (first, "production", 300), (last, "production", 20), (last, "sandbox", 5_000), (NOW.date(), "production", 9_000),
        ):  # fmt: skip
            use(app, cast, day=day, environment=environment, calls=calls)

        assert declared_months.tell(at=NOW) == 1

        row = DeclaredMonth.objects.get()
        assert (row.month, row.calls, row.cost, row.currency) == (MONTH, 320, D("0.02"), "USD")


class TestPage:
    def test_shows_the_maker_what_was_declared_and_what_came(
        self, cast: Cast, app: App, client: Client
    ) -> None:
        declared.note(MONTH, {app.pk: used(1_234, "61.7")}, at=NOW)
        client.force_login(cast.creator)

        page = client.get("/creator/apps/where2eat/").content.decode()

        for words in ("Declared and actual", "1,234", "$0.05"):
            assert words in page

    def test_is_not_there_for_a_stranger(self, cast: Cast, app: App, client: Client) -> None:
        client.force_login(cast.stranger)

        assert client.get("/creator/apps/where2eat/").status_code == 404
