import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from io import StringIO

import pytest
from django.contrib.auth import authenticate
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models import Count, F, Q, Sum

from billing.models import BillingPeriod, DocumentMail, Invoice, JournalEntry, RevenueShareAgreement
from marketplace.accounts.access import actor_for
from marketplace.accounts.models import ApiKey, CostCenter, Membership, Organization, Team, User
from marketplace.catalog import prompts
from marketplace.catalog.models import App, Listing, Plan, Review, SmokeRun, Subscription, Version
from marketplace.config.demo import limits, rhythm
from marketplace.config.demo.app_facts import AppFacts
from marketplace.config.demo.apps_in_the_making import IN_THE_MAKING
from marketplace.config.demo.handbook import DOCUMENTS
from marketplace.config.demo.listed_apps import FX_CONVERT, LISTED
from marketplace.config.demo.months import billed_in, closed_months
from marketplace.config.demo.rhythm import Ceiling, Stream
from marketplace.config.demo.timeline import until_noon_of, until_now
from marketplace.core.models import AuditEntry, Job, Notice
from marketplace.gateway.demo_provider import apps as provider_apps
from marketplace.gateway.demo_provider.answers import answer
from marketplace.gateway.demo_provider.reading import read_prompt
from marketplace.gateway.models import Provider
from metering import rollups, unattributed
from metering.attribution import Dimensions
from metering.ingest import Usage, content_hash, rate_usage
from metering.models import Attribution, EventKey, UsageEvent, UsageRollup
from metering.ratecards import load_price_book
from metering.rating import Quantities
from quotas.incident_models import DetectorRun, Incident, IncidentPolicy
from quotas.models import Limit, LimitCounter

DAY = date(2026, 11, 23)
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
LATER = datetime(2027, 1, 1, tzinfo=UTC)


def load_demo(*arguments: str) -> str:
    out = StringIO()
    call_command("load_demo", "--events", "2000", "--day", "2026-11-23", *arguments, stdout=out)
    return out.getvalue()


