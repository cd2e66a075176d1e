import threading
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.db import connection

from billing import coupons
from billing.coupons import CouponTerms
from billing.models import Coupon, CouponRedemption
from marketplace.accounts.access import actor_for
from marketplace.catalog.models import Subscription
from marketplace.core.errors import HalfpennyError
from tests import factories

AT = datetime(2026, 11, 2, 8, tzinfo=UTC)

pytestmark = [pytest.mark.race, pytest.mark.django_db(transaction=True)]


class TestPeopleWhoRedeemTheLastOneAtOnce:
    def test_get_it_once(self) -> None:
        company = factories.make_organization(is_platform=True)
        team = factories.make_team(company)
        finance = factories.make_user()
        factories.join(finance, None, "finance", organization=company)
        actor = actor_for(finance)
        subscriptions = []
        for _ in range(4):
            app = factories.make_app(team)
            plan = factories.make_plan(app)
            subscriptions.append(factories.make_subscription(app, team, plan=plan))
        coupons.make(
            CouponTerms("LAST", "The last one", percent=Decimal(10), most_redemptions=1), by=actor, at=AT
        )
        refused: list[str] = []
        barrier = threading.Barrier(len(subscriptions))

        def redeem(subscription: Subscription) -> None:
            barrier.wait()
            try:
                coupons.redeem("LAST", subscription=subscription, by=actor, at=AT)
            except HalfpennyError as error:
                refused.append(error.code)
            finally:
                connection.close()

        threads = [threading.Thread(target=redeem, args=(one,)) for one in subscriptions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert refused == ["coupon_not_redeemable"] * 3
        assert CouponRedemption.objects.count() == 1
        assert Coupon.objects.get().redemptions_count == 1
