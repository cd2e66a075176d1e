"""Routed calls summed by day from their events: what each policy did, or in shadow would have done and saved."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.db import connection, transaction
from django.db.models import Sum

from marketplace.catalog.models import App
from marketplace.core.money import exact
from marketplace.gateway.routing_models import RoutePolicy, RouteTally
from metering import route_tags

UTC = ZoneInfo("UTC")
RECOUNTED_DAYS = 2
SHOWN_DAYS = 30

_COUNT = """
INSERT INTO gateway_routetally
  (app_id, day, policy_number, intent, model, would_model, currency, calls, cost, would_cost)
SELECT e.app_id, %(day)s, (e.tags->>%(policy)s)::int, coalesce(e.tags->>%(intent)s, ''), m.name,
  coalesce(e.tags->>%(would)s, ''), e.currency, count(*), sum(e.cost),
  sum(CASE WHEN e.tags ? %(would)s AND e.tags->>%(would)s <> m.name
      THEN coalesce((e.tags->>%(would_cost)s)::numeric, e.cost) ELSE e.cost END)
FROM metering_usageevent e
JOIN metering_attribution a ON a.id = e.attribution_id
JOIN metering_languagemodel m ON m.id = a.model_id
WHERE e.app_id = %(app)s AND e.occurred_at >= %(from_at)s AND e.occurred_at < %(to_at)s
  AND e.corrects IS NULL AND e.tags ? %(policy)s
GROUP BY 1, 2, 3, 4, 5, 6, 7
"""


def recount(*, at: datetime) -> int:
    """Count today and yesterday anew, of apps that have or had a policy; returns how many apps."""
    apps = list(RoutePolicy.objects.order_by("app").distinct("app").values_list("app_id", flat=True))
    today = at.astimezone(UTC).date()
    for app_id in apps:
        for back in range(RECOUNTED_DAYS):
            recount_day(app_id, today - timedelta(days=back))
    return len(apps)


def recount_day(app_id: int, day: date) -> None:
    """Count one day of an app anew from its events, in place of what was counted before."""
    from_at = datetime.combine(day, time(), UTC)
    with transaction.atomic(), connection.cursor() as cursor:
        # Two that count the same day take turns: the second starts from nothing and finds the same.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('route tally'), %s)", [app_id % 2**31])
        RouteTally.objects.filter(app=app_id, day=day).delete()
        cursor.execute(
            _COUNT,
            {
                "app": app_id, "day": day, "from_at": from_at, "to_at": from_at + timedelta(days=1),
                "policy": route_tags.POLICY, "intent": route_tags.INTENT, "would": route_tags.WOULD,
                "would_cost": route_tags.WOULD_COST,
            },
        )  # fmt: skip


@dataclass(frozen=True)
class Line:
    """Calls of one intent that went to one model, and, in shadow, where they would have gone."""

    intent: str
    model: str
    would_model: str
    calls: int
    cost: Decimal
    would_cost: Decimal
    currency: str


@dataclass(frozen=True)
class Summary:
    """A policy version's calls of the last thirty days; ``shadow_calls`` are those in which it did not act."""

    lines: Sequence[Line]
    calls: int
    shadow_calls: int
    moved: int
    cost: Decimal
    would_cost: Decimal
    currency: str

    @property
    def saved(self) -> Decimal:
        with exact():
            return self.cost - self.would_cost


def summary(app: App, *, policy_number: int, currency: str, at: datetime) -> Summary:
    """Sum a version's calls."""
    return summaries([(app.pk, policy_number)], currency=currency, at=at)[app.pk, policy_number]


def summaries(
    versions: Sequence[tuple[int, int]], *, currency: str, at: datetime
) -> dict[tuple[int, int], Summary]:
    """Sum the calls of versions, each an app with a number, in one query."""
    lines: dict[tuple[int, int], list[Line]] = {version: [] for version in versions}
    found = (
        RouteTally.objects.filter(
            app__in=[app_id for app_id, _ in versions],
            day__gt=at.astimezone(UTC).date() - timedelta(days=SHOWN_DAYS),
        )
        .values("app", "policy_number", "intent", "model", "would_model", "currency")
        .annotate(all_calls=Sum("calls"), all_cost=Sum("cost"), all_would=Sum("would_cost"))
        .order_by("-all_calls", "intent", "model", "would_model")
    )
    for one in found:
        of_version = lines.get((one["app"], one["policy_number"]))
        if of_version is not None:
            of_version.append(
                Line(
                    one["intent"], one["model"], one["would_model"], one["all_calls"], one["all_cost"],
                    one["all_would"], one["currency"],
                )
            )  # fmt: skip
    return {version: _summed(of_version, currency) for version, of_version in lines.items()}


def _summed(lines: Sequence[Line], currency: str) -> Summary:
    with exact():
        cost = sum((line.cost for line in lines if line.would_model), Decimal(0))
        would = sum((line.would_cost for line in lines if line.would_model), Decimal(0))
    return Summary(
        lines=lines,
        calls=sum(line.calls for line in lines),
        shadow_calls=sum(line.calls for line in lines if line.would_model),
        moved=sum(line.calls for line in lines if line.would_model not in ("", line.model)),
        cost=cost,
        would_cost=would,
        currency=lines[0].currency if lines else currency,
    )
