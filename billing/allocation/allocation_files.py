"""Allocated rows as a file: a row for each row of the run, with its run, method and ratio."""

from collections.abc import Iterable, Iterator
from typing import Any

from billing.models import AllocationRow
from marketplace.core.money import from_minor, to_text

COLUMNS = (
    "run", "position", "kind", "organization", "cost_center", "team", "app", "plan", "environment", "sku", "currency",
    "amount", "model_cost", "is_late", "method", "rule_version", "weight", "weights_total", "shared_cost", "invoice",
)  # fmt: skip


def rows(found: Iterable[AllocationRow]) -> Iterator[tuple[Any, ...]]:
    """Give a row of COLUMNS for each; nothing where there is nothing."""
    for one in found:
        yield (
            str(one.run_id),
            one.position,
            one.kind,
            one.organization.slug,
            one.cost_center.code if one.cost_center else None,
            one.team.slug if one.team else None,
            one.app.slug if one.app else None,
            f"{one.plan.code}/{one.plan.number}" if one.plan else None,
            one.environment or None,
            one.sku,
            one.currency,
            from_minor(one.amount_minor, one.currency),
            to_text(one.cost),
            "yes" if one.is_late else "no",
            one.method,
            one.rule.version if one.rule else None,
            to_text(one.weight) if one.weight is not None else None,
            to_text(one.weights_total) if one.weights_total is not None else None,
            str(one.shared_part.cost_id) if one.shared_part else None,
            one.invoice_line.invoice.number if one.invoice_line else None,
        )
