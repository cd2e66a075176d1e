"""Negotiated prices: finance agrees one with a subscriber; one that leaves the platform too little takes two people."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.urls import reverse

from billing.billable import agreements_of, share_in_force
from billing.models import NegotiatedPrice
from billing.negotiated_effects import Effect, compare
from billing.pricing import Charge, parse_charges
from billing.pricing.included_credit import IncludedCredit
from billing.terms import ShareTerms
from billing.thresholds import Thresholds
from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import Membership, User
from marketplace.catalog.models import Subscription
from marketplace.core import audit
from marketplace.core.errors import Conflict, InvalidInput, NotAllowed
from marketplace.core.json import encode
from marketplace.core.notices import Kind as NoticeKind
from marketplace.core.notices import notify
from marketplace.core.periods import month_of
from marketplace.core.transitions import move

State = NegotiatedPrice.State
LONGEST_REASON = 500


class OwnNegotiatedPrice(NotAllowed):
    """Whoever proposed a price does not decide on it."""

    code = "own_negotiated_price"

    def __init__(self) -> None:
        super().__init__("Nobody decides on a price they proposed. Another person of finance has to.")


class PriceAgreedMeanwhile(Conflict):
    """A charge of a subscription has one price at a time, and one proposal."""

    code = "negotiated_price_in_force"

    def __init__(self, charge_code: str) -> None:
        self.charge_code = charge_code
        super().__init__(
            f"A price of {charge_code} is agreed for these months already, or waits for a decision. End that one first."
        )


@dataclass(frozen=True)
class Proposal:
    """A charge, as the pricing calculator reads it, for whole months; without an end it goes on."""

    charge: dict[str, Any]
    starts_on: date
    ends_on: date | None
    reason: str


def preview(
    subscription: Subscription, *, proposal: Proposal, at: datetime, share: ShareTerms, thresholds: Thresholds
) -> Effect:
    """Say what a proposal would make of a month; writes nothing. Raises InvalidInput by field."""
    charge = _check(subscription, proposal, at=at)
    assert subscription.plan is not None
    charges = parse_charges(subscription.plan.charges)
    own = tuple(charge if one.code == charge.code else one for one in charges)
    agreed = share_in_force(agreements_of([subscription.app_id])[subscription.app_id], at=at, default=share)
    return compare(subscription, before=charges, after=own, at=at, share=agreed, floor=thresholds.fail_below)


def propose(
    subscription: Subscription,
    *,
    proposal: Proposal,
    by: Actor,
    at: datetime,
    share: ShareTerms,
    thresholds: Thresholds,
) -> NegotiatedPrice:
    """Agree a price, or propose it when it leaves less than the floor: then a second person decides.

    Raises NotAllowed for who is not the marketplace's finance, InvalidInput by field, PriceAgreedMeanwhile.
    """
    access.require_platform(by, Role.FINANCE)
    effect = preview(subscription, proposal=proposal, at=at, share=share, thresholds=thresholds)
    waits = effect.needs_second_person
    with transaction.atomic():
        made = _create(subscription, proposal, effect, by=by, at=at)
        action = "billing.negotiated_price." + ("proposed" if waits else "agreed")
        audit.record(action, subject=made, at=at, by=by.user, new=_as_text(made), reason=made.reason)
        if waits:
            _ask_second_person(made, by=by, at=at)
        else:
            _tell_subscriber(made, at=at)
    return made


def approve(found: NegotiatedPrice, *, by: Actor, at: datetime, note: str = "") -> None:
    """Agree to a price that somebody else proposed. Raises OwnNegotiatedPrice, NotAllowed, IllegalTransition, Conflict."""
    _require_decider(found, by)
    if month_of(at).starts_at.date() > found.starts_on:
        raise Conflict("Its first month is over. Reject it, and propose it from this month on.")
    _decide(found, State.AGREED, by=by, at=at, note=note)


def reject(found: NegotiatedPrice, *, by: Actor, at: datetime, note: str) -> None:
    """Refuse a price, with a note that says why. Raises OwnNegotiatedPrice, NotAllowed, IllegalTransition."""
    _require_decider(found, by)
    if not note.strip():
        raise InvalidInput("note", "is needed: say why")
    _decide(found, State.REJECTED, by=by, at=at, note=note)


def withdraw(found: NegotiatedPrice, *, by: Actor, at: datetime) -> None:
    """Take one's own proposal back. Raises NotAllowed for somebody else's, IllegalTransition."""
    access.require(found.proposed_by_id == by.user.pk, message="Only who proposed it can take it back.")
    changes = {"decided_at": at}
    move(
        found, NegotiatedPrice.TRANSITIONS, to=State.WITHDRAWN, action="billing.negotiated_price.withdrawn", at=at,
        by=by.user, changes=changes,
    )  # fmt: skip


def end(found: NegotiatedPrice, *, by: Actor, at: datetime, reason: str = "") -> None:
    """Let an agreed price end with this month, or before it began. Raises NotAllowed, Conflict when it ended before."""
    access.require_platform(by, Role.FINANCE)
    ends_on = max(month_of(at).ends_at.date(), found.starts_on)
    lasting = Q(ends_on=None) | Q(ends_on__gt=ends_on)
    with transaction.atomic():
        changed = NegotiatedPrice.objects.filter(lasting, pk=found.pk, state=State.AGREED).update(
            ends_on=ends_on
        )
        if not changed:
            raise Conflict("This price is not in force beyond this month.")
        audit.record(
            "billing.negotiated_price.ended",
            subject=found,
            at=at,
            by=by.user,
            old={"ends_on": str(found.ends_on or "")},
            new={"ends_on": str(ends_on)},
            reason=reason,
        )
        found.ends_on = ends_on
        _tell_subscriber(found, at=at)


def may_decide(found: NegotiatedPrice, *, actor: Actor) -> bool:
    """Tell whether a person may approve or reject: another one of the marketplace's finance."""
    is_other = found.proposed_by_id != actor.user.pk
    return found.state == State.PROPOSED and is_other and actor.is_platform(Role.FINANCE)


