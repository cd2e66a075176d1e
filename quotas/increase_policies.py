"""How the rules for increase requests change: somebody proposes, a second person activates, a date makes it so."""

from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.db.models import Q
from django.urls import reverse

from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.core import audit
from marketplace.core.errors import FieldError, InvalidInput, NotAllowed
from marketplace.core.notices import Kind, notify
from marketplace.core.transitions import IllegalTransition, move
from quotas.approvals import Terms
from quotas.increase_models import IncreasePolicy

State = IncreasePolicy.State
PROPOSERS = frozenset({Role.OPERATOR})
DECIDERS = frozenset({Role.OPERATOR, Role.FINANCE})
GREATEST = Decimal(10) ** 12
TERMS = (
    "auto_max_percent", "auto_max_monthly_cost", "auto_min_head_room_percent", "auto_max_days", "cost_review_above",
    "capacity_review_above_percent", "needs_two_people", "remind_after_hours", "escalate_after_hours",
    "expire_after_hours",
)  # fmt: skip


class OwnPolicy(NotAllowed):
    """Whoever proposed a policy does not activate it."""

    code = "own_policy"

    def __init__(self) -> None:
        super().__init__("Nobody activates their own policy. Another operator, or finance, has to.")


def in_force(at: datetime) -> IncreasePolicy | None:
    """Return the policy by which requests of a time are decided."""
    running = Q(ends_at=None) | Q(ends_at__gt=at)
    return (
        IncreasePolicy.objects.filter(running, state=State.APPROVED, starts_at__lte=at)
        .order_by("-starts_at")
        .first()
    )


def terms_of(policy: IncreasePolicy) -> Terms:
    """Return what a policy asks, as a value."""
    return Terms(currency=policy.currency, **{name: getattr(policy, name) for name in TERMS})


def propose(terms: Terms, *, reason: str, by: Actor, at: datetime) -> IncreasePolicy:
    """Propose the next version of the policy. Raises InvalidInput by field, NotAllowed for who is no operator."""
    access.require_platform(by, *PROPOSERS)
    check(terms, reason=reason)
    with transaction.atomic():
        # Two people who propose at once: the second number is taken after the first is written.
        last = list(
            IncreasePolicy.objects.select_for_update().order_by("pk").values_list("number", flat=True)
        )
        policy = IncreasePolicy.objects.create(
            number=max(last, default=0) + 1,
            currency=terms.currency,
            reason=reason,
            proposed_by=by.user,
            proposed_at=at,
            **{name: getattr(terms, name) for name in TERMS},
        )
        audit.record(
            "quotas.policy.proposed", subject=policy, at=at, by=by.user, new=as_text(terms), reason=reason
        )
        notify(
            access.platform_people(*DECIDERS).exclude(pk=by.user.pk),
            text=f"Policy {policy.number} for increase requests waits for a second person.",
            at=at,
            key=f"increase-policy:{policy.pk}:proposed",
            path=reverse("quotas:policy", args=[policy.number]),
            kind=Kind.DECISIONS,
            is_of_platform=True,
        )
    return policy


def activate(
    policy: IncreasePolicy, *, by: Actor, at: datetime, starts_at: datetime | None = None, note: str = ""
) -> None:
    """Let a proposed policy hold from a date on, at once by default; the one before it ends there.

    Raises OwnPolicy, NotAllowed, InvalidInput for a date in the past or before a later version begins, and
    IllegalTransition when somebody decided before.
    """
    _require_decider(policy, by)
    starts_at = starts_at or at
    if starts_at < at:
        raise InvalidInput(
            "starts_at", "must not lie in the past: what was decided was decided by another policy"
        )
    with transaction.atomic():
        # All versions, in the order of their keys: so two that are activated at once follow one another.
        versions = list(IncreasePolicy.objects.select_for_update().order_by("pk"))
        open_one = next(
            (one for one in versions if one.state == State.APPROVED and one.ends_at is None), None
        )
        current = next((one for one in versions if one.pk == policy.pk), policy)
        if current.state != State.PROPOSED:
            raise IllegalTransition(policy, current=current.state, to=State.APPROVED)
        if open_one is not None:
            if open_one.starts_at is not None and open_one.starts_at > starts_at:
                message = (
                    f"Policy {open_one.number} begins later, on {open_one.starts_at:%Y-%m-%d %H:%M} UTC."
                )
                raise InvalidInput("starts_at", message, limit=open_one.starts_at.isoformat())
            IncreasePolicy.objects.filter(pk=open_one.pk, ends_at=None).update(ends_at=starts_at)
        _decide(policy, to=State.APPROVED, by=by, at=at, note=note, starts_at=starts_at)


