import re
from datetime import date, datetime, timedelta
from html import unescape
from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from marketplace.accounts.models import User
from metering import ingest, views
from metering.attribution import Dimensions
from metering.dashboards import views as board_views
from metering.models import ArchivedPeriod, EventKey
from metering.usage_events import views as event_views
from tests.conftest import Cast
from tests.factories import NOW
from tests.metering.conftest import make_usage
from tests.metering.test_event_lists import correct
from tests.metering.test_event_stories import STRANGE_IDS
from tests.metering.usage_world import TODAY, World, used

BUDGET = 12
LIST = "/usage/events/"


class Clock:
    """Noon of the day on which the world used most of what it did."""

    @staticmethod
    def now() -> datetime:
        return NOW


@pytest.fixture(autouse=True)
def _stop_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (views, event_views, board_views):
        monkeypatch.setattr(module, "timezone", Clock)


@pytest.fixture
def look(client: Client) -> Any:
    def get(person: User, path: str, *, status: int = 200, **options: Any) -> str:
        client.force_login(person)
        answer = client.get(path, **options)
        assert answer.status_code == status, answer.status_code
        content: str = answer.content.decode()
        return content

    return get


def path(event_id: str, app: str = "where2eat") -> str:
    return f"/usage/events/{app}/{quote(event_id, safe='')}/"


def links(page: str, text: str) -> list[str]:
    """Return where the links with a text, and perhaps an icon before it, lead."""
    found = re.findall(rf'<a[^>]* ?href="([^"]*)"[^>]*>(?:<svg[^>]*>.*?</svg>)?{text}', page)
    return [unescape(url) for url in found]


