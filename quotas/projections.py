"""What a limit would cost a month: from what the owner used in the last thirty days."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from marketplace.core.money import exact
from metering.measures import Measures
from metering.queries import MixedCurrencies, usage
from metering.scopes import EVERYTHING
from quotas.owners import Owner

LOOKED_BACK = timedelta(days=30)
WINDOWS_A_MONTH = {"minute": 30 * 24 * 60, "day": 30, "month": 1}
ZERO = Decimal(0)


@dataclass(frozen=True)
class Projection:
    """Money a month: when nothing changes, when use grows with the limit, and when all of it is used."""

    low: Decimal
    expected: Decimal
    high: Decimal
    currency: str
    budget_left_after: Decimal | None = None


def project(owner: Owner, *, measure: str, window: str, granted: Decimal, at: datetime) -> Projection:
    """Project what the owner costs a month with a limit of ``granted``.

    Low is what the last thirty days cost; high is every window used to its end at the cost of a unit; expected lies in
    the middle. Without any usage there is no cost of a unit, and only a limit of cost says what it may cost.
    """
    used = _used(owner, at=at)
    amount = _amount(used, measure)
    with exact():
        most = granted * WINDOWS_A_MONTH[window]
        unit = Decimal(1) if measure == "cost" else (used.cost / amount if amount else ZERO)
        high = max(most * unit, used.cost) if measure != "concurrency" else used.cost
    return Projection(used.cost, (used.cost + high) / 2, high, used.currency)


@dataclass(frozen=True)
class _Used:
    cost: Decimal
    currency: str
    measures: Measures | None


def _used(owner: Owner, *, at: datetime) -> _Used:
    filters = {owner.kind: owner.qualified_id}
    try:
        report = usage(from_at=at - LOOKED_BACK, to_at=at, filters=filters, visible=EVERYTHING)
    except MixedCurrencies:
        return _Used(ZERO, "", None)
    if not report.rows:
        return _Used(ZERO, "", None)
    total = report.rows[0].measures
    return _Used(Decimal(total.cost), report.currency, total)


def _amount(used: _Used, measure: str) -> Decimal:
    return (
        Decimal(getattr(used.measures, measure))
        if used.measures and measure in ("requests", "tokens")
        else ZERO
    )
