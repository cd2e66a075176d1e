"""What pools cost while nothing was asked of them: priced from the gateway's hours, entered in billing as a shared cost.

The gateway and billing know nothing of each other, so this stands above both.
"""

from datetime import datetime
from decimal import Decimal

from django.db.models import Sum

from billing.allocation.shared_costs import Entry, enter_measured
from billing.allocation_models import SharedKind
from billing.models import SharedCost
from marketplace.accounts.models import Organization
from marketplace.core.money import exact, round_minor
from marketplace.core.periods import Period
from marketplace.gateway.pool_models import Pool, PoolHour
from marketplace.gateway.pools.queries import Rates
from metering.models import DailyRollup

ZERO = Decimal(0)


def enter(month: Period, *, at: datetime) -> list[SharedCost]:
    """Enter the idle time of each pool in a month that is over; once each, and nothing for a pool without a price."""
    platform = Organization.objects.filter(is_platform=True).first()
    if platform is None or at < month.ends_at:
        return []
    pools = list(Pool.objects.order_by("pk"))
    # The rates of the month's last moment; a price that changed within the month holds for all of it.
    rates = Rates.load(
        pools, at=month.ends_at.replace(microsecond=0) - (month.ends_at - month.starts_at) / 1000
    )
    found = []
    for pool in pools:
        cost = idle_cost(pool, month, rates)
        amount_minor = round_minor(cost, rates.currency(pool)) if cost else 0
        if amount_minor > 0:
            entry = Entry(
                organization=platform,
                kind=SharedKind.IDLE_POOL,
                name=f"Idle time of {pool.name}"[:80],
                amount_minor=amount_minor,
                currency=rates.currency(pool),
                starts_date=month.starts_at.date(),
                ends_date=month.ends_at.date(),
            )
            found.append(enter_measured(entry, at=at, source_key=f"idle-pool:{pool.pk}:{month.name}"))
    return found


def idle_cost(pool: Pool, month: Period, rates: Rates) -> Decimal | None:
    """Price the time that replicas were kept less the time that calls used instances of its type; None without a rate."""
    kept = PoolHour.objects.filter(pool=pool, hour__gte=month.starts_at, hour__lt=month.ends_at).aggregate(
        on_demand=Sum("on_demand_ms", default=0), spot=Sum("spot_ms", default=0)
    )
    used_ms = DailyRollup.objects.filter(
        day__gte=month.starts_at.date(),
        day__lt=month.ends_at.date(),
        attribution__instance_type=pool.instance_type,
    ).aggregate(total=Sum("duration_ms", default=0))["total"]
    whole = rates.cost(pool, on_demand_ms=int(kept["on_demand"]), spot_ms=int(kept["spot"]))
    busy = rates.cost(pool, on_demand_ms=int(used_ms), spot_ms=0)
    if whole is None or busy is None:
        return None
    with exact():
        return max(whole - busy, ZERO)
