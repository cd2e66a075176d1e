"""What metering tells the catalogue of apps: calls, cost and latency. It is above, so it calls and hands in numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from marketplace.catalog.discovery_models import MeasuredFacts

FIELDS = ("monthly_calls", "cost_per_1000", "p95_latency_ms", "timed_calls")


@dataclass(frozen=True)
class Measured:
    """Of one app: calls and cost of 30 days in production, latency of 90; None is not measured."""

    app_id: int
    monthly_calls: int
    cost_per_1000: Decimal | None
    p95_latency_ms: int | None
    timed_calls: int


def note(facts: Sequence[Measured], *, at: datetime) -> int:
    """Write what was measured; returns how many apps it changed. Apps that nobody calls any more go back to nothing.

    Unchanged apps are not touched, for every write renews a search entry. Rows are written in the order of apps.
    """
    known = {row.app_id: row for row in MeasuredFacts.objects.all()}
    told = {fact.app_id: fact for fact in facts}
    gone = [Measured(app_id, 0, None, None, 0) for app_id in known if app_id not in told]
    changed = [fact for fact in (*facts, *gone) if _is_new(fact, known.get(fact.app_id))]
    MeasuredFacts.objects.bulk_create(
        [
            MeasuredFacts(
                app_id=fact.app_id, measured_at=at, **{name: getattr(fact, name) for name in FIELDS}
            )
            for fact in sorted(changed, key=lambda fact: fact.app_id)
        ],
        update_conflicts=True,
        unique_fields=["app"],
        update_fields=[*FIELDS, "measured_at"],
    )
    return len(changed)


def _is_new(fact: Measured, row: MeasuredFacts | None) -> bool:
    return row is None or any(getattr(fact, name) != getattr(row, name) for name in FIELDS)
