"""Budgets beside the limits that come with every plan, and what of all limits is used in the current windows."""

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Any

from django.db import connection
from django.db.models import Sum

from marketplace.accounts.access import actor_for
from marketplace.catalog.models import App
from marketplace.config.demo.chronicle import Chronicle
from marketplace.config.demo.people import Cast
from marketplace.config.demo.timeline import Timeline
from marketplace.core.periods import month_of, window_bounds
from metering.models import UsageRollup
from quotas.limits import Terms, set_limit
from quotas.models import Limit
from quotas.owners import owner_of

ZERO = Decimal(0)
# What a limit is at least, so that a world of few events can still be called.
LEAST = {"cost": Decimal(5), "tokens": Decimal(1_000_000)}
# A hard budget leaves room for the rest of the month, whatever the day on which the story ends.
ROOM = Decimal("1.8")


@dataclass(frozen=True)
class Budget:
    """A limit by month; ``used`` says how much of a warning limit is used today, hard ones leave room."""

    kind: str
    owner: str
    measure: str
    mode: str
    used: Decimal
    note: str


BUDGETS = (
    Budget("organization", "demo", "cost", "warn", Decimal("0.50"), "all apps, this fiscal year"),
    Budget("cost_center", "CC-200", "cost", "hard", ZERO, "monthly budget of operations"),
    Budget("cost_center", "CC-400", "cost", "hard", ZERO, "monthly budget of sales"),
    Budget("cost_center", "CC-300", "cost", "soft", Decimal("0.80"), "monthly budget of customer service"),
    Budget("cost_center", "CC-600", "cost", "soft", Decimal("0.92"), "monthly budget of technology"),
    Budget("cost_center", "CC-500", "cost", "soft", Decimal("0.55"), "monthly budget of finance and legal"),
    Budget("team", "team-ops", "cost", "hard", ZERO, "what the team gave itself"),
    Budget("team", "team-support", "tokens", "warn", Decimal("0.95"), "tells the team lead"),
    Budget("team", "team-ops", "tokens", "warn", Decimal("0.80"), "tells the team lead"),
)
AFTER_RUNAWAY = Decimal(40)
RUNAWAY_ENDED_DAYS_AGO = 16

COUNT_USAGE = """
INSERT INTO quotas_limitcounter
    (limit_id, window_starts_at, window_ends_at, is_hard, ceiling, spent, held, overrun)
WITH used AS (
    SELECT w.name, w.starts_at, w.ends_at, a.id, sum(r.requests) AS requests,
           sum(r.input_tokens + r.output_tokens) AS tokens, sum(r.cost) AS cost
    FROM (VALUES ('day', %(day)s::timestamptz, %(day_end)s::timestamptz),
                 ('month', %(month)s::timestamptz, %(month_end)s::timestamptz)) AS w (name, starts_at, ends_at)
    JOIN metering_usagerollup r ON r.hour >= w.starts_at AND r.hour < w.ends_at
    JOIN metering_attribution a ON a.id = r.attribution_id
    GROUP BY 1, 2, 3, 4
), of_limits AS (
    SELECT l.id, u.starts_at, u.ends_at, l.mode = 'hard' AS is_hard, l.limit_value,
           sum(CASE l.measure WHEN 'requests' THEN u.requests WHEN 'tokens' THEN u.tokens ELSE u.cost END) AS used
    FROM quotas_limit l
    JOIN used u ON u.name = l."window"
    JOIN metering_attribution a ON a.id = u.id AND (
        a.organization_id = l.organization_id OR a.cost_center_id = l.cost_center_id OR a.team_id = l.team_id
        OR a.app_id = l.app_id OR a.subscription_id = l.subscription_id OR a.key_id = l.key_id)
    LEFT JOIN metering_languagemodel m ON m.id = a.model_id
    WHERE l.measure IN ('requests', 'tokens', 'cost') AND (l.model_class = '' OR l.model_class = m.model_class)
      AND l.ends_at IS NULL
      AND (l.environment = a.environment OR l.environment = '' AND a.environment <> 'sandbox')
    GROUP BY l.id, u.starts_at, u.ends_at
)
SELECT id, starts_at, ends_at, is_hard, limit_value, CASE WHEN is_hard THEN least(used, limit_value) ELSE used END,
       0, CASE WHEN is_hard THEN greatest(used - limit_value, 0) ELSE 0 END
FROM of_limits ORDER BY id, starts_at
"""


def set_limits(cast: Cast, apps: dict[str, App], timeline: Timeline, chronicle: Chronicle) -> None:
    """Write budgets that fit the usage there is, and count that usage against every limit."""
    for budget in BUDGETS:
        _set_budget(budget, cast, timeline)
    _set_limit_after_runaway(cast, apps["inbox-digest"], timeline, chronicle)
    count_usage(timeline)
    _set_by_people(cast, timeline)


