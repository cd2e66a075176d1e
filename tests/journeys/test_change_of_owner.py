"""An app changes hands on the 10th; the month's books show both owners, whenever reports come and routines run."""

from datetime import UTC, datetime
from io import StringIO
from unittest import mock

import pytest
from django.core.management import call_command
from django.test import Client

from billing.ledger.balances import earnings
from billing.models import Invoice
from marketplace.accounts.access import actor_for
from marketplace.accounts.models import User
from marketplace.catalog import ownership
from marketplace.catalog.models import App, Subscription
from metering import queries
from metering.models import UsageRollup
from metering.scopes import UsageScope
from tests import factories
from tests.conftest import Cast
from tests.gateway.reporting import report

CHARGES = [
    {"code": "fee", "model": "flat", "amount": "31", "prorate": True},
    {"code": "cost", "model": "cost_plus", "markup": "0.30"},
]
OCTOBER = (datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))


def at(day: int, hour: int = 0) -> datetime:
    return datetime(2026, 10, day, hour, tzinfo=UTC)


def send(
    app: App,
    event_id: str,
    *,
    occurred: datetime,
    received: datetime,
    subscription: Subscription | None = None,
) -> None:
    """Report a million input tokens, which cost 0.20."""
    named = {"subscription": str(subscription.pk)} if subscription else {}
    reading, _ = report(app, {"id": event_id, "timestamp": occurred, **named}, at=received)
    assert reading.usages[0] is not None, reading.rejections


@pytest.mark.django_db
def test_both_owners_get_what_is_theirs(cast: Cast, client: Client) -> None:
    factories.make_model("llm-8b", input_price="0.20")
    heir = factories.make_user("heir@demo.example")
    heirs = factories.make_team(
        cast.company,
        slug="heirs",
        name="Heirs",
        cost_center=factories.make_cost_center(cast.company, code="CC-700", mode="chargeback"),
    )
    factories.join(heir, heirs, "creator")
    app = factories.make_listed_app(cast.creator_team, slug="where2eat")
    plan = factories.make_plan(app, code="two-part", charges=CHARGES)
    subscription = factories.make_subscription(app, cast.consumer_team, plan=plan)

    # On the 7th the owner offers it from the 10th on, on the 8th the other team accepts.
    offered = ownership.propose(
        app, to_team=heirs, by=actor_for(cast.creator), at=at(7), reason="They run it.", starts_at=at(10)
    )
    ownership.accept(offered, by=actor_for(heir), at=at(8))

    # Own use and a subscriber's on both sides of the 10th; that of the 5th is reported on the 20th. No routine ran.
    send(app, "own late", occurred=at(5), received=at(20))
    send(app, "own new", occurred=at(12), received=at(12))
    for number in range(3):
        send(app, f"sold {number}", occurred=at(9, 23), received=at(11), subscription=subscription)
    send(app, "sold new", occurred=at(10), received=at(11), subscription=subscription)
    before = usage_of(app)
    app.refresh_from_db()
    assert app.owner_team == cast.creator_team

    # The routine is two weeks late, and moves no usage.
    assert ownership.catch_up(at=at(24)) == [app]
    assert ownership.catch_up(at=at(24)) == []
    app.refresh_from_db()
    assert app.owner_team == heirs
    assert usage_of(app) == before == {"UX": 4, "Heirs": 2}

    # Each creator sees the usage of their team's time, on the explorer as on the app's page.
    assert calls_seen(cast.creator) == 4
    assert calls_seen(heir) == 2
    assert "0.80" in usage_page(client, cast.creator)
    assert "0.40" in usage_page(client, heir)

    # Own use costs 0.20 each: on CC-100 of the old owner, on CC-700 of the new one. The subscriber, also of CC-100,
    # pays 31 and 0.80 x 1.3 = 1.04.
    with mock.patch("django.utils.timezone.now", return_value=datetime(2026, 11, 2, tzinfo=UTC)):
        call_command("close_period", "2026-10", stdout=StringIO())
    totals = {
        one.cost_center.code: one.subtotal_minor for one in Invoice.objects.select_related("cost_center")
    }
    assert totals == {"CC-100": 31_00 + 1_04 + 20, "CC-700": 20}

    # Of 32.04 the platform's cost of 0.80 is taken, and 80 % of the rest is the creators': 24.99, which stand with the
    # lines by their price: 24.18 with the fee, by days 9 : 22 -> 7.02 and 17.16; 0.81 with the usage, by use 3 : 1 ->
    # 0.6075 and 0.2025, rounded 0.61 and 0.20.
    assert {one.team: one.credited_minor for one in earnings()} == {"UX": 7_02 + 61, "Heirs": 17_16 + 20}
    call_command("verify", stdout=StringIO())


def usage_of(app: App) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in UsageRollup.objects.filter(attribution__app=app).select_related("attribution__owner_team"):
        name = row.attribution.owner_team.name
        found[name] = found.get(name, 0) + row.requests
    return found


def calls_seen(person: User) -> int:
    report = queries.usage(
        from_at=OCTOBER[0],
        to_at=OCTOBER[1],
        visible=UsageScope.of(actor_for(person)),
    )
    return int(report.totals.requests)


def usage_page(client: Client, person: User) -> str:
    client.force_login(person)
    with mock.patch("metering.views.timezone.now", return_value=at(28)):
        answer = client.get("/usage/apps/where2eat/")
    assert answer.status_code == 200
    return answer.content.decode()
