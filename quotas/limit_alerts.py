"""Telling people how near a limit is: each threshold once a window, also when it is passed in a jump.

A routine reads the counters that admission writes and compares them with the thresholds; nothing is added to the hot path.
What was told is a row, so two routines at once tell once. Windows that ended a little while ago are looked at too: what was
passed in the last minute of a month is not lost.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.db import connection, transaction
from django.db.models import F, Q, QuerySet

from marketplace.catalog.models import Subscription
from marketplace.core.money import exact
from marketplace.core.notices import Kind, notify
from marketplace.core.templatetags.money import amount, number
from quotas import words
from quotas.budget_history import budget_limits
from quotas.budget_models import LimitAlert, LimitRefusal, LimitWatch
from quotas.limit_audiences import SUBSCRIPTION_THRESHOLDS, Audience, audiences, thing_of
from quotas.models import Limit, LimitCounter
from quotas.owners import owner_of_limit

LOOK_BACK = timedelta(days=1)
Window = tuple[int, datetime]


@dataclass(frozen=True)
class Passed:
    """A counter with what its limit was, beyond thresholds that nobody was told of; ``percents`` in ascending order."""

    counter: LimitCounter
    limit_value: Decimal
    percents: tuple[int, ...]


def tell(*, at: datetime) -> int:
    """Tell of every threshold that was passed and not told of; returns how many were told of."""
    counters = [*_of_budgets(at=at), *_of_subscriptions(at=at)]
    concerned = audiences({thing_of(counter.limit) for counter in counters})
    known = _told_of(counters)
    told = 0
    for counter in counters:
        audience = concerned.get(thing_of(counter.limit))
        if audience is None:
            continue
        value = _limit_value(counter, at=at)
        open_percents = audience.percents - known[counter.limit_id, counter.window_starts_at]
        percents = passed_percents(used_of(counter), value, open_percents)
        if percents:
            told += _tell_once(Passed(counter, value, percents), audience, at=at)
    return told + _tell_of_refusals(at=at)


def passed_percents(used: Decimal, limit: Decimal, percents: Iterable[int]) -> tuple[int, ...]:
    """Return the percentages of a limit that are used up, in ascending order. Nothing used has passed nothing."""
    if used <= 0:
        return ()
    with exact():
        return tuple(sorted(percent for percent in percents if used * 100 >= limit * percent))


def used_of(counter: LimitCounter) -> Decimal:
    """Return what was used, also beyond the limit; what calls under way hold may yet be given back."""
    with exact():
        return counter.spent + counter.overrun


def _of_budgets(*, at: datetime) -> list[LimitCounter]:
    return list(_running(at=at).filter(limit__in=Limit.objects.filter(budget_limits())))


def _of_subscriptions(*, at: datetime) -> list[LimitCounter]:
    """Counters of days and months of subscriptions, but those far below what anybody asks for."""
    lowest = (
        LimitWatch.objects.exclude(subscription=None)
        .order_by("percent")
        .values_list("percent", flat=True)
        .first()
    )
    least = min(min(SUBSCRIPTION_THRESHOLDS), lowest or 100)
    used = F("spent") + F("overrun")
    limits = Limit.objects.filter(subscription__state=Subscription.State.ACTIVE, window__in=["day", "month"])
    found = _running(at=at).filter(
        limit__in=limits.exclude(measure=Limit.Measure.CONCURRENCY),
        limit__limit_value__lte=used * 100 / least,
    )
    return list(found)


def _running(*, at: datetime) -> QuerySet[LimitCounter]:
    windows = Q(window_starts_at__lte=at, window_ends_at__gt=at - LOOK_BACK)
    counted = LimitCounter.objects.filter(windows).exclude(spent=0, overrun=0)
    return counted.select_related("limit").order_by("window_starts_at", "pk")


def _told_of(counters: Sequence[LimitCounter]) -> dict[Window, set[int]]:
    """Return what was told of already, so that what is told again and again costs no write."""
    known: dict[Window, set[int]] = defaultdict(set)
    since = min((one.window_starts_at for one in counters), default=None)
    if since is not None:
        alerts = LimitAlert.objects.filter(
            limit__in={one.limit_id for one in counters}, window_starts_at__gte=since
        )
        for limit_id, starts_at, percent in alerts.values_list("limit_id", "window_starts_at", "percent"):
            known[limit_id, starts_at].add(percent)
    return known


def _limit_value(counter: LimitCounter, *, at: datetime) -> Decimal:
    """Return what the limit is, or of a window that is over what a hard one was when it was last counted against."""
    is_over = counter.window_ends_at <= at
    return counter.ceiling if is_over and counter.is_hard else counter.limit.limit_value


def _tell_once(passed: Passed, audience: Audience, *, at: datetime) -> int:
    """Write down what is told of now and tell it in one notice; nothing when another routine was faster."""
    with transaction.atomic():
        new = _written(passed, at=at)
        if new:
            owner = owner_of_limit(passed.counter.limit)
            people = [person for person in audience.to_tell(new) if audience.may_see(person)]
            notify(
                people,
                text=_text(passed, new, audience.what),
                at=at,
                key=f"limit-alert:{passed.counter.limit_id}:{passed.counter.window_starts_at:%Y%m%dT%H%M}:{new[-1]}",
                path=audience.path,
                kind=Kind.LIMITS,
                team=owner.team,
                organization_id=owner.organization_id,
            )
    return len(new)


def _tell_of_refusals(*, at: datetime) -> int:
    """Tell of budgets that began to refuse calls, unless it was told that they are used up."""
    rows = list(LimitRefusal.objects.filter(told_at=None).select_related("limit").order_by("first_at", "pk"))
    concerned = audiences({thing_of(one.limit) for one in rows})
    told = 0
    for one in rows:
        with transaction.atomic():
            # Of two routines at once one tells; the other finds nothing to update.
            if not LimitRefusal.objects.filter(pk=one.pk, told_at=None).update(told_at=at):
                continue
            audience = concerned.get(thing_of(one.limit))
            if audience is None or _is_told_to_be_used_up(one):
                continue
            owner = owner_of_limit(one.limit)
            notify(
                [person for person in audience.everybody if audience.may_see(person)],
                text=_refusal_text(one, audience.what),
                at=at,
                key=f"limit-refusal:{one.pk}",
                path=audience.path,
                kind=Kind.LIMITS,
                team=owner.team,
                organization_id=owner.organization_id,
            )
            told += 1
    return told


def _is_told_to_be_used_up(one: LimitRefusal) -> bool:
    full = LimitAlert.objects.filter(limit=one.limit_id, window_starts_at=one.window_starts_at, percent=100)
    return full.filter(limit_value=one.limit_value).exists()


def _refusal_text(one: LimitRefusal, what: str) -> str:
    currency = one.limit.currency
    return (
        f"{what} refuses calls since {one.first_at.astimezone(UTC):%-d %B, %H:%M} UTC: {amount(one.used, currency)} of "
        f"{amount(one.limit_value, currency)} are spent or held, and a call asked for up to {amount(one.asked, currency)}."
    )


def _written(passed: Passed, *, at: datetime) -> list[int]:
    """Insert the thresholds that nobody was told of; one that another transaction is about to write is waited for."""
    counter = passed.counter
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO quotas_limitalert (limit_id, window_starts_at, percent, used, limit_value, told_at) "
            "SELECT %s, %s, percent, %s, %s, %s FROM unnest(%s::smallint[]) AS percent ORDER BY percent "
            "ON CONFLICT DO NOTHING RETURNING percent",
            [
                counter.limit_id,
                counter.window_starts_at,
                used_of(counter),
                passed.limit_value,
                at,
                list(passed.percents),
            ],
        )
        return sorted(percent for (percent,) in cursor.fetchall())


def _text(passed: Passed, percents: Sequence[int], what: str) -> str:
    """Say how much is used and which thresholds that is beyond: "…: 96 % used, $96.00 of $100.00. Past 80 and 95 %."."""
    counter, value = passed.counter, passed.limit_value
    limit, used = counter.limit, used_of(counter)
    with exact():
        share = int(used * 100 / value) if value else 100
    shown = (
        f"{amount(used, limit.currency)} of {amount(value, limit.currency)}"
        if limit.currency
        else f"{number(used)} of {number(value)}"
    )
    # The middle of the window is in its month and day, whatever its time zone.
    middle = counter.window_starts_at + (counter.window_ends_at - counter.window_starts_at) / 2
    when = f"in {middle:%B %Y}" if limit.window == Limit.Window.MONTH else f"on {middle:%-d %B}"
    *before, last = [str(percent) for percent in percents]
    marks = f"{', '.join(before)} and {last}" if before else last
    tail = " Calls are refused." if share >= 100 and limit.mode == Limit.Mode.HARD else ""
    of_what = f" of {words.title(limit).lower()}" if limit.owner_kind == "subscription" else ""
    return f"{what}: {share} %{of_what} used {when}, {shown}. Past {marks} %.{tail}"
