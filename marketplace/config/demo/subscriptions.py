"""Who subscribes to what, how many calls a working day brings at the end of the story, and the keys they call with."""

import os
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random

from marketplace.accounts.keys import ALPHABET
from marketplace.accounts.models import ApiKey
from marketplace.catalog.models import App, AppKey, Plan, Subscription, SubscriptionKey
from marketplace.config.demo.chronicle import Chronicle, dated_id
from marketplace.config.demo.people import Cast
from marketplace.config.demo.timeline import Timeline


@dataclass(frozen=True)
class SubscriptionFacts:
    """A team's subscription. ``calls``: of a working day; days are counted back from the anchor day."""

    app: str
    team: str
    plan: str
    calls: int
    since_days: int
    until_days: int = 0
    keys: tuple[str, ...] = ("production",)
    sandbox_credit: str = ""


SUBSCRIPTIONS = (
    SubscriptionFacts("where2eat", "team-ops", "standard", 560, 140, keys=("kitchen display", "chat bot")),
    SubscriptionFacts("where2eat", "team-sales", "standard", 430, 120),
    SubscriptionFacts("where2eat", "team-people", "standard", 210, 66),
    SubscriptionFacts("where2eat", "team-support", "free", 70, 52),
    SubscriptionFacts("where2eat", "team-legal", "free", 34, 88),
    SubscriptionFacts("where2eat", "team-data", "free", 82, 61),
    SubscriptionFacts(
        "where2eat", "guest-services", "business", 1_150, 110, keys=("concierge", "lobby screens")
    ),
    SubscriptionFacts("meeting-summarizer", "team-ops", "standard", 120, 180),
    SubscriptionFacts("meeting-summarizer", "team-sales", "standard", 260, 230),
    SubscriptionFacts("meeting-summarizer", "team-legal", "standard", 85, 150),
    SubscriptionFacts("meeting-summarizer", "team-data", "standard", 150, 83),
    SubscriptionFacts("meeting-summarizer", "team-ux", "free", 36, 47),
    SubscriptionFacts("meeting-summarizer", "team-finance", "free", 28, 35),
    SubscriptionFacts("ticket-classifier", "team-support", "business", 4_100, 300, keys=("mail", "web form")),
    SubscriptionFacts("ticket-classifier", "guest-services", "standard", 880, 105),
    SubscriptionFacts("ticket-classifier", "team-ops", "free", 93, 58),
    SubscriptionFacts("invoice-extractor", "team-finance", "business", 760, 220),
    SubscriptionFacts("invoice-extractor", "team-ops", "free", 48, 71),
    SubscriptionFacts("invoice-extractor", "team-sales", "free", 30, 40),
    SubscriptionFacts("translator", "team-sales", "standard", 900, 280),
    SubscriptionFacts("translator", "team-support", "standard", 950, 170),
    SubscriptionFacts("translator", "team-ops", "standard", 280, 125),
    SubscriptionFacts("translator", "team-legal", "standard", 160, 92),
    SubscriptionFacts("translator", "team-people", "free", 55, 64),
    SubscriptionFacts("translator", "guest-services", "business", 1_500, 104),
    SubscriptionFacts("tone-rewriter", "team-support", "standard", 520, 100),
    SubscriptionFacts("tone-rewriter", "team-sales", "standard", 340, 93),
    SubscriptionFacts("tone-rewriter", "team-people", "standard", 130, 70),
    SubscriptionFacts("tone-rewriter", "team-ops", "free", 64, 44),
    SubscriptionFacts("policy-qa", "team-people", "standard", 420, 160),
    SubscriptionFacts("policy-qa", "team-legal", "standard", 230, 170),
    SubscriptionFacts("policy-qa", "team-support", "free", 75, 49),
    SubscriptionFacts("policy-qa", "team-ops", "free", 58, 81),
    SubscriptionFacts("release-notes", "team-data", "standard", 75, 130),
    SubscriptionFacts("release-notes", "team-ux", "free", 16, 67),
    SubscriptionFacts("sql-helper", "team-data", "standard", 610, 93),
    SubscriptionFacts("sql-helper", "team-finance", "standard", 280, 62),
    SubscriptionFacts("sql-helper", "team-sales", "free", 33, 31),
    SubscriptionFacts("sentiment-labeler", "team-support", "business", 3_000, 260, keys=("nightly",)),
    SubscriptionFacts("sentiment-labeler", "team-ux", "standard", 420, 95),
    SubscriptionFacts("fx-convert", "team-finance", "standard", 520, 200),
    SubscriptionFacts("fx-convert", "team-sales", "standard", 270, 118),
    SubscriptionFacts("fx-convert", "team-ops", "free", 66, 77),
    SubscriptionFacts("inbox-digest", "team-sales", "business", 130, 73),
    SubscriptionFacts("inbox-digest", "team-legal", "free", 24, 54),
    SubscriptionFacts("inbox-digest", "team-ops", "free", 22, 70, until_days=16),
    SubscriptionFacts("sql-helper", "team-ops", "", 4, 9, keys=("tryout",), sandbox_credit="1.00"),
    SubscriptionFacts("policy-qa", "team-ux", "", 3, 12, keys=("tryout",), sandbox_credit="1.00"),
)

