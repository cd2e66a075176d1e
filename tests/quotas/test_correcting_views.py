from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from metering.attribution import Dimensions
from metering.corrected import QUANTITIES
from metering.models import Correction
from tests.conftest import Cast
from tests.metering.corrected_world import amend, record

TYPED = dict.fromkeys(QUANTITIES, 0) | {
    "requests": 1,
    "input_tokens": 240,
    "output_tokens": 96,
    "seen": 0,
    "reason": "Counted twice.",
}


@pytest.fixture(autouse=True)
def event(who: Dimensions) -> None:
    record(who)


def address(name: str = "event-amend", event_id: str = "e1") -> str:
    return reverse(f"quotas:{name}", args=["where2eat", event_id])


def text_of(answer: HttpResponse) -> str:
    return answer.content.decode()


class TestAmend:
    def test_shows_what_the_event_counts_as(self, cast: Cast, client: Client) -> None:
        client.force_login(cast.creator)

        page = text_of(client.get(address()))

        assert 'name="input_tokens" value="480"' in page
        assert "$0.0001536" in page

    def test_previews_difference_and_month_and_does_nothing(self, cast: Cast, client: Client) -> None:
        client.force_login(cast.creator)

        page = text_of(client.post(address(), TYPED | {"preview": "1"}))

        assert "-$0.000048" in page
        assert "billed in November 2026" in page
        assert not Correction.objects.exists()

    def test_amends_and_shows_it(self, cast: Cast, client: Client) -> None:
        client.force_login(cast.creator)

        page = text_of(client.post(address(), TYPED, follow=True))

        assert "The event is amended." in page
        assert "Counted twice." in page
        assert "-$0.000048" in page
        assert 'name="input_tokens" value="240"' in text_of(client.get(address()))

    def test_says_when_somebody_was_faster(self, cast: Cast, client: Client) -> None:
        client.force_login(cast.creator)
        amend(cast.operator, output_tokens=5)

        page = text_of(client.post(address(), TYPED))

        assert "Somebody corrected this event meanwhile." in page
        assert Correction.objects.count() == 1

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"reason": ""}, "This field is required."),
            ({"input_tokens": "480"}, "Nothing would change"),
            ({"cached_input_tokens": "241"}, "parts of the input tokens"),
            ({"requests": "-1"}, "greater than or equal to 0"),
        ],
    )
    def test_says_what_is_wrong(self, cast: Cast, client: Client, change: dict[str, Any], words: str) -> None:
        client.force_login(cast.creator)

        assert words in text_of(client.post(address(), TYPED | change))
        assert not Correction.objects.exists()


class TestVoid:
    def test_takes_the_event_back(self, cast: Cast, client: Client) -> None:
        client.force_login(cast.creator)
        assert "-$0.0001536" in text_of(client.get(address("event-void")))

        page = text_of(client.post(address("event-void"), {"reason": "It never was."}, follow=True))

        assert "The event is taken back." in page
        assert "It never was." in page
        assert "It counts as nothing." in text_of(client.get(address()))
        assert "taken back already" in text_of(client.get(address("event-void")))
        assert "taken back already" in text_of(client.post(address("event-void"), {"reason": "Again."}))
        assert Correction.objects.count() == 1


class TestBoth:
    @pytest.mark.parametrize("name", ["event-amend", "event-void"])
    @pytest.mark.parametrize(
        ("person", "status"),
        [("creator", 200), ("operator", 200), ("consumer", 403), ("finance", 403), ("stranger", 404)],
    )
    def test_are_for_who_may_correct(
        self, cast: Cast, client: Client, name: str, person: str, status: int
    ) -> None:
        client.force_login(getattr(cast, person))

        assert client.get(address(name)).status_code == status
        refused = client.post(address(name), {"reason": "Wrong."}).status_code
        assert refused == (302 if status == 200 and name == "event-void" else status)

    @pytest.mark.parametrize("name", ["event-amend", "event-void"])
    def test_ask_few_questions(
        self, cast: Cast, client: Client, name: str, django_assert_max_num_queries: Any
    ) -> None:
        client.force_login(cast.creator)
        amend(cast.creator, output_tokens=5)

        with django_assert_max_num_queries(18):
            assert client.get(address(name)).status_code == 200

    def test_find_events_whatever_their_id(self, cast: Cast, who: Dimensions, client: Client) -> None:
        record(who, "a/b c?/amend")
        client.force_login(cast.creator)

        assert client.get(address(event_id="a/b c?/amend")).status_code == 200
