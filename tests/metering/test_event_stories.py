from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.db import connection, transaction
from pytest_django import DjangoAssertNumQueries

from marketplace.accounts.access import actor_for
from marketplace.core.errors import NotFound
from metering import archive, event_stories, ingest, partitions, periods
from metering.attribution import Dimensions
from metering.event_stories import ArchivedEvent, EventStory
from metering.models import LanguageModel, RateCard, UsageEvent
from metering.ratecards import change_price
from metering.rating import Quantities
from metering.scopes import EVERYTHING, UsageScope
from tests import factories
from tests.conftest import Cast
from tests.factories import LONG_AGO, NOW
from tests.metering.conftest import make_usage
from tests.metering.test_event_lists import correct
from tests.metering.usage_world import World

STRANGE_IDS = [
    "a/b//c/",
    "/",
    "100%",
    "a b+c?d=e#f",
    "größe",
    "line\nend",
    "amend",
    "x/amend",
    "../up",
    "%2F",
]


def story_of(event_id: str, *, visible: UsageScope = EVERYTHING, app: str = "where2eat") -> EventStory:
    story = event_stories.get(app, event_id, visible=visible)
    assert isinstance(story, EventStory)
    return story


def scope(cast: Cast, person: str) -> UsageScope:
    return UsageScope.of(actor_for(getattr(cast, person)))


