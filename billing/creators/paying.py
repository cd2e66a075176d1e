"""Payouts: scheduled by the day, approved by finance, sent, and booked when they are paid.

A team gets one payout for a day, whoever schedules and how often: its key says so, and the database pays nothing that
is not there. What was sent may take days; until it is booked, it counts as on its way.
"""

from collections.abc import Callable, Iterable
from datetime import datetime

from django.db import IntegrityError, transaction
from django.urls import reverse

from billing.creators import plans
from billing.creators.balances import balance_of, payable_minor
from billing.creators.terms import PayoutTerms
from billing.ledger import chart, journal
from billing.ledger.journal import Fact, Leg
from billing.models import JournalEntry, Payout, PayoutPlan
from billing.posting_months import running_month
from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import User
from marketplace.core import audit
from marketplace.core.errors import Conflict, InvalidInput, NotAllowed
from marketplace.core.money import format_money, from_minor
from marketplace.core.notices import Kind as NoticeKind
from marketplace.core.notices import notify
from marketplace.core.transitions import IllegalTransition, Transitions, move

State = Payout.State
Method = PayoutPlan.Method
# Both lead to `scheduled`, each from one state only.
LET_GO: Transitions = {State.HELD: frozenset({State.SCHEDULED})}
TRIED_AGAIN: Transitions = {State.FAILED: frozenset({State.SCHEDULED})}
LONGEST_REASON = 500
FELL = "The balance has fallen below what was to be paid."
# Sends a payout and returns the entry that booked it with its reference, or the reason why it failed.
Transfer = Callable[[Payout], "tuple[JournalEntry, str] | str"]


class ApprovedBefore(NotAllowed):
    """Nobody approves a payout twice."""

    code = "approved_before"

    def __init__(self) -> None:
        super().__init__("You approved this payout. Another person of finance has to approve it, too.")


class NotCovered(Conflict):
    """Money that was taken back meanwhile cannot be paid."""

    code = "not_covered"

    def __init__(self, payout: Payout, free_minor: int) -> None:
        self.payout, self.free_minor = payout, free_minor
        super().__init__(
            f"{payout.team} has {format_money(free_minor, payout.currency)} available, less than this payout."
        )


class NotSent(Conflict):
    """A payout that nobody has sent cannot be confirmed."""

    code = "not_sent"

    def __init__(self) -> None:
        super().__init__("This payout is not in a bank file yet, so the bank cannot have carried it out.")


def schedule_due(*, at: datetime, terms: PayoutTerms) -> list[Payout]:
    """Make the payouts of every plan whose day has come. Safe to run twice, and on many workers at once."""
    made = [
        _schedule(plan, at=at, terms=terms)
        for plan in PayoutPlan.objects.select_related("team__organization").order_by("pk")
    ]
    return [payout for payout in made if payout is not None]


def _schedule(plan: PayoutPlan, *, at: datetime, terms: PayoutTerms) -> Payout | None:
    """Make the payout of one plan, in a transaction of its own. Locks the plan, so that two workers take turns."""
    due_date = plans.last_date(plan, on=at.date())
    key = f"{plan.team_id}:{plan.currency}:{due_date}"
    # Who chose another account on this very day, or later, is paid by it from the next time on.
    if plan.changed_at.date() > due_date or Payout.objects.filter(key=key).exists():
        return None
    with transaction.atomic():
        plan = PayoutPlan.objects.select_for_update(of=("self",)).select_related("team").get(pk=plan.pk)
        amount_minor = payable_minor(plan, due_date=due_date, least_hold_days=terms.least_hold_days)
        if amount_minor <= 0 or amount_minor < plan.threshold_minor:
            return None
        payout, is_new = Payout.objects.get_or_create(
            key=key,
            defaults={
                "plan": plan,
                "team": plan.team,
                "currency": plan.currency,
                "amount_minor": amount_minor,
                "method": plan.method,
                "destination": _destination(plan),
                "due_date": due_date,
                "created_at": at,
                "needs_second_person": _is_big(amount_minor, plan, terms),
            },
        )
        if not is_new:
            return None
        audit.record("billing.payout.scheduled", subject=payout, at=at, new={"amount_minor": amount_minor})
        if plan.method == Method.INTERNAL:
            _credit_cost_center(payout, at=at)
    return payout


def _is_big(amount_minor: int, plan: PayoutPlan, terms: PayoutTerms) -> bool:
    if plan.method == Method.INTERNAL:
        return False
    return plan.currency != terms.currency or from_minor(amount_minor, plan.currency) > terms.alone_up_to


def _destination(plan: PayoutPlan) -> dict[str, str]:
    if plan.method == Method.INTERNAL:
        return {"cost_center": plan.team.cost_center.code}
    return {"holder": plan.holder, "iban": plan.iban, "bic": plan.bic, "address": plan.address}


