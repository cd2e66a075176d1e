"""What calls usually come to, learned from the latest ones of each app, so that holds are neither far too high nor low.

A model call holds its dearest possible cost: what is learned never makes that less. It says how long an answer may be
when its caller did not and a limit has no room for the longest, and what is held of an app that runs elsewhere, of
which nothing is known before it has answered.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import connection, transaction

from quotas.admission import Estimate
from quotas.usual_models import UsualUse

LEARN_FROM = timedelta(days=7)
NOTHING = Estimate(0, Decimal(0))
LATEST = 2_000
ENOUGH = 50
"""Of fewer calls nothing is learned: one of them would be the quantile."""

_LEARN = """
INSERT INTO quotas_usualuse (app_id, model_id, calls, output_p99, tokens_p50, tokens_p95, cost_p50, cost_p95, learned_at)
SELECT a.id, u.model_id, count(*),
       percentile_disc(0.99) WITHIN GROUP (ORDER BY e.output_tokens),
       percentile_disc(0.5) WITHIN GROUP (ORDER BY e.input_tokens + e.output_tokens),
       percentile_disc(0.95) WITHIN GROUP (ORDER BY e.input_tokens + e.output_tokens),
       percentile_disc(0.5) WITHIN GROUP (ORDER BY e.cost),
       percentile_disc(0.95) WITHIN GROUP (ORDER BY e.cost),
       %(at)s
FROM catalog_app a
CROSS JOIN LATERAL (
    SELECT * FROM metering_usageevent
    WHERE app_id = a.id AND occurred_at >= %(since)s AND occurred_at <= %(at)s AND corrects IS NULL AND requests = 1
      AND NOT coalesce(tags ? 'halfpenny.saved_by', FALSE)
    ORDER BY occurred_at DESC LIMIT %(latest)s
) e
JOIN metering_attribution u ON u.id = e.attribution_id
GROUP BY GROUPING SETS ((a.id, u.model_id), (a.id))
HAVING count(*) >= %(enough)s AND (grouping(u.model_id) = 1 OR u.model_id IS NOT NULL)
"""


def learn(*, at: datetime) -> int:
    """Learn anew from the latest calls of every app; returns how many combinations there are."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM quotas_usualuse")
        cursor.execute(_LEARN, {"at": at, "since": at - LEARN_FROM, "latest": LATEST, "enough": ENOUGH})
        return cursor.rowcount


@dataclass(frozen=True, slots=True)
class UsualBook:
    """What was learned, by app and model; whoever reads an old one is only less exact."""

    outputs: Mapping[tuple[int, str], int] = field(default_factory=dict)
    calls: Mapping[int, tuple[Estimate, Estimate]] = field(default_factory=dict)

    def output(self, app_id: int, model: str) -> int | None:
        """Return how many tokens an answer of this app by this model may be given when room is short."""
        return self.outputs.get((app_id, model))

    def elsewhere(self, app_id: int) -> tuple[Estimate, Estimate]:
        """Return what a call of an app that runs elsewhere is held at: 19 of 20 use no more, and half of them."""
        return self.calls.get(app_id, (NOTHING, NOTHING))


def load() -> UsualBook:
    """Read what was learned (one query)."""
    outputs: dict[tuple[int, str], int] = {}
    calls = {}
    for row in UsualUse.objects.select_related("model"):
        if row.model is None:
            calls[row.app_id] = (
                Estimate(row.tokens_p95, row.cost_p95),
                Estimate(row.tokens_p50, row.cost_p50),
            )
        else:
            # A quarter more than 99 of 100 answers had: the few that are longer are cut off, not all refused.
            outputs[row.app_id, row.model.name] = row.output_p99 + -(-row.output_p99 // 4)
    return UsualBook(outputs, calls)
