"""Two pools with two weeks behind them, and a saving report that somebody asked for."""

from datetime import datetime, timedelta
from random import Random

from marketplace.catalog.models import App
from marketplace.config.demo.chronicle import dated_id
from marketplace.config.demo.people import Cast
from marketplace.config.demo.timeline import Timeline
from marketplace.core.errors import InvalidInput
from marketplace.gateway.pool_models import Pool, PoolEvent, PoolHour, PoolReplica
from marketplace.gateway.pools import demand
from marketplace.gateway.pools.planning import Planned, plan
from marketplace.gateway.saving_report_models import SavingReport
from marketplace.gateway.savings import keeping
from marketplace.gateway.savings.keeping import Asked

DAYS = 14
HOUR_MS = 3_600_000
HOUR = timedelta(hours=1)
# The first really starts a demo model server beside the marketplace; the second decides and tells only.
POOLS = (
    ("chat-small", "small", Pool.Actuator.LOCAL, {"least": 1, "most": 3, "slots": 8, "instance_type": "cpu-small"}),
    (
        "chat-large", "large", Pool.Actuator.NONE,
        {
            "most": 4, "slots": 1, "quantile_percent": 80, "night_percent": 0, "weekend_percent": 0, "full_percent": 90,
            "instance_type": "p4d.24xlarge", "time_zone": "Europe/Berlin",
        },
    ),
)  # fmt: skip
REPORTED = ("where2eat", "contract-summary", "translator", "inbox-digest")


def keep(cast: Cast, apps: dict[str, App], timeline: Timeline) -> None:
    """Write the pools with their history, then the report; needs the roll-ups."""
    for name, model_class, actuator, policy in POOLS:
        pool = Pool.objects.create(
            name=name,
            model_class=model_class,
            actuator=actuator,
            created_at=timeline.ago(DAYS, 9),
            **policy,
        )
        _live(pool, timeline)
    _report(cast, apps, timeline)


def _live(pool: Pool, timeline: Timeline) -> None:
    """Let the policy follow the hours of the last two weeks, as the routine would have."""
    end = timeline.at.replace(minute=0, second=0, microsecond=0)
    start = end - timedelta(days=DAYS)
    windows = demand.past_windows(pool.model_class, until=end, since=start - demand.LEARNT_FROM)
    followed = plan(windows, pool.policy, starts_at=start, step_ms=HOUR_MS).windows
    PoolHour.objects.bulk_create(
        PoolHour(
            pool=pool,
            hour=one.at,
            on_demand_ms=one.decision.on_demand * HOUR_MS,
            spot_ms=one.decision.spot * HOUR_MS,
            looked_ms=HOUR_MS,
            short_ms=HOUR_MS // 6 if one.is_short else 0,
            peak_milli_calls=one.milli_calls,
        )
        for one in followed
    )
    replicas, events = _replicas(pool, followed, end, Random(f"{timeline.seed}:{pool.name}"))
    PoolReplica.objects.bulk_create(replicas)
    PoolEvent.objects.bulk_create(events)


def _replicas(
    pool: Pool, followed: tuple[Planned, ...], end: datetime, rng: Random
) -> tuple[list[PoolReplica], list[PoolEvent]]:
    """Start and end replicas where the number changes; whatever is left has ended with the story."""
    living: list[PoolReplica] = []
    ended: list[PoolReplica] = []
    events: list[PoolEvent] = []
    before = 0
    for one in followed:
        if one.ready != before:
            text = f"From {before} to {one.ready}: {one.decision.explanation}."
            events.append(PoolEvent(pool=pool, at=one.at, kind="scaled", text=text, replicas=one.ready))
        while len(living) < one.ready:
            living.append(_started(pool, len(living) + 1, one, rng))
        while len(living) > one.ready:
            ended.append(_ended(living.pop(), one.at))
        before = one.ready
    return ended + [_ended(replica, end) for replica in living], events


def _started(pool: Pool, number: int, one: Planned, rng: Random) -> PoolReplica:
    took = rng.randrange(700, 2_400) if pool.actuator == Pool.Actuator.LOCAL else 0
    return PoolReplica(
        id=dated_id(one.at, rng),
        pool=pool,
        number=number,
        is_awaited=one.is_short,
        started_at=one.at,
        ready_at=one.at + timedelta(milliseconds=took),
        start_ms=took,
        state=PoolReplica.State.ENDED,
    )


def _ended(replica: PoolReplica, at: datetime) -> PoolReplica:
    replica.ended_at = at
    return replica


def _report(cast: Cast, apps: dict[str, App], timeline: Timeline) -> None:
    """Keep a report of the first app that has something to choose between."""
    asked_at = timeline.at - timedelta(hours=3)
    asked = Asked(from_at=timeline.ago(DAYS, 0), to_at=timeline.ago(0, 0))
    for slug in (*REPORTED, *sorted(apps)):
        app = apps.get(slug)
        if app is None:
            continue
        report = SavingReport(
            id=dated_id(asked_at, Random(f"{timeline.seed}:savings")),
            app=app,
            title=f"{app.name}, {asked.from_at:%Y-%m-%d} to {asked.to_at:%Y-%m-%d}",
            asked=asked.as_json(),
            asked_by=cast.person("creator"),
            asked_at=asked_at,
        )
        report.save(force_insert=True)
        try:
            keeping.find(report, at=asked_at)
        except InvalidInput:
            report.delete()
        else:
            return
