from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse

from billing.drafting import bills_of
from billing.models import Invoice, InvoiceLine, ServiceCredit, ServiceResult
from billing.service_credits import judging, measuring, terms
from billing.service_credits.judging import Back, Hour, Window
from billing.service_credits.terms import Promise, Step
from marketplace.accounts.access import actor_for
from marketplace.catalog.models import App, Subscription
from marketplace.catalog.service_models import ServiceHour
from marketplace.core.errors import InvalidInput, NotAllowed
from marketplace.core.periods import parse_month
from tests import factories
from tests.billing.test_close import AT, FEE, TERMS, close
from tests.billing.usage import use
from tests.conftest import Cast

SEPTEMBER = datetime(2026, 9, 15, tzinfo=UTC)
BAD_HOUR = datetime(2026, 10, 12, 9, tzinfo=UTC)
STEPS = (Step(Decimal("99.9"), Decimal(10)), Step(Decimal(99), Decimal(25)))
PROMISE = Promise(availability_percent=Decimal("99.9"), availability_steps=STEPS)


@pytest.fixture
def subscription(cast: Cast) -> Subscription:
    app = factories.make_listed_app(cast.creator_team)
    plan = factories.make_plan(app, charges=[FEE], code="paid")
    return factories.make_subscription(app, cast.stranger_team, plan=plan)


def promise(app: App, cast: Cast, what: Promise = PROMISE, *, is_finance: bool = False) -> None:
    by = cast.finance if is_finance else cast.creator
    terms.agree(app.versions.get(), promise=what, by=actor_for(by), at=SEPTEMBER)


def serve(app: App, *hours: tuple[datetime, int, int]) -> None:
    ServiceHour.objects.bulk_create(
        ServiceHour(app=app, hour=hour, calls=calls, failed=failed) for hour, calls, failed in hours
    )


class TestAvailable:
    def test_counts_calls_outside_of_maintenance(self) -> None:
        hours = [Hour(BAD_HOUR, 100, 50), Hour(BAD_HOUR + timedelta(hours=1), 10_000, 25)]
        away = Window(BAD_HOUR + timedelta(minutes=30), BAD_HOUR + timedelta(hours=1))

        # 9,975 of 10,000 are 99.75; with the bad hour 10,025 of 10,100 are 99.257425...
        assert judging.available(hours, maintenance=[away]).percent == Decimal("99.75")
        assert judging.available(hours, maintenance=[]).percent == Decimal("99.257425")
        assert judging.available(hours, maintenance=[away]).left_out == 1
        assert judging.available([], maintenance=[]).percent is None


class TestGiveBack:
    @pytest.mark.parametrize(
        ("borne_by", "creator", "expected"),
        [
            # 10 percent of 49.99 are 5.00; the creator got 40.00, or only 4.00, of it.
            ("creator", 4_000, Back(500, 500)),
            ("creator", 400, Back(500, 400)),
            ("platform", 4_000, Back(500, 0)),
            # 500 x 4000 / 4999 = 400.08
            ("shared", 4_000, Back(500, 400)),
        ],
    )
    def test_rounds_once_and_names_who_bears(self, borne_by: str, creator: int, expected: Back) -> None:
        found = judging.give_back(
            fees_minor=4_999,
            fees_creator_minor=creator,
            percent=Decimal(10),
            borne_by=borne_by,
            currency="USD",
        )

        assert found == expected