def fingerprint() -> str:
    """All events, but corrections, in words that no sequence of the database has a part in."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT e.event_id, p.slug, t.slug, m.name, k.prefix, a.subscription_id, e.occurred_at, e.received_at, "
            "e.period, e.input_tokens, e.output_tokens, e.cached_input_tokens, e.duration_ms, e.latency_ms, e.cost "
            "FROM metering_usageevent e JOIN metering_attribution a ON a.id = e.attribution_id "
            "JOIN catalog_app p ON p.id = e.app_id JOIN accounts_team t ON t.id = a.team_id "
            "JOIN metering_languagemodel m ON m.id = a.model_id JOIN accounts_apikey k ON k.id = a.key_id "
            "WHERE e.corrects IS NULL ORDER BY e.event_id"
        )
        return sha256(repr(cursor.fetchall()).encode()).hexdigest()


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: pytest.FixtureRequest) -> Iterator[None]:
    """One small demo world for all the tests that only look at it."""
    with django_db_blocker.unblock(), transaction.atomic():  # type: ignore[attr-defined]
        load_demo()
        yield
        transaction.set_rollback(True)


@pytest.mark.slow
@pytest.mark.django_db
class TestLoadDemo:
    def test_tells_the_same_story_for_the_same_seed_and_day(self) -> None:
        told = []
        for seed in ("7", "7"):
            with transaction.atomic():
                load_demo("--seed", seed)
                told.append(fingerprint())
                transaction.set_rollback(True)

        assert told[0] == told[1]

    def test_leaves_a_database_with_an_organization_alone(self) -> None:
        Organization.objects.create(slug="mine", name="Mine", created_at=NOON)

        assert "not empty" in load_demo()

        assert Organization.objects.count() == 1
        assert not App.objects.exists()

    def test_leaves_nothing_behind_when_it_fails_in_the_middle(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> None:
            raise RuntimeError("killed")

        monkeypatch.setattr(limits, "set_limits", fail)

        with pytest.raises(RuntimeError, match="killed"):
            load_demo()

        assert not Organization.objects.exists()
        assert not User.objects.exists()
        assert not UsageEvent.objects.exists()

    def test_follows_the_demo_provider_to_another_port(self, settings: pytest.FixtureRequest) -> None:
        load_demo()
        settings.DEMO_PROVIDER_URL = "http://127.0.0.1:9001"  # type: ignore[attr-defined]

        assert "another address" in load_demo()

        assert Provider.objects.get(is_demo=True).base_url == "http://127.0.0.1:9001/v1"
        endpoint = Version.objects.get(app__slug="fx-convert").endpoint_url
        assert endpoint == "http://127.0.0.1:9001/apps/fx-convert"
        assert "not empty" in load_demo()

    def test_lets_nobody_sign_in_by_form_outside_of_demo_mode(self, settings: pytest.FixtureRequest) -> None:
        settings.DEMO = False  # type: ignore[attr-defined]

        load_demo()

        assert not User.objects.get(email="finance@demo.example").has_usable_password()


@pytest.mark.slow
@pytest.mark.usefixtures("world")
class TestWorld:
    def test_has_the_company_and_its_customer(self) -> None:
        company = Organization.objects.get(slug="demo")

        assert company.is_platform
        assert company.teams.count() == 8
        assert company.cost_centers.count() == 6
        assert set(company.cost_centers.values_list("mode", flat=True)) == set(CostCenter.Mode.values)
        assert Organization.objects.get(slug="blue-harbor").billing == "invoice"

    @pytest.mark.parametrize("role", ["creator", "consumer", "approver", "finance", "operator"])
    def test_has_a_person_of_every_role_who_can_sign_in(self, role: str) -> None:
        person = authenticate(username=f"{role}@demo.example", password="demo-halfpenny")

        assert isinstance(person, User)
        assert list(person.memberships.values_list("role", flat=True)) == [role]

    def test_lists_twelve_apps_that_all_passed_their_check_and_review(self) -> None:
        listed = Version.objects.filter(state="listed")

        assert Listing.objects.filter(version__in=listed).count() == 12
        assert set(SmokeRun.objects.filter(version__in=listed).values_list("state", flat=True)) == {"passed"}
        assert set(Review.objects.filter(version__in=listed).values_list("state", flat=True)) == {"approved"}
        assert not Review.objects.filter(decided_by=F("submitted_by")).exists()
        assert RevenueShareAgreement.objects.count() == 12

    def test_has_where2eat_of_team_ux_with_the_consumer_subscribed(self) -> None:
        app = App.objects.get(slug="where2eat")
        consumer = User.objects.get(email="consumer@demo.example")

        assert app.owner_team.slug == "team-ux"
        assert app.versions.count() == 2
        assert Subscription.objects.filter(
            app=app, state="active", team__memberships__user=consumer, created_by=consumer
        ).exists()

    def test_offers_a_free_and_a_paid_plan_of_every_app(self) -> None:
        offered = Plan.objects.filter(is_offered=True).values("app").annotate(n=Count("pk"))

        assert {row["n"] >= 2 for row in offered} == {True}
        assert Plan.objects.filter(code="free").count() == 12

    @pytest.mark.parametrize(
        ("slug", "state"),
        [
            ("contract-summary", "in_review"),
            ("palette-namer", "changes_requested"),
            ("survey-digest", "draft"),
        ],
    )
    def test_has_an_app_in_every_state_before_the_listing(self, slug: str, state: str) -> None:
        assert Version.objects.get(app__slug=slug).state == state

    def test_has_reviews_for_the_approver_to_decide(self) -> None:
        reviews = list(Review.objects.filter(state="open").select_related("submitted_by"))

        assert len(reviews) == 1
        assert all(review.projection for review in reviews)
        assert "approver@demo.example" not in {review.submitted_by.email for review in reviews}
        assert Notice.objects.filter(recipient__email="approver@demo.example", read_at=None).exists()

    def test_has_forty_subscriptions_and_keys_that_nobody_knows(self) -> None:
        assert Subscription.objects.filter(state="active").count() >= 40
        assert Subscription.objects.filter(state="canceled").count() == 1
        assert Subscription.objects.filter(environment="sandbox").count() == 2
        keyless = Subscription.objects.filter(key_links=None)
        assert [one.team.slug for one in keyless] == ["booksellers"]  # pays its fee, and has not called yet
        hashes = list(ApiKey.objects.values_list("secret_hash", flat=True))
        assert len({bytes(one) for one in hashes}) == len(hashes)

    def test_leaves_no_job_for_a_worker(self) -> None:
        assert set(Job.objects.values_list("state", flat=True)) == {"done"}

    def test_gives_the_stranger_a_team_and_nothing_else(self) -> None:
        stranger = User.objects.get(email="stranger@other.example")
        team = Team.objects.distinct().get(memberships__user=stranger)

        assert set(Membership.objects.filter(user=stranger).values_list("organization__slug", flat=True)) == {
            "other"
        }
        assert not App.objects.filter(owner_team=team).exists()
        assert not Subscription.objects.filter(team=team).exists()
        assert not Attribution.objects.filter(Q(team=team) | Q(owner_team=team)).exists()

    def test_keeps_what_people_did(self) -> None:
        actions = set(AuditEntry.objects.values_list("action", flat=True))

        assert {
            "catalog.version.listed",
            "catalog.review.approved",
            "catalog.subscription.started",
            "accounts.key.issued",
            "quotas.limit.set",
            "billing.period.closed",
        } <= actions
        assert not AuditEntry.objects.filter(at__gt=NOON).exists()


@pytest.mark.slow
@pytest.mark.usefixtures("world")
class TestUsage:
    def test_rolls_up_to_the_sum_of_its_events(self) -> None:
        events, rolled_up = rollups.totals()

        assert events.values == rolled_up.values
        assert rollups.differences() == []
        assert abs(events.values["events"] - 2000) < 100

    def test_reaches_from_90_days_ago_to_noon(self) -> None:
        first = UsageEvent.objects.order_by("occurred_at")[0].occurred_at
        last = UsageEvent.objects.order_by("-received_at")[0].received_at

        assert datetime(2026, 8, 25, tzinfo=UTC) <= first < datetime(2026, 8, 26, tzinfo=UTC)
        assert datetime(2026, 11, 23, tzinfo=UTC) < last <= NOON

    def test_costs_and_hashes_what_recording_would_have_written(self) -> None:
        book = load_price_book()

        for event in UsageEvent.objects.select_related("attribution__model")[:500]:
            usage = as_reported(event)
            rated, currency, model_id = rate_usage(usage, book)
            assert (event.cost, event.currency) == (rated.cost, currency)
            assert (event.rate_card_id, event.instance_rate_id) == (
                rated.rate_card_id,
                rated.instance_rate_id,
            )
            assert event.attribution.model_id == model_id
            key = EventKey.objects.get(app_id=event.app_id, event_id=event.event_id)
            assert (bytes(key.content_hash), key.occurred_at) == (content_hash(usage), event.occurred_at)

    def test_uses_both_prices_of_the_model_that_became_cheaper(self) -> None:
        listed = UsageEvent.objects.filter(attribution__model__name="llm-8b", rate_card__batch_rate=None)
        cards = listed.values_list("rate_card__input_per_mtok")

        assert {price for (price,) in cards} == {Decimal("0.24"), Decimal("0.20")}

    def test_stays_within_the_life_of_its_subscription(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM metering_usageevent e JOIN metering_attribution a ON a.id = e.attribution_id "
                "JOIN catalog_subscription s ON s.id = a.subscription_id "
                "WHERE e.occurred_at < s.starts_at OR e.occurred_at > s.ends_at"
            )
            assert cursor.fetchone() == (0,)

    def test_has_instance_time_sandbox_and_reports_of_apps_themselves(self) -> None:
        used = Attribution.objects.filter(pk__in=UsageRollup.objects.values("attribution"))

        assert used.exclude(instance_type="").exists()
        assert used.filter(subscription=None, plan=None).exists()
        assert set(used.values_list("environment", flat=True)) >= {"production", "staging"}

    def test_burned_most_of_the_month_in_six_days_of_one_app(self) -> None:
        november = UsageRollup.objects.filter(period=date(2026, 11, 1))
        runaway = november.filter(
            attribution__app__slug="inbox-digest", hour__gte=datetime(2026, 11, 1, tzinfo=UTC),
            hour__lt=datetime(2026, 11, 7, tzinfo=UTC),
        )  # fmt: skip

        assert cost(runaway) > cost(november) / 2


@pytest.mark.slow
@pytest.mark.usefixtures("world")
class TestOwners:
    def test_changed_forty_days_ago_with_the_usage_on_both_sides(self) -> None:
        moved_at = datetime(2026, 10, 14, tzinfo=UTC)
        app = App.objects.get(slug="release-notes")
        assert app.owner_team.slug == "team-ux"
        owners = app.ownerships.order_by("starts_at").values_list("team__slug", "ends_at")
        assert list(owners) == [("team-data", moved_at), ("team-ux", None)]

        usage = UsageEvent.objects.filter(app=app).select_related("attribution__owner_team")
        sides = {(one.occurred_at >= moved_at, one.attribution.owner_team.slug) for one in usage}
        assert sides == {(False, "team-data"), (True, "team-ux")}

    def test_have_three_groups_in_the_inbox_with_a_good_suggestion_each(self) -> None:
        finance = actor_for(User.objects.get(email="finance@demo.example"))
        rows = unattributed.rows(unattributed.groups(finance))

        suggested = {row.group.field: unattributed.suggest(row.group, actor=finance) for row in rows}
        assert {field: one[0].label for field, one in suggested.items()} == {
            "cost_center": "CC-200 Workplace operations",
            "subscription": "Workplace operations",
            "owner": "the owner at its time",
        }
        assert [row.open for row in rows] == [126, 33, 30]


@pytest.mark.usefixtures("world")
class TestLimits:
    def test_count_the_usage_that_is_there(self) -> None:
        subscription = Subscription.objects.get(app__slug="ticket-classifier", plan__code="business")
        month = LimitCounter.objects.get(limit__subscription=subscription, limit__window="month")
        used = UsageRollup.objects.filter(
            attribution__subscription=subscription, hour__gte=datetime(2026, 11, 1, tzinfo=UTC)
        )

        assert month.spent == used.aggregate(sum=Sum("requests"))["sum"] > 0
        assert month.window_ends_at == datetime(2026, 12, 1, tzinfo=UTC)
        assert month.overrun == 0

    def test_of_an_app_leave_the_sandbox_out(self) -> None:
        counter = LimitCounter.objects.get(limit__app__slug="sql-helper", limit__window="month")
        used = UsageRollup.objects.filter(
            attribution__app__slug="sql-helper", hour__gte=datetime(2026, 11, 1, tzinfo=UTC)
        ).exclude(attribution__environment="sandbox")

        assert counter.spent == used.aggregate(sum=Sum("requests"))["sum"]

    def test_include_budgets_and_a_ceiling_on_the_runaway(self) -> None:
        budgets = Limit.objects.filter(cost_center__organization__slug="demo", measure="cost")
        # The sixth takes the place of one of the others next month.
        assert [budgets.filter(ends_at=None).count(), budgets.count()] == [5, 6]
        assert Limit.objects.get(app__slug="inbox-digest", measure="cost").limit_value == 40

    def test_of_a_class_of_models_count_it_alone(self) -> None:
        counter = LimitCounter.objects.get(limit__model_class="medium", limit__measure="cost")
        used = UsageRollup.objects.filter(
            attribution__team__slug="team-support",
            attribution__model__model_class="medium",
            hour__gte=datetime(2026, 11, 1, tzinfo=UTC),
        ).exclude(attribution__environment="sandbox")

        assert counter.spent == (used.aggregate(sum=Sum("cost"))["sum"] or 0)
        assert counter.spent < counter.ceiling


@pytest.mark.slow
@pytest.mark.usefixtures("world")
class TestMonths:
    def test_brought_invoices_to_two_countries(self) -> None:
        taxes = {
            invoice.organization.slug: (
                invoice.payer["tax"]["code"],
                invoice.subtotal_minor,
                invoice.tax_minor,
            )
            for invoice in Invoice.objects.filter(period="2026-09", kind="invoice")
        }

        assert taxes["blue-harbor"][0] == "AE"
        # The fee of 49.00 with 23 percent of tax.
        assert taxes["liffey-books"] == ("", 4_900, 1_127)
        assert {mail.address for mail in DocumentMail.objects.all()} >= {"rechnung@blueharbor.example"}

    def test_are_closed_but_for_the_last_whole_one(self) -> None:
        states = dict(BillingPeriod.objects.values_list("name", "state"))

        assert states == {"2026-08": "closed", "2026-09": "closed", "2026-10": "open", "2026-11": "open"}

    def test_brought_invoices_statements_and_entries_that_sum_to_zero(self) -> None:
        assert Invoice.objects.filter(period="2026-09", kind="invoice").count() == 2
        assert Invoice.objects.filter(period="2026-09", kind="statement").count() == 6
        entries = JournalEntry.objects.annotate(sum=Sum("postings__amount_minor"))
        assert set(entries.values_list("sum", flat=True)) <= {0, None}


class TestClosedMonths:
    def test_are_those_before_the_month_that_ended_last(self) -> None:
        timeline = until_noon_of(DAY, now=LATER, seed=1)

        assert [(month.name, at) for month, at in closed_months(timeline)] == [
            ("2026-08", datetime(2026, 9, 3, 10, tzinfo=UTC)),
            ("2026-09", datetime(2026, 10, 3, 10, tzinfo=UTC)),
        ]

    def test_bill_what_came_late_in_the_next_open_month(self) -> None:
        timeline = until_noon_of(DAY, now=LATER, seed=1)
        occurred_at = datetime(2026, 9, 30, 23, tzinfo=UTC)

        assert billed_in(occurred_at, occurred_at + timedelta(days=2), timeline) == date(2026, 9, 1)
        assert billed_in(occurred_at, occurred_at + timedelta(days=5), timeline) == date(2026, 10, 1)
        # October was never closed
        assert billed_in(datetime(2026, 10, 31, tzinfo=UTC), NOON, timeline) == date(2026, 10, 1)


class TestTimeline:
    def test_never_runs_into_the_future(self) -> None:
        morning = datetime(2026, 11, 23, 9, tzinfo=UTC)

        assert until_noon_of(DAY, now=morning, seed=1).at == morning
        assert until_noon_of(DAY, now=LATER, seed=1).at == NOON
        assert until_now(now=morning, seed=1).day == DAY


class TestRhythm:
    def test_brings_more_calls_on_a_working_day_than_on_a_weekend(self) -> None:
        stream = make_stream(rhythm_name="office")

        friday, saturday = (
            stream.on(day, progress=1, noise=1) for day in (date(2026, 11, 20), date(2026, 11, 21))
        )

        assert (friday, saturday) == (100, 10)

    def test_grows_from_its_first_share_to_the_whole(self) -> None:
        stream = make_stream(growth=0.5)

        monday = date(2026, 11, 16)
        assert [stream.on(monday, progress=p, noise=1) for p in (0.0, 0.5, 1.0)] == [50, 75, 100]

    def test_spreads_all_the_calls_it_was_asked_for(self) -> None:
        streams = [make_stream(), make_stream(rhythm_name="always")]

        cells = list(
            rhythm.spread(streams, first_day=date(2026, 11, 1), until=midnight(21), calls=5_000, seed=3)
        )

        assert abs(sum(cell.count for cell in cells) - 5_000) <= 2
        assert [cell.hour for cell in cells] == sorted(cell.hour for cell in cells)

    def test_stops_at_the_moment_the_story_ends(self) -> None:
        until = datetime(2026, 11, 10, 14, 30, tzinfo=UTC)

        cells = list(
            rhythm.spread([make_stream()], first_day=date(2026, 11, 1), until=until, calls=50_000, seed=3)
        )

        assert cells[-1].hour == datetime(2026, 11, 10, 14, tzinfo=UTC)
        assert cells[-1].seconds == 1800

    def test_never_exceeds_the_limits_of_a_plan(self) -> None:
        ceiling = Ceiling(daily=30, monthly=100)

        admitted = [ceiling.admit(20, day=date(2026, 11, day)) for day in (1, 1, 2, 2, 3, 3, 4, 4)]

        # 30 a day for three days, then the 10 that are left of the month
        assert admitted == [20, 10, 20, 10, 20, 10, 10, 0]
        assert ceiling.admit(20, day=date(2026, 12, 1)) == 20


class TestApps:
    @pytest.mark.parametrize("facts", [*LISTED, *IN_THE_MAKING], ids=lambda facts: facts.slug)
    def test_do_what_they_say_at_the_demo_provider(self, facts: AppFacts) -> None:
        given = answer_to(facts)

        assert given.startswith(facts.sample_output)

    def test_convert_money_at_an_endpoint_of_their_own(self) -> None:
        output, usage = provider_apps.run(FX_CONVERT.endpoint, body=json.dumps(FX_CONVERT.example).encode())

        assert output == json.loads(FX_CONVERT.sample_output)
        assert "llm-3b" in usage


def answer_to(facts: AppFacts) -> str:
    if facts.endpoint:
        return facts.sample_output
    # The first document has what the example asks for.
    passages = {"passages": DOCUMENTS[0].read_text()} if facts.has_handbook else {}
    messages = [
        {"role": "system", "content": facts.improved_instructions or facts.instructions},
        {"role": "user", "content": prompts.render(facts.prompt, {**facts.example, **passages})},
    ]
    return answer(read_prompt(messages))


def as_reported(event: UsageEvent) -> Usage:
    """Turn an event back into what recording was given."""
    at = event.attribution
    who = Dimensions(
        at.app_id, at.owner_team_id, at.organization_id, at.team_id, at.cost_center_id, at.subscription_id,
        at.plan_id, at.key_id, at.environment, None, at.model_asked, at.instance_type, at.feature,
    )  # fmt: skip
    assert at.model is not None
    quantities = Quantities(
        requests=event.requests,
        input_tokens=event.input_tokens,
        output_tokens=event.output_tokens,
        cached_input_tokens=event.cached_input_tokens,
        cache_write_tokens=event.cache_write_tokens,
        reasoning_tokens=event.reasoning_tokens,
        duration_ms=event.duration_ms,
    )
    return Usage(
        event_id=event.event_id,
        occurred_at=event.occurred_at,
        who=who,
        model=at.model.name,
        quantities=quantities,
        latency_ms=event.latency_ms,
        provider_cost=event.provider_cost,
    )


def cost(rows: object) -> Decimal:
    return rows.aggregate(sum=Sum("cost"))["sum"] or Decimal(0)  # type: ignore[attr-defined]


def midnight(day: int) -> datetime:
    return datetime(2026, 11, day, tzinfo=UTC)


def make_stream(*, rhythm_name: str = "office", growth: float = 1.0) -> Stream:
    return Stream(
        key=rhythm_name,
        calls=100,
        rhythm=rhythm_name,
        growth=growth,
        first_day=date(2026, 11, 1),
        last_day=date(2026, 11, 30),
        ceiling=Ceiling(10**9, 10**9),
    )


@pytest.mark.slow
@pytest.mark.usefixtures("world")
class TestIncidents:
    def test_tell_of_the_runaway_from_its_first_hours(self) -> None:
        one = Incident.objects.get(app__slug="inbox-digest")

        # 22 days before the 23rd.
        assert one.first_seen_at.date() == date(2026, 11, 1)
        assert one.actual > 3 * one.expected
        assert (one.state, one.escalations, one.acknowledged_by.email) == (
            "closed",
            2,
            "operator@demo.example",
        )
        assert one.volume + one.mix + one.price == one.actual - one.expected

    def test_leave_a_version_of_thresholds_to_decide(self) -> None:
        states = IncidentPolicy.objects.order_by("number").values_list("state", flat=True)

        assert list(states) == ["replaced", "active", "proposed"]

    def test_are_judged_up_to_the_last_hour(self) -> None:
        assert DetectorRun.objects.latest("hour").hour == NOON - timedelta(hours=1)
