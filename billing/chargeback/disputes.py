"""Disputes: who answers for a cost center does not agree; finance decides, once, and says why.

What is accepted becomes a correction in the next open month. Nothing that was published or issued changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.urls import reverse

from billing.allocation.months import next_open_month
from billing.chargeback import statements
from billing.models import AllocationRow, CostStatement, DisputeFile, StatementCorrection, StatementDispute
from billing.terms import Terms
from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import CostCenter, User
from marketplace.catalog import attachments, business_days, holidays
from marketplace.catalog.attachments import Upload
from marketplace.catalog.models import App
from marketplace.core import audit
from marketplace.core.errors import Conflict, InvalidInput, NotAllowed
from marketplace.core.money import format_money
from marketplace.core.notices import Kind as NoticeKind
from marketplace.core.notices import notify
from marketplace.core.proposing import require_reason
from marketplace.core.transitions import IllegalTransition, move
from metering.models import UsageEvent

State = StatementDispute.State
MOST_EVENTS = 20
LONGEST_REASON = 1000


class WindowOver(Conflict):
    """A statement is disputed within its window, and only as long as no later revision replaced it."""

    code = "dispute_window_over"

    def __init__(self, statement: CostStatement) -> None:
        self.statement = statement
        until = f"{statement.disputable_until:%d %B %Y, %H:%M} UTC"
        super().__init__(f"{statement} could be disputed until {until}, or a later revision replaced it.")


class DisputedAlready(Conflict):
    """Of one thing on a statement, one dispute is open at a time."""

    code = "disputed_already"

    def __init__(self) -> None:
        super().__init__("This is disputed already, and finance has not decided yet.")


class OwnDispute(NotAllowed):
    """Whoever opened a dispute does not decide on it."""

    code = "own_dispute"

    def __init__(self) -> None:
        super().__init__("Nobody decides their own dispute. Another person of finance has to.")


class MonthClosedMeanwhile(Conflict):
    """The month that was to take the correction closed at the same moment."""

    code = "month_closed_meanwhile"

    def __init__(self) -> None:
        super().__init__("The month that would take the correction has just closed. Decide once more.")


@dataclass(frozen=True)
class Claim:
    """What is disputed, and why; ``app`` narrows it to what one app came to."""

    amount_minor: int
    reason: str
    app: App | None = None
    event_ids: tuple[str, ...] = ()
    files: tuple[Upload, ...] = ()


def may_dispute(statement: CostStatement, *, actor: Actor, at: datetime) -> bool:
    """Tell whether a person may dispute it now: its owner, or the finance of its organization."""
    return _speaks_for(statement, actor) and _is_in_window(statement, at)


def _speaks_for(statement: CostStatement, actor: Actor) -> bool:
    is_finance = statement.organization_id in actor.organizations_as(Role.FINANCE)
    return statement.cost_center.owner_id == actor.user.pk or is_finance


def _is_in_window(statement: CostStatement, at: datetime) -> bool:
    return statement.state == CostStatement.State.PUBLISHED and at < statement.disputable_until


def open_dispute(
    statement: CostStatement, *, claim: Claim, by: Actor, at: datetime, terms: Terms
) -> StatementDispute:
    """StatementDispute a part of a statement, with evidence. Finance is told and has a clock.

    Raises NotAllowed, WindowOver, DisputedAlready, and InvalidInput for an amount above what there is, events that are
    not of the cost center's month, or files that are not kept.
    """
    if not _speaks_for(statement, by):
        raise NotAllowed(
            "Only the owner of the cost center, or finance of its organization, disputes its statements."
        )
    if not _is_in_window(statement, at):
        raise WindowOver(statement)
    reason = require_reason(claim.reason, who="Finance decides by it.")[:LONGEST_REASON]
    _check_amount(statement, claim)
    _check_events(statement, claim.event_ids)
    files = attachments.check(claim.files)
    try:
        with transaction.atomic():
            dispute = StatementDispute.objects.create(
                statement=statement,
                app=claim.app,
                amount_minor=claim.amount_minor,
                reason=reason,
                event_ids=list(claim.event_ids),
                opened_by=by.user,
                opened_at=at,
                due_at=business_days.after(
                    at, terms.decide_days, holidays.days_of(statement.organization_id)
                ),
            )
            DisputeFile.objects.bulk_create(
                DisputeFile(
                    dispute=dispute,
                    file_name=one.name,
                    content_type=one.content_type,
                    size_bytes=len(one.data),
                    sha256=one.sha256,
                    content=one.data,
                )
                for one in files
            )
            new = {"amount_minor": claim.amount_minor, "currency": statement.currency, "files": len(files)}
            audit.record("billing.dispute.opened", subject=dispute, at=at, by=by.user, new=new, reason=reason)
            _tell_finance(dispute, by=by, at=at)
    except IntegrityError as error:
        raise DisputedAlready from error
    return dispute


def disputable_minor(statement: CostStatement, app: App | None) -> int:
    """Give what there is to dispute: the total, or what the cost center used of one app itself."""
    if app is None:
        return statement.total_minor
    rows = statements.rows(statement).filter(app=app, kind=AllocationRow.Kind.DIRECT)
    return sum(rows.values_list("amount_minor", flat=True))


def _check_amount(statement: CostStatement, claim: Claim) -> None:
    most = disputable_minor(statement, claim.app)
    if not 0 < claim.amount_minor <= most:
        amount = format_money(most, statement.currency)
        raise InvalidInput("amount", f"must be more than nothing, and at most {amount}", limit=most)


def _check_events(statement: CostStatement, ids: Sequence[str]) -> None:
    if len(ids) > MOST_EVENTS:
        raise InvalidInput("event_ids", f"are at most {MOST_EVENTS}", limit=MOST_EVENTS)
    billed = UsageEvent.objects.filter(
        event_id__in=ids,
        period=statement.period.starts_at.date(),
        attribution__cost_center=statement.cost_center_id,
    )
    missing = sorted(set(ids) - set(billed.values_list("event_id", flat=True)))
    if missing:
        raise InvalidInput("event_ids", f"{missing[0]!r} is no event that this statement bills")


def _tell_finance(dispute: StatementDispute, *, by: Actor, at: datetime) -> None:
    amount = format_money(dispute.amount_minor, dispute.statement.currency)
    notify(
        access.platform_people(Role.FINANCE).exclude(pk=by.user.pk),
        text=f"{amount} of {dispute.statement} is disputed. Decide until {dispute.due_at:%d %B %Y}.",
        at=at,
        key=f"dispute:{dispute.pk}:opened",
        path=path_of(dispute),
        kind=NoticeKind.DECISIONS,
        is_of_platform=True,
    )


def path_of(dispute: StatementDispute) -> str:
    """Give the address of a dispute's page."""
    return reverse("billing:dispute", args=[dispute.pk])