class TestEvents:
    def test_lists_what_the_usage_page_sums(self, cast: Cast, world: World, look: Any) -> None:
        asked = "?days=7&app=where2eat&team=team-ops"
        usage, page = look(cast.finance, f"/usage/{asked}"), look(cast.finance, f"{LIST}{asked}")

        assert "$0.36" in usage
        assert "$0.36" in page
        assert [one in page for one in (path("e1"), path("e2"), path("e3"))] == [True, True, False]
        assert page.index(path("e2")) < page.index(path("e1"))

    def test_is_led_to_from_rows_and_total_of_usage(self, cast: Cast, world: World, look: Any) -> None:
        usage = look(cast.finance, "/usage/?days=7&group_by=team&app=where2eat")

        (of_ops,) = [url for url in links(usage, "Events") if "team=team-ops" in url]
        (of_all,) = [url for url in links(usage, "Events") if "team=" not in url]
        assert "$0.36" in look(cast.finance, of_ops)
        assert "$1.56" in look(cast.finance, of_all)

    def test_is_led_to_from_steps_of_time(self, cast: Cast, world: World, look: Any) -> None:
        usage = look(cast.finance, "/usage/?first=2026-11-15&last=2026-11-15&group_by=")

        hours = links(usage, "Events")[:-1]

        assert hours[0] == f"{LIST}?from=2026-11-15T11%3A00%3A00Z&to=2026-11-15T12%3A00%3A00Z"
        page = look(cast.finance, hours[0])
        assert "$0.56" in page
        assert "15 Nov 11:00 to 15 Nov 12:00" in page

    def test_is_led_to_from_what_has_no_value_but_not_from_what_is_not_shown(
        self, cast: Cast, world: World, look: Any
    ) -> None:
        usage = look(cast.consumer, "/usage/?days=7&group_by=key")
        of_makers = look(cast.creator, "/usage/?days=7&group_by=key")

        (without,) = [url for url in links(usage, "Events") if "key=%28none%29" in url]
        page = look(cast.consumer, without)
        # The 0.20 of yesterday, and 0.01 in the sandbox.
        assert "$0.21" in page
        assert path("e2") not in page
        assert [url for url in links(of_makers, "Events") if "key=" in url] == []

    def test_is_led_to_from_the_page_of_a_subscription(self, cast: Cast, world: World, look: Any) -> None:
        shown = look(cast.consumer, f"/usage/subscriptions/{world.subscription.pk}/")

        (url,) = links(shown, "its events")
        assert url.startswith(f"{LIST}?from=2026-10-17T00%3A00%3A00Z&to=2026-11-16T00%3A00%3A00Z&")
        assert "$0.36" in look(cast.consumer, url)

    @pytest.mark.parametrize(
        ("person", "page", "filters", "of_row", "spend"),
        [
            ("creator", "apps/where2eat", "&app=where2eat", "&model=llm-8b", "$1.56"),
            ("consumer", "teams/demo/team-ops", "&team=demo%2Fteam-ops", "&app=fx", "$0.37"),
            (
                "finance",
                "cost-centers/demo/CC-200",
                "&cost_center=demo%2FCC-200",
                "&team=team-people",
                "$0.40",
            ),
            ("stranger", "models/llm-8b", "&model=llm-8b", "&app=where2eat", "$0.80"),
            ("finance", "platform", "", "&app=fx", "$1.57"),
        ],
    )
    def test_is_led_to_from_pages_of_one_thing(
        self,
        cast: Cast,
        world: World,
        look: Any,
        person: str,
        page: str,
        filters: str,
        of_row: str,
        spend: str,
    ) -> None:
        days = "from=2026-10-17T00%3A00%3A00Z&to=2026-11-15T13%3A00%3A00Z"
        shown = look(getattr(cast, person), f"/usage/{page}/")

        urls = links(shown, "Events")

        # Beside the title, in a row, in the total.
        assert (urls[0], urls[-1]) == (f"{LIST}?{days}{filters}", f"{LIST}?{days}{filters}")
        assert f"{LIST}?{days}{filters}{of_row}" in urls
        assert spend in look(getattr(cast, person), urls[0])

    def test_takes_several_values_from_usage_and_gives_them_on(
        self, cast: Cast, world: World, look: Any
    ) -> None:
        usage = look(cast.finance, "/usage/?days=7&group_by=app&team=team-ops,strangers&compare=previous")

        *of_apps, of_all = links(usage, "Events")
        page = look(cast.finance, of_all)
        ways = [*links(page, "CSV"), *links(page, "JSON lines"), *links(page, "Usage</a>")]

        assert "&team=team-ops%2Cstrangers" in of_all
        assert sorted(re.findall("&app=([^&]*)", "&".join(of_apps))) == ["fx", "where2eat"]
        assert [path(name) in page for name in ("e1", "e2", "e3", "e4")] == [True, True, False, True]
        assert "$1.17" in usage
        assert "$1.17" in page
        assert ["team=team-ops%2Cstrangers" in url for url in ways if "?" in url] == [True] * 3

    def test_turns_pages(self, cast: Cast, world: World, look: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(event_views, "PAGE_SIZE", 2)

        first = look(cast.finance, f"{LIST}?days=7")
        (link,) = re.findall(r'<a[^>]*rel="next"[^>]*>', first)
        (older,) = re.findall(r'href="([^"]*)"', unescape(link))
        second = look(cast.finance, f"{LIST}{older}")

        assert [name in first for name in map(path, ("e3", "e2", "e4"))] == [True, True, False]
        assert path("e4") in second
        assert "Newer" in second
        assert "Newer" not in first

    def test_flags_what_is_special(self, cast: Cast, who: Dimensions, look: Any) -> None:
        ingest.record(
            [
                make_usage(who, "guess", is_estimated=True),
                make_usage(who, "free", tokens=0),
                make_usage(who, "right"),
            ],
            at=NOW,
        )
        correct(who, "correction:1", corrects="right", tokens=-1, cost="-0.0000002")

        page = look(cast.finance, f"{LIST}?days=7")

        for flag in ("Estimated", "No cost", "Corrected", "Correction"):
            assert len(re.findall(rf">{flag}</", page)) == 1, flag

    def test_says_what_is_in_the_archive(self, cast: Cast, world: World, look: Any) -> None:
        ArchivedPeriod.objects.create(
            period=date(2026, 11, 1), archived_at=NOW, folder="/archive", manifest={}, manifest_sha256=""
        )

        page = look(cast.finance, f"{LIST}?days=7")

        assert "5 events of November 2026 are in the archive" in page
        assert "They cost $1.57 and count in the totals above" in page
        assert "Nothing else in this time" in page

    @pytest.mark.parametrize(
        ("query", "message"),
        [
            ("first=2020-01-01&last=2026-11-14", "more than 400 days after the start"),
            ("first=soon", "Enter a valid date."),
            ("subscription=me", "is not an id of a subscription"),
            ("cursor=x", "is not one that this list gave"),
            ("from=2026-11-15&to=2026-11-14", "The last day is before the first one."),
        ],
    )
    def test_says_what_is_wrong_with_an_address(
        self, cast: Cast, world: World, look: Any, query: str, message: str
    ) -> None:
        assert message in look(cast.finance, f"{LIST}?{query}")

    def test_gives_htmx_the_list_alone(self, cast: Cast, world: World, look: Any) -> None:
        fragment = look(cast.finance, LIST, headers={"HX-Request": "true"})

        assert "<html" not in fragment
        assert fragment.strip().startswith('<div id="events"')

    def test_hides_from_makers_who_used_it(self, cast: Cast, world: World, look: Any) -> None:
        page = look(cast.creator, f"{LIST}?days=7")

        assert path("e2") in page
        assert "Not shown" in page
        for secret in ("Operations", "CC-100", "strangers"):
            assert secret not in page

    def test_shows_the_stranger_their_own_only(self, cast: Cast, world: World, look: Any) -> None:
        page = look(cast.stranger, f"{LIST}?days=7")

        assert path("e4") in page
        assert path("e2") not in page
        assert "$0.80" in page

    def test_asks_guests_to_sign_in(self, db: None, client: Client) -> None:
        for address in (LIST, path("e1"), "/usage/conflicts/", f"{LIST}find/"):
            assert client.get(address).status_code == 302

    def test_keeps_to_its_budget_of_queries(
        self, cast: Cast, world: World, client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        client.force_login(cast.finance)

        with django_assert_max_num_queries(BUDGET):
            client.get(f"{LIST}?days=90&app=where2eat&team=team-ops")


class TestFind:
    def test_leads_to_the_event(self, cast: Cast, world: World, client: Client) -> None:
        client.force_login(cast.consumer)

        answer = client.get(f"{LIST}find/", {"app": "where2eat", "id": "a/b c"})

        assert answer.headers["Location"] == "/usage/events/where2eat/a/b%20c/"

    def test_asks_for_what_is_missing(self, cast: Cast, look: Any) -> None:
        assert "This field is required." in look(cast.consumer, f"{LIST}find/?app=where2eat")


class TestEvent:
    def test_tells_the_story(self, cast: Cast, world: World, look: Any) -> None:
        page = look(cast.consumer, path("e2"))

        for told in (
            "$0.16",
            "500,000",
            "per million",
            "15 Nov 2026, 11:30:00",
            "November 2026",
            "Operations",
            "Where to eat: Standard",
            "201 ms",
            'hx-get="/bills/events/where2eat/e2/"',
        ):
            assert told in page, told
        (hour,) = links(page, "All events of the app in this hour")
        assert hour == f"{LIST}?from=2026-11-15T11%3A00%3A00Z&to=2026-11-15T12%3A00%3A00Z&app=where2eat"

    def test_links_prices_for_those_who_may_see_them(self, cast: Cast, world: World, look: Any) -> None:
        assert "/operator/rate-cards/models/llm-8b/" in look(cast.finance, path("e2"))
        assert "/operator/rate-cards/" not in look(cast.consumer, path("e2"))

    def test_tells_corrections_and_what_is_left(self, cast: Cast, who: Dimensions, look: Any) -> None:
        ingest.record([make_usage(who)], at=NOW)
        correct(who, "correction:1", corrects="e1", tokens=-80, cost="-0.000016")

        page, of_correction = look(cast.finance, path("e1")), look(cast.finance, path("correction:1"))

        assert "With corrections" in page
        assert ">400<" in page
        assert path("correction:1").replace("%3A", ":") in page
        assert "It corrects another event" in of_correction
        assert path("e1") in of_correction

    def test_shows_makers_conflicts_and_not_who_used_it(self, cast: Cast, world: World, look: Any) -> None:
        ingest.record([used(world.subscription, "e2", at=TODAY, input_tokens=7)], at=NOW)

        page = look(cast.creator, path("e2"))

        assert "The id came again with other content" in page
        assert "<del>500,000</del>" in page
        assert "<ins>7</ins>" in page
        for secret in ("Operations", "CC-100", str(world.subscription.pk)):
            assert secret not in page
        assert "other content" not in look(cast.consumer, path("e2"))

    @pytest.mark.parametrize("event_id", STRANGE_IDS)
    def test_has_an_address_for_every_id(self, cast: Cast, world: World, look: Any, event_id: str) -> None:
        ingest.record([used(world.subscription, event_id, at=TODAY, input_tokens=1)], at=NOW)

        page = look(cast.finance, f"{LIST}?days=7")
        (url,) = [
            url
            for url in re.findall(r'href="(/usage/events/where2eat/[^"]*)"', page)
            if not re.search(r"/e\d/$", url)
        ]

        assert "What became of it" in look(cast.finance, unescape(url))

    def test_is_not_found_by_strangers(self, cast: Cast, world: World, look: Any) -> None:
        look(cast.stranger, path("e2"), status=404)
        look(cast.consumer, path("e3"), status=404)
        look(cast.finance, path("nothing"), status=404)

    def test_tells_what_is_known_of_an_archived_one(self, cast: Cast, world: World, look: Any) -> None:
        EventKey.objects.create(
            app=world.app, event_id="old", occurred_at=NOW - timedelta(days=400), content_hash=b"\1" * 16
        )
        ArchivedPeriod.objects.create(
            period=date(2025, 10, 1),
            archived_at=NOW,
            folder="/archive",
            manifest={},
            manifest_sha256="ab" * 32,
        )

        page = look(cast.creator, path("old"))

        assert "The events of October 2025 are in the archive" in page
        assert "01" * 16 in page
        look(cast.consumer, path("old"), status=404)
        assert "in the archive" in look(cast.creator, "/bills/events/where2eat/old/")

    def test_keeps_to_its_budget_of_queries(
        self, cast: Cast, world: World, client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        client.force_login(cast.finance)

        with django_assert_max_num_queries(BUDGET):
            client.get(path("e2"))


class TestConflicts:
    def test_sets_second_beside_first(self, cast: Cast, world: World, look: Any) -> None:
        ingest.record([used(world.subscription, "e2", at=TODAY, input_tokens=7)], at=NOW)

        for person in (cast.creator, cast.operator):
            page = look(person, "/usage/conflicts/")

            assert "Where to eat, 15 Nov 2026, 12:00:00 UTC" in page
            assert "<del>500,000</del>" in page
            assert path("e2") in page
        assert "No conflicts" in look(cast.operator, "/usage/conflicts/?app=fx")

    def test_shows_users_and_strangers_nothing(self, cast: Cast, world: World, look: Any) -> None:
        ingest.record([used(world.subscription, "e2", at=TODAY, input_tokens=7)], at=NOW)

        for person in (cast.consumer, cast.stranger):
            assert "No conflicts" in look(person, "/usage/conflicts/")
            look(person, "/usage/conflicts/?app=where2eat", status=404)

    def test_keeps_to_its_budget_of_queries(
        self, cast: Cast, world: World, client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        for tokens in range(25):
            ingest.record([used(world.subscription, "e2", at=TODAY, input_tokens=tokens)], at=NOW)
        client.force_login(cast.creator)

        with django_assert_max_num_queries(BUDGET):
            assert client.get("/usage/conflicts/").status_code == 200
