"""Shared costs: entered with their dates, spread over months by days, taken back by an opposite one."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from billing.allocation.months import months_between, taking_month
from billing.allocation_models import SharedKind
from billing.models import SharedCost, SharedCostPart
from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import Organization
from marketplace.core import audit
from marketplace.core.errors import Conflict, InvalidInput
from marketplace.core.money import allocate, minor_exponent
from marketplace.core.proposing import require_reason

LONGEST_NAME = 80
MOST_MONTHS = 60
GREATEST_MINOR = 10**14


class TakenBack(Conflict):
    """What was taken back is gone already, and what takes back stays."""

    code = "shared_cost_taken_back"

    def __init__(self, cost: SharedCost) -> None:
        self.cost = cost
        super().__init__(f"{cost.name} is taken back already, or takes something back itself.")


@dataclass(frozen=True)
class Entry:
    """A shared cost to be entered; ``ends_date`` is the first day that it is not for."""

    organization: Organization
    kind: str
    name: str
    amount_minor: int
    currency: str
    starts_date: date
    ends_date: date
    reason: str = ""


def enter(entry: Entry, *, by: Actor, at: datetime, source_key: str) -> SharedCost:
    """Enter a shared cost for the days it is for; each month bears its part, a closed one through a later month.

    A second call with the same key returns the first. Raises InvalidInput by field, NotAllowed for who is not the
    marketplace's finance.
    """
    access.require_platform(by, Role.FINANCE)
    return _enter(entry, by=by.user, at=at, source_key=source_key)


def enter_measured(entry: Entry, *, at: datetime, source_key: str) -> SharedCost:
    """Enter what the system itself worked out, such as the idle time of a pool. Once for its key."""
    return _enter(entry, by=None, at=at, source_key=source_key)


def _enter(entry: Entry, *, by: Any, at: datetime, source_key: str) -> SharedCost:
    _check(entry)
    with transaction.atomic():
        cost, is_new = SharedCost.objects.get_or_create(
            source_key=source_key,
            defaults={
                "organization": entry.organization,
                "kind": entry.kind,
                "name": entry.name.strip(),
                "amount_minor": entry.amount_minor,
                "currency": entry.currency,
                "starts_date": entry.starts_date,
                "ends_date": entry.ends_date,
                "reason": entry.reason.strip(),
                "entered_by": by,
                "entered_at": at,
            },
        )
        if is_new:
            _spread(cost)
            _note("billing.shared_cost.entered", cost, by=by, at=at)
    return cost


def _check(entry: Entry) -> None:
    minor_exponent(entry.currency)
    if entry.kind not in SharedKind.values or entry.kind == SharedKind.SANDBOX:
        raise InvalidInput("kind", "is no kind of cost that can be entered")
    if not 0 < len(entry.name.strip()) <= LONGEST_NAME:
        raise InvalidInput("name", f"is needed, at most {LONGEST_NAME} characters", limit=LONGEST_NAME)
    if not 0 < entry.amount_minor <= GREATEST_MINOR:
        raise InvalidInput("amount", "must be more than nothing", limit=GREATEST_MINOR)
    if entry.ends_date <= entry.starts_date:
        raise InvalidInput("ends_date", "must be after the start; it is the first day that it is not for")
    if len(list(months_between(entry.starts_date, entry.ends_date))) > MOST_MONTHS:
        raise InvalidInput("ends_date", f"is more than {MOST_MONTHS} months later", limit=MOST_MONTHS)


def _spread(cost: SharedCost) -> None:
    """Give each month its part by days, by largest remainder, so that the parts are the cost."""
    found = list(months_between(cost.starts_date, cost.ends_date))
    amounts = allocate(cost.amount_minor, [days for _, days in found])
    for (month, _), amount_minor in zip(found, amounts, strict=True):
        SharedCostPart.objects.create(
            cost=cost,
            service_month=month.name,
            period=taking_month(month.name),
            amount_minor=amount_minor,
        )


def take_back(cost: SharedCost, *, reason: str, by: Actor, at: datetime) -> SharedCost:
    """Take a shared cost back by one of the opposite amount, in the months that are open. Raises TakenBack, NotAllowed."""
    access.require_platform(by, Role.FINANCE)
    reason = require_reason(reason)
    if cost.corrects_id is not None:
        raise TakenBack(cost)
    try:
        with transaction.atomic():
            opposite = SharedCost.objects.create(
                organization=cost.organization,
                kind=cost.kind,
                name=cost.name,
                amount_minor=-cost.amount_minor,
                currency=cost.currency,
                starts_date=cost.starts_date,
                ends_date=cost.ends_date,
                reason=reason[:300],
                source_key=f"take-back:{cost.pk}",
                corrects=cost,
                entered_by=by.user,
                entered_at=at,
            )
            _spread(opposite)
            _note("billing.shared_cost.taken_back", cost, by=by.user, at=at, reason=reason)
    except IntegrityError as error:
        raise TakenBack(cost) from error
    return opposite


def _note(action: str, cost: SharedCost, *, by: Any, at: datetime, reason: str = "") -> None:
    new = {
        "name": cost.name,
        "amount_minor": cost.amount_minor,
        "currency": cost.currency,
        "starts_date": str(cost.starts_date),
        "ends_date": str(cost.ends_date),
    }
    audit.record(action, subject=cost, at=at, by=by, new=new, reason=reason)


def shared_costs(actor: Actor) -> QuerySet[SharedCost]:
    """Shared costs that a person may see: the marketplace's finance all, another one those of its organization."""
    found = SharedCost.objects.select_related("organization", "entered_by", "corrected_by")
    if actor.is_platform(Role.FINANCE):
        return found
    return found.filter(organization__in=actor.organizations_as(Role.FINANCE))