def may_decide(dispute: StatementDispute, *, actor: Actor) -> bool:
    """Tell whether a person may decide: another one of the marketplace's finance, who does not answer for the cost center."""
    return (
        dispute.state == State.OPEN
        and actor.is_platform(Role.FINANCE)
        and actor.user.pk not in (dispute.opened_by_id, dispute.statement.cost_center.owner_id)
    )


def _require_decider(dispute: StatementDispute, by: Actor) -> None:
    access.require_platform(by, Role.FINANCE)
    if by.user.pk in (dispute.opened_by_id, dispute.statement.cost_center.owner_id):
        raise OwnDispute


def accept(
    dispute: StatementDispute,
    *,
    note: str,
    by: Actor,
    at: datetime,
    amount_minor: int | None = None,
    charge_to: CostCenter | None = None,
) -> list[StatementCorrection]:
    """Agree, to all of it or a part: the next open month takes that off, and puts it on ``charge_to`` when it belongs there.

    Without it the platform bears it. Raises OwnDispute, NotAllowed, InvalidInput, IllegalTransition when it was decided
    before, MonthClosedMeanwhile.
    """
    _require_decider(dispute, by)
    note = require_reason(note, field="note", who="Who disputes it reads it.")[:LONGEST_REASON]
    granted_minor = dispute.amount_minor if amount_minor is None else amount_minor
    if not 0 < granted_minor <= dispute.amount_minor:
        raise InvalidInput("amount", "must be a part of what is disputed", limit=dispute.amount_minor)
    _check_target(dispute, charge_to)
    try:
        with transaction.atomic():
            _end(dispute, State.ACCEPTED, note=note, by=by, at=at)
            made = _correct(dispute, granted_minor, charge_to, at=at)
            _tell_opener(dispute, at=at)
    except IntegrityError as error:
        raise MonthClosedMeanwhile from error
    return made


