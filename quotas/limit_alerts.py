"""Telling people how near a limit is: each threshold once a window, also when it is passed in a jump.

A routine reads the counters that admission writes and compares them with the thresholds; nothing is added to the hot path.
What was told is a row, so two routines at once tell once. Windows that ended a little while ago are looked at too: what was
passed in the last minute of a month is not lost.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.contrib.postgres.expressions import ArraySubquery
from django.db import connection, transaction
from django.db.models import F, OuterRef, Q, QuerySet
from django.db.models.functions import JSONObject
from django.urls import reverse

from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import Membership, User
from marketplace.catalog.models import Subscription
from marketplace.catalog.queries import visible_subscriptions
from marketplace.core.errors import InvalidInput
from marketplace.core.money import exact
from marketplace.core.notices import notify
from marketplace.core.templatetags.money import amount, number
from quotas import words
from quotas.budget_history import budget_limits
from quotas.budget_models import Budget, LimitWatch
from quotas.budgets import RELATED as BUDGET_RELATED
from quotas.budgets import finance_of, owner_of_budget, visible_budgets, who_answers
from quotas.models import Limit, LimitCounter

SUBSCRIPTION_THRESHOLDS = (80, 95)
LOOK_BACK = timedelta(days=1)
Thing = tuple[str, Any]


@dataclass(frozen=True)
class Passed:
    """A counter that is beyond thresholds which nobody was told of; ``percents`` in ascending order."""

    counter: LimitCounter
    percents: tuple[int, ...]


@dataclass
class _Audience:
    """Whom a limit concerns: at which thresholds everybody is told, who else wants to be at which percent, and where to look."""

    thresholds: Collection[int]
    people: list[User]
    what: str
    path: str
    budget_id: UUID | None = None
    subscription_id: UUID | None = None
    watchers: dict[int, list[User]] = field(default_factory=lambda: defaultdict(list))

    @property
    def percents(self) -> set[int]:
        return {*self.thresholds, *self.watchers}

    def at(self, percents: Iterable[int]) -> set[User]:
        """Return everybody who is to be told at one of these."""
        told = {person for percent in percents for person in self.watchers.get(percent, ())}
        return told | set(self.people) if set(percents) & set(self.thresholds) else told


def tell(*, at: datetime) -> int:
    """Tell of every threshold that was passed and not told of; returns how many were told of."""
    counters = [*_of_budgets(at=at), *_of_subscriptions(at=at)]
    audiences = _audiences(counters)
    told = 0
    for counter in counters:
        audience = audiences.get(_thing(counter.limit))
        if audience is None:
            continue
        passed = passed_percents(used_of(counter), counter.limit.limit_value, audience.percents)
        if passed:
            told += _tell_once(Passed(counter, passed), audience, at=at)
    return told


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


def watch(
    *,
    percent: int,
    by: Actor,
    at: datetime,
    budget: Budget | None = None,
    subscription: Subscription | None = None,
) -> LimitWatch:
    """Let a person be told at so many percent of a budget, or of each limit of a subscription. Asked twice, it is one.

    Raises InvalidInput, and NotFound for what they may not see.
    """
    if not 1 <= percent <= 100:
        raise InvalidInput("percent", "must be a whole percentage from 1 to 100", limit=100)
    if budget is not None:
        access.get(visible_budgets(by), pk=budget.pk)
    else:
        access.get(visible_subscriptions(by), pk=subscription.pk if subscription else None)
    made, _ = LimitWatch.objects.get_or_create(
        person=by.user, budget=budget, subscription=subscription, percent=percent, defaults={"created_at": at}
    )
    return made


def unwatch(watch_id: object, *, by: Actor) -> LimitWatch:
    """Let a person not be told any more; returns what is gone. Raises NotFound for what is not theirs."""
    one = access.get(LimitWatch.objects.filter(person=by.user), pk=watch_id)
    LimitWatch.objects.filter(pk=one.pk).delete()
    return one


def with_watches(budgets: QuerySet[Budget], *, of: User) -> QuerySet[Budget]:
    """Add to budgets what a person wants to be told of, as ``my_watches``: key and percent of each."""
    own = LimitWatch.objects.filter(person=of, budget=OuterRef("pk")).order_by("percent")
    return budgets.annotate(my_watches=ArraySubquery(own.values(one=JSONObject(pk="pk", percent="percent"))))


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


def _thing(limit: Limit) -> Thing:
    return limit.owner_kind, limit.owner_id


def _audiences(counters: Sequence[LimitCounter]) -> dict[Thing, _Audience]:
    """Find whom to tell, once for everything that has a counter."""
    things = {_thing(counter.limit) for counter in counters}
    subscription_ids = {key for kind, key in things if kind == "subscription"}
    found: dict[Thing, _Audience] = {}
    if things - {("subscription", key) for key in subscription_ids}:
        found |= _of_budget_people(things)
    if subscription_ids:
        found |= _of_subscription_people(subscription_ids)
    return found


def _of_budget_people(things: Collection[Thing]) -> dict[Thing, _Audience]:
    of_kind = {kind: [key for one, key in things if one == kind] for kind in ("cost_center", "team")}
    budgets = Budget.objects.filter(
        Q(cost_center__in=of_kind["cost_center"]) | Q(team__in=of_kind["team"])
    ).select_related(*BUDGET_RELATED)
    finance: dict[int, list[User]] = {}
    found = {}
    for budget in budgets.prefetch_related("watches__person"):
        organization_id = owner_of_budget(budget).organization_id
        if organization_id not in finance:
            finance[organization_id] = list(finance_of(organization_id))
        audience = _Audience(
            thresholds=budget.thresholds,
            people=[who_answers(budget), *finance[organization_id]],
            what=f"The {budget}",
            path=reverse("quotas:budget", args=[budget.pk]),
            budget_id=budget.pk,
        )
        for one in budget.watches.all():
            audience.watchers[one.percent].append(one.person)
        found[budget.owner_key] = audience
    return found


def _of_subscription_people(ids: Collection[Any]) -> dict[Thing, _Audience]:
    subscriptions = list(Subscription.objects.filter(pk__in=ids).select_related("app", "team", "created_by"))
    consumers: dict[int, list[User]] = defaultdict(list)
    members = Membership.objects.filter(
        team__in={one.team_id for one in subscriptions}, role=Role.CONSUMER, user__is_active=True
    )
    for membership in members.select_related("user"):
        consumers[membership.team_id or 0].append(membership.user)
    found: dict[Thing, _Audience] = {}
    for one in subscriptions:
        found["subscription", one.pk] = _Audience(
            thresholds=SUBSCRIPTION_THRESHOLDS,
            people=consumers[one.team_id] or [one.created_by],
            what=f"{one.app.name} for {one.team.name}",
            path=reverse("quotas:limits", args=["subscription", one.pk]),
            subscription_id=one.pk,
        )
    for watching in LimitWatch.objects.filter(subscription__in=ids).select_related("person"):
        found["subscription", watching.subscription_id].watchers[watching.percent].append(watching.person)
    return found


def _tell_once(passed: Passed, audience: _Audience, *, at: datetime) -> int:
    """Write down what is told of now and tell it in one notice; nothing when another routine was faster."""
    with transaction.atomic():
        new = _written(passed, at=at)
        if new:
            people = [person for person in audience.at(new) if _may_see(person, audience)]
            notify(
                people,
                text=_text(passed.counter, new, audience.what),
                at=at,
                key=f"limit-alert:{passed.counter.limit_id}:{passed.counter.window_starts_at:%Y%m%dT%H%M}:{new[-1]}",
                path=audience.path,
            )
    return len(new)


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
                counter.limit.limit_value,
                at,
                list(passed.percents),
            ],
        )
        return sorted(percent for (percent,) in cursor.fetchall())


def _may_see(person: User, audience: _Audience) -> bool:
    """Tell whether somebody may still see what they wanted to be told of; its people always may."""
    if person in audience.people:
        return True
    actor = access.actor_for(person)
    if audience.subscription_id is not None:
        return visible_subscriptions(actor).filter(pk=audience.subscription_id).exists()
    return visible_budgets(actor).filter(pk__in=[audience.budget_id]).exists()


def _text(counter: LimitCounter, percents: Sequence[int], what: str) -> str:
    """Say how much is used and which thresholds that is beyond: "…: 96 % used, $96.00 of $100.00. Past 80 and 95 %."."""
    limit, used = counter.limit, used_of(counter)
    with exact():
        share = int(used * 100 / limit.limit_value) if limit.limit_value else 100
    shown = (
        f"{amount(used, limit.currency)} of {amount(limit.limit_value, limit.currency)}"
        if limit.currency
        else f"{number(used)} of {number(limit.limit_value)}"
    )
    starts_at = counter.window_starts_at
    when = f"in {starts_at:%B %Y}" if limit.window == Limit.Window.MONTH else f"on {starts_at:%-d %B}"
    *before, last = [str(percent) for percent in percents]
    marks = f"{', '.join(before)} and {last}" if before else last
    tail = " Calls are refused." if share >= 100 and limit.mode == Limit.Mode.HARD else ""
    of_what = f" of {words.title(limit).lower()}" if limit.owner_kind == "subscription" else ""
    return f"{what}: {share} %{of_what} used {when}, {shown}. Past {marks} %.{tail}"