# Apps that run on machines of their own report what they used: (app, name of the key, environment)
APP_KEYS = (
    ("where2eat", "own servers", "production"),
    ("ticket-classifier", "evaluation", "staging"),
    ("sentiment-labeler", "nightly batch", "production"),
    ("meeting-summarizer", "own servers", "production"),
    ("fx-convert", "own servers", "production"),
)


@dataclass
class Sold:
    """The subscriptions with their keys, and the keys of apps by slug."""

    subscriptions: list[tuple[SubscriptionFacts, Subscription, list[ApiKey]]] = field(default_factory=list)
    app_keys: dict[str, tuple[AppKey, ApiKey]] = field(default_factory=dict)


def sell(cast: Cast, apps: dict[str, App], timeline: Timeline, chronicle: Chronicle) -> Sold:
    """Write subscriptions and keys."""
    rng = Random(f"{timeline.seed}:subscriptions")
    plans = {(plan.app_id, plan.code): plan for plan in Plan.objects.filter(is_offered=True)}
    sold = Sold()
    for facts in SUBSCRIPTIONS:
        subscription = _subscription(facts, cast, apps[facts.app], plans, timeline, rng)
        keys = [_key("sub", name, subscription, timeline, facts, rng) for name in facts.keys]
        sold.subscriptions.append((facts, subscription, keys))
    _write(sold)
    _tell(sold, timeline, chronicle)
    for slug, name, environment in APP_KEYS:
        sold.app_keys[slug] = _app_key(apps[slug], name, environment, timeline, rng)
    return sold


def _subscription(
    facts: SubscriptionFacts,
    cast: Cast,
    app: App,
    plans: dict[tuple[int, str], Plan],
    timeline: Timeline,
    rng: Random,
) -> Subscription:
    team = cast.teams[facts.team]
    starts_at = timeline.ago(facts.since_days, 8, rng.randrange(60))
    is_over = facts.until_days > 0
    return Subscription(
        id=dated_id(starts_at, rng),
        app=app,
        plan=plans[app.pk, facts.plan] if facts.plan else None,
        team=team,
        cost_center=team.cost_center,
        environment="production" if facts.plan else "sandbox",
        sandbox_credit=Decimal(facts.sandbox_credit) if facts.sandbox_credit else None,
        state=Subscription.State.CANCELED if is_over else Subscription.State.ACTIVE,
        starts_at=starts_at,
        ends_at=timeline.ago(facts.until_days, 17) if is_over else None,
        created_by=cast.person("consumer") if facts.team == "team-ops" else cast.subscriber(facts.team),
    )


def _key(
    kind: str,
    name: str,
    subscription: Subscription,
    timeline: Timeline,
    facts: SubscriptionFacts,
    rng: Random,
) -> ApiKey:
    return ApiKey(
        id=dated_id(subscription.starts_at, rng),
        kind=kind,
        prefix="".join(rng.choices(ALPHABET, k=10)),
        secret_hash=_hash_of_nothing(),
        name=name,
        organization=subscription.team.organization,
        created_by=subscription.created_by,
        created_at=subscription.starts_at,
        revoked_at=subscription.ends_at,
        last_used_at=timeline.ago(facts.until_days, 0) if facts.until_days else timeline.at,
    )


def _hash_of_nothing() -> bytes:
    """Make what would be kept of a secret, of a secret that never was: nobody can call with these keys."""
    return os.urandom(32)


def _write(sold: Sold) -> None:
    Subscription.objects.bulk_create([subscription for _, subscription, _ in sold.subscriptions])
    ApiKey.objects.bulk_create([key for _, _, keys in sold.subscriptions for key in keys])
    SubscriptionKey.objects.bulk_create(
        [
            SubscriptionKey(key=key, subscription=subscription)
            for _, subscription, keys in sold.subscriptions
            for key in keys
        ]
    )


def _tell(sold: Sold, timeline: Timeline, chronicle: Chronicle) -> None:
    for facts, subscription, keys in sold.subscriptions:
        chronicle.note(
            "catalog.subscription.started",
            subscription,
            at=subscription.starts_at,
            by=subscription.created_by,
            new={"app": facts.app, "team": facts.team, "environment": subscription.environment},
        )
        for key in keys:
            chronicle.note(
                "accounts.key.issued",
                key,
                at=key.created_at,
                by=subscription.created_by,
                new={"kind": key.kind, "name": key.name},
            )
        if subscription.ends_at:
            chronicle.moved(
                "catalog.subscription.canceled",
                subscription,
                states=("active", "canceled"),
                at=subscription.ends_at,
                by=subscription.created_by,
                reason="Not after what happened to the sales team.",
            )


def _app_key(app: App, name: str, environment: str, timeline: Timeline, rng: Random) -> tuple[AppKey, ApiKey]:
    made_at = app.created_at
    key = ApiKey.objects.create(
        id=dated_id(made_at, rng),
        kind="app",
        prefix="".join(rng.choices(ALPHABET, k=10)),
        secret_hash=_hash_of_nothing(),
        name=name,
        organization=app.owner_team.organization,
        created_by=app.created_by,
        created_at=made_at,
        last_used_at=timeline.at,
    )
    return AppKey.objects.create(key=key, app=app, environment=environment), key