class TestGet:
    def test_explains_the_amount_line_by_line(self, who: Dimensions) -> None:
        # Of 1,000 input tokens 300 are cached and 200 written to the cache, of 100 output tokens 40 reasoning:
        # 500 x 0.20 + 300 x 0.02 + 200 x 0.20 + 60 x 0.60 + 40 x 0.60 = 206 per million; 230 ms at 0.526 an hour.
        factories.make_instance_rate()
        used = Quantities(
            requests=1,
            input_tokens=1000,
            output_tokens=100,
            cached_input_tokens=300,
            cache_write_tokens=200,
            reasoning_tokens=40,
            duration_ms=230,
        )
        on_instance = who._replace(instance_type="g4dn.xlarge")
        ingest.record(
            [make_usage(on_instance, quantities=used, provider_cost=Decimal("0.0003"), tags={"k": "v"})],
            at=NOW + timedelta(seconds=2),
        )

        story = story_of("e1")

        assert [(one.measure, one.quantity, one.amount) for one in story.lines] == [
            ("input_tokens", 500, Decimal("0.0001")),
            ("cached_input_tokens", 300, Decimal("0.000006")),
            ("cache_write_tokens", 200, Decimal("0.00004")),
            ("output_tokens", 60, Decimal("0.000036")),
            ("reasoning_tokens", 40, Decimal("0.000024")),
            ("duration_ms", 230, Decimal("0.000033605555555556")),
        ]
        assert story.cost == Decimal("0.000239605555555556")
        assert story.unexplained == 0
        assert story.provider_difference == Decimal("0.000060394444444444")
        assert [(one.kind, one.name, one.is_ceiling) for one in story.prices] == [
            ("model", "llm-8b", False),
            ("instance_type", "g4dn.xlarge", False),
        ]
        assert (story.prices[0].id, story.prices[0].starts_at) == (RateCard.objects.get().pk, LONG_AGO)
        assert (story.received_at, story.occurred_at) == (NOW + timedelta(seconds=2), NOW)
        assert (story.hour, story.period, story.is_late) == (NOW, date(2026, 11, 1), False)
        assert story.tags == {"k": "v"}

    def test_names_the_ceiling_price_and_the_model_that_was_asked_for(self, who: Dimensions) -> None:
        factories.make_model(
            "unknown-models", input_price="90", is_ceiling=True, is_active=False, title="Unknown models"
        )
        LanguageModel.objects.filter(name="unknown-models").update(is_ceiling=True)
        ingest.record([ingest.Usage("e1", NOW, who, "brand-new", Quantities(input_tokens=10))], at=NOW)

        story = story_of("e1")

        assert story.belongs.model_asked == "brand-new"
        assert [(one.name, one.is_ceiling) for one in story.prices] == [("unknown-models", True)]
        # 10 x 90 / 1,000,000
        assert story.cost == Decimal("0.0009")

    def test_keeps_the_price_of_then(self, who: Dimensions) -> None:
        ingest.record([make_usage(who)], at=NOW)
        old = RateCard.objects.get()
        prices = {
            f"{name}_per_mtok": Decimal(5)
            for name in ("input", "cached_input", "cache_write", "output", "reasoning")
        }
        change_price(RateCard(model=old.model, source="new", **prices), starts_at=NOW + timedelta(hours=1))

        story = story_of("e1")

        assert story.prices[0].id == old.pk
        assert story.prices[0].ends_at == NOW + timedelta(hours=1)
        # 480 x 0.20 / 1,000,000
        assert (story.cost, story.lines[0].unit_price) == (Decimal("0.000096"), Decimal("0.2"))

    def test_tells_late_usage(self, who: Dimensions) -> None:
        with transaction.atomic():
            periods.close(date(2026, 10, 1), at=NOW)
        ingest.record([make_usage(who, at=datetime(2026, 10, 31, 23, 30, tzinfo=UTC))], at=NOW)

        story = story_of("e1")

        assert (story.is_late, story.period) == (True, date(2026, 11, 1))
        assert story.hour == datetime(2026, 10, 31, 23, tzinfo=UTC)

    def test_adds_up_corrections(self, who: Dimensions) -> None:
        # 480 tokens, then 80 less, then the rest taken back.
        ingest.record([make_usage(who), make_usage(who, "other")], at=NOW)
        correct(who, "correction:1", corrects="e1", tokens=-80, cost="-0.000016")
        correct(who, "correction:2", corrects="e1", tokens=-400, cost="-0.00008")

        story, of_correction = story_of("e1"), story_of("correction:1")

        assert [one.event_id for one in story.corrections] == ["correction:1", "correction:2"]
        assert (story.effective_quantities.input_tokens, story.effective_cost) == (0, 0)
        assert story.effective_quantities.requests == 1
        assert (of_correction.corrects, of_correction.corrections) == ("e1", ())
        assert [(one.quantity, one.amount) for one in of_correction.lines] == [(-80, Decimal("-0.000016"))]
        assert of_correction.unexplained == 0
        assert story_of("other").corrections == ()

    def test_finds_corrections_by_their_own_index(self, who: Dimensions) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("EXPLAIN SELECT * FROM metering_usageevent WHERE app_id = 1 AND corrects = 'e1'")
            plan = "\n".join(line for (line,) in cursor.fetchall())

        assert "app_id_corrects" in plan or "usage_event_corrections" in plan

    def test_tells_what_came_later_under_the_id_to_those_who_answer_for_the_app(
        self, cast: Cast, who: Dimensions
    ) -> None:
        ingest.record([make_usage(who)], at=NOW)
        ingest.record([make_usage(who, tokens=481)], at=NOW)

        (conflict,) = story_of("e1", visible=scope(cast, "creator")).conflicts or ()
        changed = [(one.label, one.old, one.new) for one in conflict.changes if one.old != one.new]

        assert changed == [("Input tokens", "480", "481")]
        assert story_of("e1", visible=scope(cast, "consumer")).conflicts is None

    @pytest.mark.parametrize("event_id", STRANGE_IDS)
    def test_takes_ids_as_they_are(self, who: Dimensions, event_id: str) -> None:
        ingest.record([make_usage(who, event_id)], at=NOW)

        assert story_of(event_id).event_id == event_id

    def test_asks_for_partition_and_row_by_primary_key(
        self, who: Dimensions, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        partitions.make([date(2026, 11, 1)])
        ingest.record([make_usage(who)], at=NOW)

        with django_assert_max_num_queries(6):
            story_of("e1")


class TestVisibility:
    def test_hides_from_makers_who_used_it(self, cast: Cast, world: World) -> None:
        story = story_of("e2", visible=scope(cast, "creator"))

        assert not story.belongs.is_known
        hidden = ("team", "cost_center", "organization", "subscription", "key")
        assert [story.belongs.parts[name].id for name in hidden] == [None] * 5
        assert story.belongs.id_of("app") == "where2eat"

    def test_shows_it_to_who_used_it_and_to_the_platform(self, cast: Cast, world: World) -> None:
        for person in ("consumer", "finance", "operator", "approver"):
            assert story_of("e2", visible=scope(cast, person)).belongs.id_of("team") == "team-ops"

    def test_is_not_found_by_strangers_or_under_another_app(self, cast: Cast, world: World) -> None:
        for app, event_id, person in (
            ("where2eat", "e2", "stranger"),
            ("where2eat", "e3", "consumer"),
            ("fx", "e2", "finance"),
            ("nothing", "e2", "finance"),
            ("where2eat", "nothing", "finance"),
            ("where2eat", "a\0b", "finance"),
        ):
            with pytest.raises(NotFound, match="There is no usage event") as refusal:
                event_stories.get(app, event_id, visible=scope(cast, person))
            assert world.app.name not in str(refusal.value)

    def test_lets_an_app_key_see_its_app_as_makers_do(self, cast: Cast, world: World) -> None:
        production = UsageScope.of_app(world.app.pk, environment="production")
        staging = UsageScope.of_app(world.app.pk, environment="staging")

        assert not story_of("e2", visible=production).belongs.is_known
        assert story_of("e2", visible=production).conflicts == ()
        for visible, app, event_id in ((production, "fx", "e5"), (staging, "where2eat", "e2")):
            with pytest.raises(NotFound):
                event_stories.get(app, event_id, visible=visible)


class TestArchivedEvent:
    def test_tells_what_is_still_known_to_those_who_answer_for_the_app(
        self, cast: Cast, who: Dimensions, tmp_path: Path
    ) -> None:
        september, first = date(2025, 9, 1), datetime(2025, 9, 1, tzinfo=UTC)
        partitions.make([september])
        ingest.record([make_usage(who, at=first)], at=NOW)
        with transaction.atomic():
            periods.close(september, at=NOW)
        row = archive.archive(september, at=NOW, folder=tmp_path, made_by="9.9")

        for person in ("creator", "operator"):
            story = event_stories.get("where2eat", "e1", visible=scope(cast, person))
            assert isinstance(story, ArchivedEvent)
            assert (story.occurred_at, story.period) == (first, september)
            assert len(story.content_hash) == 32
            assert story.manifest_sha256 == row.manifest_sha256
        for person in ("consumer", "stranger"):
            with pytest.raises(NotFound):
                event_stories.get("where2eat", "e1", visible=scope(cast, person))
        assert not UsageEvent.objects.exists()
