"""How and when a team is paid: a journal credit inside of the house, a bank transfer, or Stripe."""

import calendar
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from django.db import transaction
from stdnum import bic as bics
from stdnum import iban as ibans

from billing.models import PayoutPlan
from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import Organization, Team, User
from marketplace.core import audit
from marketplace.core.errors import FieldError, InvalidInput
from marketplace.core.money import MINOR_EXPONENTS
from marketplace.core.notices import Kind as NoticeKind
from marketplace.core.notices import notify

Method = PayoutPlan.Method
Schedule = PayoutPlan.Schedule
LONGEST_HOLD = 90
CONSENT = (
    "We agree that the marketplace issues invoices and credit notes in our name for what our apps earn (self-billing). "
    "We do not issue invoices of our own for it, and tell the marketplace when our VAT registration changes or ends."
)


@dataclass(frozen=True)
class Choice:
    """What a team wants; ``day`` is of the month (1 to 28) or of the week (1 is Monday)."""

    method: str
    schedule: str = Schedule.MONTHLY
    day: int = 10
    threshold_minor: int = 0
    hold_days: int = 7
    holder: str = ""
    iban: str = ""
    bic: str = ""
    vat_id: str = ""
    address: str = ""


def is_internal(team: Team) -> bool:
    """Tell whether a team is inside of the house's books: it gets journal credits, and nothing leaves the bank."""
    organization = team.organization
    return organization.is_platform or organization.billing == Organization.Billing.CHARGEBACK


def may_keep(team: Team, *, actor: Actor) -> bool:
    """Tell whether a person decides how a team is paid: its creators, and its organization's finance."""
    return team.pk in actor.teams_as(Role.CREATOR) or team.organization_id in actor.organizations_as(
        Role.FINANCE
    )


def default_choice(team: Team) -> Choice:
    """Say how a team is paid that has chosen nothing."""
    return Choice(Method.INTERNAL if is_internal(team) else Method.BANK)


def find(team: Team, currency: str) -> PayoutPlan | None:
    """Return the plan of a team in a currency, if there is one."""
    return PayoutPlan.objects.filter(team=team, currency=currency).first()


def choose(team: Team, *, currency: str, choice: Choice, by: Actor, at: datetime) -> PayoutPlan:
    """Write down how a team is paid in a currency. Raises NotAllowed, InvalidInput by field."""
    access.require(may_keep(team, actor=by), message="Only creators of the team decide how it is paid.")
    choice = _cleaned(choice)
    if errors := _wrong(team, currency, choice):
        raise InvalidInput.several(errors)
    with transaction.atomic():
        plan = PayoutPlan.objects.select_for_update().filter(team=team, currency=currency).first()
        old = _shown(plan) if plan else {}
        plan = plan or PayoutPlan(team=team, currency=currency)
        for name, value in vars(choice).items():
            setattr(plan, name, value)
        plan.changed_by, plan.changed_at = by.user, at
        plan.save()
        audit.record("billing.payout_plan.chosen", subject=plan, at=at, by=by.user, old=old, new=_shown(plan))
        _tell_team(plan, by=by, at=at)
    return plan


def consent(plan: PayoutPlan, *, by: Actor, at: datetime) -> None:
    """Record that a team agrees to invoices in its name; a second time changes nothing. Raises NotAllowed."""
    access.require(may_keep(plan.team, actor=by), message="Only creators of the team agree for it.")
    agreed = {"consented_by": by.user, "consented_at": at, "consent_text": CONSENT}
    with transaction.atomic():
        if PayoutPlan.objects.filter(pk=plan.pk, consented_at=None).update(**agreed):
            audit.record(
                "billing.self_billing.agreed", subject=plan, at=at, by=by.user, new={"text": CONSENT}
            )
    plan.refresh_from_db()


def revoke_consent(plan: PayoutPlan, *, by: Actor, at: datetime) -> None:
    """Record that a team issues its own invoices from now on. Raises NotAllowed."""
    access.require(may_keep(plan.team, actor=by), message="Only creators of the team decide for it.")
    with transaction.atomic():
        agreed = PayoutPlan.objects.filter(pk=plan.pk, consented_at__isnull=False)
        if agreed.update(consented_by=None, consented_at=None, consent_text=""):
            audit.record("billing.self_billing.revoked", subject=plan, at=at, by=by.user)
    plan.refresh_from_db()


