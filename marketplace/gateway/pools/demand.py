"""What a class of models has to do: calls under way and waiting now, and by hour of the past weeks."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db.models import F, Q, Sum

from marketplace.catalog.models import Environment, Listing
from marketplace.gateway.async_models import AsyncRun
from marketplace.gateway.pools.policy import MILLI, Window
from metering.models import LanguageModel, UsageRollup
from quotas.models import Hold

HOUR_MS = 3_600_000
LEARNT_FROM = timedelta(weeks=4)
MOST_WAITING = 1000


def under_way(*, at: datetime) -> dict[str, int]:
    """Count the calls that hold something now, by class of the model that is called (two queries)."""
    held = Hold.objects.filter(state=Hold.State.HELD, expires_at__gt=at).values_list(
        "usage__model", flat=True
    )
    return _by_class(Counter(model for model in held if model))


def waiting() -> dict[str, int]:
    """Count runs that nobody has begun, by class of the first model that their app may use (three queries)."""
    runs = AsyncRun.objects.filter(state=AsyncRun.State.QUEUED)
    apps = Counter(runs.values_list("subscription__app", flat=True)[:MOST_WAITING])
    if not apps:
        return {}
    listed = Listing.objects.filter(app__in=apps).values_list("app_id", "version__allowed_models")
    counted: Counter[str] = Counter()
    for app_id, allowed in listed:
        if allowed:
            counted[allowed[0]] += apps[app_id]
    return _by_class(counted)


def past_windows(model_class: str, *, until: datetime, since: datetime | None = None) -> list[Window]:
    """Return calls at a time of each hour, on average, from the roll-ups (one query); hours without calls are zeros.

    By Little's law: how many calls an hour had, times how long they took, over the hour. Calls that told no time count as
    long as the others.
    """
    end = _hour(until)
    start = _hour(since or until - LEARNT_FROM)
    rows = (
        UsageRollup.objects.filter(hour__gte=start, hour__lt=end, attribution__model__model_class=model_class)
        .exclude(attribution__environment=Environment.SANDBOX)
        .values_list("hour")
        .annotate(Sum("requests"), Sum("latency_ms"), Sum("latency_events"))
        .order_by("hour")
    )
    busy = {hour: _milli_calls(requests, took, told) for hour, requests, took, told in rows}
    if not busy:
        return []
    first = min(busy)
    hours = (end - first) // timedelta(hours=1)
    return [
        Window(at, busy.get(at, 0)) for at in (first + number * timedelta(hours=1) for number in range(hours))
    ]


def calls(model_class: str, *, since: datetime, until: datetime) -> int:
    """Count the calls of a class (one query)."""
    found = UsageRollup.objects.filter(
        ~Q(attribution__environment=Environment.SANDBOX),
        hour__gte=since,
        hour__lt=until,
        attribution__model__model_class=model_class,
    )
    return found.aggregate(all=Sum(F("requests")))["all"] or 0


def _milli_calls(requests: int, took_ms: int, told: int) -> int:
    return -(-requests * took_ms * MILLI // (told * HOUR_MS)) if told else 0


def _by_class(models: Counter[str]) -> dict[str, int]:
    classes = dict(LanguageModel.objects.filter(name__in=models).values_list("name", "model_class"))
    sums: dict[str, int] = defaultdict(int)
    for model, count in models.items():
        sums[classes.get(model, "")] += count
    return dict(sums)


def _hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)


def peak(windows: Iterable[Window]) -> int:
    """Return the most calls at a time, in thousandths."""
    return max((window.milli_calls for window in windows), default=0)
