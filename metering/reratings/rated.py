"""What a re-rating makes of events, in SQL: a million of them are no work for Python.

The result is that of ``metering.rating.rate`` to the last digit (test ``tests/properties/test_corrections.py``): whole
attos, one rounding for tokens and one for time. Quantities are those that count now, corrections among them; the part
of the cost that is not rated anew keeps its price, be it that of an earlier re-rating. Calls of batches keep their rate.
"""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any

from django.db.models import Q

from metering import periods
from metering.models import Attribution, Rerating
from metering.partitions import PeriodArchived, archived
from metering.reratings import covering

_ATTO = "1000000000000000000::numeric"
_TOKENS = (
    ("u.input_tokens - u.cached_input_tokens - u.cache_write_tokens", "input_per_mtok"),
    ("u.cached_input_tokens", "cached_input_per_mtok"),
    ("u.cache_write_tokens", "cache_write_per_mtok"),
    ("u.output_tokens - u.reasoning_tokens", "output_per_mtok"),
    ("u.reasoning_tokens", "reasoning_per_mtok"),
)
_OF_TOKENS = " + ".join(
    f"({quantity}) * CASE WHEN tk.id IS NULL THEN card.{price} "
    f"ELSE round(tk.{price} * (100 - coalesce(br.off_percent, 0)) * 0.01, 18) END"
    for quantity, price in _TOKENS
)
_OF_TIME = "u.duration_ms * CASE WHEN ti.id IS NULL THEN i.price_per_hour ELSE ti.price_per_hour END"
_COUNTED = (
    "requests", "input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens",
    "duration_ms",
)  # fmt: skip
_EFFECTIVE = ", ".join(f"coalesce(c.new_{name}, e.{name}) AS {name}" for name in _COUNTED)
# `div` cuts off, so half of the divisor is added: half away from zero, since nothing here is negative.
_RATED = f"""
SELECT u.*, (
    coalesce(div(({_OF_TOKENS}) * {_ATTO} + 500000, 1000000), 0)
    + coalesce(div({_OF_TIME} * {_ATTO} + 1800000, 3600000), 0)
) * 0.000000000000000001 AS new_cost
FROM (
    SELECT e.app_id, e.event_id, e.occurred_at, e.attribution_id, e.currency, e.rate_card_id, e.instance_rate_id,
        coalesce(c.ordinal, 0) AS ordinal, {_EFFECTIVE}, coalesce(c.new_cost, e.cost) AS old_cost,
        CASE WHEN c.id IS NULL THEN e.provider_cost ELSE c.new_provider_cost END AS provider_cost, e.received_at
    FROM metering_usageevent e
    LEFT JOIN LATERAL (
        SELECT * FROM metering_correction c WHERE c.app_id = e.app_id AND c.event_id = e.event_id
        ORDER BY c.ordinal DESC LIMIT 1
    ) c ON TRUE
    WHERE {{events}}
) u
LEFT JOIN LATERAL ({{tokens}}) tk ON TRUE
LEFT JOIN metering_ratecard card ON card.id = u.rate_card_id
LEFT JOIN metering_batchrate br ON br.id = card.batch_rate_id
LEFT JOIN LATERAL ({{time}}) ti ON TRUE
LEFT JOIN metering_instancerate i ON i.id = u.instance_rate_id
"""  # noqa: S608
# Only usage itself, of the price's currency, that was there when the preview was made.
AFFECTED = (
    "e.corrects IS NULL AND e.currency = %(currency)s AND e.attribution_id = ANY(%(attributions)s) "
    "AND e.received_at <= %(until)s "
)


def rated(rerating: Rerating, *, events: str) -> str:
    """Return the query of a re-rating over the events ``e`` of a condition: what each counts as, old and new cost."""
    mine = "SELECT x.* FROM metering_rerating x WHERE x.id = %(rerating)s"
    return _RATED.format(
        tokens=mine if rerating.is_of_tokens else covering.newest(Rerating.Kind.MODEL, event="u"),
        time=covering.newest(Rerating.Kind.INSTANCE_TYPE, event="u") if rerating.is_of_tokens else mine,
        events=events,
    )


def usage_of(rerating: Rerating) -> Q:
    """Return the condition on attributions of the usage that the price is for.

    What was used under the name while it was unknown was rated at the ceiling, and belongs here too.
    """
    if not rerating.is_of_tokens:
        return Q(instance_type=rerating.subject)
    return Q(model__name=rerating.subject) | Q(model__is_ceiling=True, model_asked=rerating.subject)


def attributions_of(rerating: Rerating) -> list[tuple[int, int]]:
    """Return id and app of the attributions of that usage, by app."""
    found = Attribution.objects.filter(usage_of(rerating)).order_by("app_id", "pk")
    return list(found.values_list("pk", "app_id"))


def parameters(
    rerating: Rerating, *, attributions: Iterable[int], until: datetime, closed: frozenset[date]
) -> dict[str, Any]:
    """Return what the query and its condition are asked with; each month comes with the one that bills it."""
    months = months_of(rerating)
    return {
        "rerating": rerating.pk,
        "currency": rerating.currency,
        "attributions": list(attributions),
        "until": until,
        "starts_at": rerating.starts_at,
        "ends_at": rerating.ends_at,
        "months": months,
        "periods": [periods.billed_in(periods.bounds(period)[0], closed) for period in months],
    }


def months_of(rerating: Rerating) -> list[date]:
    """Return the months that the usage occurred in."""
    months = [periods.month(rerating.starts_at)]
    while periods.bounds(months[-1])[1] < rerating.ends_at:
        months.append(periods.next_month(months[-1]))
    return months


def require_in_table(rerating: Rerating) -> None:
    """Raise PeriodArchived when some of the usage was taken out of the table."""
    for period in sorted(set(months_of(rerating)) & archived()):
        raise PeriodArchived(period)
