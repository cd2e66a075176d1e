"""What can be served of each model: committed, granted, used and asked for; and what stays free after a grant."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import Q, QuerySet

from quotas.increase_subjects import NothingToRaise, Subject, standing
from quotas.lifts import with_values
from quotas.models import Limit, ModelCapacity
from quotas.owners import Owner
from quotas.pending import Ask, app_of, subject_key, waiting
from quotas.served import Busy, Served, served
from quotas.serving import (
    Committed,
    HeadRoom,
    Profile,
    Rate,
    add_up,
    commit,
    percent_of,
    room,
)

NOTHING = Busy(Rate(), Rate(), (Rate(),) * 24)


@dataclass(frozen=True)
class ModelStanding:
    """A model a minute: what providers committed, limits grant if used evenly, calls used, and requests wait for."""

    name: str
    title: str
    committed: Committed
    providers: tuple[ModelCapacity, ...]
    granted: Rate
    used: Busy
    pending: Rate

    @property
    def free_now(self) -> Decimal | None:
        """The least percentage that stays free in the busiest hour; None where nothing is committed."""
        return self._free(Rate())

    @property
    def free_if_all_approved(self) -> Decimal | None:
        return self._free(self.pending)

    def _free(self, more: Rate) -> Decimal | None:
        taken = self.used.peak + more
        shares = [
            percent_of(committed - wanted, committed)
            for committed, wanted in (
                (self.committed.requests, taken.requests),
                (self.committed.tokens, taken.tokens),
            )
            if committed is not None
        ]
        return min(shares, default=None)


def head_room(owner: Owner, *, measure: str, window: str, granted: Decimal, at: datetime) -> HeadRoom:
    """Say what a grant leaves, after this one and after all others that wait (three queries, more once a day).

    What is added is the difference to the limit that holds; an owner without such a limit adds nothing.
    """
    subject, use = Subject(owner, measure, window), served(at=at)
    try:
        more = granted - standing(subject, at=at).value
    except NothingToRaise:
        more = Decimal(0)
    extra = profile_of(use, app_of(owner)).by_model(
        measure=measure, window=window, value=max(Decimal(0), more)
    )
    others = [one.ask for one in waiting() if one.subject_key != subject_key(subject)]
    return room(
        extra,
        pending=wanted_by(others, use=use),
        committed=_committed(list(in_force(at=at))),
        peaks={name: busy.peak for name, busy in use.models.items()},
    )


def standings(*, at: datetime, pending: Sequence[Ask]) -> list[ModelStanding]:
    """Return how every model stands that is used or has a capacity, the one with the least free first (two queries)."""
    use = served(at=at)
    capacities = list(in_force(at=at))
    committed = _committed(capacities)
    granted, asked = _granted(use, at=at), add_up(wanted_by(pending, use=use))
    titles = {capacity.model.name: capacity.model.title for capacity in capacities} | use.titles
    found = [
        ModelStanding(
            name=name,
            title=title,
            committed=committed.get(name, Committed()),
            providers=tuple(one for one in capacities if one.model.name == name),
            granted=granted.get(name, Rate()),
            used=use.models.get(name, NOTHING),
            pending=asked.get(name, Rate()),
        )
        for name, title in titles.items()
    ]
    return sorted(found, key=_least_free)


def in_force(*, at: datetime) -> QuerySet[ModelCapacity]:
    """Capacities that hold at a time."""
    found = ModelCapacity.objects.filter(Q(ends_at=None) | Q(ends_at__gt=at), starts_at__lte=at)
    return found.select_related("model", "set_by").order_by("provider", "model__name")


def profile_of(use: Served, app: str | None) -> Profile:
    """Say what calls are like: those of the app, or of everything for who calls many or for an app without calls."""
    found = use.apps.get(app) if app else None
    return found if found is not None and found.total else use.everything


def wanted_by(asks: Sequence[Ask], *, use: Served) -> list[Mapping[str, Rate]]:
    """Turn what people wait for into rates by model; what cannot be told counts as nothing, and is little."""
    rates = [
        profile_of(use, ask.app).by_model(measure=ask.measure, window=ask.window, value=ask.more)
        for ask in asks
    ]
    return [rate for rate in rates if rate is not None]


def _committed(capacities: Sequence[ModelCapacity]) -> dict[str, Committed]:
    return commit([(one.model.name, one.requests_per_minute, one.tokens_per_minute) for one in capacities])


def _granted(use: Served, *, at: datetime) -> dict[str, Rate]:
    """Sum what hard limits of subscriptions allow, the tightest of each (one query)."""
    hard = Limit.objects.filter(
        Q(ends_at=None) | Q(ends_at__gt=at),
        starts_at__lte=at,
        mode=Limit.Mode.HARD,
        subscription__state="active",
    )
    names = ("subscription_id", "subscription__app__slug", "measure", "window", "value_now")
    rows = with_values(hard, at=at).values_list(*names)
    tightest: dict[object, tuple[Decimal, Profile]] = {}
    for subscription_id, app, measure, window, value in rows:
        profile = profile_of(use, app)
        wanted = profile.requests_a_minute(measure=measure, window=window, value=value)
        known = tightest.get(subscription_id)
        if wanted is not None and (known is None or wanted < known[0]):
            tightest[subscription_id] = (wanted, profile)
    rates = [
        profile.by_model(measure="requests", window="minute", value=wanted)
        for wanted, profile in tightest.values()
    ]
    return add_up(rate for rate in rates if rate is not None)


def _least_free(one: ModelStanding) -> tuple[bool, Decimal, str]:
    free = one.free_if_all_approved
    return free is None, free if free is not None else Decimal(0), one.name
