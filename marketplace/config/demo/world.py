"""Load the whole demo world into an empty database, in one transaction: all of it is there, or nothing."""

from dataclasses import dataclass

from django.db import connection, transaction

from billing.terms import Terms
from marketplace.accounts.models import Organization
from marketplace.config.demo import (
    allocating,
    approvals,
    batches,
    billing_parties,
    budgets,
    collecting,
    conflicts,
    corrections,
    deciding,
    discovery,
    documents,
    hosting,
    inbox,
    incidents,
    increases,
    kept,
    limits,
    models,
    notices,
    own_prices,
    people,
    pools,
    prices,
    reaching,
    receivables,
    routing,
    saved_calls,
    service,
    usage,
)
from marketplace.config.demo.apps import AppBuilder
from marketplace.config.demo.chronicle import Chronicle
from marketplace.config.demo.months import close_months, months
from marketplace.config.demo.progress import Told
from marketplace.config.demo.reviewing import Reviewing
from marketplace.config.demo.subscriptions import sell
from marketplace.config.demo.timeline import Timeline
from marketplace.config.price_list import seed_catalogue
from metering import partitions, rollups
from metering.ratecards import load_price_book

# Any number will do, as long as two loads of one database use the same.
LOAD_LOCK = 7_301_185
ANALYZED = (
    "metering_usageevent",
    "metering_eventkey",
    "metering_latencyhistogram",
    "metering_usagerollup",
    "metering_dailyrollup",
    "metering_attribution",
    "quotas_limitcounter",
)


@dataclass(frozen=True)
class Loaded:
    """What was loaded; nothing when the database was not empty."""

    events: int
    rollups: int
    closed_months: int


@dataclass(frozen=True)
class Installation:
    """What the world takes from the settings: terms of billing, where the demo provider is, the shared password."""

    terms: Terms
    provider_url: str
    password: str | None
    public_url: str = "http://127.0.0.1:8000"


def load(timeline: Timeline, *, installation: Installation, events: int, told: Told) -> Loaded | None:
    """Load the demo world; None, and nothing changed, when there is an organization already.

    A kill at any moment leaves the database as it was. Two loads at once: the second finds what the first made.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOAD_LOCK])
        if Organization.objects.exists():
            return None
        return _load(timeline, installation, events=events, told=told)


def _load(timeline: Timeline, installation: Installation, *, events: int, told: Told) -> Loaded:
    chronicle = Chronicle()
    with told.step("People, teams and prices"):
        cast = people.found(timeline, password=installation.password)
        reaching.choose(cast, timeline)
        billing_parties.found(cast, timeline)
        seed_catalogue()
        models.add(timeline, provider_url=installation.provider_url)
        batches.set_rate(cast, timeline)
        # Not the shared snapshot: this transaction may yet be rolled back.
        book = load_price_book()
    with told.step("Apps, checks and reviews"):
        builder = AppBuilder(
            cast,
            timeline,
            book=book,
            provider_url=installation.provider_url,
            share=installation.terms.default_share.share,
        )
        apps = builder.build()
    with told.step("Subscriptions and keys"):
        sold = sell(cast, apps, timeline, chronicle)
        billing_parties.subscribe(cast, apps, timeline)
    with told.step(f"{events:,} usage events", total=events):
        partitions.make(month.starts_at.date() for month in months(timeline))
        written = usage.write_usage(apps, sold, timeline, book=book, events=events, progress=told.advance)
        saved_calls.write(apps, sold, timeline, book=book, events=events)
    with told.step("Roll-ups"):
        rolled_up = rollups.rebuild()
        batches.tell(cast, apps, timeline, book=book)
        _analyze()
    with told.step("Limits, notices, audit trail"):
        limits.set_limits(cast, apps, timeline, chronicle)
        budgets.tell_story(cast, timeline, chronicle)
        limits.plan_next_month(cast, timeline)
        prices.propose(cast, timeline, chronicle)
        conflicts.report_twice(cast, apps, timeline, chronicle)
        inbox.keep(cast, apps, timeline, chronicle, book=book)
        notices.tell(cast, apps, timeline, chronicle)
        kept.keep(cast, timeline)
        discovery.tell(cast, apps, timeline)
        hosting.tell(cast, apps, timeline)
        saved_calls.choose(apps, timeline)
        documents.tell(apps, timeline)
        chronicle.write()
    with told.step("Closed months"):
        allocating.share(cast, timeline)
        closed = close_months(timeline, terms=installation.terms, by=cast.person("finance"))
        receivables.tell(cast, timeline, terms=installation.terms)
        collecting.tell(cast, timeline, terms=installation.terms)
        billing_parties.propose(cast, timeline)
        own_prices.tell(cast, timeline, terms=installation.terms)
        allocating.tell(cast, timeline, terms=installation.terms)
    with told.step("Corrections"):
        corrections.correct(cast, timeline)
    with told.step("Increase requests"):
        deciding.commit(cast, timeline)
        increases.ask_for_more(cast, timeline)
        deciding.arrange(cast, timeline)
    with told.step("Reviews, prices to come, an app that ends"):
        Reviewing(cast, builder, timeline).tell()
    with told.step("Incidents"):
        incidents.find(cast, apps, timeline, events=events)
        service.tell(apps, timeline)
        approvals.tell(cast, apps, timeline)
        routing.tell(cast, timeline, book=book)
    with told.step("Pools and savings"):
        pools.keep(cast, apps, timeline)
    with told.step("Mails and channels"):
        reaching.reach(
            cast, timeline, provider_url=installation.provider_url, public_url=installation.public_url
        )
    return Loaded(written, rolled_up, closed)


def _analyze() -> None:
    """Tell the planner what the tables hold now: autovacuum would only after the first pages were slow."""
    with connection.cursor() as cursor:
        for table in ANALYZED:
            cursor.execute(f"ANALYZE {table}")