def prices(actor: Actor) -> QuerySet[NegotiatedPrice]:
    """Negotiated prices that a person may see: agreed ones of their teams, or all for the marketplace's finance."""
    found = NegotiatedPrice.objects.select_related(
        "subscription__app", "subscription__team", "subscription__plan", "subscription__cost_center__organization",
        "proposed_by", "decided_by",
    ).order_by("-proposed_at", "-pk")  # fmt: skip
    if actor.is_platform(Role.FINANCE):
        return found
    return found.filter(state=State.AGREED, subscription__team__in=actor.team_ids)


def _check(subscription: Subscription, proposal: Proposal, *, at: datetime) -> Charge:
    plan = subscription.plan
    if plan is None or subscription.state == Subscription.State.CANCELED:
        raise InvalidInput("subscription", "has no plan, or was canceled")
    if not 0 < len(proposal.reason.strip()) <= LONGEST_REASON:
        raise InvalidInput("reason", f"is needed, at most {LONGEST_REASON} characters", limit=LONGEST_REASON)
    _check_months(proposal, at=at)
    [charge] = parse_charges([proposal.charge], field="charge")
    old = next((one for one in parse_charges(plan.charges) if one.code == charge.code), None)
    if old is None:
        codes = ", ".join(one["code"] for one in plan.charges)
        raise InvalidInput("charge.code", f"is no charge of this plan; it has {codes}", code="unknown_choice")
    kinds = [(one.shape.is_metered, isinstance(one.shape, IncludedCredit)) for one in (old, charge)]
    if kinds[0] != kinds[1]:
        message = "must be of the same kind: metered for metered, a fee for a fee, a credit for a credit"
        raise InvalidInput("charge.model", message)
    return charge


def _check_months(proposal: Proposal, *, at: datetime) -> None:
    this_month = month_of(at).starts_at.date()
    if proposal.starts_on.day != 1 or proposal.starts_on < this_month:
        message = f"must be the first of a month, from {this_month} on"
        raise InvalidInput("starts_on", message, limit=this_month)
    if proposal.ends_on is not None and (proposal.ends_on.day != 1 or proposal.ends_on <= proposal.starts_on):
        raise InvalidInput(
            "ends_on", "must be the first of a later month; it is excluded", limit=proposal.starts_on
        )


def _create(
    subscription: Subscription, proposal: Proposal, effect: Effect, *, by: Actor, at: datetime
) -> NegotiatedPrice:
    assert subscription.plan is not None
    waits = effect.needs_second_person
    try:
        with transaction.atomic():
            return NegotiatedPrice.objects.create(
                subscription=subscription,
                plan_code=subscription.plan.code,
                charge_code=proposal.charge["code"],
                charge=proposal.charge,
                state=State.PROPOSED if waits else State.AGREED,
                starts_on=proposal.starts_on,
                ends_on=proposal.ends_on,
                reason=proposal.reason.strip(),
                projection=effect.as_json(),
                needs_second_person=waits,
                proposed_by=by.user,
                proposed_at=at,
            )
    except IntegrityError as error:
        raise PriceAgreedMeanwhile(proposal.charge["code"]) from error


def _require_decider(found: NegotiatedPrice, by: Actor) -> None:
    access.require_platform(by, Role.FINANCE)
    if found.proposed_by_id == by.user.pk:
        raise OwnNegotiatedPrice


def _decide(found: NegotiatedPrice, to: State, *, by: Actor, at: datetime, note: str) -> None:
    try:
        with transaction.atomic():
            move(
                found,
                NegotiatedPrice.TRANSITIONS,
                to=to,
                action=f"billing.negotiated_price.{to}",
                at=at,
                by=by.user,
                reason=note,
                changes={"decided_by": by.user, "decided_at": at, "decision_note": note[:LONGEST_REASON]},
            )
            if to == State.AGREED:
                _tell_subscriber(found, at=at)
    except IntegrityError as error:
        raise PriceAgreedMeanwhile(found.charge_code) from error


def path_of(found: NegotiatedPrice) -> str:
    """Give the address of a negotiated price's page."""
    return reverse("billing:negotiated-price", args=[found.pk])


def _ask_second_person(found: NegotiatedPrice, *, by: Actor, at: datetime) -> None:
    notify(
        access.platform_people(Role.FINANCE).exclude(pk=by.user.pk),
        text=f"A price of {found.subscription} below the floor waits for your decision.",
        at=at,
        key=f"negotiated-price:{found.pk}:proposed",
        path=path_of(found),
        kind=NoticeKind.DECISIONS,
        is_of_platform=True,
    )


def _tell_subscriber(found: NegotiatedPrice, *, at: datetime) -> None:
    team = found.subscription.team_id
    until = f" until {found.ends_on:%B %Y}, excluded" if found.ends_on else ""
    notify(
        User.objects.filter(
            memberships__team=team, memberships__role=Membership.Role.CONSUMER, is_active=True
        ).distinct(),
        text=f"{found.subscription} has a price of its own from {found.starts_on:%B %Y}{until}.",
        at=at,
        key=f"negotiated-price:{found.pk}:{found.ends_on or 'agreed'}",
        path=path_of(found),
        kind=NoticeKind.BILLING,
        organization_id=found.subscription.cost_center.organization_id,
    )


def _as_text(made: NegotiatedPrice) -> dict[str, str]:
    return {
        "charge": encode(made.charge),
        "starts_on": str(made.starts_on),
        "ends_on": str(made.ends_on or ""),
    }
