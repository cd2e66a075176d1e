"""Bills that are put aside: what could not be made, with its reason, and what somebody holds back.

A month is not closed over them. Whoever deals with one releases it, and the run makes that bill anew.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Exists, F, Max, OuterRef, Q, QuerySet
from django.urls import reverse

from billing.added_lines import require_draft
from billing.billable import Payer
from billing.models import BillingPeriod, Invoice, MonthlyRun, ParkedBill, RunBatch
from marketplace.core import audit, notices
from marketplace.core.errors import Conflict, HalfpennyError, InvalidInput
from marketplace.core.transitions import move

State = ParkedBill.State
Cause = ParkedBill.Cause
PAYER = ("organization_id", "cost_center_id", "currency")


class BillsParked(Conflict):
    """A month is not closed while bills of it are put aside; everything else of it is issued."""

    code = "bills_parked"

    def __init__(self, period: BillingPeriod, parked: list[ParkedBill]) -> None:
        self.period, self.parked = period, parked
        first = parked[0]
        others = f", and {len(parked) - 1} more" if len(parked) > 1 else ""
        super().__init__(
            f"{period.name} is not closed yet, for bills of it are put aside: {first.cost_center or first.organization} "
            f"({first.reason}){others}. All others are issued."
        )


@dataclass(frozen=True)
class OfPayer:
    """Whose bill it is, as the columns that the tables of a run have in common."""

    organization_id: int
    cost_center_id: int | None
    currency: str

    @classmethod
    def of(cls, named: Any) -> "OfPayer":
        return cls(named.organization_id, named.cost_center_id, named.currency)

    def columns(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in PAYER}


def parked(period: str) -> QuerySet[ParkedBill]:
    """Find what is put aside of a month, the oldest first."""
    found = ParkedBill.objects.filter(period=period, state=State.PARKED)
    return found.select_related("organization", "cost_center", "parked_by", "handed_to").order_by(
        "parked_at", "pk"
    )


def payers_parked(period: str) -> dict[tuple[int, int | None, str], ParkedBill]:
    """Give what is put aside of a month by payer, for lists that mark it (one query)."""
    return {(one.organization_id, one.cost_center_id, one.currency): one for one in parked(period)}


def not_parked() -> Q:
    """Narrow invoices to those that are not put aside."""
    same = ParkedBill.objects.filter(
        period=OuterRef("period"),
        organization=OuterRef("organization"),
        currency=OuterRef("currency"),
        state=State.PARKED,
    )
    center_is_none = Q(cost_center=None)
    of_organization = Exists(same.filter(cost_center=None))
    of_center = Exists(same.filter(cost_center=OuterRef("cost_center")))
    return (center_is_none & ~of_organization) | (~center_is_none & ~of_center)


def park(period: BillingPeriod, refused: Mapping[Payer, HalfpennyError], *, at: datetime) -> None:
    """Put bills aside that cannot be made, with the reason; what is put aside already gets the newest reason."""
    for payer, error in sorted(refused.items(), key=lambda item: str(item[0])):
        of_payer = ParkedBill.objects.filter(period=period, **OfPayer.of(payer).columns())
        why = {"code": error.code, "reason": error.message}
        active = of_payer.filter(state=State.PARKED).first()
        if active is None:
            tried = of_payer.filter(cause=Cause.ERROR).aggregate(most=Max("attempts", default=0))["most"]
            columns = OfPayer.of(payer).columns()
            ParkedBill.objects.create(
                period=period, cause=Cause.ERROR, attempts=tried + 1, parked_at=at, **columns, **why
            )
        elif active.cause == Cause.ERROR:
            of_payer.filter(pk=active.pk).update(attempts=F("attempts") + 1, **why)


def settle(
    period: BillingPeriod, organizations: Collection[int], refused: Collection[Payer], *, at: datetime
) -> None:
    """Release what could not be made and now could."""
    errors = ParkedBill.objects.filter(
        period=period, state=State.PARKED, cause=Cause.ERROR, organization__in=organizations
    )
    for one in errors:
        if Payer(one.organization_id, one.cost_center_id, one.currency) not in refused:
            _release(one, at=at, by=None)


def hold(invoice: Invoice, *, reason: str, at: datetime, by: Any) -> ParkedBill:
    """Hold a draft back, so that it is not finalized; returns the hold that it has when it has one.

    Raises InvalidInput without a reason, DraftIsFinal.
    """
    if not reason.strip():
        raise InvalidInput(
            "reason", "is what others read who wait for this bill, so it cannot be empty", code="required"
        )
    with transaction.atomic():
        require_draft(invoice)
        held, is_new = ParkedBill.objects.get_or_create(
            period_id=invoice.period_id,
            state=State.PARKED,
            **OfPayer.of(invoice).columns(),
            defaults={"cause": Cause.HELD, "reason": reason.strip(), "parked_at": at, "parked_by": by},
        )
        if is_new:
            audit.record("billing.draft.held", subject=invoice, at=at, by=by, reason=held.reason)
    return held


def release(one: ParkedBill, *, at: datetime, by: Any) -> None:
    """Let a bill be made after all; the run makes its draft anew first. Raises IllegalTransition when it was released."""
    with transaction.atomic():
        BillingPeriod.objects.select_for_update().get(pk=one.period_id)
        _release(one, at=at, by=by)
        _draft_again(one.period_id, [one.organization_id])


def release_errors(period: str, *, at: datetime, by: Any) -> int:
    """Let everything be tried again that could not be made; returns how much. What is held back stays."""
    with transaction.atomic():
        BillingPeriod.objects.select_for_update().filter(pk=period).first()
        errors = list(parked(period).filter(cause=Cause.ERROR))
        for one in errors:
            _release(one, at=at, by=by)
        _draft_again(period, [one.organization_id for one in errors])
    return len(errors)


def hand_over(one: ParkedBill, *, to: Any, note: str, at: datetime, by: Any) -> None:
    """Give a bill that is put aside to somebody who deals with it, and tell them.

    Raises Conflict when it was released meanwhile.
    """
    with transaction.atomic():
        given = ParkedBill.objects.filter(pk=one.pk, state=State.PARKED).update(
            handed_to=to, note=note.strip()
        )
        if not given:
            raise Conflict("This bill is not put aside any more.", code="not_parked")
        audit.record(
            "billing.parked.handed_over", subject=one, at=at, by=by, new={"to": str(to)}, reason=note.strip()
        )
        notices.notify(
            [to],
            text=f"{by} asks you to look after the bill of {one.cost_center or one.organization} for {one.period_id}: "
            f"{one.reason} {note.strip()}".strip(),
            at=at,
            key=f"parked:{one.pk}:{to.pk}:{at.isoformat()}",
            path=reverse("billing:parked", args=[one.period_id]),
            kind=notices.Kind.BILLING,
        )


def _release(one: ParkedBill, *, at: datetime, by: Any) -> None:
    move(
        one,
        ParkedBill.TRANSITIONS,
        to=State.RELEASED,
        action="billing.parked.released",
        at=at,
        by=by,
        changes={"released_at": at},
    )


def _draft_again(period: str, organizations: Iterable[int]) -> None:
    """Let the run that is under way work out the bills of some organizations once more, before it finalizes them."""
    for run in MonthlyRun.objects.filter(period=period, ended_at=None):
        for organization_id in set(organizations):
            RunBatch.objects.filter(run=run, organizations__contains=[organization_id]).update(
                drafted_at=None
            )
