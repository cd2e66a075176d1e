from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction

from marketplace.accounts.access import Actor, actor_for
from marketplace.catalog import price_changes, subscriptions
from marketplace.catalog.models import App, Listing, Plan, Subscription
from marketplace.catalog.plan_terms import PlanTerms
from marketplace.catalog.version_models import PriceChange
from marketplace.core.errors import NotAllowed
from marketplace.core.models import AuditEntry, Notice
from marketplace.core.proposing import OwnProposal
from marketplace.core.transitions import IllegalTransition
from tests import factories
from tests.catalog.making import approve_next, make_live
from tests.conftest import Cast
from tests.factories import NOW

DAY = timedelta(days=1)
DEAR, CHEAP = PlanTerms(fee=Decimal(50)), PlanTerms(fee=Decimal(5))


@pytest.fixture
def app(cast: Cast) -> App:
    return make_live(cast, plan=PlanTerms(fee=Decimal(10)))


@pytest.fixture
def subscription(cast: Cast, app: App) -> Subscription:
    return subscriptions.start(
        app,
        plan=app.plans.get(),
        team=cast.consumer_team,
        cost_center=cast.cost_center,
        by=cast.consumer,
        at=NOW,
    )


@pytest.fixture
def second(cast: Cast) -> Actor:
    person = factories.make_user()
    factories.join(person, None, "approver", organization=cast.company)
    return actor_for(person)


@pytest.fixture
def rise(cast: Cast, app: App, subscription: Subscription) -> PriceChange:
    approve_next(cast, app, plan=DEAR)
    return PriceChange.objects.select_related("app__owner_team", "version", "new_plan", "old_plan").get()


def offered(app: App) -> Plan:
    return app.plans.get(is_offered=True)


class TestBegin:
    def test_offers_a_new_price_at_once_while_nobody_is_subscribed(self, cast: Cast, app: App) -> None:
        approve_next(cast, app, plan=DEAR)

        assert offered(app).charges[0]["amount"] == "50"
        assert not PriceChange.objects.exists()

    def test_lets_a_fall_begin_at_once(self, cast: Cast, app: App, subscription: Subscription) -> None:
        before = subscription.plan_id

        approve_next(cast, app, plan=CHEAP)

        subscription.refresh_from_db()
        assert subscription.plan == offered(app)
        assert subscription.plan.charges[0]["amount"] == "5"
        assert PriceChange.objects.get().state == "done"
        # Billing reads fees by the days of each plan from this entry.
        entry = AuditEntry.objects.get(action="catalog.subscription.plan_changed")
        assert entry.old == {"plan": before}

    def test_holds_a_rise_for_a_second_person(self, app: App, subscription: Subscription, rise: PriceChange) -> None:  # fmt: skip
        subscription.refresh_from_db()

        assert (rise.state, rise.is_rise) == ("proposed", True)
        assert subscription.plan == offered(app) == rise.old_plan

    def test_replaces_an_open_change(self, cast: Cast, app: App, rise: PriceChange) -> None:
        approve_next(cast, app, plan=PlanTerms(fee=Decimal(60)))

        assert sorted(PriceChange.objects.values_list("state", flat=True)) == ["proposed", "withdrawn"]


