"""Runs: who bears what of a month, worked out and kept. The same facts give the run that is there already."""

import hashlib
import json
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction

from billing.allocation import metrics
from billing.allocation.direct import Leaf, leaves
from billing.allocation.rules import in_force
from billing.allocation.shared import SharedPart, centers_of, distribute, shared_of
from billing.models import AllocationRow, AllocationRun, BillingPeriod, StatementCorrection
from billing.terms import Terms
from marketplace.core import audit
from marketplace.core.money import to_text
from marketplace.core.periods import parse_month

Kind = AllocationRow.Kind
_PARTS = (
    "kind", "organization_id", "cost_center_id", "team_id", "app_id", "plan_id", "environment", "sku", "currency",
    "amount_minor", "is_late", "invoice_line_id", "shared_part_id", "correction_id", "rule_id", "method",
)  # fmt: skip


def allocate(name: str, *, terms: Terms, at: datetime, by: Any = None) -> AllocationRun:
    """Work a month out, and keep it as its newest run; when nothing has changed, return the run that says so.

    Locks the month, so that two at once make one run. While it is open, payers whose bill cannot be made are left out.
    """
    month = parse_month(name)
    with transaction.atomic():
        BillingPeriod.objects.get_or_create(
            name=month.name, defaults={"starts_at": month.starts_at, "ends_at": month.ends_at}
        )
        # The trigger of what is entered takes the row too, in share: so a run sees all of it or none.
        period = BillingPeriod.objects.select_for_update().get(pk=month.name)
        direct = leaves(period, default_share=terms.default_share)
        figures = metrics.figures_of(period, direct)
        shared = shared_of(period)
        parts = distribute(
            shared, in_force=in_force(period.name), centers=centers_of(shared, period), figures=figures
        )
        rows = [*map(_direct, direct), *_corrections(period), *map(_shared, parts)]
        return _keep(period, rows, metrics.as_json(figures), at=at, by=by)


def _keep(
    period: BillingPeriod, rows: list[AllocationRow], figures: Any, *, at: datetime, by: Any
) -> AllocationRun:
    is_final = period.state == BillingPeriod.State.CLOSED
    fingerprint = _fingerprint(rows, is_final=is_final)
    last = newest(period.name)
    if last is not None and last.fingerprint == fingerprint:
        return last
    run = AllocationRun.objects.create(
        period=period,
        number=last.number + 1 if last else 1,
        is_final=is_final,
        fingerprint=fingerprint,
        metrics=figures,
        made_at=at,
        made_by=by,
    )
    for position, row in enumerate(rows, start=1):
        row.run, row.position = run, position
    AllocationRow.objects.bulk_create(rows, batch_size=2_000)
    audit.record(
        "billing.allocation.run",
        subject=run,
        at=at,
        by=by,
        new={"period": period.name, "number": run.number, "rows": len(rows), "fingerprint": fingerprint},
    )
    return run


def _fingerprint(rows: Iterable[AllocationRow], *, is_final: bool) -> str:
    told = [
        [
            *(getattr(row, name) for name in _PARTS),
            to_text(Decimal(row.cost)),
            to_text(row.weight or Decimal(0)),
        ]
        for row in rows
    ]
    text = json.dumps([is_final, told], default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def newest(name: str) -> AllocationRun | None:
    """Return the run that counts of a month."""
    return (
        AllocationRun.objects.filter(period=name)
        .select_related("period", "made_by")
        .order_by("-number")
        .first()
    )


def _direct(leaf: Leaf) -> AllocationRow:
    return AllocationRow(
        kind=Kind.DIRECT,
        organization_id=leaf.organization_id,
        cost_center_id=leaf.cost_center_id,
        team_id=leaf.team_id,
        app_id=leaf.app_id,
        plan_id=leaf.plan_id,
        environment=leaf.environment,
        sku=leaf.sku,
        currency=leaf.currency,
        amount_minor=leaf.amount_minor,
        cost=leaf.cost,
        is_late=leaf.is_late,
        invoice_line_id=leaf.line_id,
        method="metered",
    )


def _corrections(period: BillingPeriod) -> Iterable[AllocationRow]:
    found = StatementCorrection.objects.filter(period=period).select_related("cost_center")
    for one in found.order_by("made_at", "pk"):
        yield AllocationRow(
            kind=Kind.CORRECTION,
            organization_id=one.cost_center.organization_id,
            cost_center_id=one.cost_center_id,
            app_id=one.app_id,
            sku=one.description,
            currency=one.currency,
            amount_minor=one.amount_minor,
            is_late=True,
            correction=one,
            method="dispute accepted",
        )


def _shared(one: SharedPart) -> AllocationRow:
    bearer = one.part.cost_center_id
    return AllocationRow(
        kind=Kind.SHARED if bearer else Kind.UNALLOCATED,
        organization_id=one.shared.organization_id,
        cost_center_id=bearer,
        sku=one.shared.name,
        currency=one.shared.currency,
        amount_minor=one.part.amount_minor,
        is_late=one.shared.is_late,
        shared_part_id=one.shared.part_id,
        rule=one.rule,
        method=one.method[:60],
        weight=one.part.weight,
        weights_total=one.part.weights_total,
    )
