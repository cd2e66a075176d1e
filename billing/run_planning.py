"""Which organizations have something to pay for a month, cut into batches that fit in memory.

A contract is priced as a whole, so organizations that share one (a subscription of one that another's cost center
pays for) are in the same batch.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from django.db import connection

from marketplace.core.periods import Period

# Contracts that one transaction prices and writes; one organization is never cut, however many it has.
CONTRACTS_A_BATCH = 2_000

# Who pays for a contract's fee, who else used it, and how many contracts there are.
_CONTRACTS = """
SELECT home, other, count(DISTINCT contract) FROM (
    SELECT cc.organization_id AS home, cc.organization_id AS other, s.id::text AS contract
    FROM catalog_subscription s JOIN accounts_costcenter cc ON cc.id = s.cost_center_id
    WHERE s.environment <> 'sandbox' AND s.plan_id IS NOT NULL AND s.starts_at < %(ends_at)s
      AND (s.ends_at IS NULL OR s.ends_at > %(starts_at)s)
    UNION ALL
    SELECT coalesce(cc.organization_id, a.organization_id), a.organization_id,
           coalesce(s.id::text, a.app_id::text)
    FROM (SELECT DISTINCT attribution_id FROM metering_dailyrollup WHERE period = %(period)s) used
    JOIN metering_attribution a ON a.id = used.attribution_id
    LEFT JOIN catalog_subscription s ON s.id = a.subscription_id
    LEFT JOIN accounts_costcenter cc ON cc.id = s.cost_center_id
    WHERE a.environment <> 'sandbox'
    UNION ALL
    SELECT organization_id, organization_id, id::text FROM billing_addedline
    WHERE period_id = %(name)s AND removed_at IS NULL
    UNION ALL
    SELECT organization_id, organization_id, id::text FROM billing_invoice
    WHERE period_id = %(name)s AND part = 0 AND state = 'draft'
) contracts GROUP BY home, other
"""
_SLUGS = "SELECT id FROM accounts_organization WHERE id = ANY(%s) ORDER BY slug"


def batches(month: Period, *, size: int = CONTRACTS_A_BATCH) -> Iterator[list[int]]:
    """Yield the ids of organizations, batch by batch, in order of their slugs (two queries)."""
    weights, together = _contracts(month)
    batch: list[int] = []
    weight = 0
    for members in _in_order(weights, together):
        added = sum(weights[one] for one in members)
        if batch and weight + added > size:
            yield batch
            batch, weight = [], 0
        batch += members
        weight += added
    if batch:
        yield batch


def together_with(organization_id: int, *, month: Period) -> list[int]:
    """Give the organizations that are worked out together with one; that one alone when it owes nothing."""
    for members in batches(month, size=1):
        if organization_id in members:
            return members
    return [organization_id]


def _contracts(month: Period) -> tuple[Counter[int], dict[int, set[int]]]:
    """Count contracts by organization, and find the organizations that belong together."""
    weights: Counter[int] = Counter()
    together: dict[int, set[int]] = {}
    values: dict[str, Any] = {
        "starts_at": month.starts_at, "ends_at": month.ends_at, "period": month.starts_at.date(), "name": month.name,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_CONTRACTS, values)
        for home, other, count in cursor.fetchall():
            weights[other] += count
            weights[home] += 0
            _join(together, home, other)
    return weights, together


def _join(together: dict[int, set[int]], one: int, other: int) -> None:
    members = together.get(one, {one}) | together.get(other, {other})
    for member in members:
        together[member] = members


def _in_order(weights: Iterable[int], together: dict[int, set[int]]) -> Iterator[list[int]]:
    with connection.cursor() as cursor:
        cursor.execute(_SLUGS, [list(weights)])
        ordered = [pk for (pk,) in cursor.fetchall()]
    given: set[int] = set()
    for pk in ordered:
        if pk not in given:
            given |= together[pk]
            yield sorted(together[pk], key=ordered.index) if len(together[pk]) > 1 else [pk]
