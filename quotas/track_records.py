"""How good somebody's earlier projections were, and how much of what they were granted was used."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import QuerySet

from marketplace.catalog.models import Environment
from metering.queries import MixedCurrencies, usage
from metering.scopes import EVERYTHING
from quotas.demand import DAYS_OF_MONTH, MINUTES_OF_DAY, ZERO
from quotas.increase_models import GRANTED, IncreaseRequest
from quotas.increase_subjects import subject_of
from quotas.owners import RELATED, Owner

SHOWN = 5
LOOKED_BACK = timedelta(days=180)
FEWEST_DAYS = 7


@dataclass(frozen=True)
class Used:
    """What an owner used on one day: requests, tokens, cost."""

    requests: Decimal
    tokens: Decimal
    cost: Decimal


@dataclass(frozen=True)
class Outcome:
    """An earlier request that was granted, and what happened while it lasted; None where it is too early to tell.

    ``calls`` and ``cost`` are scaled to a month of thirty days; ``peak_percent`` is the busiest window in percent of the
    grant, where windows can be seen (days and months).
    """

    request: IncreaseRequest
    label: str
    days: int
    calls: Decimal | None
    cost: Decimal | None
    peak_percent: int | None

    @property
    def cost_error_percent(self) -> int | None:
        """How much more or less it cost than declared, in percent; None where nothing was declared."""
        if self.cost is None or not self.request.monthly_cost:
            return None
        return int((self.cost - self.request.monthly_cost) * 100 / self.request.monthly_cost)


@dataclass(frozen=True)
class TrackRecord:
    """What is known of a person's earlier requests: how many of which end, and how the granted ones went."""

    granted: int
    denied: int
    other: int
    outcomes: tuple[Outcome, ...]

    @property
    def is_empty(self) -> bool:
        return not self.granted + self.denied + self.other

    @property
    def mean_cost_error_percent(self) -> int | None:
        """By how much the cost was off on average, whichever way; None without a measured one."""
        errors = [abs(one.cost_error_percent) for one in self.outcomes if one.cost_error_percent is not None]
        return sum(errors) // len(errors) if errors else None

    def as_json(self) -> dict[str, Any]:
        """Write down what a decision keeps."""
        return {
            "granted": self.granted,
            "denied": self.denied,
            "other": self.other,
            "mean_cost_error_percent": self.mean_cost_error_percent,
        }


def track_record(
    request: IncreaseRequest, *, visible: QuerySet[IncreaseRequest], at: datetime
) -> TrackRecord:
    """Return the record of a request's author among the ``visible`` ones (one query, and three for what was used).

    Measured are the newest granted requests for the same kind of owner.
    """
    earlier = list(
        visible.filter(requester=request.requester_id)
        .exclude(pk=request.pk)
        .exclude(state__in=["draft", "submitted", "cost_review", "capacity_review", "needs_info"])
        .select_related(*RELATED, "grant")
        .order_by("-created_at")[:100]
    )
    granted = [one for one in earlier if one.state in GRANTED]
    measured = [one for one in granted if one.owner_kind == request.owner_kind and hasattr(one, "grant")][
        :SHOWN
    ]
    denied = sum(one.state == "denied" for one in earlier)
    return TrackRecord(
        granted=len(granted),
        denied=denied,
        other=len(earlier) - len(granted) - denied,
        outcomes=tuple(_outcomes(measured, at=at)),
    )


def outcome(
    request: IncreaseRequest, *, label: str, used: dict[date, Used], first: date, end: date
) -> Outcome:
    """Compare what was declared with the full days from ``first`` up to ``end``. Pure."""
    days = [used.get(first + timedelta(number)) for number in range(max(0, (end - first).days))]
    if len(days) < FEWEST_DAYS:
        return Outcome(request, label, len(days), None, None, None)
    calls = sum((day.requests for day in days if day), ZERO)
    cost = sum((day.cost for day in days if day), ZERO)
    return Outcome(
        request,
        label,
        len(days),
        calls=calls * DAYS_OF_MONTH / len(days),
        cost=cost * DAYS_OF_MONTH / len(days),
        peak_percent=_peak_percent(request, [_measured(request, day) for day in days]),
    )


def _outcomes(requests: Sequence[IncreaseRequest], *, at: datetime) -> list[Outcome]:
    if not requests:
        return []
    owners = {one.pk: subject_of(one).owner for one in requests}
    used = _daily(list(owners.values()), at=at)
    today = at.astimezone(UTC).date()
    found = []
    for one in requests:
        owner, grant = owners[one.pk], one.grant
        # The day on which it began counts from the next one on: before, the limit was another.
        first = max(grant.starts_at.date() + timedelta(days=1), today - LOOKED_BACK)
        end = min(today, grant.lapses_at.date()) if grant.lapses_at else today
        found.append(
            outcome(
                one,
                label=owner.label,
                used=used.get(owner.id) or used.get(owner.qualified_id) or {},
                first=first,
                end=end,
            )
        )
    return found


def _daily(owners: Sequence[Owner], *, at: datetime) -> dict[str, dict[date, Used]]:
    """Read the days of several owners of one kind (three queries); of several currencies, that used most often."""
    to_at = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    kind = owners[0].kind
    asked: dict[str, Any] = {
        "from_at": to_at - LOOKED_BACK,
        "to_at": to_at,
        "granularity": "day",
        "group_by": [kind],
        "visible": EVERYTHING,
    }
    filters: dict[str, Any] = {
        kind: [owner.qualified_id for owner in owners],
        "environment": [one for one in Environment.values if one != Environment.SANDBOX],
    }
    try:
        report = usage(**asked, filters=filters)
    except MixedCurrencies as error:
        report = usage(**asked, filters={**filters, "currency": error.currencies[0]})
    found: dict[str, dict[date, Used]] = {}
    for row in report.rows:
        day = Used(Decimal(row.measures.requests), Decimal(row.measures.tokens), Decimal(row.measures.cost))
        found.setdefault(str(row.parts[0].id), {})[row.starts_at.date()] = day
    return found


def _measured(request: IncreaseRequest, day: Used | None) -> Decimal:
    name = "requests" if request.measure == "concurrency" else request.measure
    return getattr(day, name) if day else ZERO


def _peak_percent(request: IncreaseRequest, days: Sequence[Decimal]) -> int | None:
    """Say how full the busiest window was; a month is judged by thirty days at the pace of these."""
    granted = request.granted
    if not granted or request.measure == "concurrency":
        return None
    if request.window == "day":
        return int(max(days) * 100 / granted)
    if request.window == "month":
        return int(sum(days, ZERO) * DAYS_OF_MONTH / len(days) * 100 / granted)
    return int(max(days) * 100 / (granted * MINUTES_OF_DAY))
