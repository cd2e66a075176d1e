"""Lists of events: what usage sums, page by page and as files, and where they lead."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.db.models import F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marketplace.accounts.access import actor_for
from marketplace.core.errors import InvalidInput
from metering import archive, event_lists, event_walk, ingest, partitions, periods, queries
from metering.attribution import Dimensions
from metering.event_lists import Page, Selection
from metering.models import EventKey, UsageEvent, UsageRollup
from metering.scopes import EVERYTHING, UsageScope
from tests.conftest import Cast
from tests.factories import NOW
from tests.metering.conftest import make_usage
from tests.metering.usage_world import TODAY, YESTERDAY, World, used

DAYS = {"from_at": datetime(2026, 11, 14, tzinfo=UTC), "to_at": datetime(2026, 11, 16, tzinfo=UTC)}


def select(*, visible: UsageScope = EVERYTHING, **asked: Any) -> Selection:
    filters = {name: text for name, text in asked.items() if name not in DAYS}
    return event_lists.select(
        **DAYS | {name: at for name, at in asked.items() if name in DAYS}, filters=filters, visible=visible
    )


def ids(events: Any) -> list[str]:
    return [one.event_id for one in events]


def turn(selection: Selection, *, size: int) -> Iterator[Page]:
    """Turn the pages from the newest event to the oldest."""
    page = event_lists.page(selection, size=size)
    yield page
    while page.older:
        page = event_lists.page(selection, size=size, before=page.older)
        yield page


class TestPage:
    def test_lists_the_newest_first_with_what_they_belong_to(self, cast: Cast, world: World) -> None:
        page = event_lists.page(select(), size=10)

        assert ids(page.events) == ["e3", "e2", "e4", "e5", "e1"]
        assert (page.newer, page.older) == (None, None)
        newest = page.events[1]
        assert newest.cost == Decimal("0.16")
        assert newest.belongs.id_of("team") == "team-ops"
        assert newest.belongs.id_of("key") == str(world.key.pk)
        assert newest.belongs.parts["subscription"].label == "Where to eat for Operations"
        assert newest.quantities.output_tokens == 100_000

    @pytest.mark.parametrize(
        ("filters", "expected"),
        [
            ({"app": "fx"}, ["e5"]),
            ({"team": "team-ops"}, ["e2", "e5", "e1"]),
            ({"team": "team-ops", "environment": "production"}, ["e2", "e1"]),
            ({"cost_center": "CC-200"}, ["e3"]),
            ({"team": ("team-people", "strangers")}, ["e3", "e4"]),
            ({"team": ("team-ops", "strangers"), "app": ("where2eat", "nothing")}, ["e2", "e4", "e1"]),
            ({"currency": ("EUR", "USD"), "cost_center": "CC-200"}, ["e3"]),
            ({"currency": ("EUR", "CHF")}, []),
            ({"model": "llm-8b", "currency": "USD"}, ["e3", "e2", "e4", "e5", "e1"]),
            ({"model": "llm-9b"}, []),
            ({"model": "(none)"}, []),
            ({"feature": "(none)", "team": "team-ops"}, ["e2", "e5", "e1"]),
            ({"key": "(none)", "team": "team-ops"}, ["e5", "e1"]),
            ({"app": "(none)"}, []),
            ({"currency": "EUR"}, []),
            ({"from_at": TODAY.replace(hour=11), "to_at": TODAY.replace(hour=12)}, ["e3", "e2"]),
            ({"from_at": YESTERDAY, "to_at": YESTERDAY + timedelta(seconds=1)}, ["e1"]),
        ],
    )
    def test_lists_what_is_asked_for(
        self, world: World, filters: dict[str, Any], expected: list[str]
    ) -> None:
        assert ids(event_lists.page(select(**filters), size=10).events) == expected

    def test_turns_to_older_and_back_to_newer_ones(self, world: World) -> None:
        first = event_lists.page(select(), size=2)
        second = event_lists.page(select(), size=2, before=first.older)
        last = event_lists.page(select(), size=2, before=second.older)
        back = event_lists.page(select(), size=2, after=last.newer)

        assert [ids(page.events) for page in (first, second, last)] == [["e3", "e2"], ["e4", "e5"], ["e1"]]
        assert (first.newer, last.older) == (None, None)
        assert back.events == second.events
        assert back.newer == second.events[0].place
        assert event_lists.page(select(), size=2, after=back.newer).newer is None

    def test_orders_events_of_one_instant_by_app_and_id(self, world: World) -> None:
        at = TODAY.replace(hour=10)
        ingest.record(
            [used(world.subscription, name, at=at, input_tokens=1) for name in ("b", "ä", "a/1", "c")], at=NOW
        )

        found = [ids(page.events) for page in turn(select(from_at=at), size=1)]

        one_hour = [one for page in found for one in page if one not in ("e2", "e3")]
        assert sorted(one_hour) == ["a/1", "b", "c", "ä"]
        assert len(found) == 6

    def test_sees_each_event_once_while_others_come(self, world: World) -> None:
        before = set(ids(event_lists.page(select(), size=100).events))
        seen: list[str] = []
        for number, page in enumerate(turn(select(), size=1)):
            seen += ids(page.events)
            for hour in (0, 9, 11):
                at = TODAY.replace(hour=hour, minute=29)
                ingest.record(
                    [used(world.subscription, f"new-{number}-{hour}", at=at, input_tokens=1)], at=NOW
                )
            if number > 40:
                break

        assert len(seen) == len(set(seen))
        assert before <= set(seen)

    def test_goes_on_where_few_hours_are_looked_at_together(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(event_walk, "HOURS_AT_ONCE", 1)
        monkeypatch.setattr(event_walk, "NEAR", timedelta(hours=3))

        assert ids(event_lists.page(select(), size=10).events) == ["e3", "e2", "e4", "e5", "e1"]
        assert ids(event_lists.page(select(), size=1, after=event_walk.Place(YESTERDAY, 0, "")).events) == [
            "e1"
        ]

    def test_refuses_more_time_than_it_could_read(self, db: None) -> None:
        with pytest.raises(InvalidInput, match="more than 400 days") as refusal:
            select(from_at=DAYS["to_at"] - timedelta(days=401))

        assert (refusal.value.field, refusal.value.limit) == ("to", "400")


class TestVisibility:
    def test_shows_makers_their_app_but_not_by_whom(self, cast: Cast, world: World) -> None:
        visible = UsageScope.of(actor_for(cast.creator))

        events = event_lists.page(select(visible=visible), size=10).events

        assert ids(events) == ["e3", "e2", "e4", "e1"]
        for one in events:
            assert not one.belongs.is_known
            for name in ("team", "cost_center", "organization", "subscription", "key"):
                assert one.belongs.parts[name].id is None
            assert one.belongs.id_of("plan").startswith("where2eat/")

    def test_finds_nothing_by_what_makers_may_not_know(self, cast: Cast, world: World) -> None:
        visible = UsageScope.of(actor_for(cast.creator))

        assert event_lists.page(select(visible=visible, team="team-ops"), size=10).events == ()

    def test_shows_strangers_their_own(self, cast: Cast, world: World) -> None:
        visible = UsageScope.of(actor_for(cast.stranger))

        events = event_lists.page(select(visible=visible), size=10).events

        assert ids(events) == ["e4"]
        assert events[0].belongs.id_of("team") == "strangers"

    def test_shows_consumers_what_their_teams_used(self, cast: Cast, world: World) -> None:
        visible = UsageScope.of(actor_for(cast.consumer))

        assert ids(event_lists.page(select(visible=visible), size=10).events) == ["e2", "e5", "e1"]


class TestEvery:
    def test_gives_all_in_the_order_of_pages(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(event_lists, "EXPORTED_AT_ONCE", 2)

        assert ids(event_lists.every(select())) == ["e3", "e2", "e4", "e5", "e1"]

    def test_refuses_more_than_a_file_holds(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(event_lists, "MOST_EXPORTED", 4)

        with pytest.raises(InvalidInput, match="a file holds 4 events, and these are 5"):
            event_lists.every(select())

        assert len(list(event_lists.every(select(team="team-ops")))) == 3


class TestFlags:
    def test_tell_late_corrected_and_estimated_events(self, who: Dimensions) -> None:
        with transaction.atomic():
            periods.close(date(2026, 10, 1), at=NOW)
        october = datetime(2026, 10, 31, 23, tzinfo=UTC)
        ingest.record(
            [make_usage(who, "late", at=october), make_usage(who, "guess", is_estimated=True)], at=NOW
        )
        correct(who, "correction:1", corrects="guess", tokens=-480)

        found = {
            one.event_id: one
            for one in event_lists.every(select(from_at=october, to_at=NOW + timedelta(hours=1)))
        }

        assert {name: one.is_late for name, one in found.items()} == {
            "late": True,
            "guess": False,
            "correction:1": False,
        }
        assert (found["guess"].is_corrected, found["guess"].is_estimated) == (True, True)
        assert (found["correction:1"].corrects, found["correction:1"].is_corrected) == ("guess", False)


def correct(who: Dimensions, event_id: str, *, corrects: str, tokens: int, cost: str = "-0.000096") -> None:
    """Write a correction as a row of its own: an event whose roll-ups, keys and rows are all there."""
    first = UsageEvent.objects.get(event_id=corrects)
    UsageEvent.objects.create(
        app_id=first.app_id, event_id=event_id, occurred_at=first.occurred_at, received_at=NOW,
        period=date(2026, 11, 1), attribution_id=first.attribution_id, requests=0, input_tokens=tokens,
        cost=Decimal(cost), currency="USD", rate_card_id=first.rate_card_id, corrects=corrects,
    )  # fmt: skip
    EventKey.objects.create(
        app_id=first.app_id, event_id=event_id, occurred_at=first.occurred_at, content_hash=b""
    )
    UsageRollup.objects.filter(attribution=first.attribution_id).update(
        events=F("events") + 1, input_tokens=F("input_tokens") + tokens, cost=F("cost") + Decimal(cost)
    )


class TestArchivedMonths:
    def test_are_told_in_place_of_rows(self, who: Dimensions, tmp_path: Path) -> None:
        september, first = date(2025, 9, 1), datetime(2025, 9, 1, tzinfo=UTC)
        partitions.make([september])
        ingest.record(
            [make_usage(who, "old", at=first), make_usage(who, "october", at=first + timedelta(days=30))],
            at=NOW,
        )
        with transaction.atomic():
            periods.close(september, at=NOW)
        archive.archive(september, at=NOW, folder=tmp_path, made_by="9.9")

        selection = select(from_at=first, to_at=first + timedelta(days=40))
        page, parts = event_lists.page(selection, size=10), event_lists.archived_parts(selection)
        report = queries.usage(from_at=first, to_at=first + timedelta(days=40), visible=EVERYTHING)

        assert ids(page.events) == ["october"]
        assert [(part.period, part.events, part.cost) for part in parts] == [
            (september, 1, Decimal("0.000096"))
        ]
        assert report.totals.events == 2
        assert ids(event_lists.every(selection)) == ["october"]


def some_of(*values: str) -> st.SearchStrategy[tuple[str, ...]]:
    """One or several values of a filter, of which a list may know none."""
    return st.lists(st.sampled_from(values), min_size=1, max_size=3).map(tuple)


FILTERS = st.fixed_dictionaries(
    {},
    optional={
        "app": some_of("where2eat", "fx", "nothing"),
        "team": some_of("team-ops", "team-people", "strangers"),
        "cost_center": some_of("CC-100", "CC-200"),
        "environment": some_of("production", "sandbox"),
        "model": some_of("llm-8b", "llm-9b"),
        "organization": some_of("demo", "other"),
        "currency": some_of("USD", "EUR"),
        "feature": some_of("none", "(none)"),
        "subscription": st.just("(none)"),
        "key": st.just("(none)"),
    },
)
HOURS = st.integers(0, 60)


class TestTotals:
    @pytest.fixture(autouse=True)
    def near(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(event_walk, "NEAR", event_walk.NEAR)

    @given(
        filters=FILTERS,
        start=HOURS,
        hours=st.integers(1, 60),
        person=st.sampled_from(["creator", "consumer", "finance", "stranger", "approver"]),
        size=st.integers(1, 7),
        near=st.sampled_from([1, 5, 168]),
    )
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
    def test_of_a_list_are_those_of_usage_whatever_is_asked(
        self,
        cast: Cast,
        world: World,
        filters: dict[str, tuple[str, ...]],
        start: int,
        hours: int,
        person: str,
        size: int,
        near: int,
    ) -> None:
        event_walk.NEAR = timedelta(hours=near)
        visible = UsageScope.of(actor_for(getattr(cast, person)))
        from_at = datetime(2026, 11, 13, 12, tzinfo=UTC) + timedelta(hours=start)
        asked = {"from_at": from_at, "to_at": from_at + timedelta(hours=hours)}
        totals = queries.usage(**asked, filters=filters, visible=visible).totals

        selection = event_lists.select(**asked, filters=filters, visible=visible)
        listed = [one for page in turn(selection, size=size) for one in page.events]

        assert len(listed) == totals.events
        assert sum((one.cost for one in listed), Decimal(0)) == totals.cost
        assert sum(one.quantities.input_tokens for one in listed) == totals.input_tokens
        assert [one.place for one in listed] == [one.place for one in event_lists.every(selection)]
