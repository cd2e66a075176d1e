"""How a cost center is charged, month by month: proposed by finance, signed off by who answers for the cost center."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.urls import reverse

from billing.models import BillingPeriod, CostStatement, Invoice, RecoverySwitch, StatementDispute
from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import CostCenter
from marketplace.core import audit, proposing
from marketplace.core.errors import Conflict, InvalidInput, NotAllowed
from marketplace.core.notices import Kind as NoticeKind
from marketplace.core.notices import notify
from marketplace.core.periods import Period, month_of, parse_month
from quotas.budget_models import Budget

Mode = CostCenter.Mode
State = RecoverySwitch.State


class SwitchWaits(Conflict):
    """One switch of a cost center is decided before the next one is proposed, and one begins in a month."""

    code = "recovery_switch_waits"

    def __init__(self, center: CostCenter) -> None:
        super().__init__(f"A switch of {center} waits for its owner, or begins in that month already.")


class NotTheOwner(NotAllowed):
    """Only who answers for a cost center signs off how it is charged."""

    code = "not_the_owner"

    def __init__(self, center: CostCenter) -> None:
        super().__init__(f"Only {center.owner}, who owns {center}, signs this off.")


@dataclass(frozen=True)
class Ready:
    """One thing that should be so before a cost center is charged; advice, not a bar."""

    what: str
    is_so: bool
    detail: str


def as_of(centers: Iterable[CostCenter], month: Period) -> None:
    """Give each of these cost centers, in memory, the mode that it has in a month (one query)."""
    found = {center.pk: center for center in centers}
    approved = RecoverySwitch.objects.filter(cost_center__in=found, state=State.APPROVED)
    switches: dict[int, list[RecoverySwitch]] = {}
    for one in approved.order_by("cost_center", "starts_month"):
        switches.setdefault(one.cost_center_id, []).append(one)
    for pk, of_center in switches.items():
        begun = [one for one in of_center if one.starts_month <= month.name]
        found[pk].mode = begun[-1].to_mode if begun else of_center[0].from_mode


def mode_in(center: CostCenter, month: Period) -> str:
    """Return how a cost center is charged in a month."""
    copy = CostCenter(pk=center.pk, mode=center.mode)
    as_of([copy], month)
    return copy.mode


def propose(
    center: CostCenter, *, to_mode: str, starts_month: str, reason: str, by: Actor, at: datetime
) -> RecoverySwitch:
    """Propose that a cost center is charged in another way from a month on; its owner is told.

    Raises NotAllowed for who is not the marketplace's finance, InvalidInput, SwitchWaits.
    """
    access.require_platform(by, Role.FINANCE)
    reason = proposing.require_reason(reason, who="The owner reads it.")
    month = parse_month(starts_month, field="starts_month")
    if to_mode not in Mode.values:
        raise InvalidInput("to_mode", f"must be one of {', '.join(Mode.values)}")
    before = mode_in(center, month)
    if to_mode == before:
        raise InvalidInput("to_mode", f"is how it is charged in {starts_month} already")
    _require_open(month)
    try:
        with transaction.atomic():
            switch = RecoverySwitch.objects.create(
                cost_center=center,
                from_mode=before,
                to_mode=to_mode,
                starts_month=month.name,
                readiness=[[one.what, one.is_so, one.detail] for one in readiness(center)],
                reason=reason,
                proposed_by=by.user,
                proposed_at=at,
            )
            new = {"from": before, "to": to_mode, "starts_month": month.name}
            audit.record(
                "billing.recovery_switch.proposed", subject=switch, at=at, by=by.user, new=new, reason=reason
            )
            _tell(
                switch,
                text=f"{center} would be in {to_mode} from {month.name}: it waits for your sign-off.",
                to=[center.owner],
                at=at,
                what="proposed",
            )
    except IntegrityError as error:
        raise SwitchWaits(center) from error
    return switch


def _require_open(month: Period) -> None:
    if BillingPeriod.objects.filter(pk=month.name).exclude(state=BillingPeriod.State.OPEN).exists():
        raise InvalidInput("starts_month", f"{month.name} is closed; how it was charged stays")


def sign_off(switch: RecoverySwitch, *, by: Actor, at: datetime, note: str = "") -> None:
    """Agree to a switch, as the owner. Raises NotTheOwner, OwnProposal, IllegalTransition, InvalidInput, SwitchWaits."""
    _require_owner(switch, by)
    _require_open(parse_month(switch.starts_month))
    try:
        with transaction.atomic():
            proposing.decide(
                switch,
                to=State.APPROVED,
                action="billing.recovery_switch.approved",
                by=by.user,
                at=at,
                note=note,
            )
            _tell(
                switch,
                text=f"{by.user} signed off: {switch.cost_center} is in {switch.to_mode} from {switch.starts_month}.",
                to=[switch.proposed_by],
                at=at,
                what="approved",
            )
            begin(at=at)
    except IntegrityError as error:
        raise SwitchWaits(switch.cost_center) from error


def reject(switch: RecoverySwitch, *, by: Actor, at: datetime, note: str) -> None:
    """Refuse a switch, as the owner, with a reason. Raises NotTheOwner, OwnProposal, IllegalTransition, InvalidInput."""
    _require_owner(switch, by)
    note = proposing.require_reason(note, field="note")
    with transaction.atomic():
        proposing.decide(
            switch, to=State.REJECTED, action="billing.recovery_switch.rejected", by=by.user, at=at, note=note
        )
        _tell(
            switch,
            text=f"{by.user} does not want {switch.cost_center} to be in {switch.to_mode}: {note}",
            to=[switch.proposed_by],
            at=at,
            what="rejected",
        )


def withdraw(switch: RecoverySwitch, *, by: Actor, at: datetime) -> None:
    """Take one's own proposal back. Raises NotAllowed, IllegalTransition."""
    proposing.withdraw(
        switch, to=State.WITHDRAWN, action="billing.recovery_switch.withdrawn", by=by.user, at=at
    )


