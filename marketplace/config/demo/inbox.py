"""Usage that names something unknown: three groups that wait for somebody, and a rule that was made before."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random

from marketplace.catalog.models import App, Subscription
from marketplace.config.demo.apps import MOVED
from marketplace.config.demo.chronicle import Chronicle, dated_id
from marketplace.config.demo.people import Cast
from marketplace.config.demo.timeline import Timeline
from marketplace.gateway.directory import reporter_of
from metering import keeping, reports
from metering.inbox_models import AttributionRule, UnattributedGroup
from metering.ratecards import PriceBook
from metering.reported import Event

# A mistyped cost center in the configuration of a batch, for nine days; and what was mistyped before.
MISTYPED = ("where2eat", "cc200", 9, 14)
MISTYPED_BEFORE = ("where2eat", "CC-0100")
# Reports under the id of a subscription of another app, for three days; and of an app that still names its old owner.
WRONG_SUBSCRIPTION = ("where2eat", "translator", 3, 11)
OLD_OWNER = ("release-notes", "team-data", 6, 5)


def keep(
    cast: Cast, apps: dict[str, App], timeline: Timeline, chronicle: Chronicle, *, book: PriceBook
) -> None:
    """Keep what came in the last days, hand one group to somebody, and tell the owners."""
    rng = Random(f"{timeline.seed}:inbox")
    slug, value, days, calls = MISTYPED
    _keep(apps[slug], _events(slug, timeline, days, calls, rng, cost_center=value), book)
    slug, other, days, calls = WRONG_SUBSCRIPTION
    wrong = Subscription.objects.get(app=apps[other], team__slug="team-ops", environment="production")
    tags = {"caller": "Workplace operations"}
    _keep(
        apps[slug],
        _events(slug, timeline, days, calls, rng, subscription=str(wrong.pk), tags=tags),
        book,
    )
    slug, value, days, calls = OLD_OWNER
    _keep(apps[slug], _events(slug, timeline, days, calls, rng, owner=value), book)
    UnattributedGroup.objects.filter(app=apps[MOVED[0]]).update(assignee=cast.person("creator"))
    _make_rule(cast, apps, timeline, chronicle)


def _events(
    slug: str, timeline: Timeline, days: int, calls: int, rng: Random, **named: object
) -> Iterator[tuple[datetime, Event]]:
    """Make the events of some days, with the time at which each came."""
    for ago in range(days, 0, -1):
        for number in range(calls):
            occurred = timeline.ago(ago, 6) + timedelta(minutes=rng.randrange(12 * 60))
            yield (
                occurred + timedelta(minutes=2),
                Event(
                    slug,
                    id=f"batch-{ago}-{number}-{rng.randrange(10**6):06d}",
                    model="llm-8b",
                    input_tokens=rng.randrange(2_000, 6_000),
                    output_tokens=rng.randrange(200, 900),
                    timestamp=occurred,
                    **named,  # type: ignore[arg-type]
                ),
            )


def _keep(app: App, events: Iterator[tuple[datetime, Event]], book: PriceBook) -> None:
    reporter = reporter_of(app, key_id=None, environment="production", epoch=0)
    for at, event in sorted(events, key=lambda pair: pair[0]):
        reading = reports.check(
            [event],
            reporter=reporter,
            book=book,
            at=at,
            find_payer=lambda text: None,
            find_cost_center=lambda organization_id, code: None,
        )
        keeping.update(list(reading.unplaced.values()), {}, at=at)


def _make_rule(cast: Cast, apps: dict[str, App], timeline: Timeline, chronicle: Chronicle) -> None:
    slug, value = MISTYPED_BEFORE
    at = timeline.ago(31, 10)
    rule = AttributionRule.objects.create(
        id=dated_id(at, Random(f"{timeline.seed}:rule")),
        organization=apps[slug].owner_team.organization,
        app=apps[slug],
        field="cost_center",
        value=value,
        target="cost_center",
        cost_center=cast.cost_centers["demo", "CC-100"],
        reason="The batch pads its numbers.",
        starts_at=at,
        made_by=cast.person("creator"),
    )
    chronicle.note(
        "metering.attribution_rule.made",
        rule,
        at=at,
        by=rule.made_by,
        new={
            "app": slug,
            "field": "cost_center",
            "value": value,
            "target": "cost_center",
            "cost_center": "CC-100",
        },
        reason=rule.reason,
    )