def _cleaned(choice: Choice) -> Choice:
    return replace(
        choice,
        holder=choice.holder.strip(),
        iban=ibans.compact(choice.iban),
        bic=bics.compact(choice.bic),
        vat_id=choice.vat_id.strip(),
        address=choice.address.strip(),
    )


def _wrong(team: Team, currency: str, choice: Choice) -> list[FieldError]:
    errors = []
    if currency not in MINOR_EXPONENTS:
        errors.append(FieldError("currency", "is not an ISO 4217 code of a currency", "unknown_currency"))
    if choice.method not in Method.values or (choice.method == Method.INTERNAL) != is_internal(team):
        errors.append(FieldError("method", _method_words(team), "unknown_choice"))
    last = 28 if choice.schedule == Schedule.MONTHLY else 7
    if choice.schedule not in Schedule.values or not 1 <= choice.day <= last:
        errors.append(FieldError("day", f"must be from 1 to {last}", "out_of_range", str(last)))
    if choice.threshold_minor < 0:
        errors.append(FieldError("threshold", "must not be negative", "negative", "0"))
    if not 0 <= choice.hold_days <= LONGEST_HOLD:
        errors.append(
            FieldError("hold_days", f"must be from 0 to {LONGEST_HOLD}", "out_of_range", str(LONGEST_HOLD))
        )
    return errors + (_wrong_bank(choice) if choice.method == Method.BANK else [])


def _method_words(team: Team) -> str:
    if is_internal(team):
        return "This team is inside of the house: it gets journal credits."
    return "must be a bank transfer or Stripe"


def _wrong_bank(choice: Choice) -> list[FieldError]:
    errors = []
    if not choice.holder:
        errors.append(FieldError("holder", "is needed: the name on the bank account", "required"))
    if not ibans.is_valid(choice.iban):
        errors.append(FieldError("iban", "is not a valid IBAN; its check digits do not fit", "invalid"))
    if choice.bic and not bics.is_valid(choice.bic):
        errors.append(FieldError("bic", "is not a valid BIC, such as COBADEFFXXX", "invalid"))
    return errors


def _shown(plan: PayoutPlan) -> dict[str, Any]:
    """Give what the audit trail keeps: of a bank account only its end."""
    shown = {name: getattr(plan, name) for name in Choice.__dataclass_fields__}
    return {**shown, "iban": masked(plan.iban)}


def masked(iban: str) -> str:
    """Show the ends of an account number."""
    return f"{iban[:4]} … {iban[-4:]}" if iban else ""


def _tell_team(plan: PayoutPlan, *, by: Actor, at: datetime) -> None:
    """Tell the others of the team: where money goes is what a thief would change."""
    notify(
        people_of(plan.team).exclude(pk=by.user.pk),
        text=f"{by.user} changed how {plan.team} is paid in {plan.currency}.",
        at=at,
        key=f"payout-plan:{plan.pk}:{at.isoformat()}",
        kind=NoticeKind.BILLING,
        team=plan.team,
    )


def people_of(team: Team) -> Any:
    """Return the creators of a team."""
    return User.objects.filter(
        memberships__team=team, memberships__role=Role.CREATOR, is_active=True
    ).distinct()


def last_date(plan: PayoutPlan, *, on: date) -> date:
    """Give the newest day, that one included, on which a plan pays."""
    if plan.schedule == Schedule.WEEKLY:
        return on - timedelta(days=(on.isoweekday() - plan.day) % 7)
    if on.day >= plan.day:
        return on.replace(day=plan.day)
    before = on.replace(day=1) - timedelta(days=1)
    return before.replace(day=plan.day)


def next_date(plan: PayoutPlan, *, after: date) -> date:
    """Give the first day after a day on which a plan pays."""
    if plan.schedule == Schedule.WEEKLY:
        return last_date(plan, on=after) + timedelta(days=7)
    if after.day < plan.day:
        return after.replace(day=plan.day)
    days = calendar.monthrange(after.year, after.month)[1]
    return (after.replace(day=1) + timedelta(days=days)).replace(day=plan.day)
