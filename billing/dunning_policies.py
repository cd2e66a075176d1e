"""Policies of reminders: which one holds for an invoice, and making the next one from a date."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Prefetch, Q, QuerySet

from billing import dunning_words
from billing.dunning_models import DunningGroup, DunningMember, DunningPolicy, DunningStep
from billing.models import Invoice
from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import Organization
from marketplace.core import audit
from marketplace.core.errors import Conflict, FieldError, InvalidInput

LONGEST_TEXT = 240
MOST_STEPS = 8
MOST_DAYS = 365
Tone = DunningStep.Tone


class OtherPolicyBegins(Conflict):
    """Policies follow one another: one that begins later is there already."""

    code = "other_policy_begins"

    def __init__(self) -> None:
        super().__init__("A policy for the same customers begins on that day or later. Begin after it.")


@dataclass(frozen=True)
class StepTerms:
    """A step of a policy to be made."""

    days_after_due: int
    tone: str
    text: str = ""
    fee_minor: int = 0
    interest_percent: Decimal = Decimal(0)


USUAL_STEPS: tuple[StepTerms, ...] = (
    StepTerms(3, Tone.FRIENDLY),
    StepTerms(10, Tone.FIRM),
    StepTerms(21, Tone.FINAL),
    StepTerms(28, Tone.STOP),
)


def policies() -> QuerySet[DunningPolicy]:
    """Return all policies with their steps, the newest first."""
    steps = Prefetch("steps", DunningStep.objects.order_by("position"))
    found = DunningPolicy.objects.select_related("group", "made_by").prefetch_related(steps)
    return found.order_by("legal_entity", "group__name", "-starts_at")


class PolicyBook:
    """All policies, read once (two queries), to ask for many invoices with their organization's membership."""

    def __init__(self) -> None:
        self._policies = list(policies())

    def policy_for(self, invoice: Invoice) -> DunningPolicy | None:
        """Find the policy in force when an invoice fell due: of the customer's group, of who issued it, of everybody.

        A later policy does not change how an invoice is reminded that is overdue already.
        """
        member = getattr(invoice.organization, "dunning_member", None)
        group = member.group_id if member else None
        issuer = str(invoice.payer.get("issuer", ""))
        fitting = [
            one
            for one in self._policies
            if one.group_id in (None, group)
            and one.legal_entity in ("", issuer)
            and invoice.due_at is not None
            and one.starts_at <= invoice.due_at
            and (one.ends_at is None or invoice.due_at < one.ends_at)
        ]
        return max(fitting, key=lambda one: (one.group_id is not None, one.legal_entity != ""), default=None)


def introduce(
    *,
    steps: Sequence[StepTerms],
    starts_at: datetime,
    currency: str,
    by: Actor,
    at: datetime,
    legal_entity: str = "",
    group: DunningGroup | None = None,
    spares_weekends: bool = True,
    promise_days: int = 14,
) -> DunningPolicy:
    """Begin a policy for invoices that fall due from a date; the one before it ends then.

    Raises NotAllowed for who is not of finance, InvalidInput by field, OtherPolicyBegins.
    """
    access.require_platform(by, Role.FINANCE)
    _check(steps)
    with transaction.atomic():
        same = DunningPolicy.objects.select_for_update().filter(legal_entity=legal_entity, group=group)
        if same.filter(starts_at__gte=starts_at).exists():
            raise OtherPolicyBegins
        same.filter(Q(ends_at=None) | Q(ends_at__gt=starts_at)).update(ends_at=starts_at)
        try:
            with transaction.atomic():
                policy = DunningPolicy.objects.create(
                    legal_entity=legal_entity,
                    group=group,
                    currency=currency,
                    spares_weekends=spares_weekends,
                    promise_days=promise_days,
                    starts_at=starts_at,
                    made_by=by.user,
                    made_at=at,
                )
        except IntegrityError as error:
            raise OtherPolicyBegins from error
        DunningStep.objects.bulk_create(_rows(policy, steps))
        audit.record(
            "billing.dunning_policy.introduced",
            subject=policy,
            at=at,
            by=by.user,
            new={"policy": str(policy)},
        )
    return policy


def _rows(policy: DunningPolicy, steps: Iterable[StepTerms]) -> list[DunningStep]:
    in_order = sorted(steps, key=lambda one: one.days_after_due)
    return [
        DunningStep(
            policy=policy,
            position=place,
            days_after_due=step.days_after_due,
            tone=step.tone,
            text=step.text.strip() or dunning_words.USUAL[step.tone],
            fee_minor=step.fee_minor,
            interest_percent=step.interest_percent,
        )
        for place, step in enumerate(in_order, start=1)
    ]


def _check(steps: Sequence[StepTerms]) -> None:
    if not 0 < len(steps) <= MOST_STEPS:
        raise InvalidInput("steps", f"has to be 1 to {MOST_STEPS}", limit=MOST_STEPS)
    errors = [error for place, step in enumerate(steps) for error in _wrong(step, f"steps[{place}]")]
    days = [step.days_after_due for step in steps]
    if len(set(days)) < len(days):
        errors.append(FieldError("steps", "each needs a day of its own"))
    stops = [step for step in steps if step.tone == Tone.STOP]
    if len(stops) > 1 or (stops and stops[0].days_after_due != max(days)):
        errors.append(FieldError("steps", "calls are stopped by the last step only"))
    if stops and len(steps) == 1:
        errors.append(FieldError("steps", "calls are not stopped without a reminder before"))
    if errors:
        raise InvalidInput.several(errors)


def _wrong(step: StepTerms, path: str) -> Iterable[FieldError]:
    if not 0 <= step.days_after_due <= MOST_DAYS:
        yield FieldError(f"{path}.days_after_due", f"has to be 0 to {MOST_DAYS}", limit=str(MOST_DAYS))
    if step.tone not in Tone.values:
        yield FieldError(f"{path}.tone", f"has to be one of {', '.join(Tone.values)}")
    if step.fee_minor < 0:
        yield FieldError(f"{path}.fee", "must not be negative", limit="0")
    if not 0 <= step.interest_percent <= 100:
        yield FieldError(f"{path}.interest_percent", "has to be 0 to 100", limit="100")
    if len(step.text) > LONGEST_TEXT:
        yield FieldError(f"{path}.text", f"has at most {LONGEST_TEXT} characters", limit=str(LONGEST_TEXT))
    try:
        dunning_words.check(step.text, field=f"{path}.text")
    except InvalidInput as error:
        yield from error.errors


def join_group(organization: Organization, *, name: str, by: Actor, at: datetime) -> None:
    """Put a customer into a group, which is made when it is new; an empty name takes them out of any."""
    access.require_platform(by, Role.FINANCE)
    name = name.strip()
    with transaction.atomic():
        if name:
            group, _ = DunningGroup.objects.get_or_create(name=name[:80])
            DunningMember.objects.update_or_create(organization=organization, defaults={"group": group})
        else:
            DunningMember.objects.filter(organization=organization).delete()
        new: dict[str, Any] = {"group": name}
        audit.record("billing.dunning_group.changed", subject=organization, at=at, by=by.user, new=new)
