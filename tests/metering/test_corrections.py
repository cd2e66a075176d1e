from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, connection, transaction

from marketplace.accounts.access import actor_for
from marketplace.accounts.models import User
from marketplace.core.errors import InvalidInput, NotAllowed, NotFound
from marketplace.core.models import AuditEntry
from metering import corrected, corrections, ingest, periods
from metering.attribution import Dimensions
from metering.corrections import AlreadyVoid, Change, KeyReused, NotCorrectable, NothingToChange
from metering.models import ArchivedPeriod, Correction, RateCard, UsageEvent
from metering.partitions import PeriodArchived
from metering.ratecards import change_price
from metering.rating import Quantities
from metering.reports import CORRECTION_PREFIX
from metering.rollups import rebuild
from tests import factories
from tests.conftest import Cast
from tests.factories import LONG_AGO, NOW
from tests.metering.conftest import make_usage
from tests.metering.corrected_world import amend, find, record, rolled_up, void

OCTOBER = datetime(2026, 10, 12, 9, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def event(who: Dimensions) -> None:
    record(who, latency_ms=230)


class TestAmend:
    def test_adds_the_difference_as_an_event_of_its_own(self, cast: Cast) -> None:
        made = amend(cast.creator, input_tokens=240)

        original = UsageEvent.objects.get(event_id="e1")
        row = UsageEvent.objects.get(corrects="e1")
        assert (original.input_tokens, original.cost) == (480, Decimal("0.0001536"))
        # 240 tokens less at 0.20 per million
        assert (row.requests, row.input_tokens, row.output_tokens) == (0, -240, 0)
        assert row.cost == made.cost_difference == Decimal("-0.000048")
        assert (row.occurred_at, row.attribution_id) == (original.occurred_at, original.attribution_id)
        assert (row.rate_card_id, row.latency_ms) == (original.rate_card_id, None)
        assert row.event_id.startswith(CORRECTION_PREFIX)
        assert rolled_up()["input_tokens"] == 240
        assert rolled_up()["cost"] == Decimal("0.0001056")

    def test_keeps_who_and_why(self, cast: Cast) -> None:
        made = amend(cast.creator, input_tokens=240, reason="Counted the prompt twice.")

        row = Correction.objects.get()
        assert (row.made_by, row.reason, row.kind) == (cast.creator, "Counted the prompt twice.", "amend")
        assert (row.old_input_tokens, row.new_input_tokens) == (480, 240)
        assert (row.old_cost, row.new_cost) == (Decimal("0.0001536"), Decimal("0.0001056"))
        entry = AuditEntry.objects.get(action="metering.event.amended")
        assert (entry.actor, entry.reason) == (cast.creator, "Counted the prompt twice.")
        assert (entry.old["input_tokens"], entry.new["input_tokens"]) == (480, 240)
        assert (entry.old["event"], entry.new["correction"]) == ("e1", made.correction.correction_id)

    def test_corrects_what_earlier_corrections_left(self, cast: Cast) -> None:
        amend(cast.creator, input_tokens=240)
        amend(cast.operator, input_tokens=1_000, output_tokens=0, reason="Now really.")

        assert rolled_up()["input_tokens"] == 1_000
        assert rolled_up()["output_tokens"] == 0
        assert rolled_up()["cost"] == Decimal("0.0002")
        assert [row.ordinal for row in Correction.objects.order_by("ordinal")] == [1, 2]

    def test_leaves_what_it_does_not_name(self, cast: Cast) -> None:
        made = amend(cast.creator, requests=3)

        assert made.new == Quantities(requests=3, input_tokens=480, output_tokens=96)

    def test_is_rated_at_the_price_the_event_stores(self, cast: Cast) -> None:
        card = RateCard.objects.get()
        change_price(
            RateCard(
                model=card.model,
                currency="USD",
                input_per_mtok=9,
                cached_input_per_mtok=9,
                cache_write_per_mtok=9,
                output_per_mtok=9,
                reasoning_per_mtok=9,
                source="dearer",
            ),
            starts_at=NOW + timedelta(hours=1),
        )

        made = amend(cast.creator, input_tokens=1_000_480, at=NOW + timedelta(days=1))

        assert made.cost_difference == Decimal("0.2")

    def test_is_rated_at_the_instance_rate_the_event_stores(self, cast: Cast, who: Dimensions) -> None:
        factories.make_instance_rate("g4dn.xlarge", price_per_hour="3.6")
        timed = who._replace(instance_type="g4dn.xlarge")
        record(timed, "timed", quantities=Quantities(duration_ms=1_000))

        # A millisecond costs 0.000001.
        assert amend(cast.creator, "timed", duration_ms=1_500).cost_difference == Decimal("0.0005")

    def test_of_a_closed_month_is_billed_in_the_next_open_one(self, cast: Cast, who: Dimensions) -> None:
        record(who, "old", at=OCTOBER)
        with transaction.atomic():
            periods.close(date(2026, 10, 1), at=NOW)

        made = amend(cast.creator, "old", input_tokens=0)

        row = UsageEvent.objects.get(corrects="old")
        assert made.correction.period == row.period == date(2026, 11, 1)
        assert row.occurred_at == OCTOBER
        assert rolled_up()["input_tokens"] == 480

    def test_may_be_made_however_old_the_event_is(self, cast: Cast, who: Dimensions) -> None:
        record(who, "old", at=LONG_AGO)

        assert amend(cast.creator, "old", input_tokens=1).is_new

    def test_to_what_counts_already_changes_nothing(self, cast: Cast) -> None:
        with pytest.raises(NothingToChange):
            amend(cast.creator, input_tokens=480)
        assert not Correction.objects.exists()

    def test_again_with_the_same_words_gives_the_first_result(self, cast: Cast) -> None:
        first = amend(cast.creator, input_tokens=240)
        second = amend(cast.creator, input_tokens=240)

        assert (first.is_new, second.is_new) == (True, False)
        assert first.correction == second.correction
        with pytest.raises(NothingToChange):
            amend(cast.operator, input_tokens=240)

    def test_again_with_the_same_key_gives_the_first_result(self, cast: Cast) -> None:
        first = amend(cast.creator, input_tokens=240, key="once")
        amend(cast.creator, input_tokens=300)

        assert amend(cast.creator, input_tokens=240, key="once").correction == first.correction
        assert rolled_up()["input_tokens"] == 300

    def test_refuses_a_key_that_named_another_correction(self, cast: Cast, who: Dimensions) -> None:
        record(who, "e2")
        amend(cast.creator, input_tokens=240, key="once")

        with pytest.raises(KeyReused):
            amend(cast.creator, input_tokens=241, key="once")
        with pytest.raises(KeyReused):
            amend(cast.creator, "e2", input_tokens=240, key="once")
        with pytest.raises(KeyReused):
            void(cast.creator, key="once")
        assert amend(cast.operator, input_tokens=241, key="once").is_new

    def test_of_an_event_that_was_taken_back_lets_it_count_again(self, cast: Cast) -> None:
        void(cast.creator)
        made = amend(cast.creator, requests=1, input_tokens=480, output_tokens=96)

        assert made.correction.new_cost == Decimal("0.0001536")
        assert rolled_up()["requests"] == 1

    @pytest.mark.parametrize(
        ("quantities", "field"),
        [
            ({"input_tokens": -1}, "input_tokens"),
            ({"requests": 10**12 + 1}, "requests"),
            ({"cached_input_tokens": 481}, "cached_input_tokens"),
            ({"cached_input_tokens": 240, "cache_write_tokens": 241}, "cached_input_tokens"),
            ({"reasoning_tokens": 97}, "reasoning_tokens"),
        ],
    )
    def test_names_the_field_that_is_wrong(self, cast: Cast, quantities: dict[str, int], field: str) -> None:
        with pytest.raises(InvalidInput) as error:
            amend(cast.creator, **quantities)

        assert error.value.field == field

    @pytest.mark.parametrize("reason", ["", "  ", "x" * 2001, "a\0b"])
    def test_needs_a_reason(self, cast: Cast, reason: str) -> None:
        with pytest.raises(InvalidInput) as error:
            amend(cast.creator, input_tokens=1, reason=reason)

        assert error.value.field == "reason"

    def test_gives_tokens_only_to_an_event_with_a_model(self, cast: Cast, who: Dimensions) -> None:
        usage = make_usage(who, "bare", quantities=Quantities())
        ingest.record([ingest.Usage("bare", NOW, who, "", usage.quantities)], at=NOW)

        with pytest.raises(InvalidInput) as error:
            amend(cast.creator, "bare", input_tokens=1)
        assert error.value.field == "input_tokens"

    def test_replaces_what_the_provider_charged(self, cast: Cast, who: Dimensions) -> None:
        record(who, "told", provider_cost=Decimal("0.5"))

        amend(cast.creator, "told", provider_cost=Decimal("0.4"))

        assert rolled_up()["provider_cost"] == Decimal("0.4")
        with pytest.raises(InvalidInput) as error:
            amend(cast.creator, provider_cost=Decimal("0.4"))
        assert error.value.field == "provider_cost"

    def test_needs_its_month_in_the_table(self, cast: Cast) -> None:
        found = find(cast.creator)
        ArchivedPeriod.objects.create(
            period=date(2026, 11, 1), archived_at=NOW, folder="/nowhere", manifest={}, manifest_sha256=""
        )

        with pytest.raises(PeriodArchived, match="restore them first"):
            corrections.amend(
                found,
                change=Change({"requests": 2}),
                reason="Wrong.",
                by=actor_for(cast.creator),
                at=NOW,
            )

    def test_rebuilds_to_what_incremental_correcting_gave(self, cast: Cast) -> None:
        amend(cast.creator, input_tokens=240)
        void(cast.creator)
        before = rolled_up()

        rebuild()

        assert rolled_up() == before


class TestVoid:
    def test_brings_everything_to_zero(self, cast: Cast, who: Dimensions) -> None:
        record(who, "told", provider_cost=Decimal("0.5"))
        amend(cast.creator, output_tokens=1_000)

        void(cast.creator)
        void(cast.creator, "told")

        assert rolled_up() == dict.fromkeys(rolled_up(), 0)

    def test_of_what_was_taken_back_is_a_conflict(self, cast: Cast) -> None:
        void(cast.creator, key="k")

        assert not void(cast.creator, key="k").is_new
        with pytest.raises(AlreadyVoid):
            void(cast.creator)

    def test_refuses_a_correction(self, cast: Cast) -> None:
        made = void(cast.creator)

        with pytest.raises(NotCorrectable, match="e1"):
            void(cast.creator, made.correction.correction_id)

    def test_of_an_event_that_counts_as_nothing_is_a_conflict(self, cast: Cast, who: Dimensions) -> None:
        record(who, "zero", quantities=Quantities(requests=0))

        with pytest.raises(NothingToChange):
            void(cast.creator, "zero")


class TestPreview:
    def test_says_what_would_change_and_changes_nothing(self, cast: Cast) -> None:
        by = actor_for(cast.creator)

        shown = corrections.preview(find(cast.creator), change=Change({"input_tokens": 240}), by=by)

        assert shown.cost_difference == Decimal("-0.000048")
        assert shown.period == date(2026, 11, 1)
        assert corrections.preview(find(cast.creator), change=None, by=by).new.cost == 0
        assert not Correction.objects.exists()


class TestFindEvent:
    @pytest.mark.parametrize("name", ["creator", "operator"])
    def test_gives_it_to_who_may_correct_it(self, cast: Cast, name: str) -> None:
        person: User = getattr(cast, name)

        assert find(person).event_id == "e1"
        assert void(person).is_new

    @pytest.mark.parametrize("name", ["consumer", "finance", "approver"])
    def test_shows_it_to_who_sees_its_usage_but_may_not_correct_it(self, cast: Cast, name: str) -> None:
        person: User = getattr(cast, name)

        assert find(person).event_id == "e1"
        with pytest.raises(NotAllowed) as error:
            void(person)
        assert not isinstance(error.value, NotFound)

    def test_hides_it_from_a_stranger(self, cast: Cast) -> None:
        with pytest.raises(NotFound):
            find(cast.stranger)

    @pytest.mark.parametrize(
        ("slug", "event_id"), [("where2eat", "e2"), ("nothing", "e1"), ("where2eat", "\0")]
    )
    def test_finds_only_what_there_is(self, cast: Cast, slug: str, event_id: str) -> None:
        with pytest.raises(NotFound):
            find(cast.creator, event_id, slug=slug)

    def test_lets_operators_of_the_owning_organization_correct(self, cast: Cast, who: Dimensions) -> None:
        theirs = factories.make_listed_app(cast.stranger_team, slug="theirs")
        record(who._replace(app_id=theirs.pk, owner_team_id=cast.stranger_team.pk), "t1")
        operator = factories.make_user()
        factories.join(operator, None, "operator", organization=cast.stranger_team.organization)

        event = find(operator, "t1", slug="theirs")

        assert corrections.void(event, reason="Wrong.", by=actor_for(operator), at=NOW).is_new

    def test_says_to_restore_a_month_that_is_archived(self, cast: Cast, who: Dimensions) -> None:
        ArchivedPeriod.objects.create(
            period=date(2026, 11, 1), archived_at=NOW, folder="/nowhere", manifest={}, manifest_sha256=""
        )
        # What archiving does, in short: the events leave, their ids stay.
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("ALTER TABLE metering_usageevent_default DISABLE TRIGGER USER")
            cursor.execute("DELETE FROM metering_usageevent_default")
            cursor.execute("ALTER TABLE metering_usageevent_default ENABLE TRIGGER USER")

        with pytest.raises(PeriodArchived):
            find(cast.creator)
        with pytest.raises(NotFound):
            find(cast.consumer)


class TestCorrectionsOf:
    def test_lists_them_oldest_first(self, cast: Cast, who: Dimensions) -> None:
        amend(cast.creator, input_tokens=240)
        void(cast.operator, at=NOW + timedelta(hours=1))

        first, second = corrected.corrections_of(who.app_id, "e1")

        assert (first.kind, first.by, first.reason) == ("amend", str(cast.creator), "Counted twice.")
        assert (first.quantities.input_tokens, first.cost) == (-240, Decimal("-0.000048"))
        assert (first.currency, first.period, first.rerating_id) == ("USD", date(2026, 11, 1), None)
        assert (second.kind, second.at) == ("void", NOW + timedelta(hours=1))
        assert (second.quantities.requests, second.cost) == (-1, Decimal("-0.0001056"))


class TestTable:
    def test_keeps_one_correction_of_each_ordinal(self, cast: Cast) -> None:
        row = amend(cast.creator, input_tokens=240).correction

        row.pk = None
        with pytest.raises(IntegrityError, match="correction_ordinal_unique"), transaction.atomic():
            row.save(force_insert=True)

    def test_keeps_one_correction_of_each_key(self, cast: Cast) -> None:
        row = amend(cast.creator, input_tokens=240, key="k").correction

        row.pk, row.ordinal = None, 2
        with pytest.raises(IntegrityError, match="correction_idempotency_key_unique"), transaction.atomic():
            row.save(force_insert=True)

    def test_leaves_no_less_than_nothing(self, cast: Cast) -> None:
        row = amend(cast.creator, input_tokens=240).correction

        row.pk, row.ordinal, row.new_input_tokens = None, 2, -1
        with (
            pytest.raises(IntegrityError, match="correction_leaves_no_less_than_nothing"),
            transaction.atomic(),
        ):
            row.save(force_insert=True)

    def test_says_who_and_why(self, cast: Cast) -> None:
        row = amend(cast.creator, input_tokens=240).correction

        row.pk, row.ordinal, row.reason = None, 2, ""
        with pytest.raises(IntegrityError, match="correction_says_who_and_why"), transaction.atomic():
            row.save(force_insert=True)

    def test_is_append_only(self, cast: Cast) -> None:
        row = amend(cast.creator, input_tokens=240).correction

        with pytest.raises(Exception, match="append_only"), transaction.atomic():
            Correction.objects.filter(pk=row.pk).update(reason="Another.")
        with pytest.raises(Exception, match="append_only"), transaction.atomic():
            row.delete()