class TestApprove:
    def test_announces_the_rise_with_notice(
        self, cast: Cast, app: App, subscription: Subscription, rise: PriceChange, second: Actor
    ) -> None:
        price_changes.approve(rise, by=second, at=NOW, notice_days=30)

        rise.refresh_from_db()
        subscription.refresh_from_db()
        assert (rise.state, rise.starts_at) == ("announced", NOW + 30 * DAY)
        assert subscription.plan == rise.old_plan
        assert offered(app) == rise.new_plan
        told = Notice.objects.get(recipient=cast.consumer, text__contains="costs more")
        assert told.path == f"/subscriptions/{subscription.pk}/price/"
        assert price_changes.coming_for(subscription) == rise

    def test_is_refused_to_who_approved_the_version_and_to_who_submitted_it(
        self, cast: Cast, rise: PriceChange
    ) -> None:
        factories.join(cast.creator, None, "approver", organization=cast.company)

        with pytest.raises(OwnProposal):
            price_changes.approve(rise, by=actor_for(cast.approver), at=NOW, notice_days=30)
        with pytest.raises(NotAllowed, match="submitted"):
            price_changes.approve(rise, by=actor_for(cast.creator), at=NOW, notice_days=30)

    @pytest.mark.parametrize("who", ["consumer", "stranger"])
    def test_is_for_approvers(self, cast: Cast, rise: PriceChange, who: str) -> None:
        with pytest.raises(NotAllowed):
            price_changes.approve(rise, by=actor_for(getattr(cast, who)), at=NOW, notice_days=30)

    def test_is_impossible_for_the_first_person_even_past_the_code(self, cast: Cast, rise: PriceChange) -> None:  # fmt: skip
        with pytest.raises(IntegrityError, match="price_change_four_eyes"), transaction.atomic():
            PriceChange.objects.update(
                state="announced", decided_by=cast.approver, decided_at=NOW, starts_at=NOW + DAY
            )

    @pytest.mark.parametrize("fields", [{"decided": False, "days": 30}, {"decided": True, "days": 0}])
    def test_is_impossible_without_a_second_person_or_notice_even_past_the_code(
        self, rise: PriceChange, second: Actor, fields: dict[str, int]
    ) -> None:
        decider = {"decided_by": second.user, "decided_at": NOW} if fields["decided"] else {}

        with pytest.raises(IntegrityError, match="price_rise_second_person_and_notice"), transaction.atomic():
            PriceChange.objects.update(state="announced", starts_at=NOW + fields["days"] * DAY, **decider)

    def test_happens_once(self, rise: PriceChange, second: Actor) -> None:
        stale = PriceChange.objects.select_related("app__owner_team", "version").get()
        price_changes.reject(rise, by=second, at=NOW, note="Too much.")

        with pytest.raises(IllegalTransition):
            price_changes.approve(stale, by=second, at=NOW, notice_days=30)


class TestReject:
    def test_leaves_the_price_as_it_is(self, cast: Cast, app: App, rise: PriceChange, second: Actor) -> None:
        price_changes.reject(rise, by=second, at=NOW, note="Too much.")

        assert offered(app) == rise.old_plan
        assert Listing.objects.get().version == rise.version
        assert Notice.objects.filter(recipient=cast.creator, text__contains="Too much.").exists()

    def test_does_not_bring_the_price_again_with_the_next_version(
        self, cast: Cast, app: App, rise: PriceChange, second: Actor
    ) -> None:
        price_changes.reject(rise, by=second, at=NOW, note="Too much.")

        approve_next(cast, app, instructions="Be kinder.")

        assert PriceChange.objects.get().state == "rejected"
        assert offered(app) == rise.old_plan


class TestPending:
    def test_stays_when_a_version_without_another_price_is_approved(
        self, cast: Cast, app: App, rise: PriceChange
    ) -> None:
        approve_next(cast, app, instructions="Be kinder.")

        assert PriceChange.objects.get().state == "proposed"


class TestApplyDue:
    @pytest.fixture
    def announced(self, rise: PriceChange, second: Actor) -> PriceChange:
        price_changes.approve(rise, by=second, at=NOW, notice_days=30)
        return rise

    def test_moves_subscribers_at_the_date(self, subscription: Subscription, announced: PriceChange) -> None:
        assert price_changes.apply_due(at=NOW + 29 * DAY) == 0

        assert price_changes.apply_due(at=NOW + 30 * DAY) == 1

        subscription.refresh_from_db()
        assert subscription.plan == announced.new_plan
        assert PriceChange.objects.get().state == "done"
        assert price_changes.apply_due(at=NOW + 31 * DAY) == 0
        assert AuditEntry.objects.filter(action="catalog.subscription.plan_changed").count() == 1

    def test_leaves_alone_who_canceled_before(
        self, cast: Cast, subscription: Subscription, announced: PriceChange
    ) -> None:
        subscriptions.cancel(subscription, by=cast.consumer, at=NOW + DAY)

        price_changes.apply_due(at=NOW + 30 * DAY)

        subscription.refresh_from_db()
        assert subscription.plan == announced.old_plan

    def test_does_not_come_when_called_off(
        self, cast: Cast, app: App, subscription: Subscription, announced: PriceChange
    ) -> None:
        price_changes.call_off(
            announced, by=actor_for(cast.creator), at=NOW + DAY, reason="We found a cheaper model."
        )

        assert price_changes.apply_due(at=NOW + 30 * DAY) == 0
        assert offered(app) == announced.old_plan
        assert price_changes.coming_for(subscription) is None
        assert Notice.objects.filter(recipient=cast.consumer, text__contains="does not come").exists()

    def test_is_called_off_by_makers_only(self, cast: Cast, announced: PriceChange) -> None:
        with pytest.raises(NotAllowed):
            price_changes.call_off(announced, by=actor_for(cast.consumer), at=NOW, reason="No.")