def reject(policy: IncreasePolicy, *, by: Actor, at: datetime, note: str) -> None:
    """Reject a proposed policy with a reason. Raises as ``activate`` does."""
    if not note.strip():
        raise InvalidInput("note", "Give a reason: whoever proposed it reads it.")
    _require_decider(policy, by)
    with transaction.atomic():
        _decide(policy, to=State.REJECTED, by=by, at=at, note=note)


def withdraw(policy: IncreasePolicy, *, by: Actor, at: datetime) -> None:
    """Take a proposal back; for who made it."""
    access.require(policy.proposed_by_id == by.user.pk, message="Only who proposed it takes it back.")
    move(
        policy,
        IncreasePolicy.TRANSITIONS,
        to=State.WITHDRAWN,
        action="quotas.policy.withdrawn",
        at=at,
        by=by.user,
    )


def may_decide(policy: IncreasePolicy, *, actor: Actor) -> bool:
    """Tell whether somebody may activate or reject a policy."""
    is_open = policy.state == State.PROPOSED
    return is_open and actor.is_platform(*DECIDERS) and policy.proposed_by_id != actor.user.pk


def check(terms: Terms, *, reason: str) -> None:
    """Raise InvalidInput that names every term that is wrong."""
    errors = []
    for name in TERMS:
        value = getattr(terms, name)
        if not isinstance(value, bool) and not 0 <= value <= GREATEST:
            errors.append(FieldError(name, "Give a number from zero on.", limit=str(GREATEST)))
    if terms.auto_min_head_room_percent > 100:
        errors.append(
            FieldError("auto_min_head_room_percent", "At most 100 percent can be free.", limit="100")
        )
    if not 0 < terms.remind_after_hours <= terms.escalate_after_hours < terms.expire_after_hours <= 24 * 366:
        message = "First remind, then escalate, then expire: the hours have to ascend, up to a year."
        errors.append(FieldError("expire_after_hours", message))
    if not reason.strip():
        errors.append(FieldError("reason", "Whoever activates it wants to know."))
    if errors:
        raise InvalidInput.several(errors)


def as_text(terms: Terms) -> dict[str, str]:
    """Write the terms for the audit trail."""
    return {name: str(getattr(terms, name)) for name in (*TERMS, "currency")}


def _require_decider(policy: IncreasePolicy, by: Actor) -> None:
    if policy.proposed_by_id == by.user.pk:
        raise OwnPolicy
    access.require_platform(by, *DECIDERS)


def _decide(
    policy: IncreasePolicy, *, to: str, by: Actor, at: datetime, note: str, starts_at: datetime | None = None
) -> None:
    changes = {"decided_by": by.user, "decided_at": at, "decision_note": note}
    if starts_at is not None:
        changes["starts_at"] = starts_at
    action = f"quotas.policy.{to}"
    move(
        policy,
        IncreasePolicy.TRANSITIONS,
        to=to,
        action=action,
        at=at,
        by=by.user,
        reason=note,
        changes=changes,
    )
    notify(
        [policy.proposed_by],
        text=f"Your policy {policy.number} for increase requests was {to}.",
        at=at,
        key=f"increase-policy:{policy.pk}:decided",
        path=reverse("quotas:policy", args=[policy.number]),
        kind=Kind.DECISIONS,
    )
