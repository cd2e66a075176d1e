"""What counts against a limit from before it was set, read off the roll-ups."""

from datetime import datetime
from decimal import Decimal
from typing import Any, cast

from marketplace.catalog.models import Environment
from marketplace.core.money import exact
from marketplace.core.periods import Window, window_bounds
from metering.models import LanguageModel
from metering.queries import MixedCurrencies, usage
from metering.scopes import EVERYTHING
from quotas.models import Limit, LimitCounter
from quotas.owners import Owner


def count_what_was_used(limit: Limit, owner: Owner, *, at: datetime) -> None:
    """Begin with what was used in this window already: a monthly budget set on the 20th knows the first 19 days.

    One that begins later in this window knows them too; what begins in a later window counts all of it by itself.
    """
    if limit.measure == Limit.Measure.CONCURRENCY or limit.window == Limit.Window.MINUTE:
        return
    starts_at, ends_at = window_bounds(at, cast(Window, limit.window), limit.time_zone)
    if limit.starts_at >= ends_at:
        return
    used = _used(limit, owner, from_at=starts_at, to_at=at)
    LimitCounter.objects.create(
        limit=limit,
        window_starts_at=starts_at,
        window_ends_at=ends_at,
        is_hard=limit.mode == Limit.Mode.HARD,
        ceiling=max(limit.limit_value, used),
        spent=used,
    )


def _used(limit: Limit, owner: Owner, *, from_at: datetime, to_at: datetime) -> Decimal:
    """Sum what counts against the limit. Requests and tokens count whatever currency they cost."""
    if to_at <= from_at:
        return Decimal(0)
    asked: dict[str, Any] = {
        "from_at": from_at,
        "to_at": to_at,
        "group_by": ["environment", "model"] if limit.model_class else ["environment"],
        "visible": EVERYTHING,
    }
    filters = {owner.kind: owner.qualified_id}
    try:
        reports = [usage(**asked, filters=_in_currency(filters, limit.currency))]
    except MixedCurrencies as error:
        reports = [usage(**asked, filters=_in_currency(filters, one)) for one in error.currencies]
    named = _models_of(limit.model_class)
    counted = [
        row
        for report in reports
        for row in report.rows
        if _counts(limit, row.parts[0].id) and (not limit.model_class or row.parts[1].id in named)
    ]
    with exact():
        return sum((Decimal(getattr(row.measures, limit.measure)) for row in counted), Decimal(0))


def _in_currency(filters: dict[str, str], currency: str) -> dict[str, str]:
    return {**filters, "currency": currency} if currency else filters


def _models_of(model_class: str) -> frozenset[str]:
    if not model_class:
        return frozenset()
    return frozenset(LanguageModel.objects.filter(model_class=model_class).values_list("name", flat=True))


def _counts(limit: Limit, environment: str | None) -> bool:
    """Tell whether usage of an environment counts: that of the limit, or all but the sandbox."""
    return environment == limit.environment if limit.environment else environment != Environment.SANDBOX