def _require_owner(switch: RecoverySwitch, by: Actor) -> None:
    if switch.cost_center.owner_id != by.user.pk:
        raise NotTheOwner(switch.cost_center)


def _tell(switch: RecoverySwitch, *, text: str, to: list[Any], at: datetime, what: str) -> None:
    notify(
        to,
        text=text,
        at=at,
        key=f"recovery-switch:{switch.pk}:{what}",
        path=reverse("billing:recovery-switch", args=[switch.pk]),
        kind=NoticeKind.DECISIONS,
    )


def begin(*, at: datetime) -> int:
    """Let cost centers have the mode that has begun; returns how many changed. Safe to run twice."""
    month = month_of(at)
    moved = CostCenter.objects.filter(recovery_switches__state=State.APPROVED).distinct()
    changed = 0
    for center in moved.order_by("pk"):
        mode = mode_in(center, month)
        changed += CostCenter.objects.filter(pk=center.pk).exclude(mode=mode).update(mode=mode)
    return changed


def readiness(center: CostCenter) -> list[Ready]:
    """List what should be so before a cost center is charged (five queries)."""
    statements = CostStatement.objects.filter(cost_center=center, state=CostStatement.State.PUBLISHED)
    in_parallel = statements.filter(mode=Mode.PARALLEL).count()
    issued = Invoice.objects.filter(cost_center=center, mode=Mode.PARALLEL).exclude(state="draft").count()
    disputes = StatementDispute.objects.filter(
        statement__cost_center=center, state=StatementDispute.State.OPEN
    ).count()
    has_budget = Budget.objects.filter(cost_center=center).exists()
    teams = center.teams.count()
    run = max(in_parallel, issued)
    return [
        Ready("It ran in parallel for a month", run > 0, f"{run} months with a statement"),
        Ready("Its owner can sign in", center.owner.is_active, str(center.owner)),
        Ready("It has a budget to debit", has_budget, "set" if has_budget else "none"),
        Ready("Teams book on it", teams > 0, f"{teams} teams"),
        Ready("No dispute is open", disputes == 0, f"{disputes} open"),
    ]


def switches(actor: Actor) -> QuerySet[RecoverySwitch]:
    """Switches that a person may see: finance those it serves, an owner those of their cost centers."""
    found = RecoverySwitch.objects.select_related(
        "cost_center__organization", "cost_center__owner", "proposed_by", "decided_by"
    )
    if actor.is_platform(Role.FINANCE):
        return found
    served = found.filter(cost_center__organization__in=actor.organizations_as(Role.FINANCE))
    return (served | found.filter(cost_center__owner=actor.user)).distinct()