def _credit_cost_center(payout: Payout, *, at: datetime) -> None:
    """Give a team inside of the house its part as a credit to its cost center; no money leaves the bank."""
    center = payout.team.cost_center
    credit = Leg(
        chart.COST_CENTER_CHARGE,
        -payout.amount_minor,
        payout.currency,
        organization_id=center.organization_id,
        cost_center_id=center.pk,
    )
    entry = _post(payout, credit, at=at)
    _pay(payout, entry=entry, reference=center.code, at=at)


def _post(payout: Payout, credit: Leg, *, at: datetime) -> JournalEntry:
    entry = journal.post(
        Fact(
            key=f"payout:{payout.pk}",
            kind="billing.payout",
            memo=f"Payout of {payout.due_date} to {payout.team}",
            legs=[
                Leg(chart.CREATOR_PAYABLE, payout.amount_minor, payout.currency, team_id=payout.team_id),
                credit,
            ],
            period=running_month(at),
        ),
        at=at,
    )
    assert entry is not None  # a payout pays something
    return entry


def _pay(
    payout: Payout, *, entry: JournalEntry, reference: str, at: datetime, by: User | None = None
) -> None:
    move(
        payout,
        Payout.TRANSITIONS,
        to=State.PAID,
        action="billing.payout.paid",
        at=at,
        by=by,
        changes={"paid_at": at, "entry": entry, "reference": reference},
    )
    amount = format_money(payout.amount_minor, payout.currency)
    _tell(payout, f"{amount} were paid to {payout.team}.", at=at, what="paid")


def _tell(payout: Payout, text: str, *, at: datetime, what: str) -> None:
    notify(
        plans.people_of(payout.team),
        text=text,
        at=at,
        key=f"payout:{payout.pk}:{what}:{payout.attempts}",
        path=path_of(payout),
        kind=NoticeKind.BILLING,
        team=payout.team,
    )


def path_of(payout: Payout) -> str:
    """Give the address of a payout's page."""
    return reverse("billing:payout", args=[payout.pk])


def approve(payouts: Iterable[Payout], *, by: Actor, at: datetime) -> int:
    """Approve payouts as the first or the second person; returns how many were. Raises NotAllowed.

    One's own second approval is left out, as is what somebody approved in full.
    """
    access.require_platform(by, Role.FINANCE)
    with transaction.atomic():
        return sum(_approve(payout, by=by, at=at) for payout in sorted(payouts, key=lambda one: one.pk))


def _approve(payout: Payout, *, by: Actor, at: datetime) -> bool:
    scheduled = Payout.objects.filter(pk=payout.pk, state=State.SCHEDULED)
    is_done = scheduled.filter(approved_by=None).update(approved_by=by.user, approved_at=at)
    if not is_done:
        waits = scheduled.filter(needs_second_person=True, second_by=None).exclude(approved_by=by.user)
        is_done = waits.update(second_by=by.user, second_at=at)
    if is_done:
        payout.refresh_from_db()
        audit.record(
            "billing.payout.approved",
            subject=payout,
            at=at,
            by=by.user,
            new={"amount_minor": payout.amount_minor, "is_approved": payout.is_approved},
        )
    return bool(is_done)


def approve_one(payout: Payout, *, by: Actor, at: datetime) -> None:
    """Approve a payout. Raises NotAllowed, ApprovedBefore, IllegalTransition when it waits for no approval."""
    if approve([payout], by=by, at=at):
        return
    payout.refresh_from_db()
    if payout.state == State.SCHEDULED and payout.approved_by_id == by.user.pk and not payout.is_approved:
        raise ApprovedBefore
    raise IllegalTransition(payout, current=payout.state, to="approved")


def hold(payout: Payout, *, reason: str, by: Actor, at: datetime) -> None:
    """Keep a payout from being paid, with a reason that the creator reads. Raises NotAllowed, InvalidInput, IllegalTransition."""
    _stop(payout, State.HELD, reason=reason, by=by, at=at, action="billing.payout.held")


def release(payout: Payout, *, by: Actor, at: datetime) -> None:
    """Let a held payout go on. Raises NotAllowed, IllegalTransition."""
    access.require_platform(by, Role.FINANCE)
    move(
        payout,
        LET_GO,
        to=State.SCHEDULED,
        action="billing.payout.released",
        at=at,
        by=by.user,
        changes={"reason": ""},
    )


def fail(payout: Payout, *, reason: str, by: Actor, at: datetime) -> None:
    """Write down that a payout did not arrive; what it would have paid is available again. Raises as ``hold`` does."""
    _stop(payout, State.FAILED, reason=reason, by=by, at=at, action="billing.payout.failed")


