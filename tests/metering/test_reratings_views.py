import csv
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from marketplace.core.models import Job
from metering.attribution import Dimensions
from metering.models import Rerating
from metering.rating import Quantities
from metering.reratings import applying, previewing, proposing
from tests.conftest import Cast
from tests.metering.corrected_world import record
from tests.metering.rerated_world import approve, propose

TYPED = {
    "subject": "llm-8b",
    "starts_at": "2024-02-01T00:00",
    "ends_at": "2024-03-01T00:00",
    "reason": "Read in the wrong column.",
    "input_per_mtok": "0.40",
    "cached_input_per_mtok": "0.04",
    "cache_write_per_mtok": "0.40",
    "output_per_mtok": "1.20",
    "reasoning_per_mtok": "1.20",
}
LIST, NEW = "/operator/re-ratings/", "/operator/re-ratings/new/"


@pytest.fixture(autouse=True)
def event(who: Dimensions) -> None:
    million = Quantities(input_tokens=1_000_000)
    record(who, quantities=million)
    # For requests, whose time is that of the machine.
    record(who, "old", at=datetime(2024, 2, 15, tzinfo=UTC), quantities=million)


def page_of(client: Client, path: str) -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return answer.content.decode()


def address(rerating: Rerating) -> str:
    return reverse("metering:rerating", args=[rerating.pk])


class TestPropose:
    def test_leads_to_a_page_that_follows_the_work(self, cast: Cast, client: Client) -> None:
        client.force_login(cast.operator)
        assert "right prices" in page_of(client, NEW)

        page = client.post(NEW, TYPED, follow=True).content.decode()

        assert "Working out what would change" in page
        made = Rerating.objects.get()
        progress = reverse("metering:rerating-progress", args=[made.pk])
        assert "HX-Refresh" not in client.get(progress).headers
        previewing.work_out(made.pk, at=timezone.now())
        assert client.get(progress).headers["HX-Refresh"] == "true"
        assert "$0.20" in page_of(client, address(made))

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"reason": ""}, "This field is required."),
            ({"subject": "llm-9b"}, "There is no usage of"),
            ({"input_per_mtok": ""}, "Give a price"),
            ({"ends_at": "2024-01-01T00:00"}, "It must lie after the beginning."),
            ({"rate_card": "999"}, "Select a valid choice."),
        ],
    )
    def test_says_what_is_wrong(self, cast: Cast, client: Client, change: dict[str, str], words: str) -> None:
        client.force_login(cast.operator)

        assert words in client.post(NEW, TYPED | change).content.decode()
        assert not Rerating.objects.exists()

    def test_knows_instance_types_by_the_hour(self, cast: Cast, client: Client) -> None:
        client.force_login(cast.operator)

        page = page_of(client, f"{NEW}?kind=instance_type&subject=g4dn.xlarge")

        assert "The right price of an hour" in page
        assert 'value="g4dn.xlarge"' in page


class TestRerating:
    def test_is_decided_by_a_second_person(self, cast: Cast, client: Client) -> None:
        made = propose(cast)
        client.force_login(cast.operator)
        page = page_of(client, address(made))
        assert "Nobody decides their own re-rating." in page
        assert 'value="approve"' not in page

        client.force_login(cast.finance)
        assert "Yours to decide" in page_of(client, LIST)
        page = client.post(
            address(made), {"decision": "approve", "note": "Seen."}, follow=True
        ).content.decode()

        assert "It is approved, and is being written." in page
        assert "Writing the differences" in page
        applying.apply(made.pk, at=timezone.now())
        page = page_of(client, address(made))
        assert "What was decided on" in page
        assert "Written" in page

    def test_shows_where_the_work_stopped(self, cast: Cast, client: Client) -> None:
        made = approve(cast, propose(cast))
        Job.objects.filter(name=proposing.APPLY).update(state="failed", last_error="The disk is full.")
        client.force_login(cast.finance)

        assert "The disk is full. Nothing is lost" in page_of(client, address(made))

    def test_is_rejected_with_a_reason(self, cast: Cast, client: Client) -> None:
        made = propose(cast)
        client.force_login(cast.finance)

        page = client.post(address(made), {"decision": "reject"}).content.decode()
        assert "Give a reason" in page
        page = client.post(address(made), {"decision": "reject", "note": "No."}, follow=True).content.decode()
        assert "Rejected by" in page

    def test_is_taken_back(self, cast: Cast, client: Client) -> None:
        made = propose(cast)
        client.force_login(cast.operator)

        client.post(address(made), {"decision": "withdraw"})

        assert Rerating.objects.get().state == "withdrawn"

    def test_says_so_when_nothing_would_change(self, cast: Cast, client: Client) -> None:
        same = {"input_per_mtok": Decimal("0.20"), "output_per_mtok": Decimal("0.60")}
        made = propose(cast, **same)
        client.force_login(cast.finance)

        assert "Nothing would change" in page_of(client, address(made))

    def test_gives_the_preview_as_a_file(self, cast: Cast, client: Client) -> None:
        made = propose(cast)
        client.force_login(cast.finance)

        answer = client.get(reverse("metering:rerating-csv", args=[made.pk]))

        body = b"".join(answer) if answer.streaming else answer.content
        (row,) = csv.DictReader(StringIO(body.decode()))
        assert (row["cost_center"], row["billing_period"], row["events"]) == ("CC-100", "2026-11", "1")
        assert [Decimal(row[name]) for name in ("old_cost", "new_cost", "difference")] == [
            Decimal("0.2"),
            Decimal("0.4"),
            Decimal("0.2"),
        ]


class TestAll:
    def test_are_the_platforms_affair(self, cast: Cast, client: Client) -> None:
        made = propose(cast)
        names = ("rerating", "rerating-csv", "rerating-progress")
        paths = [LIST, *(reverse(f"metering:{name}", args=[made.pk]) for name in names)]

        for person in (cast.creator, cast.consumer, cast.stranger):
            client.force_login(person)
            assert {client.get(path).status_code for path in (*paths, NEW)} == {403}
            assert client.post(address(made), {"decision": "approve"}).status_code == 403
        for person in (cast.approver, cast.finance):
            client.force_login(person)
            assert {client.get(path).status_code for path in paths} == {200}
            assert client.get(NEW).status_code == 403
        assert client.get(reverse("metering:rerating", args=[999])).status_code == 404

    def test_ask_few_questions(self, cast: Cast, client: Client, django_assert_max_num_queries: Any) -> None:
        made = approve(cast, propose(cast))
        client.force_login(cast.finance)

        with django_assert_max_num_queries(12):
            page_of(client, LIST)
        with django_assert_max_num_queries(12):
            page_of(client, address(made))