def _set_budget(budget: Budget, cast: Cast, timeline: Timeline) -> None:
    owner = _owner(budget, cast)
    Limit.objects.create(
        **{budget.kind: owner},
        measure=budget.measure,
        window="month",
        currency="USD" if budget.measure == "cost" else "",
        limit_value=_fitting(budget, owner, timeline),
        mode=budget.mode,
        starts_at=timeline.starts_at,
        created_by=cast.person("finance"),
        note=budget.note,
    )


def _owner(budget: Budget, cast: Cast) -> Any:
    if budget.kind == "cost_center":
        return cast.cost_centers["demo", budget.owner]
    return cast.organizations[budget.owner] if budget.kind == "organization" else cast.teams[budget.owner]


def _fitting(budget: Budget, owner: Any, timeline: Timeline) -> Decimal:
    """Return the value of which the wanted part is used this month; a hard one also fits the month before."""
    month = month_of(timeline.at)
    used = _used(budget, owner, month.starts_at, month.ends_at)
    if budget.used:
        return max(LEAST[budget.measure], _rounded_up(used / budget.used))
    before = _used(budget, owner, month.previous().starts_at, month.starts_at)
    return max(LEAST[budget.measure], _rounded_up(max(used, before) * ROOM))


def _used(budget: Budget, owner: Any, starts_at: Any, ends_at: Any) -> Decimal:
    rows = UsageRollup.objects.filter(hour__gte=starts_at, hour__lt=ends_at).exclude(
        attribution__environment="sandbox"
    )
    sums = rows.filter(**{f"attribution__{budget.kind}": owner}).aggregate(
        cost=Sum("cost"), input_tokens=Sum("input_tokens"), output_tokens=Sum("output_tokens")
    )
    if budget.measure == "cost":
        return Decimal(sums["cost"] or 0)
    return Decimal((sums["input_tokens"] or 0) + (sums["output_tokens"] or 0))


def _rounded_up(value: Decimal) -> Decimal:
    """Round up to three leading digits: budgets are round figures."""
    if not value:
        return ZERO
    return value.quantize(Decimal(1).scaleb(value.adjusted() - 2), rounding=ROUND_CEILING)


def _set_limit_after_runaway(cast: Cast, app: App, timeline: Timeline, chronicle: Chronicle) -> None:
    at = timeline.ago(RUNAWAY_ENDED_DAYS_AGO, 8, 40)
    limit = Limit.objects.create(
        app=app,
        measure="cost",
        window="day",
        currency="USD",
        limit_value=AFTER_RUNAWAY,
        mode="hard",
        starts_at=at,
        created_by=cast.person("operator"),
        note="after the digest that digested itself",
    )
    chronicle.note(
        "quotas.limit.set",
        limit,
        at=at,
        by=cast.person("operator"),
        new={
            "app": app.slug,
            "measure": "cost",
            "window": "day",
            "limit": str(AFTER_RUNAWAY),
            "mode": "hard",
        },
        reason="Six days of calls at fifty times the usual rate. Ceiling until the owner has shown a fix.",
    )


def _set_by_people(cast: Cast, timeline: Timeline) -> None:
    """Set limits as people do: one of a class of models, one whose days are those of its team."""
    operator = actor_for(cast.person("operator"))
    support, operations = (owner_of("team", cast.teams[name]) for name in ("team-support", "team-ops"))
    set_limit(
        support,
        terms=Terms("cost", "month", Decimal(400), currency="USD", model_class="medium"),
        by=operator,
        at=timeline.at,
        note="Answers to customers are written by small models; larger ones are for hard cases.",
    )
    set_limit(
        operations,
        terms=Terms("requests", "day", Decimal(50_000), "warn", time_zone="America/New_York"),
        by=operator,
        at=timeline.at,
        note="Their day begins in New York.",
    )


def plan_next_month(cast: Cast, timeline: Timeline) -> None:
    """Decide on a budget that is to come."""
    service = owner_of("cost_center", cast.cost_centers["demo", "CC-300"])
    set_limit(
        service,
        terms=Terms("cost", "month", Decimal(5_000), "soft", currency="USD"),
        by=actor_for(cast.person("finance")),
        at=timeline.at,
        starts_at=month_of(timeline.at).ends_at,
        note="The budget of the new quarter.",
    )


def count_usage(timeline: Timeline) -> None:
    """Write the counters of the current day and month of every limit, in one statement."""
    day, day_end = window_bounds(timeline.at, "day")
    month, month_end = window_bounds(timeline.at, "month")
    bounds = {"day": day, "day_end": day_end, "month": month, "month_end": month_end}
    with connection.cursor() as cursor:
        cursor.execute(COUNT_USAGE, bounds)