def _stop(payout: Payout, to: State, *, reason: str, by: Actor, at: datetime, action: str) -> None:
    access.require_platform(by, Role.FINANCE)
    reason = _required(reason)
    with transaction.atomic():
        move(
            payout,
            Payout.TRANSITIONS,
            to=to,
            action=action,
            at=at,
            by=by.user,
            reason=reason,
            changes={"reason": reason},
        )
        amount = format_money(payout.amount_minor, payout.currency)
        _tell(payout, f"The payout of {amount} to {payout.team} is {to}: {reason}", at=at, what=str(to))


def _required(reason: str) -> str:
    reason = reason.strip()
    if not 0 < len(reason) <= LONGEST_REASON:
        raise InvalidInput("reason", f"is needed, at most {LONGEST_REASON} characters", limit=LONGEST_REASON)
    return reason


def retry(payout: Payout, *, reason: str, by: Actor, at: datetime) -> None:
    """Try a failed payout again, with a reason, to where the plan says now; it is approved anew.

    Raises NotAllowed, InvalidInput, IllegalTransition, NotCovered when the money went elsewhere meanwhile.
    """
    access.require_platform(by, Role.FINANCE)
    reason = _required(reason)
    with transaction.atomic():
        plan = (
            PayoutPlan.objects.select_for_update(of=("self",)).select_related("team").get(pk=payout.plan_id)
        )
        free_minor = balance_of(payout.team_id, payout.currency).free_minor
        if free_minor < payout.amount_minor:
            raise NotCovered(payout, free_minor)
        move(
            payout,
            TRIED_AGAIN,
            to=State.SCHEDULED,
            action="billing.payout.retried",
            at=at,
            by=by.user,
            reason=reason,
            changes={
                "reason": reason,
                "attempts": payout.attempts + 1,
                "method": plan.method,
                "destination": _destination(plan),
                "file": None,
                "sent_at": None,
                "approved_by": None,
                "approved_at": None,
                "second_by": None,
                "second_at": None,
            },
        )


def confirm(payout: Payout, *, reference: str, by: Actor, at: datetime) -> None:
    """Book a bank transfer that was carried out. Raises NotAllowed, InvalidInput, IllegalTransition, NotSent."""
    access.require_platform(by, Role.FINANCE)
    reference = reference.strip()
    if not 0 < len(reference) <= 100:
        raise InvalidInput("reference", "is needed, at most 100 characters", limit=100)
    with transaction.atomic():
        payout = Payout.objects.select_for_update(of=("self",)).select_related("team").get(pk=payout.pk)
        if payout.state != State.SCHEDULED:
            raise IllegalTransition(payout, current=payout.state, to=State.PAID)
        if payout.file_id is None:
            raise NotSent
        bank = Leg(
            chart.BANK,
            -payout.amount_minor,
            payout.currency,
            organization_id=payout.team.organization_id,
        )
        _pay(
            payout,
            entry=_post(payout, bank, at=at),
            reference=reference,
            at=at,
            by=by.user,
        )


def hold_uncovered(payouts: Iterable[Payout], *, at: datetime) -> list[Payout]:
    """Hold what is not covered any more since it was scheduled; returns the rest. Reads each balance once."""
    good = []
    for payout in payouts:
        if balance_of(payout.team_id, payout.currency).free_minor >= 0:
            good.append(payout)
            continue
        move(
            payout,
            Payout.TRANSITIONS,
            to=State.HELD,
            action="billing.payout.held",
            at=at,
            reason=FELL,
            changes={"reason": FELL},
        )
        _tell(payout, f"The payout to {payout.team} waits: {FELL}", at=at, what="held")
    return good


def send_due(*, at: datetime, transfer: Transfer) -> int:
    """Send every approved payout that goes by Stripe; returns how many were paid. Resumable, and safe to run at once.

    The transfer has a key of its own, so the same payout is sent once however often this is run.
    """
    waiting = Payout.objects.filter(state=State.SCHEDULED, method=Method.STRIPE, approved_by__isnull=False)
    approved = [one for one in waiting.select_related("team").order_by("pk") if one.is_approved]
    return sum(_send(payout, at=at, transfer=transfer) for payout in hold_uncovered(approved, at=at))


def _send(payout: Payout, *, at: datetime, transfer: Transfer) -> bool:
    Payout.objects.filter(pk=payout.pk, sent_at=None, state=State.SCHEDULED).update(sent_at=at)
    result = transfer(payout)
    try:
        with transaction.atomic():
            if isinstance(result, str):
                reason = result[:LONGEST_REASON]
                move(
                    payout,
                    Payout.TRANSITIONS,
                    to=State.FAILED,
                    action="billing.payout.failed",
                    at=at,
                    reason=reason,
                    changes={"reason": reason},
                )
                _tell(payout, f"The payout to {payout.team} failed: {reason}", at=at, what="failed")
                return False
            entry, reference = result
            _pay(payout, entry=entry, reference=reference, at=at)
    except (IllegalTransition, IntegrityError):
        return False  # another worker sent the same transfer and booked it
    return True