def _check_target(dispute: StatementDispute, target: CostCenter | None) -> None:
    statement = dispute.statement
    if target is None:
        return
    if target.organization_id != statement.organization_id or target.pk == statement.cost_center_id:
        raise InvalidInput("charge_to", "must be another cost center of the organization")


def _correct(
    dispute: StatementDispute, granted_minor: int, target: CostCenter | None, *, at: datetime
) -> list[StatementCorrection]:
    statement = dispute.statement
    period = next_open_month(statement.period)
    whom = [(statement.cost_center, -granted_minor)]
    if target is not None:
        whom.append((target, granted_minor))
    return [
        StatementCorrection.objects.create(
            period=period,
            service_month=statement.period_id,
            cost_center=center,
            app=dispute.app,
            currency=statement.currency,
            amount_minor=amount_minor,
            dispute=dispute,
            description=f"Correction of {statement.period_id}, {statement.cost_center.code}",
            made_at=at,
        )
        for center, amount_minor in whom
    ]


def reject(dispute: StatementDispute, *, note: str, by: Actor, at: datetime) -> None:
    """Disagree, with a reason. Raises OwnDispute, NotAllowed, InvalidInput, IllegalTransition."""
    _require_decider(dispute, by)
    note = require_reason(note, field="note", who="Who disputes it reads it.")[:LONGEST_REASON]
    with transaction.atomic():
        _end(dispute, State.REJECTED, note=note, by=by, at=at)
        _tell_opener(dispute, at=at)


def _end(dispute: StatementDispute, to: str, *, note: str, by: Actor, at: datetime) -> None:
    move(
        dispute,
        StatementDispute.TRANSITIONS,
        to=to,
        action=f"billing.dispute.{to}",
        at=at,
        by=by.user,
        reason=note,
        changes={"decided_by": by.user, "decided_at": at, "decision_note": note},
    )


def withdraw(dispute: StatementDispute, *, by: Actor, at: datetime) -> None:
    """Take one's own dispute back. Raises NotAllowed for somebody else's, IllegalTransition."""
    access.require(dispute.opened_by_id == by.user.pk, message="Only who opened it can take it back.")
    if dispute.state != State.OPEN:
        raise IllegalTransition(dispute, current=dispute.state, to=State.WITHDRAWN)
    move(
        dispute,
        StatementDispute.TRANSITIONS,
        to=State.WITHDRAWN,
        action="billing.dispute.withdrawn",
        at=at,
        by=by.user,
        changes={"decided_at": at},
    )


def _tell_opener(dispute: StatementDispute, *, at: datetime) -> None:
    concerned = {dispute.opened_by_id, dispute.statement.cost_center.owner_id}
    notify(
        User.objects.filter(pk__in=concerned, is_active=True),
        text=f"The dispute of {dispute.statement} is {dispute.state}: {dispute.decision_note}",
        at=at,
        key=f"dispute:{dispute.pk}:decided",
        path=path_of(dispute),
        kind=NoticeKind.DECISIONS,
    )


def disputes(actor: Actor) -> QuerySet[StatementDispute]:
    """Disputes that a person may see: those of the statements that they speak for, finance those it serves."""
    found = StatementDispute.objects.select_related(
        "statement__cost_center__owner",
        "statement__organization",
        "statement__period",
        "app",
        "opened_by",
        "decided_by",
    )
    if actor.is_platform(Role.FINANCE):
        return found
    served = Q(statement__organization__in=actor.organizations_as(Role.FINANCE))
    return found.filter(served | Q(statement__cost_center__owner=actor.user) | Q(opened_by=actor.user))
