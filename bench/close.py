"""Closing a month after one, twelve and thirty-six earlier ones; against the first, for it should not take longer."""

import argparse
import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from bench import _world
from bench._report import tell

EARLIER = (1, 12, 36)
FIRST = date(2023, 1, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subscriptions", type=int, default=60, help="each a payer of its own")
    asked = parser.parse_args()
    _world.set_up()
    attributions = _make(asked.subscriptions)
    from billing.models import JournalEntry  # noqa: PLC0415  # Django must be set up first

    month, taken = FIRST, []
    for closed in range(max(EARLIER) + 1):
        seconds = _used_and_closed(attributions, month)
        if closed in EARLIER:
            taken.append(seconds)
            name = f"close, {asked.subscriptions} payers, {closed} months before, {JournalEntry.objects.count():,} entries"
            tell(name, seconds, "s", yardstick=taken[0], of=f"{EARLIER[0]} month before, s")
        month = (month + timedelta(days=32)).replace(day=1)


def _make(count: int) -> list[Any]:
    from django.db import transaction  # noqa: PLC0415

    from metering.models import Attribution  # noqa: PLC0415
    from tests import factories  # noqa: PLC0415

    made = []
    with transaction.atomic():
        platform = factories.make_organization(is_platform=True)
        app = factories.make_listed_app(factories.make_team(platform), slug="measured")
        charges = [
            {"code": "fee", "model": "flat", "amount": "50", "prorate": True},
            {"code": "cost", "model": "cost_plus", "markup": "0.30"},
        ]
        plan = factories.make_plan(app, code="measured", charges=charges)
        for _ in range(count):
            payer = factories.make_organization(billing="invoice")
            team = factories.make_team(payer, cost_center=factories.make_cost_center(payer))
            one = factories.make_subscription(
                app, team, plan=plan, starts_at=datetime.combine(FIRST, datetime.min.time(), UTC)
            )
            made.append(
                Attribution.objects.create(
                    app=app, owner_team=app.owner_team, organization=payer, team=team, cost_center=one.cost_center,
                    subscription=one, plan=plan, environment=one.environment,
                )
            )  # fmt: skip
    return made


def _used_and_closed(attributions: list[Any], month: date) -> float:
    from billing.close import close_period  # noqa: PLC0415
    from billing.house import house_terms  # noqa: PLC0415
    from metering.models import DailyRollup  # noqa: PLC0415

    DailyRollup.objects.bulk_create(
        DailyRollup(
            day=month, period=month, attribution=one, events=10, requests=10, cost=Decimal("1.25"), currency="USD"
        )
        for one in attributions
    )  # fmt: skip
    at = datetime.combine(month, datetime.min.time(), UTC) + timedelta(days=40)
    began = time.perf_counter()
    close_period(f"{month:%Y-%m}", at=at, terms=house_terms())
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