class TestMeasure:
    def test_gives_back_in_the_next_bill_once(self, cast: Cast, subscription: Subscription) -> None:
        app = subscription.app
        promise(app, cast)
        # 9,890 of 10,000 are 98.9 percent: below 99, so 25 percent of 50.00.
        serve(app, (BAD_HOUR, 1_000, 110), (BAD_HOUR + timedelta(hours=2), 9_000, 0))
        use(subscription, requests=1, cost="0")
        close()

        assert measuring.measure_due(at=AT) == 1
        assert measuring.measure_due(at=AT) == 0

        credit = ServiceCredit.objects.get()
        assert (credit.fees_minor, credit.amount_minor, credit.creator_minor) == (5_000, 1_250, 1_250)
        assert credit.billed_in == "2026-11"
        (bill,) = bills_of(parse_month("2026-11"), default_share=TERMS.default_share)
        assert bill.subtotal_minor == 3_750
        (invoice,) = close("2026-11", at=datetime(2026, 12, 2, 8, tzinfo=UTC))
        line = invoice.lines.get(kind=InvoiceLine.Kind.SLA_CREDIT)
        assert (line.amount_minor, line.creator_minor, line.platform_minor) == (-1_250, -1_250, 0)
        assert line.explanation[0]["label"] == "9,890 of 10,000 calls were answered: 98.9 %."
        result = ServiceResult.objects.get(month="2026-10")
        assert result.explanation["hours"] == [
            {"hour": "2026-10-12T09:00:00+00:00", "calls": 1_000, "failed": 110}
        ]
        assert Invoice.objects.count() == 2

    def test_says_nothing_of_what_was_not_measured(self, cast: Cast, subscription: Subscription) -> None:
        promise(subscription.app, cast)
        use(subscription, requests=1, cost="0")
        close()

        measuring.measure_due(at=AT)

        assert ServiceResult.objects.values_list("measured", "is_missed").get() == (None, False)
        assert not ServiceCredit.objects.exists()

    def test_holds_what_was_kept(self, cast: Cast, subscription: Subscription) -> None:
        promise(subscription.app, cast)
        serve(subscription.app, (BAD_HOUR, 1_000, 1))
        use(subscription, requests=1, cost="0")
        close()

        measuring.measure_due(at=AT)

        assert ServiceResult.objects.values_list("measured", "is_missed").get() == (Decimal("99.9"), False)

    def test_gives_no_more_than_the_cap(self, cast: Cast, subscription: Subscription) -> None:
        capped = Promise(
            availability_percent=Decimal("99.9"),
            availability_steps=STEPS,
            cap_percent=Decimal(20),
            borne_by="platform",
        )
        promise(subscription.app, cast, capped, is_finance=True)
        serve(subscription.app, (BAD_HOUR, 100, 50))
        use(subscription, requests=1, cost="0")
        close()

        measuring.measure_due(at=AT)

        assert ServiceCredit.objects.values_list("amount_minor", "creator_minor").get() == (1_000, 0)


class TestAgree:
    def test_is_for_the_makers_and_finance(self, cast: Cast, subscription: Subscription) -> None:
        version = subscription.app.versions.get()
        for person in (cast.consumer, cast.stranger):
            with pytest.raises(NotAllowed):
                terms.agree(version, promise=PROMISE, by=actor_for(person), at=SEPTEMBER)
        with pytest.raises(NotAllowed):
            promise(subscription.app, cast, Promise(Decimal(99), borne_by="platform"))

    @pytest.mark.parametrize(
        ("what", "field"),
        [
            (Promise(availability_percent=Decimal(101)), "availability_percent"),
            (Promise(availability_steps=STEPS), "availability_percent"),
            (Promise(latency_steps=(Step(Decimal(1), Decimal(101)),), latency_p95_ms=1), "latency_steps"),
            (Promise(cap_percent=Decimal(-1)), "cap_percent"),
        ],
    )
    def test_names_what_is_wrong(
        self, cast: Cast, subscription: Subscription, what: Promise, field: str
    ) -> None:
        with pytest.raises(InvalidInput) as refused:
            promise(subscription.app, cast, what)

        assert refused.value.field == field

    def test_announces_maintenance_two_days_before(self, cast: Cast, subscription: Subscription) -> None:
        by = actor_for(cast.creator)
        soon = SEPTEMBER + timedelta(hours=47)
        with pytest.raises(InvalidInput):
            terms.announce_maintenance(
                subscription.app,
                starts_at=soon,
                ends_at=soon + timedelta(hours=1),
                why="Move.",
                by=by,
                at=SEPTEMBER,
            )


class TestPage:
    def test_shows_terms_and_months(self, client: Client, cast: Cast, subscription: Subscription) -> None:
        promise(subscription.app, cast)
        serve(subscription.app, (BAD_HOUR, 1_000, 110))
        use(subscription, requests=1, cost="0")
        close()
        measuring.measure_due(at=AT)
        address = reverse("billing:service", args=[subscription.app.slug])
        client.force_login(cast.consumer)

        page = client.get(address).content.decode()

        assert "missed" in page and "110 of 1000" in page
        assert client.post(address, {"cap_percent": "100", "borne_by": "creator"}).status_code == 403
        client.force_login(cast.creator)
        typed = {
            "availability_percent": "99",
            "availability_steps": "98 x",
            "cap_percent": "50",
            "borne_by": "creator",
        }
        assert "is not two numbers" in client.post(address, typed).content.decode()
        assert client.post(address, typed | {"availability_steps": "98 10"}).status_code == 302
