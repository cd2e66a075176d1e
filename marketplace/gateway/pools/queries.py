"""What pages and API tell of pools: live state, schedule, starts, cost, and what a policy would have come to."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Q, Sum

from marketplace.accounts.access import Actor
from marketplace.catalog import queries as listing_queries
from marketplace.core.money import exact
from marketplace.gateway.pool_models import Pool, PoolEvent, PoolHour, PoolReplica
from marketplace.gateway.pools import demand
from marketplace.gateway.pools.deciding import Decision, Signals, decide, scheduled
from marketplace.gateway.pools.planning import Plan, plan
from marketplace.gateway.pools.policy import DAY_NAMES, Policy, Profile, hour_of_week, learn
from metering.models import InstanceRate, LanguageModel
from metering.rating import MS_PER_HOUR

MONTH = timedelta(days=30)
HOUR_MS = 3_600_000
SHADES = 3
ZERO = Decimal(0)


@dataclass(frozen=True)
class Starts:
    """How starts went: how many, how many that calls waited for, and how long they took, in milliseconds."""

    count: int
    awaited: int
    calls: int
    p50_ms: int | None
    p95_ms: int | None

    @property
    def awaited_per_million(self) -> int:
        """Cold starts that were felt, for each million calls, rounded up: one is never told as none."""
        return -(-self.awaited * 1_000_000 // self.calls) if self.calls else 0


@dataclass(frozen=True)
class PoolRow:
    """A pool in the list: what is there, and how it did over the last thirty days."""

    pool: Pool
    ready: int
    starting: int
    kept_ms: int
    short_ms: int
    looked_ms: int
    cost: Decimal | None
    currency: str

    @property
    def short_share(self) -> Decimal | None:
        return Decimal(self.short_ms) / self.looked_ms if self.looked_ms else None


@dataclass(frozen=True)
class HeatCell:
    """An hour of the week in the schedule: its replicas, a shade from 0 to 3, and words for it."""

    replicas: int | None
    shade: int
    title: str
    is_now: bool


@dataclass(frozen=True)
class PlanView:
    """What a policy would have come to, beside flat provisioning and beside the schedule without bursts."""

    plan: Plan
    cost: Decimal | None
    flat_cost: Decimal | None
    currency: str
    from_at: datetime
    to_at: datetime

    @property
    def saved_share(self) -> Decimal | None:
        """By the time of replicas; by money where both are priced."""
        if self.cost is not None and self.flat_cost:
            return 1 - self.cost / self.flat_cost
        return 1 - Decimal(self.plan.replica_ms) / self.plan.flat_ms if self.plan.flat_ms else None

    @property
    def short_share(self) -> Decimal | None:
        windows = len(self.plan.windows)
        return Decimal(self.plan.short) / windows if windows else None


def rows(*, at: datetime) -> list[PoolRow]:
    """Return all pools for the list (four queries)."""
    pools = list(Pool.objects.select_related("provider").order_by("name"))
    living = PoolReplica.objects.filter(state__in=PoolReplica.SERVING).values_list("pool", "state")
    states = list(living)
    sums: dict[int, Mapping[str, Any]] = {
        row["pool"]: row
        for row in PoolHour.objects.filter(hour__gte=at - MONTH)
        .values("pool")
        .annotate(
            on_demand=Sum("on_demand_ms"), spot=Sum("spot_ms"), short=Sum("short_ms"), looked=Sum("looked_ms")
        )
    }
    rates = Rates.load(pools, at=at)
    return [_row(pool, states, sums.get(pool.pk, {}), rates) for pool in pools]


def _row(pool: Pool, states: Sequence[tuple[int, str]], sums: Mapping[str, Any], rates: "Rates") -> PoolRow:
    on_demand, spot = sums.get("on_demand", 0), sums.get("spot", 0)
    return PoolRow(
        pool=pool,
        ready=states.count((pool.pk, PoolReplica.State.READY)),
        starting=states.count((pool.pk, PoolReplica.State.STARTING)),
        kept_ms=on_demand + spot,
        short_ms=sums.get("short", 0),
        looked_ms=sums.get("looked", 0),
        cost=rates.cost(pool, on_demand_ms=on_demand, spot_ms=spot),
        currency=rates.currency(pool),
    )


@dataclass(frozen=True)
class Rates:
    """Instance rates in force, by type."""

    by_type: dict[str, InstanceRate]

    @classmethod
    def load(cls, pools: Iterable[Pool], *, at: datetime) -> "Rates":
        """Read what the instance types of pools cost now (one query)."""
        types = {name for pool in pools for name in (pool.instance_type, pool.spot_instance_type) if name}
        found = InstanceRate.objects.filter(
            Q(ends_at=None) | Q(ends_at__gt=at), instance_type__in=types, starts_at__lte=at
        )
        return cls({rate.instance_type: rate for rate in found})

    def cost(self, pool: Pool, *, on_demand_ms: int, spot_ms: int) -> Decimal | None:
        """Price the time of replicas; None when a type that was used has no rate. Spot without its own costs as on demand."""
        plain = self.by_type.get(pool.instance_type)
        spot = self.by_type.get(pool.spot_instance_type or pool.instance_type)
        if (on_demand_ms and plain is None) or (spot_ms and spot is None):
            return None
        if plain is None:
            return None
        with exact():
            of_spot = spot.price_per_hour * spot_ms / MS_PER_HOUR if spot else ZERO
            return plain.price_per_hour * on_demand_ms / MS_PER_HOUR + of_spot

    def currency(self, pool: Pool) -> str:
        found = self.by_type.get(pool.instance_type)
        return found.currency if found else ""


def heat(policy: Policy, profile: Profile, *, at: datetime) -> list[tuple[str, list[HeatCell]]]:
    """Lay the schedule out by day of the week and hour, shaded by its part of the highest."""
    if profile.is_empty:
        return []
    now = hour_of_week(at, policy.zone)
    monday = at.astimezone(policy.zone).replace(hour=12) - timedelta(
        days=at.astimezone(policy.zone).weekday()
    )
    numbers = [
        [
            min(policy.most, max(policy.least, scheduled(policy, profile, _at(monday, day, hour))))
            for hour in range(24)
        ]
        for day in range(7)
    ]
    highest = max((one for row in numbers for one in row), default=0)
    return [
        (DAY_NAMES[day], [_cell(numbers[day][hour], highest, day, hour, now) for hour in range(24)])
        for day in range(7)
    ]


def _at(monday: datetime, day: int, hour: int) -> datetime:
    return (monday + timedelta(days=day)).replace(hour=hour, minute=0, second=0, microsecond=0)


def _cell(replicas: int, highest: int, day: int, hour: int, now: int) -> HeatCell:
    shade = -(-replicas * SHADES // highest) if highest else 0
    is_now = day * 24 + hour == now
    title = f"{DAY_NAMES[day]} {hour:02}:00, {replicas} replicas" + (", now" if is_now else "")
    return HeatCell(replicas, shade, title, is_now)


def starts(
    *, model_class: str = "", pool: Pool | None = None, is_restored: bool | None = None, at: datetime
) -> Starts:
    """Tell how starts of a class of models, or of one pool, went over the last thirty days.

    This is the figure of cold starts that other pages ask for.
    """
    found = PoolReplica.objects.filter(started_at__gte=at - MONTH, started_at__lte=at, start_ms__isnull=False)
    found = found.exclude(pool__actuator=Pool.Actuator.NONE)
    if pool is not None:
        found = found.filter(pool=pool)
    elif model_class:
        found = found.filter(pool__model_class=model_class)
    if is_restored is not None:
        found = found.filter(is_restored=is_restored)
    timed = list(found.order_by("start_ms").values_list("start_ms", "is_awaited"))
    took = [one for one, _ in timed if one is not None]
    return Starts(
        count=len(took),
        awaited=sum(is_awaited for _, is_awaited in timed),
        calls=demand.calls(pool.model_class if pool else model_class, since=at - MONTH, until=at),
        p50_ms=_percentile(took, 50),
        p95_ms=_percentile(took, 95),
    )


def _percentile(ordered: Sequence[int], percent: int) -> int | None:
    return ordered[-(-len(ordered) * percent // 100) - 1] if ordered else None


def classes_of_app(actor: Actor, slug: str) -> list[str]:
    """Return the classes of the models that an app may use. Raises NotFound for who may not see the app."""
    version = listing_queries.listing_for(actor, slug=slug).version
    found = LanguageModel.objects.filter(name__in=version.allowed_models)
    return sorted(set(found.values_list("model_class", flat=True)))


def replicas(pool: Pool) -> list[PoolReplica]:
    """Return what lives, by number, then the last that ended."""
    living = list(pool.replicas.filter(state__in=PoolReplica.LIVING).order_by("number"))
    return living + list(pool.replicas.exclude(state__in=PoolReplica.LIVING).order_by("-ended_at")[:10])


def events(pool: Pool, *, limit: int = 50) -> list[PoolEvent]:
    """Return what happened last, the newest first."""
    return list(pool.events.order_by("-at", "-pk")[:limit])


def kept(pool: Pool, *, at: datetime, days: int = 14) -> list[PoolHour]:
    """Return the hours of the last days, in order."""
    return list(pool.hours.filter(hour__gte=at - timedelta(days=days)).order_by("hour"))


def plan_view(pool: Pool, *, at: datetime, without_bursts: bool = False) -> PlanView | None:
    """Say what the pool's policy would have come to over the last thirty days; None without usage (two queries).

    The schedule of each week is learnt from the weeks before it. ``without_bursts`` follows the schedule alone.
    """
    end = at.replace(minute=0, second=0, microsecond=0)
    windows = demand.past_windows(pool.model_class, until=end, since=end - MONTH - demand.LEARNT_FROM)
    judged_from = max(end - MONTH, windows[0].at if windows else end)
    if not any(one.milli_calls for one in windows if one.at >= judged_from):
        return None
    found = plan(windows, pool.policy, starts_at=judged_from, step_ms=HOUR_MS, has_bursts=not without_bursts)
    rates = Rates.load([pool], at=at)
    return PlanView(
        plan=found,
        cost=rates.cost(pool, on_demand_ms=found.replica_ms - found.spot_ms, spot_ms=found.spot_ms),
        flat_cost=rates.cost(pool, on_demand_ms=found.flat_ms, spot_ms=0),
        currency=rates.currency(pool),
        from_at=judged_from,
        to_at=end,
    )


@dataclass(frozen=True)
class Preview:
    """What an unsaved policy would do: now, over the week, and over the last month beside what is in force."""

    decision: Decision
    heat: list[tuple[str, list[HeatCell]]]
    plan: PlanView | None


def preview(pool: Pool, *, at: datetime) -> Preview:
    """Try an unsaved policy on the demand that was, and start nothing."""
    policy = pool.policy
    windows = demand.past_windows(pool.model_class, until=at)
    profile = learn(windows, quantile_percent=policy.quantile_percent, zone=policy.zone)
    under_way = demand.under_way(at=at).get(pool.model_class, 0)
    decision = decide(policy, profile, Signals(under_way * 1000), at=at)
    return Preview(decision, heat(policy, profile, at=at), plan_view(pool, at=at))
