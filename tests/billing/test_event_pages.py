from collections.abc import Iterator
from datetime import UTC, datetime
from unittest import mock

import pytest
from django.test import Client

from marketplace.accounts.models import User
from metering.models import EventKey, UsageEvent
from tests.billing.test_close import COST, close, subscribe
from tests.billing.usage import use
from tests.conftest import Cast

NOW = datetime(2026, 11, 15, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def clock() -> Iterator[None]:
    with mock.patch("django.utils.timezone.now", return_value=NOW):
        yield


@pytest.fixture
def path(cast: Cast) -> str:
    """The address of what bills an event that cost 10, at a markup of 0.30."""
    use(subscribe(cast, [COST]), requests=1, cost="10")
    event = UsageEvent.objects.get()
    EventKey.objects.create(
        app_id=event.app_id, event_id=event.event_id, occurred_at=event.occurred_at, content_hash=b""
    )
    return f"/bills/events/{event.app.slug}/{event.event_id}/"


def look(client: Client, person: User, path: str, **headers: str) -> str:
    client.force_login(person)
    answer = client.get(path, headers=headers)
    assert answer.status_code == 200
    return answer.content.decode()


class TestEventBill:
    def test_names_the_month_until_it_is_closed_and_then_the_line(
        self, cast: Cast, path: str, client: Client
    ) -> None:
        assert "It goes on the bill of October 2026" in look(client, cast.consumer, path)
        close()

        for person in (cast.consumer, cast.finance):
            page = look(client, person, path)
            assert '<a href="/finance/invoices/ST-2026-000001/#line-1">ST-2026-000001, line 1</a>' in page
            assert "$13.00" in page

    def test_tells_makers_the_month_alone(self, cast: Cast, path: str, client: Client) -> None:
        close()
        cast.creator_team.cost_center = cast.stranger_team.cost_center
        cast.creator_team.save()

        page = look(client, cast.creator, path)

        assert "In October 2026, on a bill of those who used it." in page
        assert "ST-2026" not in page
        assert "$13.00" not in page

    def test_is_a_fragment_for_htmx(self, cast: Cast, path: str, client: Client) -> None:
        fragment = look(client, cast.consumer, path, **{"HX-Request": "true"})

        assert "<html" not in fragment
        assert "It goes on the bill of October 2026" in fragment

    def test_is_not_found_by_strangers(self, cast: Cast, path: str, client: Client) -> None:
        client.force_login(cast.stranger)

        assert client.get(path).status_code == 404


class TestInvoice:
    def test_leads_from_its_lines_to_their_events(self, cast: Cast, path: str, client: Client) -> None:
        close()

        page = look(client, cast.finance, "/finance/invoices/ST-2026-000001/")

        subscription = UsageEvent.objects.get().attribution.subscription
        assert subscription is not None
        assert (
            "/usage/events/?from=2026-10-01T00%3A00%3A00Z&amp;to=2026-11-01T00%3A00%3A00Z"
            f"&amp;app={subscription.app.slug}&amp;subscription={subscription.pk}"
        ) in page
