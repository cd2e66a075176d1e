"""Where usage comes from: the subscriptions, what apps report of themselves, and one loop."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from marketplace.catalog.models import App, Subscription
from marketplace.catalog.owning import AppOwnership
from marketplace.config.demo.app_facts import AppFacts, ModelUse
from marketplace.config.demo.listed_apps import LISTED
from marketplace.config.demo.rhythm import Ceiling, Stream
from marketplace.config.demo.subscriptions import Sold, SubscriptionFacts
from marketplace.config.demo.timeline import DAYS, Timeline
from metering.attribution import Dimensions

UNLIMITED = 10**9

# Three weeks ago a digest was mailed to the inbox that was digested next, and so on, for six days.
RUNAWAY_SUBSCRIPTION = ("inbox-digest", "team-sales")
RUNAWAY_CALLS = 8_000
RUNAWAY_DAYS_AGO = (22, 17)

# Since yesterday its makers let it go through the recordings of a year once more, night and day.
BATCH_APP = "meeting-summarizer"
BATCH_CALLS = 760
BATCH_DAYS_AGO = (1, 0)

# Whose reports of a month's last day arrive when that month is closed already, and how late.
LATE_SUBSCRIPTION = ("fx-convert", "team-finance")
LATE_DAYS = 5

# What apps on machines of their own report, beside what the platform runs: app, calls a day, rhythm, model use
OWN_USE = (
    ("where2eat", 60, "always", ModelUse("llm-8b", 100, 300, 120, 230, instance_type="g4dn.xlarge")),
    ("ticket-classifier", 90, "night", ModelUse("gpt-4o-mini", 100, 420, 6, 640)),
    ("sentiment-labeler", 1_400, "night", ModelUse("llm-1b", 100, 170, 3, 60, instance_type="g5.xlarge")),
    (
        "meeting-summarizer",
        25,
        "office",
        ModelUse("llm-70b", 100, 16_000, 800, 9_000, instance_type="g6.xlarge"),
    ),
)
# The first key of a subscription carries most of its calls.
PARTS_OF_KEYS = {1: (1.0,), 2: (0.7, 0.3)}


@dataclass(frozen=True)
class Source:
    """Where the events of a stream come from."""

    who: Dimensions
    use: ModelUse
    late_days: int = 0


def source_of(stream: Stream) -> Source:
    """Return where a stream comes from."""
    assert isinstance(stream.key, Source)
    return stream.key


def all_streams(apps: dict[str, App], sold: Sold, timeline: Timeline) -> list[Stream]:
    """Return the streams of all subscriptions, of the runaway, and of what apps report of themselves."""
    facts_of = {facts.slug: facts for facts in LISTED}
    streams: list[Stream] = []
    for facts, subscription, keys in sold.subscriptions:
        ceiling = _ceiling(subscription)
        who = _dimensions(apps[facts.app], subscription)
        for key, part in zip(keys, PARTS_OF_KEYS[len(keys)], strict=True):
            streams += _of_key(
                facts, facts_of[facts.app], who._replace(key_id=key.pk), timeline, part=part, ceiling=ceiling
            )
    streams += [
        _own_use(apps[slug], sold, timeline, calls, rhythm, use) for slug, calls, rhythm, use in OWN_USE
    ]
    streams += [
        _batch(stream, timeline)
        for stream in streams
        if (apps[BATCH_APP].pk, None) == (source_of(stream).who.app_id, source_of(stream).who.subscription_id)
    ]
    return [part for stream in streams for part in _by_owner(stream)]


def _by_owner(stream: Stream) -> Iterator[Stream]:
    """Cut a stream where its app changed hands: at midnight, as everything in the demo world."""
    source = source_of(stream)
    ownerships = list(AppOwnership.objects.filter(app=source.who.app_id).order_by("starts_at"))
    for number, owned in enumerate(ownerships):
        first = owned.starts_at.date() if number else stream.first_day
        last = owned.ends_at.date() - timedelta(days=1) if owned.ends_at else stream.last_day
        if len(ownerships) == 1 or max(first, stream.first_day) <= min(last, stream.last_day):
            yield replace(
                stream,
                key=replace(source, who=source.who._replace(owner_team_id=owned.team_id)),
                first_day=max(first, stream.first_day),
                last_day=min(last, stream.last_day),
            )


def _ceiling(subscription: Subscription) -> Ceiling:
    plan = subscription.plan
    if plan is None:
        return Ceiling(UNLIMITED, UNLIMITED)
    return Ceiling(plan.daily_calls_limit, plan.monthly_calls_limit)


def _of_key(
    facts: SubscriptionFacts,
    app: AppFacts,
    who: Dimensions,
    timeline: Timeline,
    *,
    part: float,
    ceiling: Ceiling,
) -> Iterator[Stream]:
    identity = (facts.app, facts.team)
    for use in app.uses:
        late_days = LATE_DAYS if identity == LATE_SUBSCRIPTION else 0
        source = Source(who._replace(instance_type=use.instance_type), use, late_days)
        yield Stream(
            key=source,
            calls=facts.calls * part * use.percent / 100,
            rhythm=app.rhythm,
            growth=app.growth,
            # From the day after it began: on its first day nobody has built the key in.
            first_day=timeline.day - timedelta(days=min(DAYS, facts.since_days - 1)),
            last_day=timeline.day - timedelta(days=facts.until_days + 1 if facts.until_days else 0),
            ceiling=ceiling,
        )
        if identity == RUNAWAY_SUBSCRIPTION:
            yield _runaway(source, timeline, ceiling)


def _runaway(source: Source, timeline: Timeline, ceiling: Ceiling) -> Stream:
    first, last = (timeline.day - timedelta(days=days) for days in RUNAWAY_DAYS_AGO)
    return Stream(
        key=source,
        calls=RUNAWAY_CALLS * source.use.percent / 100,
        rhythm="loop",
        growth=1.0,
        first_day=first,
        last_day=last,
        ceiling=ceiling,
    )


def _batch(own: Stream, timeline: Timeline) -> Stream:
    """Let the app's own use run on night and day for two days."""
    first, last = (timeline.day - timedelta(days=days) for days in BATCH_DAYS_AGO)
    return replace(own, calls=BATCH_CALLS, rhythm="loop", growth=1.0, first_day=first, last_day=last)


def _own_use(app: App, sold: Sold, timeline: Timeline, calls: int, rhythm: str, use: ModelUse) -> Stream:
    link, key = sold.app_keys[app.slug]
    who = _dimensions(app, None)._replace(
        key_id=key.pk, environment=link.environment, instance_type=use.instance_type
    )
    return Stream(
        key=Source(who, use),
        calls=calls,
        rhythm=rhythm,
        growth=0.8,
        first_day=timeline.starts_at.date(),
        last_day=timeline.day,
        ceiling=Ceiling(UNLIMITED, UNLIMITED),
    )


def _dimensions(app: App, subscription: Subscription | None) -> Dimensions:
    """Say who pays and who used it: the subscription's team, else the owner. Key and model are still missing."""
    team = subscription.team if subscription else app.owner_team
    subscription_id: UUID | None = subscription.pk if subscription else None
    return Dimensions(
        app_id=app.pk,
        owner_team_id=app.owner_team_id,
        organization_id=team.organization_id,
        team_id=team.pk,
        cost_center_id=subscription.cost_center_id if subscription else team.cost_center_id,
        subscription_id=subscription_id,
        plan_id=subscription.plan_id if subscription else None,
        key_id=None,
        environment=subscription.environment if subscription else "production",
        model_id=None,
        model_asked="",
        instance_type="",
        feature="",
    )
