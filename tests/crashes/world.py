"""`python -m tests.crashes.world PROVIDER`: put one app with a subscription into a database; print their keys."""

import json
import os
import sys
from decimal import Decimal

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "marketplace.config.settings")
django.setup()

from marketplace.accounts import keys  # noqa: E402  # Django's settings must be up first
from marketplace.catalog.models import AppKey, SubscriptionKey  # noqa: E402
from quotas.models import Limit  # noqa: E402
from tests import factories  # noqa: E402
from tests.factories import LONG_AGO  # noqa: E402
from tests.gateway.live import make_models  # noqa: E402


def main(provider: str) -> dict[str, str]:
    """Make everything that reports and calls need."""
    make_models(provider)
    company = factories.make_organization(slug="demo", is_platform=True)
    owner, user = factories.make_team(company), factories.make_team(company)
    app = factories.make_listed_app(owner, slug="where2eat")
    subscription = factories.make_subscription(app, user)
    sub_key, sub_text = keys.issue(kind="sub", organization=company, at=LONG_AGO, by=None)
    SubscriptionKey.objects.create(key=sub_key, subscription=subscription)
    app_key, app_text = keys.issue(kind="app", organization=company, at=LONG_AGO, by=None)
    AppKey.objects.create(key=app_key, app=app)
    # Far more than the test uses: what is asked here is whether the counters are right.
    Limit.objects.filter(measure="requests").update(limit_value=10_000_000)
    Limit.objects.create(
        organization=company,
        measure="cost",
        window="month",
        currency="USD",
        limit_value=Decimal(1000),
        starts_at=LONG_AGO,
    )
    Limit.objects.create(
        team=user, measure="tokens", window="day", limit_value=10_000_000, starts_at=LONG_AGO
    )
    return {"sub_key": sub_text, "app_key": app_text}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
