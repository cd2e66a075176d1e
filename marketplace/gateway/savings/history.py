"""An app's own usage as traffic for the simulation: by hour, subscription and model, from the roll-ups."""

from collections import defaultdict
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Sum

from marketplace.catalog.models import App, Environment, Listing, Version
from marketplace.core.errors import InvalidInput
from marketplace.gateway.savings import pricing
from marketplace.gateway.savings.calls import MS, Call, Trace
from marketplace.gateway.savings.scenario import Scenario
from metering.models import UsageRollup

HOUR_MS = 3_600_000
LEARN = timedelta(weeks=4)
LONGEST = timedelta(days=100)
USUAL = timedelta(days=30)


def read(app: App, *, from_at: datetime, to_at: datetime, learns: bool = False) -> Trace:
    """Read what an app was used for, the sandbox apart; with ``learns`` also the four weeks before, to learn from.

    Raises InvalidInput when the time is too long or there was nothing.
    """
    if not from_at < to_at <= from_at + LONGEST:
        raise InvalidInput("to", f"Choose an end after the start, at most {LONGEST.days} days later.")
    starts_at = _hour(from_at - LEARN if learns else from_at)
    calls = _calls(app, starts_at, to_at)
    judged_from_ms = (_hour(from_at) - starts_at) // MS
    if not any(call.after_ms >= judged_from_ms for call in calls):
        raise InvalidInput("from", f"{app.name} was not used between these times.")
    length_ms = -(-((to_at - starts_at) // MS) // HOUR_MS) * HOUR_MS
    return Trace(
        f"{app.slug}, {from_at:%Y-%m-%d} to {to_at:%Y-%m-%d}",
        calls,
        starts_at,
        step_ms=HOUR_MS,
        length_ms=length_ms,
        judged_from_ms=judged_from_ms,
        is_rates=True,
        notes=(
            "Usage is summed by hour; tokens are the averages of each hour and model.",
            "Prices are those of today, before and after.",
        ),
    )


def models_of(app: App) -> tuple[list[str], list[str]]:
    """Return the models that an app may use now, and all that it ever used."""
    version = _version(app)
    used = (
        UsageRollup.objects.filter(attribution__app=app, attribution__model__isnull=False)
        .exclude(attribution__environment=Environment.SANDBOX)
        .values_list("attribution__model__name", flat=True)
        .distinct()
    )
    return list(version.allowed_models) if version else [], sorted(name for name in used if name)


def _version(app: App) -> Version | None:
    listing = Listing.objects.select_related("version").filter(app=app).first()
    return listing.version if listing else None


def _calls(app: App, from_at: datetime, to_at: datetime) -> tuple[Call, ...]:
    rows = (
        UsageRollup.objects.filter(attribution__app=app, hour__gte=from_at, hour__lt=to_at, requests__gt=0)
        .exclude(attribution__environment=Environment.SANDBOX)
        .exclude(attribution__model=None)
        .values_list("hour", "attribution__subscription", "attribution__model__name")
        .annotate(Sum("requests"), Sum("input_tokens"), Sum("output_tokens"))
        .order_by("hour", "attribution__subscription", "attribution__model__name")
    )
    # One average for each hour and model: pieces of a window are made of calls that are alike.
    sums: dict[tuple[datetime, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    found = list(rows)
    for hour, _, model, requests, tokens_in, tokens_out in found:
        for place, number in enumerate((requests, tokens_in, tokens_out)):
            sums[hour, model][place] += number
    return tuple(
        Call(
            (hour - from_at) // MS,
            _average(sums[hour, model], 1),
            _average(sums[hour, model], 2),
            count=requests,
            client=str(subscription or ""),
            model=model,
        )
        for hour, subscription, model, requests, _, _ in found
    )


def _average(sums: list[int], place: int) -> int:
    return (2 * sums[place] + sums[0]) // (2 * sums[0])


def _hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)


def with_scenario(
    app: App, *, from_at: datetime, to_at: datetime, at: datetime, changes: dict[str, Any]
) -> tuple[Trace, Scenario]:
    """Read an app's usage and build the scenario that fits it: its own models at the prices of ``at``.

    Raises InvalidInput when there was nothing, or nothing to choose between.
    """
    trace = read(app, from_at=from_at, to_at=to_at, learns=changes.get("hosting") == "instances")
    allowed, used = models_of(app)
    scenario, unpriced = pricing.scenario_of_app(allowed, used=used, at=at, **changes)
    if unpriced:
        kept = tuple(call for call in trace.calls if call.model not in unpriced)
        note = f"Usage of {', '.join(unpriced)} is left out: no price now, or embeddings."
        trace = replace(trace, calls=kept, notes=(*trace.notes, note))
    return trace, scenario
